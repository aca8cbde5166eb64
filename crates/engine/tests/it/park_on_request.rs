//! Parks that an operator requests, the bound of writes, and figures that outlive the process.

use majordomo_core::{ByteSize, Config, Priority, Rung};
use majordomo_engine::{
    Effect, Input, LearnedRung, Offers, OperatorAction, PersistedRung, RungFigures,
};
use majordomo_registry::ComponentSpec;

use crate::rig::{Rig, config, id, seconds, spec, with};

fn ready(specs: Vec<ComponentSpec>, names: &[&str]) -> Rig {
    let mut config: Config = config();
    config.speculation.enabled = false;
    let mut rig = Rig::with_pools(specs, Vec::new(), 1000, config);
    rig.offer_paged(names, 2000);
    names.iter().for_each(|name| rig.make_ready(name));
    rig
}

fn park(rig: &mut Rig, name: &str) -> String {
    let waiter = rig.operator(name, OperatorAction::Park);
    refusal(rig).unwrap_or_else(|| rig.answered(waiter).to_owned())
}

/// The text of the refusal by the last input.
fn refusal(rig: &Rig) -> Option<String> {
    rig.effects.iter().find_map(|e| match e {
        Effect::Refuse { refusal, .. } => Some(refusal.to_string()),
        _ => None,
    })
}

#[test]
fn request_to_park_is_done_when_the_component_is_parked() {
    let mut rig = ready(vec![spec("a")], &["a"]);
    let waiter = rig.operator("a", OperatorAction::Park);
    assert_eq!((rig.answered(waiter), rig.state("a")), ("waits", "parking"));
    let second = rig.operator("a", OperatorAction::Park);
    rig.parked("a");
    assert_eq!((rig.answered(waiter), rig.answered(second)), ("done", "done"));
    assert_eq!((park(&mut rig, "a").as_str(), rig.state("a")), ("done", "paged"));
}

#[test]
fn park_that_fails_is_answered_with_the_cause() {
    let mut rig = ready(vec![spec("a")], &["a"]);
    let waiter = rig.operator("a", OperatorAction::Park);
    rig.park_fails("a");
    let answer = refusal(&rig).unwrap_or_default();
    assert_eq!(rig.answered(waiter), "park_failed");
    assert!(answer.contains("could not be parked and is unloaded"), "{answer}");
}

#[test]
fn request_to_park_is_refused_with_the_reason() {
    let check = |change: &dyn Fn(&mut Rig), want: &str| {
        let mut rig = ready(vec![spec("a")], &["a"]);
        change(&mut rig);
        let answer = park(&mut rig, "a");
        assert!(answer.contains(want), "{answer:?} does not contain {want:?}");
        if rig.state("a") == "ready" && want != "it has 1 lease" {
            assert!(rig.take("a"), "its cell is open again");
        }
    };
    check(&|rig| assert!(rig.take("a")), "it has 1 lease");
    check(
        &|rig| {
            rig.operator("a", OperatorAction::Pin);
        },
        "it is pinned",
    );
    check(&|rig| rig.input(Input::Offers(Offers::default())), "no rung is on offer");
    check(&|rig| rig.offer_paged(&["a"], 50), "no room in swap");
    check(
        &|rig| {
            rig.operator("a", OperatorAction::Unload { force: false });
            rig.unloaded("a");
        },
        "it is not ready",
    );
    let mut core = ready(vec![with(spec("a"), |s| s.priority = Priority::Core)], &["a"]);
    assert!(park(&mut core, "a").contains("it is CORE"));
}

#[test]
fn dependents_are_parked_first_and_one_that_stays_refuses_the_request() {
    let specs = || vec![spec("base"), with(spec("top"), |s| s.dependencies = vec![id("base")])];
    let mut rig = ready(specs(), &["base", "top"]);
    let waiter = rig.operator("base", OperatorAction::Park);
    assert_eq!(rig.states(&["base", "top"]), ["draining", "parking"]);
    rig.parked("top");
    rig.parked("base");
    assert_eq!(rig.answered(waiter), "done");
    let mut rig = ready(specs(), &["base", "top"]);
    assert!(rig.take("top"));
    let answer = park(&mut rig, "base");
    assert!(answer.contains("top") && answer.contains("1 lease"), "{answer}");
    assert_eq!(rig.states(&["base", "top"]), ["ready", "ready"]);
}

fn offer_writes(rig: &mut Rig, may_write: Option<ByteSize>) {
    let figures = RungFigures {
        stays: 0.1,
        swapped: 0.9,
        enter: seconds(0.1),
        wake: seconds(0.2),
        ..RungFigures::default()
    };
    let offer = |key| majordomo_engine::RungOffer { key, rung: Rung::Paged, figures };
    let rungs = rig.engine.catalog().keys().map(offer).collect();
    let swap = ByteSize::mib(2000);
    rig.input(Input::Offers(Offers { swap, may_write, wake_lanes: 4, rungs }));
}

#[test]
fn parks_never_write_more_than_they_may_until_the_next_offer() {
    let mut rig = ready(vec![spec("a"), spec("b")], &["a", "b"]);
    offer_writes(&mut rig, Some(ByteSize::mib(100)));
    rig.operator("a", OperatorAction::Park);
    assert_eq!(rig.state("a"), "parking", "it writes 90 MiB");
    let answer = park(&mut rig, "b");
    assert!(answer.contains("swap_writes_per_day"), "{answer}");
    // The park under way counts against the new bound.
    offer_writes(&mut rig, Some(ByteSize::mib(100)));
    assert!(park(&mut rig, "b").contains("swap_writes_per_day"));
    rig.parked("a");
    offer_writes(&mut rig, None);
    rig.operator("b", OperatorAction::Park);
    assert_eq!(rig.state("b"), "parking");
}

#[test]
fn measured_figures_of_a_rung_are_stored_and_outlive_the_process() {
    let mut rig = ready(vec![spec("a")], &["a"]);
    rig.operator("a", OperatorAction::Park);
    rig.wait(seconds(0.5));
    rig.parked_with("a", 30, 60);
    let stored = rig.effects.iter().find_map(|e| match e {
        Effect::PersistRung(row) => Some(row.clone()),
        _ => None,
    });
    let PersistedRung { key, rung, learned } = stored.expect("the park was measured");
    assert_eq!((key, rung), (rig.key("a"), Rung::Paged));
    let figures = *learned.figures();
    assert_eq!((figures.stays, figures.enter), (0.3, seconds(0.5)));
    assert!(learned.is_park_measured() && !learned.is_wake_measured());
    // A new process, before and after it has offers.
    for offers_first in [false, true] {
        let mut next = Rig::with_pools(vec![spec("a")], Vec::new(), 1000, config());
        let learned = LearnedRung::restored(figures, true, false, None);
        let rows = vec![PersistedRung { key, rung, learned }];
        if offers_first {
            next.offer_paged(&["a"], 2000);
        }
        next.input(Input::LearnedRungs(rows));
        next.offer_paged(&["a"], 2000);
        let known = next.engine.scheduler().entry(key).parking().rung(rung);
        let known = known.map(|r| (r.figures().stays, r.figures().enter, r.figures().wake));
        assert_eq!(known, Some((0.3, seconds(0.5), seconds(0.2))), "the wake is as offered");
    }
}
