//! `assistant day`: days under policies, in an order that rotates with the seed, and the files of their results.
//!
//! `all` is played once, since nothing is loaded or unloaded in it. `product-equal` comes last of a seed: its budget is
//! corrected until its mean memory is that of `idle`, at most twice. Results are written after every run, so that an
//! interrupt loses the run under way alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use majordomo::ByteSize;
use majordomo_sim::replay::{Trace, UserTrace};

use super::args::DayArgs;
use super::equal::{self, Bounds, Tried};
use super::folder::Folder;
use super::interrupt::Interrupt;
use super::player::{self, Script};
use super::policy::Policy;
use super::progress::Progress;
use super::record::{Day, PlayedLine, Run, SampleLine, Summary, write_lines};
use super::routine::Use;
use super::run::{Bench, Plan, SERVICE};
use super::steps::{self, Pauses, Size, Steps, Turn};

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

/// The users of traces whose days are played, each with the name of its trace.
fn users(args: &DayArgs) -> anyhow::Result<Vec<(String, UserTrace)>> {
    let mut users = Vec::new();
    for path in &args.traces {
        let trace = Trace::open(path)?;
        let name = trace.name;
        users.extend(trace.users.into_iter().map(|user| (name.clone(), user)));
    }
    let known: Vec<String> = users.iter().map(|(_, user)| user.name.clone()).collect();
    if let Some(unknown) = args.users.iter().find(|name| !known.contains(name)) {
        bail!("no trace has a user {unknown:?}; there are {}", known.join(", "));
    }
    if !args.users.is_empty() {
        users.retain(|(_, user)| args.users.contains(&user.name));
    }
    Ok(users)
}

/// A day with everything that its runs need.
struct Prepared {
    day: Day,
    steps: Steps,
    script: Script,
}

impl Prepared {
    /// The uses before the day that are learned from, and those that are played.
    fn before(&self) -> (&[Use], &[Use]) {
        self.steps.before(self.day.n_warm_up)
    }

    fn planned(&self) -> Duration {
        let commands = self.script.lines.iter().map(|line| line.pause);
        let before = self.before().1.iter().map(|(_, pause)| *pause);
        commands.chain(before).map(|pause| pause + SERVICE).sum()
    }
}

fn prepare(args: &DayArgs, folder: &Folder, places: &[usize]) -> anyhow::Result<Vec<Prepared>> {
    let names: Vec<String> = places.iter().map(|p| folder.components[*p].clone()).collect();
    let size = Size { n_commands: args.n_commands(), n_history: args.history as usize };
    let pauses = Pauses { compress: args.compress, longest: args.longest_pause() };
    let users = users(args)?;
    let n_users = users.len().max(1);
    let n_days = usize::try_from(args.seeds)?;
    let seeds = args.seed..args.seed.saturating_add(args.seeds);
    seeds
        .enumerate()
        .map(|(i, seed)| {
            let steps = match users.get(i % n_users) {
                Some((trace, user)) => {
                    let of = (n_days - i % n_users).div_ceil(n_users);
                    let turn = Turn { nth: i / n_users, of };
                    steps::of_user(trace, user, &names, size, pauses, seed, turn)?
                }
                None => steps::generated(names.len(), size, pauses, seed)?,
            };
            let day = Day {
                seed,
                source: steps.source.clone(),
                is_generated: steps.is_generated,
                n_history: steps.history.len(),
                n_warm_up: steps.before(args.n_warm_up()).1.len(),
                items: steps.items.clone(),
                n_left_out: steps.n_left_out,
                n_long_pauses: steps.n_long_pauses,
            };
            let hold = Duration::from_millis(args.hold);
            let script = player::script(folder, &steps.day, places, seed, hold);
            Ok(Prepared { day, steps, script })
        })
        .collect()
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
    let days = prepare(args, &folder, &places)?;
    let work = args.out.join("work");
    // There may be one of an earlier measurement in the same folder.
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work).with_context(|| format!("{} cannot be made", work.display()))?;
    let sockets = Sockets::new()?;
    let pauses = Pauses { compress: args.compress, longest: args.longest_pause() };
    let summary = summary(args, &folder, &places, pauses);
    say_maps(&summary);
    let bench = Bench {
        folder,
        program: program(args.majordomo.as_deref())?,
        work: work.canonicalize()?,
        sockets: sockets.0.clone(),
        idle_timeout: pauses.idle_timeout(),
        sample: Duration::from_millis(args.sample),
        quiet_wait: args.quiet_wait(),
        interrupt: Interrupt::listen()?,
    };
    let planned = |day: &Prepared, n: usize| day.planned() * order(&policies, n).len() as u32;
    let planned = days.iter().enumerate().map(|(n, day)| planned(day, n)).sum();
    let mut measurement = Measurement {
        bench,
        places,
        out: args.out.clone(),
        progress: Progress::new(planned),
        budget: ByteSize::ZERO,
        summary,
        samples: Vec::new(),
        ratio: None,
    };
    let ended = measurement.calibrate(args).await;
    let ended = match ended {
        Ok(()) => measurement.play_all(&days, &policies).await,
        Err(error) => Err(error),
    };
    let interrupted = measurement.bench.interrupt.is_raised();
    measurement.summary.was_interrupted = interrupted;
    measurement.write()?;
    if interrupted {
        return Ok(ExitCode::from(130));
    }
    ended?;
    measurement.progress.say(&format!(
        "written to {}; `majordomo-lab assistant report --out {}` compares the policies",
        args.out.display(),
        args.out.display()
    ));
    if args.short {
        verdict(&measurement.summary, args.budget().is_none())
    } else {
        Ok(ExitCode::SUCCESS)
    }
}

/// The checks of the short form: none of a time or a ratio.
fn verdict(summary: &Summary, is_tight: bool) -> anyhow::Result<ExitCode> {
    for run in &summary.runs {
        let f = &run.figures;
        let wrong = run.commands.iter().find(|c| c.refusal.is_some() || !c.is_real);
        ensure!(
            f.n_refused == 0 && f.n_real == f.n_commands && f.n_commands > 0,
            "{}: {} of {} commands refused, {} answers real; first: {:?}",
            run.policy,
            f.n_refused,
            f.n_commands,
            f.n_real,
            wrong
        );
        ensure!(
            2 * f.n_exact >= f.n_new,
            "{}: the needed component alone was chosen for {} of {} new texts, fewer than half",
            run.policy,
            f.n_exact,
            f.n_new
        );
        ensure!(
            !is_tight || run.policy != Policy::Lru || run.tally.evictions > 0,
            "lru evicted nothing within {}, so that no refusal could occur",
            ByteSize(run.budget.unwrap_or(0))
        );
        ensure!(run.orphans.is_empty(), "{} left {} running", run.policy, run.orphans.join(", "));
    }
    ensure!(!summary.runs.is_empty(), "no policy was played");
    println!("no refusal, every answer real, no orphan");
    Ok(ExitCode::SUCCESS)
}

fn summary(args: &DayArgs, folder: &Folder, places: &[usize], pauses: Pauses) -> Summary {
    let is_used = |name: &str| places.iter().any(|p| folder.components[*p] == name);
    let names = folder.specs.iter().map(|s| s.id.to_string());
    let labels = folder.commands.map.places.iter();
    Summary {
        date: date(),
        machine: machine(),
        command: std::env::args().skip(1).collect(),
        folder: folder.path.display().to_string(),
        components: BTreeMap::new(),
        unused: names.filter(|name| !is_used(name)).collect(),
        labels: labels
            .map(|(label, place)| (label.clone(), folder.components[*place].clone()))
            .filter(|(label, component)| label != component)
            .collect(),
        commands_per_day: args.n_commands(),
        n_taught: folder.commands.train.len(),
        n_rows_left_out: folder.commands.n_left_out,
        compress: args.compress,
        longest_pause_s: args.longest_pause,
        idle_timeout_s: pauses.idle_timeout().as_secs_f64(),
        sample_ms: args.sample as f64,
        was_interrupted: false,
        runs: Vec::new(),
    }
}

fn date() -> String {
    let out = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
    out.ok().map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

fn machine() -> String {
    let n = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = majordomo::memory_limit().map_or_else(String::new, |m| format!(", {m} of memory"));
    format!("{}{memory}", majordomo::count(n, "processor"))
}

fn say_maps(summary: &Summary) {
    if !summary.labels.is_empty() {
        let pairs: Vec<_> = summary.labels.iter().map(|(l, c)| format!("{l} = {c}")).collect();
        eprintln!("labels of the commands: {}", pairs.join(", "));
    }
    if !summary.unused.is_empty() {
        eprintln!("without commands or questions: {}", summary.unused.join(", "));
    }
}

/// A measurement under way.
struct Measurement {
    bench: Bench,
    places: Vec<usize>,
    out: PathBuf,
    progress: Progress,
    budget: ByteSize,
    summary: Summary,
    samples: Vec<SampleLine>,
    /// Budget over mean memory of the last `product-equal`.
    ratio: Option<f64>,
}

impl Measurement {
    async fn calibrate(&mut self, args: &DayArgs) -> anyhow::Result<()> {
        let measured = self.bench.calibrate(&self.progress).await?;
        self.summary.components = measured.into_iter().collect();
        let all = ByteSize(self.summary.all_loaded());
        self.budget = match args.budget() {
            Some(budget) => budget.of(all),
            None => ByteSize(equal::tight(&self.bench.folder, &self.summary.components)),
        };
        self.progress.say(&format!("everything loaded: {all}; budget: {}", self.budget));
        self.write()
    }

    async fn play_all(&mut self, days: &[Prepared], policies: &[Policy]) -> anyhow::Result<()> {
        for (n, day) in days.iter().enumerate() {
            for (position, policy) in order(policies, n).into_iter().enumerate() {
                if policy == Policy::ProductEqual {
                    self.play_at_equal_memory(day, position).await?;
                } else {
                    let (run, samples) = self.one(day, policy, self.budget, position).await?;
                    self.keep(run, samples)?;
                }
                if self.bench.interrupt.is_raised() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn one(
        &mut self,
        day: &Prepared,
        policy: Policy,
        budget: ByteSize,
        position: usize,
    ) -> anyhow::Result<(Run, Vec<SampleLine>)> {
        let (learned, warm_up) = day.before();
        let plan = Plan {
            day: &day.day,
            learned,
            warm_up,
            places: &self.places,
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
        let known =
            mean(Policy::Product).filter(|m| *m > 0.0).map(|m| self.budget.bytes() as f64 / m);
        let ratio = self.ratio.or(known).unwrap_or(1.2);
        let bounds = Bounds::new(&self.bench.folder, &self.summary.components);
        let mut tried: Vec<Tried> = Vec::new();
        let mut made = Vec::new();
        while let Some(budget) = equal::next_budget(target, ratio, &tried, bounds) {
            if !tried.is_empty() {
                self.progress.plan(day.planned());
            }
            let budget = ByteSize(budget);
            let (run, samples) = self.one(day, Policy::ProductEqual, budget, position).await?;
            if self.bench.interrupt.is_raised() {
                return self.keep(run, samples);
            }
            tried.push((budget.bytes(), run.mean));
            made.push((run, samples));
        }
        let Some(best) = equal::closest(target, &tried) else { return Ok(()) };
        self.ratio = Some(tried[best].0 as f64 / tried[best].1.max(1.0));
        let (mut run, samples) = made.swap_remove(best);
        run.tried = tried;
        self.keep(run, samples)
    }

    fn keep(&mut self, run: Run, samples: Vec<SampleLine>) -> anyhow::Result<()> {
        self.summary.runs.push(run);
        self.samples.extend(samples);
        self.write()
    }

    fn write(&self) -> anyhow::Result<()> {
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
    use super::super::figures::Figures;
    use super::super::goals::testing;
    use super::*;

    #[test]
    fn the_short_form_fails_where_nothing_is_chosen_or_evicted() {
        let good = testing::summary(vec![testing::run(Policy::Lru, 1, &[1.0; 9])]);
        let error = |summary: &Summary, is_tight| {
            verdict(summary, is_tight).map(|_| ()).map_err(|e| e.to_string()).unwrap_err()
        };
        assert!(verdict(&good, false).is_ok());
        assert!(error(&good, true).contains("evicted nothing"));
        let mut evicts = good.clone();
        evicts.runs[0].tally.evictions = 1;
        assert!(verdict(&evicts, true).is_ok());
        let run = &mut evicts.runs[0];
        run.commands.iter_mut().take(5).for_each(|c| c.chosen.clear());
        run.figures = Figures::new(&run.commands);
        assert!(error(&evicts, true).contains("4 of 9 new texts"), "{}", error(&evicts, true));
        assert!(error(&testing::summary(Vec::new()), false).contains("no policy"));
    }

    #[test]
    fn policies_take_turns() {
        use Policy::{All, Idle, Lru, Product, ProductEqual};
        let of = |n| order(&Policy::EVERY, n);
        assert_eq!(of(0), [All, Lru, Idle, Product, ProductEqual]);
        assert_eq!(of(1), [Idle, Product, Lru, ProductEqual]);
        assert_eq!(of(2), [Product, Lru, Idle, ProductEqual]);
        assert_eq!(order(&[Lru], 5), [Lru]);
    }
}
