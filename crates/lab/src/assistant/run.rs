//! One run: a server of its own with the configuration of a policy, the day against it, and
//! everything that is measured.
//!
//! Invariant: however the day ends, the server is stopped before this returns, and processes that
//! outlive it are reported.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use majordomo::ByteSize;
use majordomo_server::wire::Figure;

use super::ask::{self, Asked};
use super::clock;
use super::events::Follower;
use super::figures::Figures;
use super::folder::Folder;
use super::idle_clock::IdleClock;
use super::interrupt::Interrupt;
use super::learn::{self, SERVICE};
use super::pacing::Pacing;
use super::played::Played;
use super::player::{self, Player, Script};
use super::policy::{self, Member, Policy};
use super::processes::{Memory, Processes, load_average};
use super::progress::Progress;
use super::quiet;
use super::record::{Day, Measured, Run};
use super::routine::TimedUse;
use super::sampler::{Sample, Sampled, Sampler};
use super::server::{Place, Server, TemporaryFile};
use super::steps::UseStep;

/// Looks for processes that outlive their server, and the time between two.
const LOOKS: u32 = 40;
const LOOK: Duration = Duration::from_millis(100);

/// Everything that runs have in common.
pub(super) struct Bench {
    pub(super) folder: Folder,
    /// The program `majordomo`.
    pub(super) program: PathBuf,
    /// For state directories and logs.
    pub(super) work: PathBuf,
    /// For sockets, whose paths must be short.
    pub(super) sockets: PathBuf,
    pub(super) sample: Duration,
    /// The longest wait for a quiet machine before a run.
    pub(super) quiet_wait: Duration,
    pub(super) interrupt: Interrupt,
}

/// One run to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    pub(super) day: &'a Day,
    /// Earlier uses that the product has learned from.
    pub(super) learned: &'a [UseStep],
    /// Those after them, up to the day: they are played before the figures begin.
    pub(super) warm_up: &'a [UseStep],
    /// The component of each step's number.
    pub(super) places: &'a [usize],
    pub(super) script: &'a Script,
    pub(super) policy: Policy,
    pub(super) budget: ByteSize,
    pub(super) position: usize,
}

impl Bench {
    fn base(&self) -> PathBuf {
        self.work.join("state-base")
    }

    fn configuration(&self, policy: Policy, budget: ByteSize) -> anyhow::Result<TemporaryFile> {
        let members: Vec<Member> = self
            .folder
            .specs
            .iter()
            .map(|spec| {
                let name = spec.id.to_string();
                Member { is_core: self.folder.is_core(&name), name }
            })
            .collect();
        let text = &self.folder.configuration;
        let text = policy::configuration(text, policy, &members, budget)?;
        // It lies beside the original, whose paths are relative to the file.
        let name = format!(".day-{}-{policy}.toml", std::process::id());
        let file = TemporaryFile(self.folder.path.join(name));
        std::fs::write(&file.0, text)
            .with_context(|| format!("{} cannot be written", file.0.display()))?;
        Ok(file)
    }

    async fn start(
        &self,
        policy: Policy,
        budget: ByteSize,
        state: &Path,
    ) -> anyhow::Result<Server> {
        let log = state.with_extension("log");
        let socket = self.sockets.join(format!("{policy}.sock"));
        let place = Place { program: &self.program, state, socket: &socket, log: &log };
        Server::start(place, self.configuration(policy, budget)?).await
    }

    /// Teaches the texts, loads everything once and asks each component one question. Measures
    /// memory and load times, which later servers start with, and warms the page cache.
    pub(super) async fn calibrate(
        &self,
        progress: &Progress,
    ) -> anyhow::Result<Vec<(String, Measured)>> {
        let base = self.base();
        let configuration = self.configuration(Policy::All, ByteSize::ZERO)?;
        let (texts, components) = (&self.folder.commands.train, &self.folder.components);
        progress.say(&format!("teaching {} texts", texts.len()));
        learn::teach(&base, &configuration.0, texts, components)?;
        drop(configuration);
        let server = self.start(Policy::All, ByteSize::ZERO, &base).await?;
        let loaded = tokio::select! {
            loaded = self.load_all(&server, progress) => loaded,
            () = self.interrupt.raised() => Err(anyhow::anyhow!("interrupted")),
        };
        server.stop().await;
        learn::forget_uses(&base)?;
        loaded
    }

    async fn load_all(
        &self,
        server: &Server,
        progress: &Progress,
    ) -> anyhow::Result<Vec<(String, Measured)>> {
        let mut all: Vec<&String> = self.folder.components.iter().collect();
        // A component comes after those that it needs, so that its load is not theirs too.
        all.sort_by_key(|name| self.folder.closure(name).len());
        let mut out = Vec::new();
        for (i, name) in all.iter().copied().enumerate() {
            let asked_s = clock::seconds();
            let lease = player::acquire(&server.client, name)
                .await
                .with_context(|| format!("{name} cannot be loaded"))?;
            let loaded_s = clock::seconds();
            let question = &self.folder.questions[name][0];
            let asked = Asked::of(&server.client, &lease, name, &self.folder.path);
            ask::ask(question, asked)
                .await
                .with_context(|| format!("{name} does not answer its first question"))?;
            let answered_s = clock::seconds();
            server.client.release(&lease.id).await?;
            out.push((
                name.clone(),
                Measured {
                    pss: 0,
                    load_ms: (!self.folder.is_core(name)).then_some((loaded_s - asked_s) * 1e3),
                    first_answer_ms: Some((answered_s - loaded_s) * 1e3),
                },
            ));
            progress.show("loading everything", i + 1, all.len());
        }
        let memory: Memory = named(server).await?.memory();
        for (name, pss) in memory.components {
            match out.iter_mut().find(|(known, _)| *known == name) {
                Some((_, measured)) => measured.pss = pss,
                None => out.push((name, Measured { pss, load_ms: None, first_answer_ms: None })),
            }
        }
        Ok(out)
    }

    /// Plays a day under a policy.
    pub(super) async fn run(
        &self,
        plan: Plan<'_>,
        progress: &mut Progress,
    ) -> anyhow::Result<(Run, Vec<Sample>)> {
        let policy = plan.policy;
        let state = self.work.join(format!("state-{}-{policy}", plan.day.seed));
        // There may be one of an earlier run in the same folder.
        let _ = std::fs::remove_dir_all(&state);
        learn::copy_state(&self.base(), &state)?;
        if policy.has_history() {
            let places = plan.places;
            let use_of = |step: &UseStep| (places[step.place], step.pause.played);
            let uses: Vec<TimedUse> = plan.learned.iter().map(use_of).collect();
            learn::learn_uses(&state, &uses, &self.folder.components, clock::wall())?;
        }
        let busy_before = tokio::select! {
            busy = quiet::wait(self.quiet_wait) => busy,
            () = self.interrupt.raised() => None,
        };
        let load_before = load_average();
        let server = self.start(policy, plan.budget, &state).await?;
        let played = self.play(&server, plan, progress).await;
        server.stop().await;
        let mut day = played.with_context(|| {
            format!(
                "policy {policy}; its server's output is in {}",
                state.with_extension("log").display()
            )
        })?;
        let orphans = orphans(&day.processes).await;
        let sampled = std::mem::take(&mut day.sampled);
        let run = Run {
            day: plan.day.clone(),
            policy,
            budget: policy.is_bound().then_some(plan.budget.bytes()),
            position: plan.position,
            load_average: [load_before, load_average()],
            busy_before,
            seconds: day.seconds,
            mean: sampled.mean(|s| s.components),
            peak: sampled.peak(|s| s.components),
            manager_mean: sampled.mean(|s| s.manager),
            manager_peak: sampled.peak(|s| s.manager),
            guard_mean: sampled.mean(|s| s.guard),
            used: sampled.used,
            tally: day.tally,
            harm: day.harm,
            n_warm_up_refused: day.n_warm_up_refused,
            n_unloads_refused: day.n_unloads_refused,
            orphans,
            n_samples: sampled.samples.len(),
            sampling_s: sampled.cost_s,
            tried: Vec::new(),
            aside: Vec::new(),
            figures: Figures::new(&day.commands),
            commands: day.commands,
        };
        Ok((run, sampled.samples))
    }

    async fn play(
        &self,
        server: &Server,
        plan: Plan<'_>,
        progress: &mut Progress,
    ) -> anyhow::Result<DayPlayed> {
        if plan.policy == Policy::All {
            self.load_all(server, progress).await?;
        }
        let idle = (plan.policy == Policy::Idle).then(|| IdleClock::new(&self.folder));
        let mut pacing = Pacing::new(server.address.clone(), idle);
        let n_warm_up_refused = tokio::select! {
            refused = self.warm_up(server, plan, &mut pacing, progress) => refused?,
            () = self.interrupt.raised() => 0,
        };
        let follower = Follower::start(server.address.clone()).await?;
        let sampler = Sampler::start(named(server).await?, self.sample);
        let player = Player { client: &server.client, follower: &follower, folder: &self.folder };
        let what = format!("seed {}, {}", plan.day.seed, plan.policy);
        let began_s = clock::seconds();
        let mut commands: Vec<Played> = Vec::new();
        let mut failed = None;
        for (index, line) in plan.script.lines.iter().enumerate() {
            let played = tokio::select! {
                played = async {
                    pacing.pass(line.pause).await?;
                    player.play(index, line, plan.script.hold, began_s).await
                } => played,
                () = self.interrupt.raised() => break,
            };
            match played {
                Ok(played) => {
                    pacing.record_uses(&played.used());
                    commands.push(played);
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            progress.done(line.pause.played + SERVICE);
            progress.show(&what, index + 1, plan.script.lines.len());
        }
        let seconds = clock::seconds() - began_s;
        let (sampled, processes) = sampler.end()?;
        if let Some(error) = failed {
            return Err(error);
        }
        let harm = server.client.status().await.ok();
        let harm = harm.and_then(|s| self::harm(&s.sections, &self.folder.components));
        let tally = follower.seen().tally();
        let n_unloads_refused = pacing.n_refused();
        Ok(DayPlayed {
            commands,
            sampled,
            processes,
            tally,
            harm,
            n_warm_up_refused,
            n_unloads_refused,
            seconds,
        })
    }

    /// Plays the uses before the day, by name, since their texts are unknown. Nothing of them is
    /// counted but refusals, so that every policy begins the day with what it would have loaded.
    async fn warm_up(
        &self,
        server: &Server,
        plan: Plan<'_>,
        pacing: &mut Pacing,
        progress: &mut Progress,
    ) -> anyhow::Result<usize> {
        let mut n_refused = 0;
        for (n, step) in plan.warm_up.iter().enumerate() {
            pacing.pass(step.pause).await?;
            let name = &self.folder.components[plan.places[step.place]];
            match player::refusal(player::acquire(&server.client, name).await)? {
                Ok(lease) => {
                    let asked = Asked::of(&server.client, &lease, name, &self.folder.path);
                    // The commands of the day judge answers.
                    let _ = ask::ask(&self.folder.questions[name][0], asked).await;
                    tokio::time::sleep(plan.script.hold).await;
                    server.client.release(&lease.id).await?;
                    pacing.record_uses(&BTreeSet::from([name.clone()]));
                }
                Err(_) => n_refused += 1,
            }
            progress.done(step.pause.played + SERVICE);
            let what = format!("seed {}, {}, before the day", plan.day.seed, plan.policy);
            progress.show(&what, n + 1, plan.warm_up.len());
        }
        Ok(n_refused)
    }
}

/// The processes of a server, with the names of those components that run now.
async fn named(server: &Server) -> anyhow::Result<Processes> {
    let mut processes = Processes::new(server.pid);
    for component in server.client.components().await? {
        if let Some(pid) = component.pid {
            processes.name(pid, component.name.as_str());
        }
    }
    Ok(processes)
}

struct DayPlayed {
    commands: Vec<Played>,
    sampled: Sampled,
    processes: Processes,
    tally: super::record::Tally,
    harm: Option<f64>,
    n_warm_up_refused: usize,
    n_unloads_refused: usize,
    seconds: f64,
}

/// Harmful preloads of all components; none where no preload ended. The section also has a figure
/// for each tier, which counts the same preloads.
fn harm(sections: &BTreeMap<String, Vec<Figure>>, components: &[String]) -> Option<f64> {
    let counted: Vec<f64> = sections
        .get("preloader")?
        .iter()
        .filter(|f| {
            let name = f.name.strip_suffix(": harmful");
            name.is_some_and(|name| components.iter().any(|c| c == name))
        })
        .filter_map(|f| f.value.as_f64())
        .collect();
    (!counted.is_empty()).then(|| counted.iter().sum())
}

/// The processes that still run when the server has ended, once they have had a moment to end.
async fn orphans(processes: &Processes) -> Vec<String> {
    let mut left = Vec::new();
    for _ in 0..LOOKS {
        left = processes.survivors();
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    left.into_iter().map(|(pid, component)| format!("{component} ({pid})")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harm_is_counted_by_component_and_not_again_by_tier() {
        let figure =
            |name: &str, n: u64| Figure { name: name.to_owned(), value: n.into(), unit: None };
        let figures = vec![
            figure("delayed: harmful", 3),
            figure("chat: harmful", 2),
            figure("read: harmful", 1),
            figure("read: wasted", 9),
        ];
        let sections = BTreeMap::from([("preloader".to_owned(), figures)]);
        let components = ["chat", "read"].map(str::to_owned);
        assert_eq!(harm(&sections, &components), Some(3.0));
        assert_eq!(harm(&BTreeMap::new(), &components), None);
    }
}
