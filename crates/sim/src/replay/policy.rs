//! The interface between a replay and a policy.

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, Moment, Values};
use majordomo_memory::{Candidate, EvictionPolicy, PolicyEvent, Ranked};

use super::item::ItemCost;
use super::rungs::RungTable;

/// An item in memory, ready or loading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resident {
    /// Its bytes in memory: fewer than its size when it was woken.
    pub(super) bytes: ByteSize,
    pub(super) ready_us: u64,
    pub(super) last_use: Moment,
    pub(super) uses: u64,
    /// Preloaded and not used yet.
    pub(super) unused_preload: bool,
}

/// The state of a replay that a policy may read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Position of the current event in the user's history.
    pub index: usize,
    /// The virtual clock, in unix microseconds.
    pub at_us: u64,
    /// The item in use; none when it did not fit.
    pub current: Option<ComponentKey>,
    pub(super) budget: ByteSize,
    /// By key, as the other tables.
    pub(super) resident: &'a [Option<Resident>],
    pub(super) sizes: &'a [ByteSize],
    pub(super) costs: &'a [ItemCost],
    /// Whether an item is parked, by key.
    pub(super) parked: &'a [bool],
    pub(super) rungs: Option<&'a RungTable>,
}

#[expect(missing_docs, reason = "the names of the other methods say it")]
impl View<'_> {
    /// Whether an item is in memory, ready or loading.
    #[must_use]
    pub fn is_resident(&self, key: ComponentKey) -> bool {
        self.resident[key.index()].is_some()
    }

    /// In the order of keys.
    pub fn resident(&self) -> impl Iterator<Item = ComponentKey> {
        let all = self.resident.iter().enumerate();
        all.filter(|(_, r)| r.is_some()).map(|(i, _)| ComponentKey::from_index(i))
    }

    #[must_use]
    pub fn budget(&self) -> ByteSize {
        self.budget
    }

    #[must_use]
    pub fn size(&self, key: ComponentKey) -> ByteSize {
        self.sizes[key.index()]
    }

    /// How long an item takes until it is ready, from where it is.
    #[must_use]
    pub fn wait(&self, key: ComponentKey) -> Duration {
        let cost = &self.costs[key.index()];
        match self.rungs.filter(|_| self.parked[key.index()]) {
            Some(rungs) => rungs.wake(cost),
            None => cost.load_time,
        }
    }

    /// How long an item takes until it is ready again once it is evicted: from the rung where it may be parked.
    #[must_use]
    pub fn wait_if_evicted(&self, key: ComponentKey) -> Duration {
        let cost = &self.costs[key.index()];
        match self.rungs.filter(|rungs| rungs.saves(cost)) {
            Some(rungs) => rungs.wake(cost),
            None => cost.load_time,
        }
    }
}

/// The action of an idle timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerAction {
    /// Unload an item.
    Unload(ComponentKey),
    /// Queue an item for the loader.
    Preload(ComponentKey),
}

/// A policy under replay. `rank` and `on_event` are required; the other methods have empty defaults.
pub trait ReplayPolicy {
    /// Scores candidates: the production trait's call.
    fn rank(&self, candidates: &[Candidate], now: Moment) -> Vec<Ranked>;
    /// The worth of an item in memory, for a policy that knows values.
    fn worth(&self, _key: ComponentKey, _load_time: Duration) -> f64 {
        0.0
    }
    /// Records loads, uses and unloads: the production trait's call.
    fn on_event(&mut self, event: &PolicyEvent);
    /// Records that `x` is in use now, before victims are chosen.
    fn observe(&mut self, _x: ComponentKey, _at: Moment, _view: &View<'_>) {}
    /// The rank of `x` in the last prediction, without the item in use: `None` when the policy predicts nothing,
    /// `Some(None)` when `x` was not ranked.
    fn predicted_rank(&mut self, _x: ComponentKey) -> Option<Option<usize>> {
        None
    }
    /// Lists items to load, in order, and resident items whose recency is refreshed.
    fn preloads(
        &mut self,
        _view: &View<'_>,
        _queue: &mut Vec<ComponentKey>,
        _touched: &mut Vec<ComponentKey>,
    ) {
    }
    /// Whether a preload is worth the victims it needs.
    fn admits(&mut self, _key: ComponentKey, _victims: &[ComponentKey], _view: &View<'_>) -> bool {
        true
    }
    /// The next moment at which [`fire`](Self::fire) is due without an event.
    fn next_timer(&self) -> Option<Moment> {
        None
    }
    /// Acts at that moment; `next_timer` must be later after that.
    fn fire(&mut self, _now: Moment, _view: &View<'_>) -> Vec<TimerAction> {
        Vec::new()
    }
}

/// An eviction policy without preloads.
#[derive(Debug)]
pub(super) struct OnDemand<P>(pub(super) P);

impl<P: EvictionPolicy> ReplayPolicy for OnDemand<P> {
    fn rank(&self, candidates: &[Candidate], now: Moment) -> Vec<Ranked> {
        self.0.rank(candidates, &Values::new(), now)
    }
    fn on_event(&mut self, event: &PolicyEvent) {
        self.0.on_event(event);
    }
}
