//! Policies that know the future: Belady's farthest next use, and a preloader of the next items.

use majordomo_core::{ComponentKey, Moment};
use majordomo_memory::{Candidate, PolicyEvent, Ranked};

use super::super::policy::{ReplayPolicy, View};
use super::super::trace::UserTrace;

/// Number of preloads that the clairvoyant lists after an event.
const LOOKAHEAD: usize = 6;

/// The positions of each item's uses, and the current position.
#[derive(Debug)]
struct Future {
    events: Vec<ComponentKey>,
    uses: Vec<Vec<usize>>,
    position: usize,
}

impl Future {
    fn new(user: &UserTrace) -> Self {
        let events: Vec<_> = user.events.iter().map(|e| e.item).collect();
        let mut uses = vec![Vec::new(); user.items.len()];
        for (i, x) in events.iter().enumerate() {
            uses[x.index()].push(i);
        }
        Self { events, uses, position: 0 }
    }

    /// Position of the next use after the current event; past the end when there is none.
    fn next_use(&self, key: ComponentKey) -> usize {
        let uses = &self.uses[key.index()];
        let i = uses.partition_point(|u| *u <= self.position);
        uses.get(i).copied().unwrap_or(self.events.len())
    }

    fn rank(&self, candidates: &[Candidate]) -> Vec<Ranked> {
        let keep = |key| 1.0 / (self.next_use(key) - self.position) as f64;
        candidates.iter().map(|c| Ranked { key: c.key, keep: keep(c.key) }).collect()
    }
}

/// Belady (1966), on demand; evicts the farthest next use first, whatever the sizes.
#[derive(Debug)]
pub(in super::super) struct Belady(Future);

impl Belady {
    pub(in super::super) fn new(user: &UserTrace) -> Self {
        Self(Future::new(user))
    }
}

impl ReplayPolicy for Belady {
    fn rank(&self, candidates: &[Candidate], _now: Moment) -> Vec<Ranked> {
        self.0.rank(candidates)
    }
    fn on_event(&mut self, _event: &PolicyEvent) {}
    fn observe(&mut self, _x: ComponentKey, _at: Moment, view: &View<'_>) {
        self.0.position = view.index;
    }
}

/// Preloads the next distinct items, and evicts items whose next use is farther.
#[derive(Debug)]
pub(in super::super) struct Clairvoyant(Future);

impl Clairvoyant {
    pub(in super::super) fn new(user: &UserTrace) -> Self {
        Self(Future::new(user))
    }
}

impl ReplayPolicy for Clairvoyant {
    fn rank(&self, candidates: &[Candidate], _now: Moment) -> Vec<Ranked> {
        self.0.rank(candidates)
    }
    fn on_event(&mut self, _event: &PolicyEvent) {}
    fn observe(&mut self, _x: ComponentKey, _at: Moment, view: &View<'_>) {
        self.0.position = view.index;
    }
    fn preloads(
        &mut self,
        view: &View<'_>,
        queue: &mut Vec<ComponentKey>,
        _touched: &mut Vec<ComponentKey>,
    ) {
        for x in &self.0.events[self.0.position + 1..] {
            if queue.len() >= LOOKAHEAD {
                break;
            }
            if !view.is_resident(*x) && !queue.contains(x) {
                queue.push(*x);
            }
        }
    }
    fn admits(&mut self, key: ComponentKey, victims: &[ComponentKey], _view: &View<'_>) -> bool {
        let needed = self.0.next_use(key);
        victims.iter().all(|v| self.0.next_use(*v) > needed)
    }
}
