//! The invariants, checked on the live stream of records.
//!
//! Rebuilds every component's state from what is recorded; knows nothing of the engine. A gap in the stream (the
//! follower was too slow) makes all states unknown until they are recorded again; nothing is assumed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use majordomo::{
    Cause, ComponentKey, ComponentSpec, ComponentState, EventKind, EventRecord, Followed,
    HintOutcome, Moment, Priority,
};
use majordomo_core::Rung;

/// Answers that are remembered to see a second one: few, so that they are all there before memory is judged.
const ANSWERS: usize = 1_024;
/// Loading, leaving and clearing end within their deadlines; this much later they hang.
const MOVING: Duration = Duration::from_secs(30);

/// The facts about a component that the checks need.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) fixed: bool,
    pub(crate) dependencies: Vec<ComponentKey>,
    pub(crate) conflicts: Vec<ComponentKey>,
    pub(crate) is_process: bool,
}

/// The components that are configured, by key.
pub(crate) fn known(
    specs: &[Arc<ComponentSpec>],
    names: &BTreeMap<String, ComponentKey>,
) -> BTreeMap<ComponentKey, Known> {
    let key = |id: &majordomo::ComponentId| names.get(id.as_str()).copied();
    let mut all: BTreeMap<ComponentKey, Known> = BTreeMap::new();
    for spec in specs {
        let Some(own) = key(&spec.id) else { continue };
        let entry = all.entry(own).or_default();
        entry.name = spec.id.to_string();
        entry.fixed = spec.priority == Priority::Core || spec.pinned;
        entry.dependencies = spec.dependencies.iter().filter_map(key).collect();
        entry.is_process = spec.loader.kind() == "process";
        for other in spec.conflicts.iter().filter_map(key) {
            all.entry(own).or_default().conflicts.push(other);
            all.entry(other).or_default().conflicts.push(own);
        }
    }
    all
}

/// Counts of what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) gaps: u64,
    pub(crate) loads_of_programs: u64,
    pub(crate) loads_of_builtins: u64,
    pub(crate) unloads: u64,
    pub(crate) failures: u64,
    /// Parks in swap.
    pub(crate) paged: u64,
    pub(crate) asleep: u64,
    pub(crate) wakes: u64,
}

/// Follows one manager.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    known: BTreeMap<ComponentKey, Known>,
    states: BTreeMap<ComponentKey, (ComponentState, Moment)>,
    last_op: BTreeMap<ComponentKey, majordomo_core::OpId>,
    answered: BTreeSet<u64>,
    answers: VecDeque<u64>,
    next_seq: Option<u64>,
    overdrawn: bool,
    /// A preload that started while the recorded budget was overdrawn, and when.
    overdrawn_preload: Option<(Moment, String)>,
    pub(crate) counts: Counts,
}

impl Watch {
    /// The configuration that holds from now on.
    pub(crate) fn configured(&mut self, known: BTreeMap<ComponentKey, Known>) {
        self.known = known;
    }

    fn name(&self, key: ComponentKey) -> String {
        self.known.get(&key).map_or_else(|| key.to_string(), |k| k.name.clone())
    }

    fn state(&self, key: ComponentKey) -> Option<ComponentState> {
        self.states.get(&key).map(|s| s.0)
    }

    /// Takes the next of the stream; what it breaks, in words.
    pub(crate) fn see(&mut self, followed: &Followed) -> Vec<String> {
        match followed {
            Followed::Gap(n) => {
                self.counts.gaps += n;
                self.next_seq = None;
                self.states.clear();
                self.last_op.clear();
                Vec::new()
            }
            Followed::Record(record) => self.record(record),
        }
    }

    fn record(&mut self, record: &EventRecord) -> Vec<String> {
        let mut broken = Vec::new();
        self.counts.records += 1;
        if self.next_seq.is_some_and(|n| n != record.seq) {
            broken.push(format!(
                "invariant 9: record {} comes where {:?} is due",
                record.seq, self.next_seq
            ));
        }
        self.next_seq = Some(record.seq + 1);
        if let Some((_, name)) = self.overdrawn_preload.take_if(|(at, _)| *at < record.at) {
            broken.push(format!("invariant 3: {name} is preloaded while the budget is overdrawn"));
        }
        match &record.kind {
            EventKind::State { component, from, to, cause, op, .. } => {
                let moved = (*component, *from, *to);
                self.moves(moved, cause, *op, record.at, &mut broken);
            }
            EventKind::Granted { waiter, components, .. } => {
                self.answer(waiter.0, &mut broken);
                self.granted(components, &mut broken);
            }
            EventKind::Refused { waiter, .. } | EventKind::Abandoned { waiter } => {
                self.answer(waiter.0, &mut broken);
            }
            EventKind::Overdraft { total } => {
                self.overdrawn = total.0 > 0;
                // Recorded at the end of a step: a preload of the same step was within the budget.
                if !self.overdrawn
                    && self.overdrawn_preload.as_ref().is_some_and(|a| a.0 == record.at)
                {
                    self.overdrawn_preload = None;
                }
            }
            EventKind::Parked { rung: Rung::Asleep, .. } => self.counts.asleep += 1,
            EventKind::Parked { .. } => self.counts.paged += 1,
            EventKind::Woken { .. } => self.counts.wakes += 1,
            EventKind::Hint { component, outcome: HintOutcome::Started, .. } if self.overdrawn => {
                self.overdrawn_preload = Some((record.at, self.name(*component)));
            }
            _ => {}
        }
        broken
    }

    fn moves(
        &mut self,
        (key, from, to): (ComponentKey, ComponentState, ComponentState),
        cause: &Cause,
        op: Option<majordomo_core::OpId>,
        at: Moment,
        broken: &mut Vec<String>,
    ) {
        let name = self.name(key);
        let before = self.states.insert(key, (to, at)).map(|s| s.0);
        if before.is_some_and(|b| b != from) || !from.may_become(to) {
            broken.push(format!(
                "invariant 9: {name} was {before:?} and changes from {from:?} to {to:?}: {cause}"
            ));
        }
        let entry = self.known.get(&key).cloned().unwrap_or_default();
        let is_removed = matches!(to, ComponentState::Draining | ComponentState::Unloading { .. });
        if entry.fixed && is_removed && cause.class().is_eviction() {
            broken.push(format!("invariant 5: {name} is CORE or pinned and is unloaded: {cause}"));
        }
        match to {
            ComponentState::Loading { .. } => {
                let last = op.and_then(|op| self.last_op.insert(key, op));
                // A load begins an incarnation, and a wake continues one.
                let is_next = |(op, last)| if to.is_waking() { op == last } else { op > last };
                if !op.zip(last).is_none_or(is_next) {
                    broken.push(format!("invariant 4: {name} is {to} as {op:?} after {last:?}"));
                }
                for d in &entry.dependencies {
                    if let Some(s) = self.state(*d).filter(|s| *s != ComponentState::Ready) {
                        broken.push(format!(
                            "invariant 1: {name} is loaded while {} is {s}",
                            self.name(*d)
                        ));
                    }
                }
            }
            ComponentState::Ready if from.is_waking() => {}
            ComponentState::Ready if entry.is_process => self.counts.loads_of_programs += 1,
            ComponentState::Ready if from.is_loading() => {
                self.counts.loads_of_builtins += 1;
            }
            ComponentState::UNLOADED if from.is_unloading() => {
                self.counts.unloads += 1;
            }
            ComponentState::Failed { .. } | ComponentState::Quarantined { .. } => {
                self.counts.failures += 1;
            }
            _ => {}
        }
        if to.is_alive() && !from.is_alive() {
            for other in &entry.conflicts {
                if self.state(*other).is_some_and(ComponentState::is_alive) {
                    broken.push(format!(
                        "invariant 2: {name} and {} run together",
                        self.name(*other)
                    ));
                }
            }
        }
    }

    fn answer(&mut self, waiter: u64, broken: &mut Vec<String>) {
        if !self.answered.insert(waiter) {
            broken.push(format!("invariant 6: waiter {waiter} is answered twice"));
            return;
        }
        self.answers.push_back(waiter);
        if self.answers.len() > ANSWERS
            && let Some(old) = self.answers.pop_front()
        {
            self.answered.remove(&old);
        }
    }

    fn granted(&self, components: &[ComponentKey], broken: &mut Vec<String>) {
        let mut closure: BTreeSet<ComponentKey> = BTreeSet::new();
        let mut open = components.to_vec();
        while let Some(key) = open.pop() {
            if closure.insert(key) {
                open.extend(self.known.get(&key).iter().flat_map(|k| &k.dependencies));
            }
        }
        for key in closure {
            if let Some(s) = self.state(key).filter(|s| *s != ComponentState::Ready) {
                broken.push(format!(
                    "invariant 1: {components:?} are granted while {} is {s}",
                    self.name(key)
                ));
            }
        }
    }

    /// Components that have been on their way for longer than any deadline allows.
    pub(crate) fn hanging(&self, now: Moment) -> Vec<String> {
        let moving = |s: ComponentState| {
            matches!(
                s,
                ComponentState::Loading { .. }
                    | ComponentState::Unloading { .. }
                    | ComponentState::Draining
            )
        };
        let late = self.states.iter().filter(|(_, (s, at))| moving(*s) && now.since(*at) > MOVING);
        late.map(|(key, (s, at))| {
            format!("invariant 6: {} is {s} for {:?}", self.name(*key), now.since(*at))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ComponentState as S;
    use majordomo_core::{ByteSize, Confidence, OpId, Refusal, Rung, WaiterId};

    const QUEUED: S = S::Queued { from: Rung::Gone };
    const LOADING: S = S::Loading { from: Rung::Gone };
    const UNLOADING: S = S::Unloading { to: Rung::Gone };

    const A: ComponentKey = ComponentKey(0);
    const B: ComponentKey = ComponentKey(1);

    /// `b` depends on `a`; or they conflict; `a` is fixed.
    fn watch(depends: bool) -> Watch {
        let mut watch = Watch::default();
        let mut known =
            BTreeMap::from([(A, Known { fixed: true, ..Known::default() }), (B, Known::default())]);
        if depends {
            known.get_mut(&B).unwrap().dependencies.push(A);
        } else {
            known.get_mut(&A).unwrap().conflicts.push(B);
            known.get_mut(&B).unwrap().conflicts.push(A);
        }
        watch.configured(known);
        watch
    }

    fn see(watch: &mut Watch, seq: u64, kind: EventKind) -> Vec<String> {
        watch.see(&Followed::Record(EventRecord::new(seq, Moment(seq), kind)))
    }

    fn state(component: ComponentKey, from: S, to: S, op: u64) -> EventKind {
        let (cause, op) = (Cause::Operator, Some(OpId(op)));
        EventKind::State { component, from, to, cause, op, booked: ByteSize(1) }
    }

    /// Takes a component up, and says what that breaks.
    fn up(watch: &mut Watch, seq: u64, key: ComponentKey, op: u64) -> Vec<String> {
        let edges = [(S::UNLOADED, QUEUED), (QUEUED, LOADING), (LOADING, S::Ready)];
        let mut broken = Vec::new();
        for (i, (from, to)) in edges.into_iter().enumerate() {
            broken.extend(see(watch, seq + i as u64, state(key, from, to, op)));
        }
        broken
    }

    fn says(broken: &[String], word: &str) {
        assert!(broken.len() == 1 && broken[0].contains(word), "{word}: {broken:?}");
    }

    #[test]
    fn a_healthy_life_breaks_nothing() {
        let mut w = watch(true);
        assert!(up(&mut w, 0, A, 1).is_empty());
        assert!(up(&mut w, 3, B, 2).is_empty());
        let granted = |n| EventKind::Granted {
            waiter: WaiterId(n),
            components: vec![B],
            waited_us: 1,
            left_out: Vec::new(),
        };
        assert!(see(&mut w, 6, granted(1)).is_empty());
        assert!(see(&mut w, 7, granted(2)).is_empty());
        assert!(see(&mut w, 8, state(B, S::Ready, UNLOADING, 2)).is_empty());
        assert!(see(&mut w, 9, state(B, UNLOADING, S::UNLOADED, 2)).is_empty());
        assert!(w.hanging(Moment(9)).is_empty());
        assert_eq!((w.counts.records, w.counts.loads_of_builtins, w.counts.unloads), (10, 2, 1));
    }

    #[test]
    fn wake_continues_an_incarnation_and_is_no_load() {
        let mut w = watch(true);
        assert!(up(&mut w, 0, A, 1).is_empty());
        assert!(up(&mut w, 3, B, 2).is_empty());
        let mut park_and_wake = |seq, op| {
            let (parked, waking) = (S::Down(Rung::Paged), S::Loading { from: Rung::Paged });
            let (parking, queued) =
                (S::Unloading { to: Rung::Paged }, S::Queued { from: Rung::Paged });
            let states = [S::Ready, parking, parked, queued, waking, S::Ready];
            let mut broken = Vec::new();
            for (i, edge) in states.windows(2).enumerate() {
                broken.extend(see(&mut w, seq + i as u64, state(B, edge[0], edge[1], op)));
            }
            broken
        };
        assert!(park_and_wake(6, 2).is_empty());
        says(&park_and_wake(11, 3), "invariant 4");
        assert_eq!((w.counts.loads_of_builtins, w.counts.unloads), (2, 0));
    }

    #[test]
    fn each_broken_invariant_is_reported_with_its_number() {
        let mut w = watch(true);
        says(&see(&mut w, 0, state(A, S::UNLOADED, S::Ready, 1)), "invariant 9");
        says(&see(&mut w, 5, state(A, S::Ready, S::Draining, 1)), "record 5");
        says(&see(&mut w, 6, state(A, S::Ready, UNLOADING, 1)), "invariant 9");

        let mut w = watch(true);
        assert!(see(&mut w, 0, state(A, S::UNLOADED, QUEUED, 1)).is_empty());
        says(&up(&mut w, 1, B, 2), "invariant 1");
        says(
            &see(
                &mut w,
                4,
                EventKind::Granted {
                    waiter: WaiterId(3),
                    components: vec![B],
                    waited_us: 1,
                    left_out: Vec::new(),
                },
            ),
            "granted while",
        );
        let refusal = Refusal::ShuttingDown;
        says(
            &see(
                &mut w,
                5,
                EventKind::Refused { waiter: WaiterId(3), components: vec![B], refusal },
            ),
            "answered twice",
        );

        let mut w = watch(false);
        assert!(up(&mut w, 0, A, 1).is_empty());
        says(&up(&mut w, 3, B, 2), "invariant 2");

        let mut w = watch(false);
        assert!(up(&mut w, 0, A, 5).is_empty());
        let mut evicted = state(A, S::Ready, UNLOADING, 5);
        if let EventKind::State { cause, .. } = &mut evicted {
            *cause = Cause::Overdraft;
        }
        says(&see(&mut w, 3, evicted), "invariant 5");
        assert!(see(&mut w, 4, state(A, UNLOADING, S::UNLOADED, 5)).is_empty());
        says(&up(&mut w, 5, A, 5), "invariant 4");

        let mut w = watch(true);
        assert!(see(&mut w, 0, EventKind::Overdraft { total: ByteSize(1) }).is_empty());
        let hint = |outcome| EventKind::Hint {
            component: A,
            confidence: Confidence::ONE,
            tier: majordomo::HintTier::Immediate,
            source: majordomo::HintSource::Application,
            outcome,
            because: Vec::new(),
        };
        assert!(see(&mut w, 1, hint(HintOutcome::Forbidden)).is_empty());
        assert!(see(&mut w, 2, hint(HintOutcome::Started)).is_empty());
        says(&see(&mut w, 3, state(A, S::UNLOADED, QUEUED, 1)), "invariant 3");
        assert!(see(&mut w, 4, state(A, QUEUED, LOADING, 1)).is_empty());
        says(&w.hanging(Moment(5) + MOVING + MOVING), "loading for");
    }

    #[test]
    fn gap_is_counted_and_nothing_is_assumed_after_it() {
        let mut w = watch(true);
        assert!(see(&mut w, 0, state(A, S::UNLOADED, QUEUED, 1)).is_empty());
        assert!(w.see(&Followed::Gap(7)).is_empty());
        assert!(see(&mut w, 8, state(A, LOADING, S::Ready, 1)).is_empty());
        assert_eq!(w.counts.gaps, 7);
    }
}
