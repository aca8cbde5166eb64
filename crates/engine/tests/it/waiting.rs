//! How long demands wait for slow loads, and which loads continue after the deadlines of their
//! demands.

use majordomo_core::{ByteSize, Refusal, WaiterId};
use majordomo_engine::{Effect, Input, LoadReport, OperatorAction};
use majordomo_registry::{ComponentSpec, OnAbandon};

use crate::rig::{Rig, id, seconds, spec, with};

/// A component whose load may take ten minutes.
fn slow(name: &str) -> ComponentSpec {
    with(spec(name), |s| s.load_deadline = Some(seconds(600.0)))
}

/// The refusal of a waiter by the last input.
fn refusal(rig: &Rig, waiter: WaiterId) -> Refusal {
    let of = |e: &Effect| match e {
        Effect::Refuse { waiter: w, refusal } if *w == waiter => Some(refusal.clone()),
        _ => None,
    };
    rig.effects.iter().find_map(of).expect("the last input refuses the waiter")
}

/// Loads a component once in `load_time` seconds, which the engine learns, and unloads it.
fn learn(rig: &mut Rig, name: &str, load_time: f64) {
    let waiter = rig.demand_with(&[name], None, Some(seconds(load_time * 2.0)));
    rig.wait(seconds(load_time));
    rig.loaded(name);
    assert_eq!(rig.answered(waiter), "granted");
    rig.give_back(name);
    rig.operator(name, OperatorAction::Unload { force: false });
    rig.settle();
    assert_eq!(rig.state(name), "unloaded");
}

#[test]
fn load_continues_after_the_deadlines_of_its_demands() {
    for on_abandon in [OnAbandon::Auto, OnAbandon::Finish] {
        let mut rig = Rig::new(vec![with(slow("a"), |s| s.on_abandon = on_abandon)], 100);
        learn(&mut rig, "a", 90.0);
        let waiter = rig.demand_with(&["a"], None, Some(seconds(20.0)));
        rig.wait(seconds(20.0));
        assert_eq!(rig.answered(waiter), "deadline_exceeded");
        assert!(rig.is_loading("a"), "{on_abandon:?}: no waiter left");
        // A later demand joins the load.
        rig.wait(seconds(69.0));
        let again = rig.demand_with(&["a"], None, Some(seconds(20.0)));
        rig.wait(seconds(1.0));
        rig.loaded("a");
        assert_eq!(rig.answered(again), "granted", "{on_abandon:?}");
        assert_eq!(rig.engine.scheduler().entry(rig.key("a")).n_loads(), 2);
    }
}

#[test]
fn on_abandon_cancel_ends_a_load_only_at_an_explicit_deadline() {
    for own in [None, Some(seconds(20.0))] {
        let spec = with(slow("a"), |s| s.on_abandon = OnAbandon::Cancel);
        let mut rig = Rig::new(vec![spec], 100);
        let waiter = rig.demand_with(&["a"], None, own);
        rig.wait(seconds(30.0));
        assert_eq!(rig.answered(waiter), "deadline_exceeded");
        assert_eq!(rig.is_loading("a"), own.is_none(), "{own:?}");
    }
}

#[test]
fn load_is_cancelled_when_its_last_caller_abandons_it_before_the_deadline() {
    let mut rig = Rig::new(vec![slow("a")], 100);
    learn(&mut rig, "a", 90.0);
    let waiter = rig.demand_with(&["a"], None, Some(seconds(20.0)));
    rig.wait(seconds(19.0));
    rig.input(Input::Abandon { waiter });
    assert!(!rig.is_loading("a"));
}

#[test]
fn load_without_waiters_ends_at_its_load_deadline() {
    let mut rig = Rig::new(vec![slow("a")], 100);
    rig.demand(&["a"]);
    rig.wait(seconds(599.0));
    assert!(rig.is_loading("a"));
    rig.wait(seconds(1.0));
    rig.settle();
    assert_eq!(rig.state("a"), "failed");
}

#[test]
fn load_without_waiters_yields_its_memory_and_lane_to_a_demand() {
    let mut config = crate::rig::config();
    config.loads.max_concurrent = Some(1);
    for memory in [100, 1] {
        let other = with(spec("b"), |s| s.memory = ByteSize::mib(memory));
        let mut rig =
            Rig::with_pools(vec![slow("a"), other], vec![], 100 + memory / 2, config.clone());
        rig.demand(&["a"]);
        rig.wait(seconds(31.0));
        assert!(rig.is_loading("a"));
        let waiter = rig.demand(&["b"]);
        rig.settle();
        assert_eq!(rig.answered(waiter), "granted");
    }
}

#[test]
fn refusal_reports_when_the_load_will_be_ready() {
    let top = with(slow("top"), |s| {
        s.dependencies = vec![id("base")];
        s.load_time = seconds(5.0);
    });
    let mut rig = Rig::new(vec![slow("base"), top], 1000);
    learn(&mut rig, "base", 90.0);
    let waiter = rig.demand_with(&["top"], None, Some(seconds(20.0)));
    rig.wait(seconds(20.0));
    let refused = refusal(&rig, waiter);
    let Refusal::DeadlineExceeded { still_loading: Some(load), .. } = &refused else {
        panic!("{refused}")
    };
    assert_eq!(load.component.as_str(), "base");
    assert_eq!(
        load.ready_in,
        Some(seconds(75.0)),
        "the rest of the load of `base`, and the load of `top`"
    );
    assert_eq!(load.given_up_in, seconds(580.0));
    assert!(refused.to_string().contains("base is still loading: ready in about"), "{refused}");
}

#[test]
fn refusal_reports_no_time_for_a_load_of_unknown_duration() {
    let mut rig = Rig::new(vec![slow("a")], 100);
    let waiter = rig.demand(&["a"]);
    rig.wait(seconds(30.0));
    let refused = refusal(&rig, waiter);
    let Refusal::DeadlineExceeded { still_loading: Some(load), .. } = &refused else {
        panic!("{refused}")
    };
    assert_eq!((load.ready_in, load.given_up_in), (None, seconds(570.0)));
    assert!(refused.to_string().contains("load_deadline"), "{refused}");
}

#[test]
fn demand_without_deadline_waits_for_a_load_known_to_be_slow() {
    let mut rig = Rig::new(vec![slow("a")], 100);
    learn(&mut rig, "a", 90.0);
    let waiter = rig.demand(&["a"]);
    rig.wait(seconds(120.0));
    assert_eq!(rig.answered(waiter), "waits", "a load may take half as long again");
    rig.loaded("a");
    assert_eq!(rig.answered(waiter), "granted");
}

#[test]
fn default_deadline_counts_the_remaining_load_time_of_the_dependency_chain() {
    let on = |name: &str, base: &str| {
        let base = id(base);
        with(slow(name), move |s| s.dependencies = vec![base.clone()])
    };
    let timed = |s: ComponentSpec, time| with(s, move |s| s.load_time = seconds(time));
    let specs = vec![
        timed(slow("base"), 40.0),
        timed(on("mid", "base"), 40.0),
        timed(on("top", "mid"), 40.0),
    ];
    let mut rig = Rig::new(specs, 1000);
    let time = |rig: &Rig| rig.engine.default_deadline(&[rig.key("top")], rig.now);
    assert_eq!(time(&rig), seconds(180.0));
    rig.demand_with(&["top"], None, Some(seconds(1000.0)));
    rig.wait(seconds(20.0));
    assert_eq!(time(&rig), seconds(150.0));
    rig.loaded("base");
    rig.loaded("mid");
    assert_eq!(time(&rig), seconds(60.0));
    rig.loaded("top");
    assert_eq!(time(&rig), seconds(30.0), "a ready component adds no load time");
}

#[test]
fn default_deadline_does_not_exceed_the_load_deadline() {
    let specs = vec![with(spec("a"), |s| s.load_time = seconds(3600.0))];
    let rig = Rig::new(specs, 100);
    assert_eq!(rig.engine.default_deadline(&[rig.key("a")], rig.now), seconds(60.0));
}

#[test]
fn operator_load_waits_up_to_the_load_deadline() {
    let mut rig = Rig::new(vec![slow("a")], 100);
    let waiter = rig.operator("a", OperatorAction::Load);
    rig.wait(seconds(500.0));
    rig.loaded("a");
    assert_eq!(rig.answered(waiter), "done");
}

#[test]
fn preload_may_take_up_to_its_load_deadline() {
    let mut rig = Rig::new(vec![slow("a")], 100);
    rig.hint(rig.key("a"));
    rig.wait(seconds(500.0));
    assert!(rig.is_loading("a"));
    let key = rig.key("a");
    let id = rig.engine.incarnation(key).expect("the component loads");
    rig.forget_load("a");
    rig.input(Input::LoadFinished { id, result: Ok(LoadReport::default()) });
    assert_eq!(rig.state("a"), "ready");
}
