//! How long demands wait in a simulated day, and how much of it for loads ahead that are in their way.
//!
//! A demand *waits for speculation* while a load ahead that was cancelled stands between it and its memory. One that
//! still runs is never in its way: admission takes it as free to go, and lanes change hands at once, which the
//! checker sees to. Nor is the end of what it wants itself, sent away for somebody else before it asked. Time in which
//! the process stood still is no wait. Knows only what the engine shows after each input.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use majordomo_core::{Cause, ComponentKey, ComponentState, IncarnationId, Moment, OpId, WaiterId};
use majordomo_engine::{Effect, Engine, Input};
use majordomo_lifecycle::{Entry, Origin, Phase};

/// Which of a script's demands one is: the same in every run of the script, whatever the engine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DemandId {
    /// The number of its action in the script.
    pub(crate) action: usize,
    /// Which of the action's demands.
    pub(crate) nth: u32,
}

/// The waits of one run.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// Of every demand that was granted, and of every one that gave up at its deadline. What is refused at once, or
    /// left before it was answered, has no wait that says anything.
    pub demands: BTreeMap<DemandId, Duration>,
    /// The longest that one demand waited for speculation.
    pub longest_for_speculation: Duration,
    /// How long the longest cancel took among those that a demand waited for.
    pub longest_cancel: Duration,
    /// Demands that waited for speculation at all.
    pub n_for_speculation: u64,
    /// Of these, demands that waited for longer than the longest cancel among theirs: for one after another.
    pub n_beyond_one_cancel: u64,
}

impl Waits {
    /// Leaves only the demands that have a wait in another run of the same script as well.
    pub fn retain_common(&mut self, other: &Self) {
        self.demands.retain(|id, _| other.demands.contains_key(id));
    }

    /// A quantile of the demands' waits, from 0 to 1; none without demands.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let mut sorted: Vec<_> = self.demands.values().copied().collect();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        let at = (q.clamp(0.0, 1.0) * last as f64).round() as usize;
        sorted.get(at).copied()
    }

    /// The mean of the demands' waits; zero without demands.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let n = u32::try_from(self.demands.len()).unwrap_or(u32::MAX);
        self.demands.values().sum::<Duration>().checked_div(n).unwrap_or_default()
    }
}

/// How long the process has run: its time without what it stood still.
type Ran = Duration;

/// What one demand has waited for so far.
#[derive(Debug, Default)]
struct ForSpeculation {
    since: Option<Ran>,
    waited: Duration,
    cancels: BTreeSet<OpId>,
}

/// Follows the demands of one engine.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) waits: Waits,
    /// What each waiter asked, and when.
    asked: BTreeMap<WaiterId, (DemandId, Ran)>,
    /// How long the process stood still so far, which no decision makes longer or shorter.
    stalled: Duration,
    waiting: BTreeMap<WaiterId, ForSpeculation>,
    /// Who leaves with the input at hand.
    leaves: Option<WaiterId>,
    /// Loads ahead that run, before the input at hand.
    ahead: Vec<IncarnationId>,
    /// Loads ahead that were cancelled and are not down.
    cancelled: BTreeMap<ComponentKey, (OpId, Ran)>,
    /// How long cancels that are over took.
    took: BTreeMap<OpId, Duration>,
}

impl Watch {
    /// A new process: nobody waits. What was measured stays.
    pub(crate) fn begin_anew(&mut self) {
        let waits = std::mem::take(&mut self.waits);
        *self = Self { waits, ..Self::default() };
    }

    /// The process gets no time for so long.
    pub(crate) fn stalls(&mut self, time: Duration) {
        self.stalled += time;
    }

    fn ran(&self, now: Moment) -> Ran {
        now.since(Moment::ZERO).saturating_sub(self.stalled)
    }

    /// A demand was had without waiting.
    pub(crate) fn at_once(&mut self, demand: DemandId) {
        self.waits.demands.insert(demand, Duration::ZERO);
    }

    pub(crate) fn asks(&mut self, waiter: WaiterId, demand: DemandId, now: Moment) {
        self.asked.insert(waiter, (demand, self.ran(now)));
    }

    /// A demand is answered; one that was turned away at once, or left, has no wait that says anything.
    pub(crate) fn answered(&mut self, waiter: WaiterId, counts: bool, now: Moment) {
        let Some((demand, asked)) = self.asked.remove(&waiter) else { return };
        if counts {
            self.waits.demands.insert(demand, self.ran(now).saturating_sub(asked));
        }
        self.close(waiter, now);
    }

    pub(crate) fn before(&mut self, engine: &Engine, input: &Input) {
        self.leaves = match input {
            Input::Abandon { waiter } => Some(*waiter),
            _ => None,
        };
        self.ahead.clear();
        // What a demand began and left behind is no guess, though nobody waits for it either.
        let guessed = |e: &Entry| e.is_unrequested() && e.cause() == Some(&Cause::Speculation);
        self.ahead.extend(
            engine
                .scheduler()
                .entries()
                .filter(|(_, e)| guessed(e) && e.state() == ComponentState::Loading)
                .filter_map(|(key, _)| engine.incarnation(key)),
        );
    }

    pub(crate) fn after(&mut self, engine: &Engine, effects: &[Effect], now: Moment) {
        let ran = self.ran(now);
        for effect in effects {
            if let Effect::CancelLoad { id, .. } = effect
                && self.ahead.contains(id)
            {
                self.cancelled.insert(id.key, (id.op, ran));
            }
        }
        let s = engine.scheduler();
        self.cancelled.retain(|key, (op, since)| {
            let e = s.entry(*key);
            let down = e.state() != ComponentState::Unloading || e.op() != Some(*op);
            if down {
                self.took.insert(*op, ran.saturating_sub(*since));
            }
            !down
        });
        let mut held = BTreeMap::new();
        for t in s.transactions() {
            let Origin::Demand { waiter, lease: true } = t.origin else { continue };
            if !self.asked.contains_key(&waiter) {
                continue;
            }
            let others = t.awaits.iter().filter(|k| !t.closure.contains(k));
            let cancels: Vec<_> =
                others.filter_map(|k| self.cancelled.get(k)).map(|c| c.0).collect();
            if t.phase == Phase::Clearing && !cancels.is_empty() {
                held.insert(waiter, cancels);
            }
        }
        for (waiter, w) in &mut self.waiting {
            if !held.contains_key(waiter)
                && let Some(since) = w.since.take()
            {
                w.waited += ran.saturating_sub(since);
            }
        }
        for (waiter, cancels) in held {
            let w = self.waiting.entry(waiter).or_default();
            w.since.get_or_insert(ran);
            w.cancels.extend(cancels);
        }
        if let Some(waiter) = self.leaves.take() {
            self.answered(waiter, false, now);
        }
    }

    fn close(&mut self, waiter: WaiterId, now: Moment) {
        let Some(w) = self.waiting.remove(&waiter) else { return };
        let ran = self.ran(now);
        let waited = w.waited + w.since.map_or(Duration::ZERO, |since| ran.saturating_sub(since));
        let under_way = |op: &OpId| self.cancelled.values().find(|c| c.0 == *op);
        let longest = w
            .cancels
            .iter()
            .map(|op| match self.took.get(op) {
                Some(took) => *took,
                None => under_way(op).map_or(Duration::ZERO, |c| ran.saturating_sub(c.1)),
            })
            .max()
            .unwrap_or_default();
        let all = &mut self.waits;
        all.n_for_speculation += 1;
        all.n_beyond_one_cancel += u64::from(waited > longest);
        all.longest_for_speculation = all.longest_for_speculation.max(waited);
        all.longest_cancel = all.longest_cancel.max(longest);
    }
}
