//! `assistant day`: days under policies, in an order that rotates with the seed, and the files of
//! their results.
//!
//! `all` is played once, since nothing is loaded or unloaded in it. `product-equal` comes last of a
//! seed: its budget is begun from the product's own run of that seed and corrected at most once
//! until its mean memory is that of `idle`. Results are written after every run, so that an
//! interrupt loses the run under way alone.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use majordomo::ByteSize;

use super::args::DayArgs;
use super::clock;
use super::equal::{self, Bounds, Tried};
use super::folder::Folder;
use super::interrupt::Interrupt;
use super::overview;
use super::policy::Policy;
use super::prepare::{self, Prepared};
use super::progress::Progress;
use super::record::{Aside, PlayedLine, Run, SampleLine, Summary, write_lines};
use super::run::{Bench, Plan};
use super::verdict::verdict;
use crate::short::ShortMemory;

/// A folder for sockets, removed at the end.
struct Sockets(PathBuf);

impl Sockets {
    fn new() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("majordomo-assistant-{}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(Self(dir))
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        // A folder left behind in the system's temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program to measure: named, or beside this one.
fn program(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let program = match named {
        Some(named) => named.to_owned(),
        None => std::env::current_exe()?.with_file_name("majordomo"),
    };
    ensure!(
        program.is_file(),
        "{} is missing; build it with `cargo build --release -p majordomo-cli`, or name it with --majordomo",
        program.display()
    );
    Ok(program)
}

/// The policies of the n-th seed, in order: rotated, with `product-equal` at the end.
fn order(policies: &[Policy], n: usize) -> Vec<Policy> {
    let is_once = |p: &Policy| *p == Policy::All;
    let mut rotated: Vec<Policy> =
        policies.iter().copied().filter(|p| !is_once(p) && *p != Policy::ProductEqual).collect();
    if !rotated.is_empty() {
        let by = n % rotated.len();
        rotated.rotate_left(by);
    }
    let first = policies.iter().copied().filter(|p| is_once(p) && n == 0);
    let last = policies.iter().copied().filter(|p| *p == Policy::ProductEqual);
    first.chain(rotated).chain(last).collect()
}

/// Runs the command.
pub(super) fn run(args: &DayArgs) -> anyhow::Result<ExitCode> {
    ensure!(
        cfg!(target_os = "linux"),
        "`assistant day` measures processes by /proc, which Linux alone has"
    );
    args.check()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(days(args));
    runtime.shutdown_background();
    result
}

async fn days(args: &DayArgs) -> anyhow::Result<ExitCode> {
    let policies = args.policies()?;
    let folder = Folder::read(&args.folder, args.commands.as_deref())?;
    let places = folder.usable();
    let days = prepare::days(args, &folder, &places)?;
    let work = args.out.join("work");
    // There may be one of an earlier measurement in the same folder.
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work).with_context(|| format!("{} cannot be made", work.display()))?;
    let sockets = Sockets::new()?;
    let summary = overview::summary(args, &folder, &places, &days);
    overview::say_maps(&summary);
    let interrupt = Interrupt::listen()?;
    let work = work.canonicalize()?;
    let bench = Bench {
        folder,
        program: program(args.majordomo.as_deref())?,
        memory: ShortMemory::start(&args.memory, &work).await?,
        settle: args.memory.settle(),
        work,
        sockets: sockets.0.clone(),
        sample: Duration::from_millis(args.sample),
        quiet_wait: args.quiet_wait(),
        interrupt,
    };
    let planned = |day: &Prepared, n: usize| day.planned() * order(&policies, n).len() as u32;
    let planned = days.iter().enumerate().map(|(n, day)| planned(day, n)).sum();
    let mut measurement = Measurement {
        bench,
        out: args.out.clone(),
        progress: Progress::new(planned),
        budget: ByteSize::ZERO,
        summary,
        samples: Vec::new(),
        began_s: clock::seconds(),
    };
    let ended = measurement.calibrate(args).await;
    let ended = match ended {
        Ok(()) => measurement.play_all(&days, &policies).await,
        Err(error) => Err(error),
    };
    // Whatever failed, swap that was turned on is turned off again.
    let undone = match measurement.bench.memory.take() {
        Some(memory) => {
            if let Some(condition) = &mut measurement.summary.condition {
                condition.gave = memory.gave();
            }
            memory.end().await
        }
        None => Ok(()),
    };
    let interrupted = measurement.bench.interrupt.is_raised();
    measurement.summary.was_interrupted = interrupted;
    measurement.write()?;
    if interrupted {
        return Ok(ExitCode::from(130));
    }
    ended?;
    undone?;
    let took = measurement.summary.took();
    measurement.progress.say(&format!(
        "took {took}; written to {}; `majordomo-lab assistant report --out {}` compares the policies",
        args.out.display(),
        args.out.display()
    ));
    if args.short {
        verdict(&measurement.summary, args.budget().is_none())
    } else {
        Ok(ExitCode::SUCCESS)
    }
}

/// A measurement under way.
struct Measurement {
    bench: Bench,
    out: PathBuf,
    progress: Progress,
    budget: ByteSize,
    summary: Summary,
    samples: Vec<SampleLine>,
    began_s: f64,
}

impl Measurement {
    async fn calibrate(&mut self, args: &DayArgs) -> anyhow::Result<()> {
        let calibrated = self.bench.calibrate(&self.progress).await?;
        self.summary.components = calibrated.components;
        self.summary.warm = calibrated.warm;
        let all = ByteSize(self.summary.all_loaded());
        self.budget = match args.budget() {
            Some(budget) => budget.of(all),
            None => ByteSize(equal::tight(&self.bench.folder, &self.summary.components)),
        };
        self.progress.say(&format!("everything loaded: {all}; budget: {}", self.budget));
        if let (Some(memory), Some(ram)) = (&mut self.bench.memory, calibrated.ram) {
            let condition = memory.press(self.budget, ram).await?;
            self.progress.say(&condition.to_string());
            self.summary.condition = Some(condition);
        }
        self.write()
    }

    async fn play_all(&mut self, days: &[Prepared], policies: &[Policy]) -> anyhow::Result<()> {
        self.progress.begin();
        for (n, day) in days.iter().enumerate() {
            for (position, policy) in order(policies, n).into_iter().enumerate() {
                if policy == Policy::ProductEqual {
                    self.play_at_equal_memory(day, position).await?;
                } else {
                    let (run, samples) = self.play_one(day, policy, self.budget, position).await?;
                    self.record_run(run, samples)?;
                }
                if self.bench.interrupt.is_raised() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn play_one(
        &mut self,
        day: &Prepared,
        policy: Policy,
        budget: ByteSize,
        position: usize,
    ) -> anyhow::Result<(Run, Vec<SampleLine>)> {
        let (learned, warm_up) = day.before();
        let plan = Plan {
            day: &day.day,
            warm: self.summary.warm.as_ref(),
            learned,
            warm_up,
            places: &day.places,
            script: &day.script,
            policy,
            budget,
            position,
        };
        let (run, samples) = self.bench.run(plan, &mut self.progress).await?;
        let f = &run.figures;
        self.progress.say(&format!(
            "seed {}, {policy}: {:.1} % waited, mean {:.0} ms, p95 {:.0} ms; memory mean {}, peak {}; {} refused",
            day.day.seed,
            100.0 * f.share(f.n_waited),
            f.mean_ms,
            f.p95_ms,
            ByteSize(run.mean as u64),
            ByteSize(run.peak),
            f.n_refused
        ));
        let seed = day.day.seed;
        let samples = samples.into_iter().map(|sample| SampleLine { seed, policy, sample });
        Ok((run, samples.collect()))
    }

    /// Plays `product-equal` with a budget whose mean memory is that of `idle` on this day.
    async fn play_at_equal_memory(
        &mut self,
        day: &Prepared,
        position: usize,
    ) -> anyhow::Result<()> {
        let mean = |policy: Policy| {
            let run =
                self.summary.runs.iter().find(|r| r.day.seed == day.day.seed && r.policy == policy);
            run.map(|r| r.mean)
        };
        let target = mean(Policy::Idle).context("idle was not played on this day")?;
        let own: Option<Tried> = mean(Policy::Product).map(|mean| (self.budget.bytes(), mean));
        let bounds = Bounds::new(&self.bench.folder, &self.summary.components);
        let mut tried: Vec<Tried> = Vec::new();
        let mut made = Vec::new();
        while let Some(budget) = equal::next_budget(target, own, &tried, bounds) {
            if !tried.is_empty() {
                self.progress.plan(day.planned());
            }
            let budget = ByteSize(budget);
            let (run, samples) = self.play_one(day, Policy::ProductEqual, budget, position).await?;
            if self.bench.interrupt.is_raised() {
                return self.record_run(run, samples);
            }
            tried.push((budget.bytes(), run.mean));
            made.push((run, samples));
        }
        let Some(best) = equal::closest(target, &tried) else { return Ok(()) };
        let (mut run, samples) = made.swap_remove(best);
        run.tried = tried;
        run.aside = made.iter().map(|(run, _)| Aside::of(run)).collect();
        self.record_run(run, samples)
    }

    fn record_run(&mut self, run: Run, samples: Vec<SampleLine>) -> anyhow::Result<()> {
        self.summary.runs.push(run);
        self.samples.extend(samples);
        self.write()
    }

    fn write(&mut self) -> anyhow::Result<()> {
        self.summary.took_s = clock::seconds() - self.began_s;
        let lines = self.summary.runs.iter().flat_map(|run| {
            let (seed, policy) = (run.day.seed, run.policy);
            run.commands.iter().cloned().map(move |played| PlayedLine { seed, policy, played })
        });
        write_lines(&self.out.join("day.jsonl"), lines)?;
        write_lines(&self.out.join("memory.jsonl"), self.samples.iter())?;
        let path = self.out.join("summary.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&self.summary)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_take_turns() {
        use Policy::{All, Idle, Lru, Product, ProductEqual};
        let of = |n| order(&Policy::USUAL, n);
        assert_eq!(of(0), [All, Lru, Idle, Product, ProductEqual]);
        assert_eq!(of(1), [Idle, Product, Lru, ProductEqual]);
        assert_eq!(of(2), [Product, Lru, Idle, ProductEqual]);
        assert_eq!(order(&[Lru], 5), [Lru]);
    }
}
