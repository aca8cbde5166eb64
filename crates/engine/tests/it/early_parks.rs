//! Parks before a demand needs the memory, and which of them a demand waits for.

use majordomo_core::{ByteSize, ComponentKey, Rung};
use majordomo_engine::{Effect, Input, Offers, RungFigures, RungOffer};

use crate::rig::{Rig, config, id, seconds, spec, with};

/// Each of these was used after `a` in one of twelve commands.
const NEXT: [&str; 12] =
    ["c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11"];

fn observe(rig: &mut Rig, name: &str) {
    let used = vec![rig.key(name)];
    rig.input(Input::Observed { command: None, used, text_scores: Vec::new() });
}

/// `x` and `a` are ready and fill 200 of 250 MiB; after `a` any of the others may be next, none of which is likely enough to
/// be preloaded, and then `x`.
fn rig(change: impl Fn(&mut majordomo_core::Config)) -> Rig {
    let names: Vec<_> = ["a", "x"].into_iter().chain(NEXT).collect();
    let specs = names.iter().map(|n| with(spec(n), |s| s.load_time = seconds(1.0)));
    let mut config = config();
    config.speculation.waste_memory = Some(ByteSize::kib(4));
    change(&mut config);
    let mut rig = Rig::with_pools(specs.collect(), Vec::new(), 250, config);
    rig.input(Input::Calm(false));
    for _ in 0..4 {
        for next in NEXT {
            observe(&mut rig, "a");
            observe(&mut rig, next);
            observe(&mut rig, "x");
        }
    }
    rig.offer_paged(&names, 2000);
    for name in ["x", "a"] {
        rig.make_ready(name);
    }
    rig.wait(seconds(5.0));
    rig
}

fn cause(rig: &Rig, name: &str) -> String {
    let e = rig.engine.scheduler().entry(rig.key(name));
    e.cause().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn likely_need_is_kept_free_by_parks_in_the_background() {
    let mut rig = rig(|_| {});
    observe(&mut rig, "a");
    assert_eq!(rig.states(&["a", "x"]), ["ready", "parking"], "a was used just now");
    assert_eq!(cause(&rig, "x"), "memory is kept free for the next command");
    rig.parked("x");
    let waiter = rig.demand(&["c07"]);
    assert!(rig.is_loading("c07"), "it waits for no park");
    rig.loaded("c07");
    assert_eq!(rig.answered(waiter), "granted");
}

fn offer_entered_in(rig: &mut Rig, enter: f64) {
    let figures = RungFigures {
        stays: 0.1,
        swapped: 0.9,
        enter: seconds(enter),
        wake: seconds(0.2),
        ..RungFigures::default()
    };
    let offer = |key: ComponentKey| RungOffer { key, rung: Rung::Paged, figures };
    let rungs = rig.engine.catalog().keys().map(offer).collect();
    let swap = ByteSize::mib(2000);
    rig.input(Input::Offers(Offers { swap, wake_lanes: 4, rungs, ..Offers::default() }));
}

/// The same, but after `a` every other command uses `x`.
fn rig_where_x_is_next() -> Rig {
    let mut rig = rig(|_| {});
    rig.input(Input::Offers(Offers::default()));
    for next in NEXT {
        observe(&mut rig, "a");
        observe(&mut rig, "x");
        observe(&mut rig, "a");
        observe(&mut rig, next);
    }
    rig
}

#[test]
fn component_is_parked_early_only_where_the_next_command_waits_less_for_that() {
    for (enter, want) in [(0.05, "ready"), (2.0, "parking")] {
        let mut rig = rig_where_x_is_next();
        offer_entered_in(&mut rig, enter);
        observe(&mut rig, "a");
        assert_eq!(rig.state("x"), want, "a park takes {enter} s, a wake 0.2 s");
    }
}

#[test]
fn background_preload_takes_free_memory_only_where_the_next_command_waits_less_for_that() {
    for (enter, want) in [(0.05, "waking"), (2.0, "paged")] {
        let mut rig = rig_where_x_is_next();
        offer_entered_in(&mut rig, enter);
        rig.operator("x", majordomo_engine::OperatorAction::Park);
        rig.wait(seconds(enter));
        rig.parked("x");
        let confidence = majordomo_core::Confidence::ONE;
        let (key, tier) = (rig.key("x"), majordomo_core::HintTier::Background);
        let source = majordomo_core::HintSource::Application;
        observe(&mut rig, "a");
        rig.input(Input::Hint { key, confidence, tier, source });
        rig.input(Input::Calm(true));
        rig.wait(seconds(0.01));
        assert_eq!(rig.state("x"), want, "a park takes {enter} s, a wake 0.2 s");
    }
}

#[test]
fn nothing_is_parked_early_while_a_demand_loads_or_where_speculation_is_off() {
    let mut busy = rig(|_| {});
    busy.demand(&["c07"]);
    observe(&mut busy, "a");
    assert_eq!(cause(&busy, "x"), "waiter 3 needs its memory");
    let mut off = rig(|c| c.speculation.enabled = false);
    observe(&mut off, "a");
    assert_eq!(off.state("x"), "ready");
}

#[test]
fn demand_waits_for_a_park_only_if_its_other_victims_lose_more() {
    for (enter, waits) in [(0.01, true), (100.0, false)] {
        let mut rig = rig(|_| {});
        offer_entered_in(&mut rig, enter);
        observe(&mut rig, "a");
        assert_eq!(rig.state("x"), "parking");
        rig.demand(&["c07"]);
        assert_eq!(rig.state("a") == "ready", waits, "{enter}");
        assert!(!rig.effects.iter().any(|e| matches!(e, Effect::StartLoad { .. })));
    }
}

#[test]
fn memory_is_kept_free_for_a_likely_component_with_its_missing_providers() {
    let ready = ["a", "w", "x", "y", "z"];
    let names: Vec<_> = ready.into_iter().chain(NEXT).chain(["p"]).collect();
    let specs = names.iter().map(|n| {
        let spec = with(spec(n), |s| s.load_time = seconds(1.0));
        if NEXT.contains(n) { with(spec, |s| s.dependencies = vec![id("p")]) } else { spec }
    });
    let mut config = config();
    config.speculation.waste_memory = Some(ByteSize::kib(4));
    let mut rig = Rig::with_pools(specs.collect(), Vec::new(), 690, config);
    rig.input(Input::Calm(false));
    for _ in 0..4 {
        for next in NEXT {
            observe(&mut rig, "a");
            observe(&mut rig, next);
            ["w", "x", "y", "z"].into_iter().for_each(|name| observe(&mut rig, name));
        }
    }
    rig.offer_paged(&names, 2000);
    ready.into_iter().for_each(|name| rig.make_ready(name));
    rig.wait(seconds(5.0));
    observe(&mut rig, "a");
    let parks = ready.iter().filter(|n| rig.state(n) == "parking").count();
    assert_eq!(parks, 1, "190 MiB are free, 200 are needed");
}

#[test]
fn what_was_parked_early_is_not_woken_into_the_memory_that_is_kept_free() {
    let mut rig = rig(|_| {});
    observe(&mut rig, "a");
    rig.parked("x");
    rig.input(Input::Calm(true));
    rig.wait(seconds(1.0));
    assert_eq!(rig.state("x"), "paged");
    rig.wait(seconds(10.0));
    assert_eq!(rig.state("x"), "paged");
}

#[test]
fn component_just_loaded_for_a_demand_is_not_parked_early() {
    let mut rig = rig(|c| c.memory.min_residency = seconds(60.0));
    observe(&mut rig, "a");
    assert_eq!(rig.state("x"), "ready");
}

#[test]
fn floor_of_speculation_is_the_same_for_a_wake_and_for_the_load_that_it_stands_for() {
    let names: Vec<_> = ["a", "x"].into_iter().chain(NEXT).collect();
    let specs = names.iter().map(|n| with(spec(n), |s| s.load_time = seconds(1.0)));
    let mut rig = Rig::new(specs.collect(), 2000);
    rig.offer_paged(&names, 2000);
    rig.input(Input::Calm(false));
    rig.make_ready("x");
    rig.used("x");
    rig.operator("x", majordomo_engine::OperatorAction::Park);
    rig.parked("x");
    let mut number = 5u64;
    for _ in 0..200 {
        observe(&mut rig, "a");
        number = number * 48_271 % 2_147_483_647;
        let is_x = number.is_multiple_of(4);
        observe(&mut rig, if is_x { "x" } else { NEXT[(number / 7 % 12) as usize] });
    }
    observe(&mut rig, "a");
    let next = f64::from(rig.engine.values().get(rig.key("x")).next.get());
    let floor = f64::from(rig.engine.preloader().floor().get());
    assert!(floor < next && next * 0.25 < floor, "{floor} {next}");
    rig.wait(seconds(0.2));
    assert_eq!(rig.state("x"), "waking", "a wake takes a fifth of its load");
}
