//! The engine against a naive model, and its plans against the admissions that follow.

use std::collections::BTreeSet;
use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, EventKind, Moment, Rung, WaiterId,
};
use majordomo_engine::{Effect, Input, LoadReport};
use majordomo_registry::{ComponentSpec, OnAbandon};
use proptest::prelude::*;

use crate::rig::{Rig, config, id, spec, with};

const NAMES: [&str; 3] = ["a", "b", "c"];
const AGES: Duration = Duration::from_secs(100_000);

#[derive(Clone, Debug)]
enum Op {
    Demand(usize),
    /// A load ends: its peak and the memory held after it, in MiB.
    Finish(usize, u64, u64),
    /// The component is used for more than ten seconds and then measured, in MiB.
    Use(usize, u64),
    Fail(usize),
    Unloaded(usize),
    Abandon(usize),
    GiveBack(usize),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let i = 0..NAMES.len();
    prop_oneof![
        4 => i.clone().prop_map(Op::Demand),
        3 => (i.clone(), 1..300u64, 1..200u64).prop_map(|(i, p, r)| Op::Finish(i, p, r)),
        2 => (i.clone(), 1..300u64).prop_map(|(i, mib)| Op::Use(i, mib)),
        2 => i.clone().prop_map(Op::Fail),
        2 => i.clone().prop_map(Op::Unloaded),
        2 => (0usize..8).prop_map(Op::Abandon),
        2 => i.prop_map(Op::GiveBack),
        2 => (1u64..20_000).prop_map(Op::Wait),
    ]
}

/// The state of a component without competitors.
#[derive(Clone, Debug, PartialEq)]
enum Naive {
    Unloaded,
    Loading(Vec<WaiterId>),
    Ready {
        leases: u32,
    },
    /// Cancelled, with the waiters for the next load.
    Unloading(Vec<WaiterId>),
    /// With the waiters for the next attempt.
    Failed {
        until: Moment,
        waiting: Vec<WaiterId>,
    },
    Quarantined {
        until: Moment,
    },
}

#[derive(Clone, Debug)]
struct Model {
    state: Naive,
    failures: Vec<Moment>,
    n_consecutive: u32,
    back_off_resets: Moment,
    /// Waiters of a failed attempt that wait for the next one.
    patient: Vec<WaiterId>,
    /// Peaks of loads, in MiB.
    loads: Vec<u64>,
    /// Peaks of incarnations that were used.
    uses: Vec<u64>,
    in_use: bool,
    ready: Option<u64>,
    measured: u64,
    /// Reserved by the load, in MiB.
    load: u64,
}

/// The larger of the last two peaks, or the second largest of the last eight if that is larger.
fn estimate(peaks: &[u64]) -> Option<u64> {
    let mut last: Vec<_> = peaks.iter().rev().take(8).copied().collect();
    let newest = last.iter().take(2).copied().max();
    last.sort_unstable_by(|a, b| b.cmp(a));
    newest.max(last.get(1).copied())
}

#[derive(Default)]
struct Expected(Vec<(WaiterId, &'static str)>);

impl Expected {
    fn set(&mut self, waiter: WaiterId, answer: &'static str) {
        match self.0.iter_mut().find(|e| e.0 == waiter) {
            Some(e) => e.1 = answer,
            None => self.0.push((waiter, answer)),
        }
    }
}

impl Model {
    fn new() -> Self {
        Self {
            state: Naive::Unloaded,
            failures: vec![],
            n_consecutive: 0,
            back_off_resets: Moment::ZERO,
            patient: vec![],
            loads: vec![],
            uses: vec![],
            in_use: false,
            ready: None,
            measured: 0,
            load: 0,
        }
    }

    fn settled(&self) -> u64 {
        estimate(&self.uses).unwrap_or(self.ready.unwrap_or(0).max(100))
    }

    fn loads(&mut self, waiting: Vec<WaiterId>) {
        self.state = Naive::Loading(waiting);
        self.load = estimate(&self.loads).unwrap_or(100).max(self.settled());
    }

    fn loaded(&mut self, leases: u32, peak: u64, ready: u64) {
        self.state = Naive::Ready { leases };
        self.loads.push(peak.max(ready));
        (self.in_use, self.ready, self.measured) = (false, Some(ready), ready);
    }

    fn used(&mut self, mib: u64) {
        match self.uses.last_mut().filter(|_| self.in_use) {
            Some(peak) => *peak = mib.max(*peak),
            None => self.uses.push(mib),
        }
        (self.in_use, self.measured) = (true, mib);
    }

    fn booked(&self) -> u64 {
        match self.state {
            Naive::Loading(_) | Naive::Unloading(_) => self.load,
            Naive::Ready { .. } => self.measured.max(self.settled()),
            _ => 0,
        }
    }

    fn demand(&mut self, w: WaiterId, now: Moment, expected: &mut Expected) {
        expected.set(w, "waits");
        match &mut self.state {
            Naive::Unloaded => self.loads(vec![w]),
            Naive::Failed { until, .. } if *until <= now => self.loads(vec![w]),
            Naive::Failed { waiting, .. } => {
                waiting.push(w);
                self.patient.push(w);
            }
            Naive::Loading(waiting) | Naive::Unloading(waiting) => waiting.push(w),
            Naive::Ready { leases } => {
                *leases += 1;
                expected.set(w, "granted");
            }
            Naive::Quarantined { .. } => expected.set(w, "quarantined"),
        }
    }

    fn fail(&mut self, now: Moment, expected: &mut Expected) {
        let Naive::Loading(waiting) = &self.state else { return };
        self.failures.push(now);
        self.failures.retain(|t| now.since(*t) <= Duration::from_secs(600));
        let closed = self.failures.len() >= 5;
        let stays = |w: &WaiterId| !closed && self.patient.contains(w);
        let (patient, others): (Vec<_>, Vec<_>) = waiting.iter().partition(|w| stays(w));
        others.into_iter().for_each(|w| expected.set(w, "load_failed"));
        self.n_consecutive =
            if closed || now > self.back_off_resets { 0 } else { self.n_consecutive };
        let wait = Duration::from_secs(2u64.pow(self.n_consecutive.min(10)).min(300));
        self.state = if closed {
            self.failures.clear();
            Naive::Quarantined { until: now + Duration::from_secs(900) }
        } else {
            self.n_consecutive += 1;
            self.back_off_resets = now + wait + Duration::from_secs(600);
            Naive::Failed { until: now + wait, waiting: patient }
        };
    }

    fn time_passes(&mut self, now: Moment) {
        match &self.state {
            Naive::Quarantined { until } if *until <= now => self.state = Naive::Unloaded,
            Naive::Failed { until, waiting } if *until <= now && !waiting.is_empty() => {
                let waiting = waiting.clone();
                self.loads(waiting);
            }
            _ => {}
        }
    }

    fn abandon(&mut self, w: WaiterId) {
        if let Naive::Loading(waiting) | Naive::Unloading(waiting) | Naive::Failed { waiting, .. } =
            &mut self.state
        {
            waiting.retain(|x| *x != w);
        }
        if self.state == Naive::Loading(Vec::new()) {
            self.state = Naive::Unloading(Vec::new());
        }
    }

    fn name(&self) -> &'static str {
        match self.state {
            Naive::Unloaded => "unloaded",
            Naive::Loading(_) => "loading",
            Naive::Ready { .. } => "ready",
            Naive::Unloading(_) => "unloading",
            Naive::Failed { .. } => "failed",
            Naive::Quarantined { .. } => "quarantined",
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn independent_components_behave_as_the_naive_model(ops in prop::collection::vec(op(), 1..80)) {
        let specs = NAMES.iter().map(|n| with(spec(n), |s| {
            (s.load_deadline, s.stop_deadline) = (Some(AGES), Some(AGES));
            s.on_abandon = OnAbandon::Cancel;
        }));
        let mut c = config();
        c.loads.max_concurrent = Some(8);
        let mut rig = Rig::with_pools(specs.collect(), vec![], 10_000, c);
        let mut models = vec![Model::new(); NAMES.len()];
        let mut expected = Expected::default();
        for op in ops {
            match op {
                Op::Demand(i) => {
                    let w = rig.demand_with(&[NAMES[i]], None, Some(AGES));
                    models[i].demand(w, rig.now, &mut expected);
                }
                Op::Finish(i, peak, ready) => if let Naive::Loading(waiting) = models[i].state.clone() {
                    let (peak_of, held) = (ByteSize::mib(peak), ByteSize::mib(ready));
                    rig.loaded_with(NAMES[i], LoadReport { measured: Some(held), peak: Some(peak_of) });
                    waiting.iter().for_each(|w| expected.set(*w, "granted"));
                    models[i].loaded(waiting.len() as u32, peak, ready);
                },
                Op::Use(i, mib) => if matches!(models[i].state, Naive::Ready { .. }) {
                    rig.used(NAMES[i]);
                    rig.wait(Duration::from_secs(11));
                    rig.measure(&[(NAMES[i], mib)]);
                    models[i].used(mib);
                    models.iter_mut().for_each(|m| m.time_passes(rig.now));
                },
                Op::Fail(i) => if matches!(models[i].state, Naive::Loading(_)) {
                    rig.load_ends(NAMES[i], Err("no"));
                    models[i].fail(rig.now, &mut expected);
                },
                Op::Unloaded(i) => if let Naive::Unloading(waiting) = models[i].state.clone() {
                    rig.unloaded(NAMES[i]);
                    if waiting.is_empty() {
                        models[i].state = Naive::Unloaded;
                    } else {
                        models[i].loads(waiting);
                    }
                },
                Op::Abandon(n) => {
                    let waiting = expected.0.iter().filter(|e| e.1 == "waits").nth(n).copied();
                    if let Some((w, _)) = waiting {
                        rig.input(Input::Abandon { waiter: w });
                        models.iter_mut().for_each(|m| m.abandon(w));
                        expected.0.retain(|e| e.0 != w);
                    }
                }
                Op::GiveBack(i) => if let Naive::Ready { leases } = &mut models[i].state
                    && *leases > 0 {
                    *leases -= 1;
                    rig.give_back(NAMES[i]);
                },
                Op::Wait(ms) => {
                    rig.wait(Duration::from_millis(ms));
                    models.iter_mut().for_each(|m| m.time_passes(rig.now));
                }
            }
            for (w, answer) in &expected.0 {
                prop_assert_eq!(rig.answered(*w), *answer, "waiter {}", w);
            }
            let mut booked = ByteSize::ZERO;
            for (name, m) in NAMES.iter().zip(&models) {
                prop_assert_eq!(rig.state(name), m.name(), "{}", name);
                booked += ByteSize::mib(m.booked());
                if let Naive::Ready { leases } = m.state {
                    prop_assert_eq!(rig.cells.0[&rig.key(name)].leases, leases);
                }
            }
            prop_assert_eq!(rig.engine.budget().booked(), booked);
        }
    }
}

/// Components with dependencies, a conflict and a pin; the budget holds about half of them.
fn crowd() -> Vec<ComponentSpec> {
    let sized = |name, mib| with(spec(name), |s| s.memory = ByteSize::mib(mib));
    vec![
        sized("base", 50),
        with(sized("left", 80), |s| s.dependencies = vec![id("base")]),
        with(sized("right", 70), |s| {
            s.dependencies = vec![id("base")];
            s.conflicts = vec![id("solo")];
        }),
        sized("solo", 120),
        with(sized("kept", 30), |s| s.pinned = true),
        sized("huge", 290),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn plan_matches_the_admission_that_follows(
        steps in prop::collection::vec((0usize..6, 0u64..4_000, any::<bool>(), any::<bool>()), 1..40)
    ) {
        let names: Vec<_> = crowd().iter().map(|s| s.id.to_string()).collect();
        check_plans(Rig::new(crowd(), 300), &names, steps)?;
    }

    #[test]
    fn plan_states_the_rung_of_each_victim_of_the_admission(
        steps in prop::collection::vec((0usize..6, 0u64..4_000, any::<bool>(), any::<bool>()), 1..40),
        offered in prop::collection::vec(any::<bool>(), 6),
        swap in 0u64..400,
        may_write in prop::option::of(0u64..600),
    ) {
        let names: Vec<_> = crowd().iter().map(|s| s.id.to_string()).collect();
        let mut rig = Rig::new(crowd(), 300);
        let offers: Vec<_> =
            names.iter().zip(offered).filter(|o| o.1).map(|o| o.0.as_str()).collect();
        rig.offer_paged_with(&offers, swap, 4, may_write);
        check_plans(rig, &names, steps)?;
    }
}

/// The rung that a component is on its way to, or at.
fn target(rig: &Rig, key: ComponentKey) -> Rung {
    let e = rig.engine.scheduler().entry(key);
    match e.state() {
        ComponentState::Down(rung) => rung,
        _ => e.removal().map_or(Rung::Gone, |removal| removal.then().rung()),
    }
}

fn check_plans(
    mut rig: Rig,
    names: &[String],
    steps: Vec<(usize, u64, bool, bool)>,
) -> Result<(), TestCaseError> {
    for (i, wait, settle, keep) in steps {
        rig.wait(Duration::from_millis(wait));
        if settle {
            rig.settle();
            names.iter().for_each(|name| rig.end_step(name, true));
            rig.settle();
        }
        // The head of the queue may delay later demands, which a plan does not predict.
        let alone = rig.engine.scheduler().n_waiting() == 0;
        let name = names[i].as_str();
        let plan = rig.engine.plan(&[rig.key(name)], rig.now, &rig.cells);
        let w = rig.demand(&[name]);
        let evicted: BTreeSet<_> = rig
            .effects
            .iter()
            .filter_map(|e| match e {
                Effect::Record(r) => match &r.kind {
                    EventKind::State {
                        component,
                        from: ComponentState::Ready | ComponentState::Down(Rung::Paged),
                        cause: Cause::EvictedForDemand { .. } | Cause::Replaced,
                        ..
                    } => Some((*component, target(&rig, *component))),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        if alone {
            let planned: BTreeSet<_> = plan.evictions.iter().map(|e| (e.key, e.to)).collect();
            prop_assert_eq!(&planned, &evicted, "{}", name);
            let want = match &plan.refusal {
                Some(refusal) => refusal.code(),
                None if plan.loads.is_empty() && plan.holders.is_empty() => "granted",
                None => "waits",
            };
            prop_assert_eq!(rig.answered(w), want, "{}", name);
            let blocked = rig.engine.scheduler().n_waiting() > 0;
            prop_assert_eq!(blocked, !plan.holders.is_empty(), "{}", name);
        }
        if rig.answered(w) == "granted" && !keep {
            rig.give_back(name);
        }
    }
    Ok(())
}
