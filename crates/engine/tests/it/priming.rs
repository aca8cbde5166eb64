//! Components that are loaded once while the machine is idle, and parked.

use majordomo_core::ByteSize;
use majordomo_engine::Input;

use crate::rig::{Rig, config, seconds, spec, with};

fn observe(rig: &mut Rig, name: &str) {
    let used = vec![rig.key(name)];
    rig.input(Input::Observed { command: None, used, text_scores: Vec::new() });
}

/// `names` are gone and were never used; `a` was, and is ready.
fn rig(names: &[&str], budget_mib: u64) -> Rig {
    let all: Vec<_> = std::iter::once("a").chain(names.iter().copied()).collect();
    let specs = all.iter().map(|n| with(spec(n), |s| s.load_time = seconds(1.0)));
    let mut rig = Rig::with_pools(specs.collect(), Vec::new(), budget_mib, config());
    rig.offer_paged(&all, 2000);
    rig.input(Input::Start);
    rig.settle();
    rig.make_ready("a");
    rig.wait(seconds(5.0));
    rig
}

fn begin(rig: &mut Rig) {
    observe(rig, "a");
    rig.wait(seconds(1.0));
}

#[test]
fn idle_machine_loads_likely_components_one_at_a_time_and_parks_them() {
    let mut rig = rig(&["b", "c"], 500);
    begin(&mut rig);
    assert_eq!(rig.states(&["b", "c"]), ["loading", "unloaded"]);
    rig.loaded("b");
    assert_eq!(
        rig.states(&["b", "c"]),
        ["parking", "loading"],
        "a park leaves the processors free"
    );
    rig.parked("b");
    assert_eq!(rig.states(&["b", "c"]), ["paged", "loading"]);
    rig.loaded("c");
    rig.parked("c");
    assert_eq!(rig.states(&["a", "b", "c"]), ["ready", "paged", "paged"]);
    let waiter = rig.demand(&["b"]);
    assert_eq!(rig.state("b"), "waking");
    rig.woken("b");
    assert_eq!(rig.answered(waiter), "granted");
}

#[test]
fn component_that_saves_more_for_each_second_of_its_load_is_primed_first() {
    let specs = [("a", 100, 1.0), ("b", 10, 1.0), ("c", 200, 4.0)].map(|(name, mib, load)| {
        with(spec(name), |s| (s.memory, s.load_time) = (ByteSize::mib(mib), seconds(load)))
    });
    let mut rig = Rig::with_pools(specs.to_vec(), Vec::new(), 500, config());
    rig.offer_paged(&["a", "b", "c"], 2000);
    rig.input(Input::Start);
    rig.settle();
    rig.make_ready("a");
    rig.wait(seconds(5.0));
    begin(&mut rig);
    // The wakes take 0.2 s each.
    assert_eq!(rig.states(&["b", "c"]), ["unloaded", "loading"]);
}

#[test]
fn demand_for_the_component_that_is_primed_keeps_it() {
    let mut rig = rig(&["b"], 500);
    begin(&mut rig);
    let waiter = rig.demand(&["b"]);
    rig.loaded("b");
    assert_eq!((rig.answered(waiter), rig.state("b")), ("granted", "ready"));
    rig.give_back("b");
    assert_eq!(rig.state("b"), "ready");
}

#[test]
fn nothing_is_primed_on_a_busy_machine_under_pressure_or_while_a_demand_loads() {
    let idle = |change: &dyn Fn(&mut Rig)| {
        let mut rig = rig(&["b", "c"], 500);
        change(&mut rig);
        begin(&mut rig);
        rig.state("b")
    };
    assert_eq!(idle(&|_| {}), "loading");
    assert_eq!(idle(&|rig| rig.input(Input::Calm(false))), "unloaded");
    let pressed = Input::Pressure(majordomo_core::PressureLevel::Medium);
    assert_eq!(idle(&|rig| rig.input(pressed.clone())), "unloaded");
    assert_eq!(
        idle(&|rig| {
            rig.demand(&["c"]);
        }),
        "unloaded"
    );
}

#[test]
fn component_that_was_primed_and_not_used_rests_for_twice_as_many_commands() {
    let mut rig = rig(&["b", "c"], 500);
    rig.make_ready("c");
    let mut primed_at = Vec::new();
    for n in 0..24 {
        observe(&mut rig, if n % 2 == 0 { "a" } else { "c" });
        rig.wait(seconds(1.0));
        if rig.is_loading("b") {
            primed_at.push(n);
            rig.loaded("b");
            rig.parked("b");
            rig.operator("b", majordomo_engine::OperatorAction::Unload { force: false });
            rig.unloaded("b");
        }
    }
    assert!(primed_at.len() >= 3, "{primed_at:?}");
    let gaps: Vec<_> = primed_at.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(gaps.windows(2).all(|w| w[1] >= w[0]), "{primed_at:?}");
    assert!(gaps.last() > gaps.first(), "{primed_at:?}");
}

#[test]
fn priming_unloads_nothing_for_its_room() {
    let mut rig = rig(&["b"], 150);
    // There is room in swap for `b`, and none for `a` beside it.
    rig.offer_paged(&["a", "b"], 95);
    begin(&mut rig);
    assert_eq!(rig.states(&["a", "b"]), ["parking", "queued"], "a is parked for it");
    let mut full = self::rig(&["b"], 150);
    full.input(Input::Offers(majordomo_engine::Offers::default()));
    full.offer_paged(&["b"], 2000);
    begin(&mut full);
    assert_eq!(full.states(&["a", "b"]), ["ready", "unloaded"], "a cannot be parked");
}

/// `b` is offered the paged rung, with so much room in swap and so much to write.
fn offered(swap_mib: u64, may_write: Option<u64>) -> Rig {
    let mut rig = rig(&["b"], 500);
    let figures = majordomo_engine::RungFigures {
        stays: 0.1,
        swapped: 0.9,
        enter: seconds(0.1),
        wake: seconds(0.2),
        ..majordomo_engine::RungFigures::default()
    };
    let rung = majordomo_core::Rung::Paged;
    let rungs = vec![majordomo_engine::RungOffer { key: rig.key("b"), rung, figures }];
    let (swap, may_write) = (ByteSize::mib(swap_mib), may_write.map(ByteSize::mib));
    let wake_lanes = 4;
    rig.input(Input::Offers(majordomo_engine::Offers { swap, may_write, wake_lanes, rungs }));
    rig
}

#[test]
fn component_that_could_not_be_parked_after_its_load_is_not_primed() {
    for (swap, may_write, want) in [
        (2000, None, "loading"),
        (2000, Some(200), "loading"),
        // Half of what may be written is kept for demands.
        (2000, Some(150), "unloaded"),
        (2000, Some(0), "unloaded"),
        (50, None, "unloaded"),
    ] {
        let mut rig = offered(swap, may_write);
        begin(&mut rig);
        assert_eq!(rig.state("b"), want, "{swap} {may_write:?}");
    }
    let mut given_up = offered(2000, None);
    for _ in 0..2 {
        given_up.make_ready("b");
        given_up.operator("b", majordomo_engine::OperatorAction::Park);
        given_up.park_fails("b");
        given_up.settle();
    }
    given_up.wait(seconds(5.0));
    begin(&mut given_up);
    assert_eq!(given_up.state("b"), "unloaded");
}
