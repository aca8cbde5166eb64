//! Which steps are chosen where values are known: for demands, preloads and relief.

use majordomo_core::{ByteSize, EventKind, PolicyKind, PressureLevel, Priority, Rung, StatusValue};
use majordomo_engine::{Effect, Footprints, Input, Offers, OperatorAction, RungFigures, RungOffer};
use majordomo_registry::ComponentSpec;

use crate::rig::{Rig, config, id, seconds, spec, with};

fn observe(rig: &mut Rig, name: &str) {
    let used = vec![rig.key(name)];
    rig.input(Input::Observed { command: None, used, text_scores: Vec::new() });
}

/// Values are known of `x` and `y`, which are not loaded; nothing is preloaded.
fn with_values(specs: Vec<ComponentSpec>, budget_mib: u64) -> Rig {
    let names: Vec<_> = specs.iter().map(|s| s.id.to_string()).collect();
    let specs = specs.into_iter().chain([spec("x"), spec("y")]).collect();
    let mut config = config();
    config.speculation.enabled = false;
    let mut rig = Rig::with_pools(specs, Vec::new(), budget_mib, config);
    let names: Vec<_> = names.iter().map(String::as_str).chain(["x", "y"]).collect();
    rig.offer_paged(&names, 1000);
    for name in ["x", "y", "x", "y"] {
        observe(&mut rig, name);
    }
    rig
}

fn park(rig: &mut Rig, name: &str) {
    rig.operator(name, OperatorAction::Park);
    rig.parked(name);
}

#[test]
fn component_that_was_used_and_has_no_forecast_is_parked_for_a_demand() {
    let mut rig = with_values(vec![spec("a"), spec("b")], 150);
    // First uses have become so rare that the worth of one is below the time that a park takes.
    for _ in 0..60 {
        observe(&mut rig, "x");
        observe(&mut rig, "y");
    }
    rig.make_ready("a");
    let mut loads = 0;
    for name in ["b", "a", "b"] {
        let other = if name == "a" { "b" } else { "a" };
        let waiter = rig.demand(&[name]);
        assert_eq!(rig.state(other), "parking", "for {name}");
        rig.parked(other);
        loads += usize::from(rig.is_loading(name));
        if rig.state(name) == "waking" {
            rig.woken(name);
        }
        rig.settle();
        assert_eq!(rig.answered(waiter), "granted");
        rig.give_back(name);
    }
    assert_eq!(loads, 1, "each is loaded cold once");
}

#[test]
fn bytes_that_are_reserved_and_not_in_use_do_not_choose_a_park() {
    let mut rig = with_values(vec![spec("a"), spec("b"), spec("c")], 250);
    let figures = RungFigures {
        stays: 0.5,
        swapped: 0.5,
        enter: seconds(0.1),
        wake: seconds(0.2),
        ..RungFigures::default()
    };
    let offer = |name| RungOffer { key: rig.key(name), rung: Rung::Paged, figures };
    let rungs = ["a", "b"].map(offer).to_vec();
    let swap = ByteSize::mib(1000);
    rig.input(Input::Offers(Offers { swap, wake_lanes: 4, rungs, ..Offers::default() }));
    rig.make_ready("b");
    rig.wait(seconds(4.0));
    rig.make_ready("a");
    rig.wait(seconds(1.0));
    rig.measure(&[("a", 22)]);
    // Either park is to free half a reservation. The one of `a`, which is younger, seems to free 89 MiB by its 78 MiB that
    // are not in use.
    assert_eq!(rig.engine.budget().booked_for(rig.key("a")).0 >> 20, 100);
    rig.demand(&["c"]);
    assert_eq!(rig.states(&["a", "b"]), ["ready", "parking"]);
}

#[test]
fn component_without_a_forecast_is_worth_a_first_use_where_rungs_are_offered() {
    let mut rig = with_values(vec![spec("a"), spec("b")], 150);
    rig.make_ready("a");
    assert_eq!(rig.engine.values().get(rig.key("a")), majordomo_core::Value::default());
    rig.demand(&["b"]);
    let loss = rig.effects.iter().find_map(|effect| match effect {
        Effect::Record(record) => match record.kind {
            EventKind::Victim { loss, to, keep, .. } => Some((loss, to, keep)),
            _ => None,
        },
        _ => None,
    });
    let (loss, to, keep) = loss.expect("a victim is recorded");
    assert!(loss > 0.0 && keep > 0.0, "{loss} {keep}");
    assert_eq!((to, rig.state("a")), (Rung::Paged, "parking"), "the record says where it is left");
}

#[test]
fn demand_parks_what_is_likely_to_be_used_and_unloads_what_is_not() {
    for (times, want) in [(0, "unloading"), (20, "parking")] {
        let mut rig = with_values(vec![spec("a"), spec("b")], 150);
        observe(&mut rig, "a");
        for _ in 0..20 {
            observe(&mut rig, "x");
            observe(&mut rig, "y");
        }
        for _ in 0..times {
            observe(&mut rig, "a");
            observe(&mut rig, "x");
        }
        rig.make_ready("a");
        rig.demand(&["b"]);
        assert_eq!(rig.state("a"), want, "used {times} times");
    }
}

#[test]
fn component_that_is_drained_for_a_demand_is_parked_where_that_frees_enough() {
    let mut rig = with_values(vec![spec("a"), spec("b")], 150);
    rig.make_ready("a");
    assert!(rig.take("a"));
    let waiter = rig.demand(&["b"]);
    rig.wait(seconds(2.5));
    assert_eq!(rig.state("a"), "draining");
    rig.give_back("a");
    assert_eq!(rig.state("a"), "parking");
    rig.parked("a");
    rig.settle();
    assert_eq!((rig.answered(waiter), rig.state("a")), ("granted", "paged"));
}

#[test]
fn component_that_is_drained_for_a_conflict_or_for_more_bytes_than_a_park_frees_is_unloaded() {
    let conflicting = with(spec("b"), |s| s.conflicts = vec![id("a")]);
    let large = with(spec("b"), |s| s.memory = ByteSize::mib(145));
    for (other, budget) in [(conflicting, 500), (large, 150)] {
        let mut rig = with_values(vec![spec("a"), other], budget);
        rig.make_ready("a");
        assert!(rig.take("a"));
        rig.demand(&["b"]);
        rig.wait(seconds(2.5));
        rig.give_back("a");
        assert_eq!(rig.state("a"), "unloading");
    }
}

#[test]
fn drain_that_is_cancelled_gives_back_the_room_in_swap() {
    let mut rig = with_values(vec![spec("a"), spec("b")], 150);
    rig.make_ready("a");
    assert!(rig.take("a"));
    let waiter = rig.demand(&["b"]);
    rig.wait(seconds(2.5));
    let in_swap = |rig: &Rig| rig.engine.budget().booked_in(majordomo_engine::Need::SWAP).0 >> 20;
    assert_eq!((rig.state("a"), in_swap(&rig)), ("draining", 90));
    rig.input(Input::Abandon { waiter });
    assert_eq!((rig.state("a"), in_swap(&rig)), ("ready", 0));
}

#[test]
fn preload_ends_a_parked_component_that_it_conflicts_with_and_that_is_worth_less() {
    let specs = vec![spec("a"), with(spec("c"), |s| s.conflicts = vec![id("a")])];
    let mut rig = Rig::new(specs, 250);
    rig.offer_paged(&["a", "c"], 500);
    rig.make_ready("a");
    park(&mut rig, "a");
    rig.hint(rig.key("c"));
    assert_eq!(rig.states(&["a", "c"]), ["unloading", "queued"]);
    rig.settle_unloads();
    assert!(rig.is_loading("c"));
}

#[test]
fn demand_in_conflict_with_a_component_that_waits_to_be_woken_waits_for_its_end() {
    let conflicting = with(spec("c"), |s| s.conflicts = vec![id("a")]);
    let dependent = with(spec("a"), |s| s.dependencies = vec![id("b")]);
    let mut rig = Rig::new(vec![dependent, spec("b"), conflicting], 500);
    rig.offer_paged(&["a", "b"], 500);
    rig.make_ready("a");
    park(&mut rig, "a");
    park(&mut rig, "b");
    rig.hint(rig.key("a"));
    assert_eq!(rig.states(&["b", "a"]), ["waking", "queued"]);
    let waiter = rig.demand(&["c"]);
    assert_eq!(rig.states(&["a", "c"]), ["unloading", "queued"]);
    assert!(!rig.is_loading("c"), "{:?}", rig.effects);
    rig.unloaded("a");
    rig.loaded("c");
    assert_eq!(rig.answered(waiter), "granted");
}

#[test]
fn relief_takes_as_many_speculative_wakes_as_it_needs_and_parks_them() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 250);
    rig.offer_paged(&["a", "b"], 500);
    for name in ["a", "b"] {
        rig.make_ready(name);
        park(&mut rig, name);
    }
    for name in ["a", "b"] {
        rig.hint(rig.key(name));
        rig.woken(name);
    }
    let external = ByteSize::mib(51);
    rig.input(Input::Footprints(Footprints { external, ..Footprints::default() }));
    rig.wait(seconds(0.5));
    let mut states = rig.states(&["a", "b"]);
    states.sort_unstable();
    assert_eq!(states, ["parking", "ready"]);
}

#[test]
fn relief_takes_a_component_that_was_just_woken_last() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 250);
    rig.offer_paged(&["a", "b"], 500);
    rig.make_ready("a");
    rig.make_ready("b");
    park(&mut rig, "a");
    rig.demand(&["a"]);
    rig.wait(seconds(0.9));
    rig.woken("a");
    rig.give_back("a");
    rig.wait(seconds(0.1));
    // By age `a` would be the first.
    rig.used("b");
    let external = ByteSize::mib(51);
    rig.input(Input::Footprints(Footprints { external, ..Footprints::default() }));
    // The first round trims.
    rig.wait(seconds(1.2));
    let steps =
        |rig: &Rig| rig.effects.iter().filter(|e| matches!(e, Effect::StartPark { .. })).count();
    assert_eq!((rig.states(&["a", "b"]), steps(&rig)), (vec!["ready", "parking"], 1));
}

#[test]
fn what_a_pressure_parked_is_not_unloaded_in_the_next_rounds() {
    let low = |name| with(spec(name), |s| s.priority = Priority::Low);
    let mut rig = Rig::new(vec![low("a"), low("b")], 250);
    rig.offer_paged(&["a", "b"], 500);
    rig.make_ready("a");
    rig.make_ready("b");
    rig.wait(seconds(3.0));
    rig.input(Input::Pressure(PressureLevel::High));
    assert_eq!(rig.states(&["a", "b"]), ["parking", "parking"]);
    rig.parked("a");
    rig.parked("b");
    rig.wait(seconds(3.0));
    assert_eq!(rig.states(&["a", "b"]), ["paged", "paged"]);
    rig.wait(seconds(5.0));
    assert_eq!(rig.states(&["a", "b"]), ["unloading", "unloading"], "nothing else is left");
}

#[test]
fn provider_and_dependent_are_parked_at_different_rungs() {
    let specs = vec![spec("p"), with(spec("d"), |s| s.dependencies = vec![id("p")]), spec("b")];
    let mut rig = Rig::new(specs, 210);
    let figures = RungFigures { stays: 0.1, swapped: 0.9, ..RungFigures::default() };
    let asleep = RungFigures { stays: 0.2, ..RungFigures::default() };
    let offer = |rig: &Rig, name, rung, figures| RungOffer { key: rig.key(name), rung, figures };
    let rungs =
        vec![offer(&rig, "p", Rung::Paged, figures), offer(&rig, "d", Rung::Asleep, asleep)];
    let swap = ByteSize::mib(500);
    rig.input(Input::Offers(Offers { swap, may_write: None, wake_lanes: 4, rungs }));
    rig.loads_take(seconds(1.0));
    rig.make_ready("d");
    rig.demand(&["b"]);
    assert_eq!(rig.states(&["p", "d", "b"]), ["draining", "parking", "queued"]);
    rig.parked_with("d", 20, 0);
    assert_eq!(rig.states(&["p", "d"]), ["parking", "asleep"]);
}

#[test]
fn of_two_parks_that_free_as_much_the_operator_has_the_shallower() {
    let mut rig = Rig::new(vec![spec("a")], 250);
    let figures = RungFigures { stays: 0.1, ..RungFigures::default() };
    let offer = |rung| RungOffer { key: rig.key("a"), rung, figures };
    let rungs = vec![offer(Rung::Asleep), offer(Rung::Paged)];
    rig.input(Input::Offers(Offers { wake_lanes: 4, rungs, ..Offers::default() }));
    rig.loads_take(seconds(1.0));
    rig.make_ready("a");
    rig.operator("a", OperatorAction::Park);
    rig.parked_with("a", 10, 0);
    assert_eq!(rig.state("a"), "asleep");
}

#[test]
fn policy_is_as_configured_again_when_the_last_rung_is_withdrawn() {
    let mut config = config();
    config.memory.policy = PolicyKind::Vrank;
    let mut rig = Rig::with_pools(vec![spec("a")], Vec::new(), 250, config);
    let policy = |rig: &Rig| {
        let status = rig.engine.status(rig.now);
        let lines = status.sections.values().flatten();
        let text = lines.filter(|(name, _)| name == "policy").map(|(_, value)| value.to_string());
        text.collect::<Vec<_>>()
    };
    assert_eq!(policy(&rig), ["vrank"]);
    rig.offer_paged(&["a"], 500);
    assert_eq!(policy(&rig), ["vrank-wait"]);
    rig.offer_paged(&[], 500);
    assert_eq!(policy(&rig), ["vrank"]);
}

#[test]
fn shadow_of_lru_waits_as_long_as_a_policy_that_parks_like_lru() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 150);
    rig.offer_paged(&["a", "b"], 500);
    for name in ["a", "b", "a", "b", "a", "b", "a", "b"] {
        rig.demand(&[name]);
        let other = if name == "a" { "b" } else { "a" };
        if rig.state(other) == "parking" {
            rig.wait(seconds(0.1));
            rig.parked(other);
        }
        if rig.state(name) == "waking" {
            rig.wait(seconds(0.2));
            rig.woken(name);
        }
        rig.settle();
        rig.wait(seconds(1.0));
        rig.give_back(name);
        rig.used(name);
    }
    let status = rig.engine.status(rig.now);
    let share = |name: &str| {
        let mut lines = status.sections["policy"].iter();
        match lines.find(|(line, _)| line == name) {
            Some((_, StatusValue::Number(share))) => *share,
            other => panic!("{other:?}"),
        }
    };
    let (real, shadow) = (share("hit share"), share("hit share of a shadow LRU"));
    // Of 8 loads of 1 s each: two cold ones, one of them after a park of 0.1 s, and six wakes after parks, of 0.3 s each.
    let expected = 1.0 - (1.0 + 1.1 + 6.0 * 0.3) / 8.0;
    assert!((real - expected).abs() < 0.01, "{real} of {expected}");
    assert!((shadow - expected).abs() < 0.01, "{shadow} of {expected}");
}

#[test]
fn pressure_ends_no_more_parked_components_at_a_time_than_may_be_woken() {
    let names = ["a", "b", "c"];
    let specs = names.map(|name| with(spec(name), |s| s.priority = Priority::Low));
    let mut rig = Rig::new(specs.into(), 350);
    rig.offer_paged_with(&names, 500, 2, None);
    for name in names {
        rig.make_ready(name);
        park(&mut rig, name);
    }
    rig.wait(seconds(1.0));
    rig.input(Input::Pressure(PressureLevel::High));
    assert_eq!(rig.states(&names), ["unloading", "unloading", "paged"]);
    rig.wait(seconds(1.5));
    assert_eq!(rig.state("c"), "paged", "both are still on their way");
    rig.settle_unloads();
    rig.wait(seconds(1.5));
    assert_eq!(rig.states(&names), ["unloaded", "unloaded", "unloading"]);
}
