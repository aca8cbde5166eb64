//! The waits of demands in a simulated day, and the share of preloads in them.
//!
//! A demand *waits for speculation* while it needs the memory of a cancelled preload that is not down yet. A running
//! preload never makes a demand wait: admission counts its memory as free, and its lane passes to the demand at once,
//! which the checker verifies. The unload of a component that the demand itself needs, evicted before the demand came,
//! does not count either. Time in which the process stood still is no wait. Reads the public state of the engine after
//! each input.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use majordomo_core::{Cause, ComponentKey, IncarnationId, Moment, OpId, WaiterId};
use majordomo_engine::{Effect, Engine, Input};
use majordomo_lifecycle::{Entry, Origin, Phase};

/// Identifies a demand of a script: the same in every run of the script, whatever the engine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DemandId {
    /// The position of its action in the script.
    pub(crate) action: usize,
    /// The position among the action's demands.
    pub(crate) nth: u32,
}

/// The waits of one run.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// Of every demand that was granted or reached its deadline. A demand that was refused at once or abandoned has no
    /// meaningful wait.
    pub demands: BTreeMap<DemandId, Duration>,
    /// The longest wait of one demand for speculation.
    pub longest_for_speculation: Duration,
    /// The longest cancel that a demand waited for.
    pub longest_cancel: Duration,
    /// Demands that waited for speculation.
    pub n_for_speculation: u64,
    /// Of these, demands that waited longer than their longest cancel: for one cancel after another.
    pub n_beyond_one_cancel: u64,
}

impl Waits {
    /// Keeps only the demands that also have a wait in another run of the same script.
    pub fn retain_common(&mut self, other: &Self) {
        self.demands.retain(|id, _| other.demands.contains_key(id));
    }

    /// A quantile of the demands' waits, `q` in 0..=1; none without demands.
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

/// Running time of the process, without the time it stood still.
type Ran = Duration;

/// The wait of one demand for speculation so far.
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
    /// Each waiter's demand and its start.
    asked: BTreeMap<WaiterId, (DemandId, Ran)>,
    /// Time that the process stood still so far, which depends on no decision.
    stalled: Duration,
    waiting: BTreeMap<WaiterId, ForSpeculation>,
    /// The waiter that the current input abandons.
    abandons: Option<WaiterId>,
    /// Preloads that ran before the current input.
    preloads: Vec<IncarnationId>,
    /// Cancelled preloads that are not down yet.
    cancelled: BTreeMap<ComponentKey, (OpId, Ran)>,
    /// Durations of the cancels that are over.
    took: BTreeMap<OpId, Duration>,
}

impl Watch {
    /// Starts a new process without waiters; keeps the measured waits.
    pub(crate) fn restart(&mut self) {
        let waits = std::mem::take(&mut self.waits);
        *self = Self { waits, ..Self::default() };
    }

    /// The process stands still for this long.
    pub(crate) fn stalls(&mut self, time: Duration) {
        self.stalled += time;
    }

    fn ran(&self, now: Moment) -> Ran {
        now.since(Moment::ZERO).saturating_sub(self.stalled)
    }

    /// A demand got its leases without waiting.
    pub(crate) fn at_once(&mut self, demand: DemandId) {
        self.waits.demands.insert(demand, Duration::ZERO);
    }

    pub(crate) fn asks(&mut self, waiter: WaiterId, demand: DemandId, now: Moment) {
        self.asked.insert(waiter, (demand, self.ran(now)));
    }

    /// A demand is answered; its wait `counts` unless it was refused at once or abandoned.
    pub(crate) fn answered(&mut self, waiter: WaiterId, counts: bool, now: Moment) {
        let Some((demand, asked)) = self.asked.remove(&waiter) else { return };
        if counts {
            self.waits.demands.insert(demand, self.ran(now).saturating_sub(asked));
        }
        self.close(waiter, now);
    }

    pub(crate) fn before(&mut self, engine: &Engine, input: &Input) {
        self.abandons = match input {
            Input::Abandon { waiter } => Some(*waiter),
            _ => None,
        };
        self.preloads.clear();
        // A load that an abandoned demand began is not speculative, though it has no waiter.
        let is_preload = |e: &Entry| e.is_unrequested() && e.cause() == Some(&Cause::Speculation);
        self.preloads.extend(
            engine
                .scheduler()
                .entries()
                .filter(|(_, e)| is_preload(e) && e.state().is_loading())
                .filter_map(|(key, _)| engine.incarnation(key)),
        );
    }

    pub(crate) fn after(&mut self, engine: &Engine, effects: &[Effect], now: Moment) {
        let ran = self.ran(now);
        for effect in effects {
            if let Effect::CancelLoad { id, .. } = effect
                && self.preloads.contains(id)
            {
                self.cancelled.insert(id.key, (id.op, ran));
            }
        }
        let s = engine.scheduler();
        self.cancelled.retain(|key, (op, since)| {
            let e = s.entry(*key);
            let down = !e.state().is_unloading() || e.op() != Some(*op);
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
        if let Some(waiter) = self.abandons.take() {
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
