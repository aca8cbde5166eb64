//! Demands for components that do not fit together: one caller that alternates waits for loads alone; of several, each
//! load serves several demands.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ByteSize, Moment, Priority, WaiterId};
use majordomo_engine::{Effect, Input};
use majordomo_registry::{ComponentSpec, PoolSpec};

use crate::rig::{Rig, config, id, seconds, spec, with};

/// A caller that demands its components in turn, uses each, and pauses before the next demand.
#[derive(Debug)]
struct Caller {
    components: Vec<&'static str>,
    usage: Duration,
    pause: Duration,
    phase: Phase,
    /// The moment of the next action; of a waiting caller the moment of its demand.
    at: Moment,
    waits: Vec<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Pauses,
    Waits(WaiterId),
    Uses,
}

fn caller(components: &[&'static str], usage: f64, pause: f64) -> Caller {
    Caller {
        components: components.to_vec(),
        usage: seconds(usage),
        pause: seconds(pause),
        phase: Phase::Pauses,
        at: Moment::ZERO,
        waits: Vec::new(),
    }
}

/// Callers at one engine, whose loads take their declared time.
struct Day {
    rig: Rig,
    callers: Vec<Caller>,
    ends: BTreeMap<&'static str, Moment>,
    loads: usize,
}

impl Day {
    fn new(specs: Vec<ComponentSpec>, budget_mib: u64, callers: Vec<Caller>) -> Self {
        Self { rig: Rig::new(specs, budget_mib), callers, ends: BTreeMap::new(), loads: 0 }
    }

    fn run(&mut self, time: Duration) {
        let end = self.rig.now + time;
        while self.rig.now < end {
            self.act();
            self.rig.settle_unloads();
            self.watch_loads();
            self.answer_callers();
            let acts = self.callers.iter().filter(|c| !matches!(c.phase, Phase::Waits(_)));
            let next = acts.map(|c| c.at).chain(self.ends.values().copied());
            let next = next.chain(self.rig.engine.next_wakeup()).chain([end]).min();
            let next = next.expect("the end is one").max(self.rig.now);
            self.rig.now = next;
            let ended: Vec<_> = self.ends.iter().filter(|e| *e.1 <= next).map(|e| *e.0).collect();
            for name in ended {
                self.ends.remove(name);
                self.rig.loaded(name);
            }
            self.rig.input(Input::Tick);
            self.answer_callers();
        }
    }

    /// Callers whose moment has come demand or release.
    fn act(&mut self) {
        for caller in &mut self.callers {
            if caller.at > self.rig.now {
                continue;
            }
            let name = caller.components[caller.waits.len() % caller.components.len()];
            match caller.phase {
                Phase::Pauses => {
                    caller.phase = Phase::Waits(self.rig.demand(&[name]));
                    caller.at = self.rig.now;
                }
                Phase::Uses => {
                    let last = caller.waits.len() - 1;
                    self.rig.give_back(caller.components[last % caller.components.len()]);
                    caller.phase = Phase::Pauses;
                    caller.at = self.rig.now + caller.pause;
                }
                Phase::Waits(_) => {}
            }
        }
    }

    fn watch_loads(&mut self) {
        let names: Vec<_> = self.callers.iter().flat_map(|c| c.components.clone()).collect();
        for name in names {
            if self.rig.is_loading(name) && !self.ends.contains_key(name) {
                let key = self.rig.key(name);
                let spec = self.rig.engine.catalog().spec(key).expect("it is configured");
                self.ends.insert(name, self.rig.now + spec.load_time);
                self.loads += 1;
            }
        }
    }

    fn answer_callers(&mut self) {
        for caller in &mut self.callers {
            if let Phase::Waits(waiter) = caller.phase
                && self.rig.answered(waiter) == "granted"
            {
                caller.waits.push(self.rig.now.since(caller.at));
                caller.phase = Phase::Uses;
                caller.at = self.rig.now + caller.usage;
            }
        }
    }

    fn waits(&self) -> Vec<Duration> {
        self.callers.iter().flat_map(|c| c.waits.clone()).collect()
    }
}

fn component(name: &str, load_time: f64) -> ComponentSpec {
    with(spec(name), |s| s.load_time = seconds(load_time))
}

fn mean(waits: &[Duration]) -> f64 {
    waits.iter().map(Duration::as_secs_f64).sum::<f64>() / waits.len() as f64
}

#[test]
fn caller_that_alternates_waits_for_loads_alone() {
    let specs = vec![component("a", 1.0), component("b", 0.3)];
    let mut day = Day::new(specs, 100, vec![caller(&["a", "b"], 0.01, 0.0)]);
    day.run(seconds(60.0));
    let waits = day.waits();
    assert!(waits.len() > 80, "{}", waits.len());
    for (i, wait) in waits.iter().enumerate() {
        assert_eq!(*wait, seconds(if i % 2 == 0 { 1.0 } else { 0.3 }), "demand {i}");
    }
}

#[test]
fn loads_of_components_that_thrash_serve_several_demands() {
    for (load_a, load_b, pause) in [(1.0, 1.0, 0.05), (2.0, 0.4, 0.1), (0.5, 0.5, 0.1)] {
        let specs = vec![component("a", load_a), component("b", load_b)];
        let callers = vec![caller(&["a"], 0.01, pause), caller(&["b"], 0.01, pause)];
        let mut day = Day::new(specs, 100, callers);
        day.run(seconds(120.0));
        let waits = day.waits();
        let per_load = waits.len() as f64 / day.loads as f64;
        let (short, long) = (f64::min(load_a, load_b), f64::max(load_a, load_b));
        let what = format!("loads of {load_a} s and {load_b} s");
        // Without the hold each load serves one demand, which waits for both loads.
        assert!(per_load > 3.0, "{what}: {per_load} demands a load");
        assert!(mean(&waits) < short, "{what}: a mean wait of {} s", mean(&waits));
        // For the load and the hold of the other component, and for its own load.
        let longest = waits.iter().max().expect("there were demands").as_secs_f64();
        assert!(longest < 2.0 * long + short + 0.1, "{what}: {longest} s");
    }
}

#[test]
fn components_that_thrash_in_a_circle_are_held_against_each_other() {
    let names = ["a", "b", "c"];
    let specs = names.map(|name| component(name, 1.0)).to_vec();
    let callers = Vec::from(names.map(|name| caller(&[name], 0.01, 0.05)));
    let mut day = Day::new(specs, 100, callers);
    day.run(seconds(120.0));
    let per_load = day.waits().len() as f64 / day.loads as f64;
    assert!(per_load > 3.0, "{per_load} demands a load");
}

#[test]
fn demands_that_never_wait_together_are_no_thrash() {
    let specs = vec![component("a", 1.0), component("b", 1.0)];
    // Each pauses for longer than both loads take.
    let callers = vec![caller(&["a"], 0.01, 5.0), caller(&["b"], 0.01, 5.0)];
    let mut day = Day::new(specs, 100, callers);
    day.callers[1].at = Moment::ZERO + seconds(2.5);
    day.run(seconds(120.0));
    assert!(day.waits().len() > 30);
    assert!(day.waits().iter().all(|w| *w == seconds(1.0)), "{:?}", day.waits());
}

/// The load time of `a` in these tests.
const LOAD_TIME: Duration = Duration::from_secs(4);

/// `a`, `b` and `c`, of which one fits.
fn alternatives() -> Rig {
    Rig::new(["a", "b", "c"].map(spec).to_vec(), 100)
}

/// `a` was displaced by a demand for `b`, which still waits.
fn displaced(mut rig: Rig) -> Rig {
    load(&mut rig, "a");
    rig.demand(&["b"]);
    rig
}

/// A demand for `a` waits while the demand that displaced it does; then `a` is ready and released.
fn thrashing(rig: Rig) -> Rig {
    let mut rig = displaced(rig);
    rig.demand(&["a"]);
    rig.settle_unloads();
    rig.loaded("b");
    rig.give_back("b");
    rig.settle_unloads();
    rig.wait(LOAD_TIME);
    rig.loaded("a");
    rig.give_back("a");
    rig
}

fn load(rig: &mut Rig, name: &str) {
    rig.demand(&[name]);
    rig.settle_unloads();
    rig.wait(LOAD_TIME);
    rig.loaded(name);
    rig.give_back(name);
}

#[test]
fn component_that_thrashes_is_held_for_its_load_time_once() {
    let mut rig = thrashing(alternatives());
    let w = rig.demand(&["b"]);
    rig.wait(LOAD_TIME - Duration::from_millis(1));
    assert_eq!((rig.answered(w), rig.state("a")), ("waits", "ready"));
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.state("a"), "unloading");
    rig.settle();
    rig.give_back("b");
    // The evidence is used up.
    load(&mut rig, "a");
    rig.demand(&["b"]);
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn partial_demand_waits_for_a_held_component_no_longer_than_its_patience() {
    let mut specs = ["a", "b", "c"].map(spec).to_vec();
    specs.push(with(spec("sure"), |s| s.memory = ByteSize::mib(10)));
    let mut rig = Rig::new(specs, 110);
    rig.demand(&["sure"]);
    rig.loaded("sure");
    let mut rig = thrashing(rig);
    let patience = rig.engine.config().queue.overtake_for;
    assert!(patience < LOAD_TIME);
    let w = rig.command(&["sure", "b"], None);
    assert_eq!(rig.answered(w), "waits");
    rig.wait(patience);
    assert_eq!((rig.answered(w), rig.left_out(w)), ("granted", vec!["b: blocked".to_owned()]));
    assert_eq!(rig.state("a"), "ready");
}

#[test]
fn component_is_held_against_those_alone_that_thrash_with_it() {
    let mut rig = thrashing(alternatives());
    rig.demand(&["c"]);
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn component_is_held_against_preloads_of_any_priority_and_component() {
    let mut specs = ["a", "b"].map(spec).to_vec();
    // Demands have queued for RAM lately; nothing holds back a preload that needs none of it.
    specs.push(with(component("c", 60.0), |s| {
        (s.priority, s.pool, s.conflicts) = (Priority::High, "vram".into(), vec![id("a")]);
    }));
    let vram = PoolSpec { name: "vram".into(), budget: Some(ByteSize::mib(100)), declared: true };
    let mut rig = thrashing(Rig::with_pools(specs, vec![vram], 100, config()));
    rig.hint(rig.key("c"));
    rig.wait(LOAD_TIME - Duration::from_millis(1));
    assert_eq!(rig.state("a"), "ready");
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.states(&["a", "c"]), ["unloading", "queued"]);
}

#[test]
fn component_is_not_held_against_a_higher_priority() {
    let mut rig = thrashing(alternatives());
    rig.demand_with(&["b"], Some(Priority::High), None);
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn abandoned_demand_is_no_evidence_of_thrash() {
    let mut rig = displaced(alternatives());
    let waiter = rig.demand(&["a"]);
    rig.settle_unloads();
    rig.input(Input::Abandon { waiter });
    rig.loaded("b");
    rig.give_back("b");
    load(&mut rig, "a");
    rig.demand(&["b"]);
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn demand_that_does_without_a_component_is_no_evidence_of_thrash() {
    let mut rig = Rig::new(["a", "b", "sure"].map(spec).to_vec(), 200);
    rig.demand(&["sure"]);
    rig.loaded("sure");
    let mut rig = displaced(rig);
    let w = rig.command(&["sure", "a"], None);
    rig.settle_unloads();
    rig.loaded("b");
    rig.wait(rig.engine.config().queue.overtake_for);
    assert_eq!((rig.answered(w), rig.left_out(w).len()), ("granted", 1));
    rig.give_back("b");
    load(&mut rig, "a");
    rig.demand(&["b"]);
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn demand_is_not_held_past_its_deadline() {
    // An unload may take as long as it is allowed to.
    let grace = config().deadlines.stop;
    for (deadline, want) in [
        (LOAD_TIME, "unloading"),
        (LOAD_TIME + grace - Duration::from_millis(1), "unloading"),
        (LOAD_TIME + grace, "ready"),
    ] {
        let mut rig = thrashing(alternatives());
        rig.demand_with(&["b"], None, Some(deadline));
        assert_eq!(rig.state("a"), want, "{deadline:?}");
    }
}

#[test]
fn idle_component_is_evicted_for_a_demand_at_once() {
    assert_eq!(config().memory.min_residency, Duration::ZERO);
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 100);
    rig.make_ready("a");
    rig.demand(&["b"]);
    let unloads = rig.effects.iter().any(|e| matches!(e, Effect::StartUnload { .. }));
    assert!(unloads, "{:?}", rig.effects);
}

#[test]
fn woken_component_that_thrashes_is_held_for_as_long_as_a_wake_takes() {
    let mut rig = crate::ladder::parked_a();
    let first = rig.demand(&["a"]);
    let second = rig.demand(&["b"]);
    rig.parked("b");
    rig.wait(seconds(0.2));
    rig.woken("a");
    assert_eq!(rig.answered(first), "granted");
    rig.give_back("a");
    rig.parked("a");
    rig.wait(seconds(0.2));
    rig.woken("b");
    assert_eq!(rig.answered(second), "granted");
    rig.give_back("b");
    rig.demand(&["a"]);
    assert_eq!(rig.state("b"), "ready", "it is held");
    rig.wait(seconds(0.25));
    assert_eq!(rig.state("b"), "parking", "a load takes a second, its wake took a fifth of one");
}
