//! One run: a server of its own with the configuration of a policy, the day against it, and
//! everything that is measured.
//!
//! Invariant: however the day ends, the server is stopped before this returns, and processes that
//! outlive it are reported.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use majordomo::ByteSize;
use majordomo_server::wire::Figure;

use super::ask::{self, Asked};
use super::calibrate::named;
use super::clock;
use super::events;
use super::figures::Figures;
use super::folder::Folder;
use super::idle_clock::IdleClock;
use super::interrupt::Interrupt;
use super::learn::{self, SERVICE};
use super::pacing::Pacing;
use super::played::Played;
use super::player::{self, Player, Script};
use super::policy::{self, Member, Policy};
use super::processes::{Processes, load_average};
use super::progress::Progress;
use super::quiet;
use super::record::{Day, Run};
use super::routine::TimedUse;
use super::rungs::Rungs;
use super::sampler::{Sample, Sampled, Sampler};
use super::server::{Place, Server, TemporaryFile};
use super::steps::UseStep;
use super::warm::WarmAnswers;
use crate::short::ShortMemory;

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
    /// Where memory is made short.
    pub(super) memory: Option<ShortMemory>,
    /// Rest between the start of a server and its first command.
    pub(super) settle: Duration,
}

/// One run to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    pub(super) day: &'a Day,
    /// The times of warm answers, where they were measured.
    pub(super) warm: Option<&'a WarmAnswers>,
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
    pub(super) fn base(&self) -> PathBuf {
        self.work.join("state-base")
    }

    pub(super) fn configuration(
        &self,
        policy: Policy,
        budget: ByteSize,
    ) -> anyhow::Result<TemporaryFile> {
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

    pub(super) async fn start(
        &self,
        policy: Policy,
        budget: ByteSize,
        state: &Path,
    ) -> anyhow::Result<Server> {
        let log = state.with_extension("log");
        let socket = self.sockets.join(format!("{policy}.sock"));
        let members = self.memory.as_ref().map(|memory| memory.group().members());
        let members = members.as_deref();
        let place = Place { program: &self.program, state, socket: &socket, log: &log, members };
        Server::start(place, self.configuration(policy, budget)?).await
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
        if let Some(memory) = &self.memory {
            memory.clear();
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
        let orphans = day.processes.orphans().await;
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
            rungs: day.rungs,
            ram: sampled.ram(),
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
        let events = self.work.join(format!("events-{}-{}.jsonl", plan.day.seed, plan.policy));
        let follower = events::follow(server.address.clone(), &events).await?;
        tokio::select! {
            () = tokio::time::sleep(self.settle) => {}
            () = self.interrupt.raised() => {}
        }
        let idle = (plan.policy == Policy::Idle).then(|| IdleClock::new(&self.folder));
        let mut pacing = Pacing::new(server.address.clone(), idle);
        let n_warm_up_refused = tokio::select! {
            refused = self.warm_up(server, plan, &mut pacing, progress) => refused?,
            () = self.interrupt.raised() => 0,
        };
        follower.seen().begin_day();
        let group = self.memory.as_ref().map(|memory| Arc::clone(memory.group()));
        let sampler = Sampler::start(named(server).await?, group, self.sample);
        let warmed_up = plan.warm_up.iter().map(|step| plan.places[step.place]);
        let mut used: BTreeSet<&String> =
            warmed_up.map(|place| &self.folder.components[place]).collect();
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
                Ok(mut played) => {
                    played.is_first_use = used.insert(&line.component);
                    played.warm_answer_ms =
                        plan.warm.and_then(|warm| warm.of(&line.component, line.question_number));
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
        let rungs = follower.seen().rungs();
        let n_unloads_refused = pacing.n_refused();
        Ok(DayPlayed {
            commands,
            sampled,
            processes,
            tally,
            rungs,
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

struct DayPlayed {
    commands: Vec<Played>,
    sampled: Sampled,
    processes: Processes,
    tally: super::record::Tally,
    rungs: Rungs,
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
