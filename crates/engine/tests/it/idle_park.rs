//! Parks of components that were not used for their `idle_park`.

use majordomo_core::{Config, Priority};
use majordomo_engine::OperatorAction;
use majordomo_registry::ComponentSpec;

use crate::rig::{Rig, config, id, seconds, spec, with};

const IDLE_PARK: f64 = 60.0;

fn idle(name: &str) -> ComponentSpec {
    with(spec(name), |s| s.idle_park = Some(seconds(IDLE_PARK)))
}

/// Components with room for all of them, and nothing preloaded.
fn rig(specs: Vec<ComponentSpec>, swap_mib: u64) -> Rig {
    let mut config: Config = config();
    config.speculation.enabled = false;
    let names: Vec<String> = specs.iter().map(|s| s.id.as_str().to_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut rig = Rig::with_pools(specs, Vec::new(), 1000, config);
    rig.offer_paged(&names, swap_mib);
    names.iter().for_each(|name| rig.make_ready(name));
    rig
}

/// Waits until a component begins to be parked; asserts that this takes so many seconds.
fn parks_after(rig: &mut Rig, name: &str, expected: f64) {
    let began = rig.now;
    while rig.state(name) != "parking" {
        rig.wait(seconds(0.5));
        let waited = rig.now.since(began);
        assert!(
            waited <= seconds(expected + 0.5),
            "{name} is {} after {waited:?}",
            rig.state(name)
        );
    }
    assert!(rig.now.since(began) >= seconds(expected), "{name} is parked early");
}

fn cause(rig: &Rig, name: &str) -> String {
    let e = rig.engine.scheduler().entry(rig.key(name));
    e.cause().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn unused_component_is_parked_in_the_background_after_its_idle_park() {
    let mut rig = rig(vec![idle("a"), spec("b")], 500);
    rig.wait(seconds(IDLE_PARK - 2.0));
    rig.used("a");
    parks_after(&mut rig, "a", IDLE_PARK);
    assert_eq!(rig.states(&["a", "b"]), ["parking", "ready"]);
    assert_eq!(cause(&rig, "a"), "it was not used for its idle_park");
    rig.parked("a");
    rig.wait(seconds(3600.0));
    assert_eq!(rig.states(&["a", "b"]), ["paged", "ready"]);
    let waiter = rig.demand(&["a"]);
    rig.woken("a");
    assert_eq!(rig.answered(waiter), "granted");
    rig.give_back("a");
    parks_after(&mut rig, "a", IDLE_PARK);
}

#[test]
fn components_that_are_kept_are_not_parked_for_want_of_use() {
    let specs = vec![
        with(idle("core"), |s| s.priority = Priority::Core),
        with(idle("pinned"), |s| s.pinned = true),
        idle("leased"),
        idle("operator"),
    ];
    let mut rig = rig(specs, 900);
    rig.operator("operator", OperatorAction::Pin);
    assert!(rig.take("leased"));
    rig.wait(seconds(10.0 * IDLE_PARK));
    assert_eq!(rig.states(&["core", "pinned", "leased", "operator"]), ["ready"; 4]);
    rig.give_back("leased");
    // Its time began again while it was leased.
    let due = rig.engine.next_wakeup().map_or(0.0, |at| at.since(rig.now).as_secs_f64());
    assert!(due > 1.0 && due <= IDLE_PARK, "{due}");
    parks_after(&mut rig, "leased", due.floor());
}

#[test]
fn idle_provider_is_parked_once_its_dependents_are() {
    let needs_p = |s: &mut ComponentSpec| s.dependencies = vec![id("p")];
    let mut rig = rig(vec![idle("p"), with(idle("d"), needs_p)], 500);
    parks_after(&mut rig, "d", IDLE_PARK);
    assert_eq!(rig.state("p"), "ready");
    rig.parked("d");
    assert_eq!(rig.states(&["p", "d"]), ["parking", "paged"]);
    rig.parked("p");
}

#[test]
fn idle_provider_stays_as_long_as_a_dependent_is_up() {
    let needs_p = |s: &mut ComponentSpec| s.dependencies = vec![id("p")];
    let mut rig = rig(vec![idle("p"), with(spec("d"), needs_p)], 500);
    rig.wait(seconds(10.0 * IDLE_PARK));
    assert_eq!(rig.states(&["p", "d"]), ["ready", "ready"]);
}

#[test]
fn idle_components_are_parked_one_at_a_time_and_not_while_a_demand_loads() {
    let specs = vec![idle("a"), idle("b"), spec("c")];
    let mut rig = rig(specs, 500);
    rig.operator("c", OperatorAction::Unload { force: false });
    rig.settle();
    rig.wait(seconds(IDLE_PARK - 3.0));
    rig.demand(&["c"]);
    rig.wait(seconds(5.0));
    assert_eq!(rig.states(&["a", "b"]), ["ready", "ready"], "a demand loads");
    rig.loaded("c");
    let parking = |rig: &Rig| {
        let names = ["a", "b"].into_iter();
        names.filter(|name| rig.state(name) == "parking").collect::<Vec<_>>()
    };
    let first = parking(&rig);
    assert_eq!(first.len(), 1);
    rig.wait(seconds(0.5));
    assert_eq!(parking(&rig), first, "the other waits");
    rig.parked(first[0]);
    assert_eq!(parking(&rig).len(), 1);
}

#[test]
fn refused_idle_park_is_tried_again_after_pauses_that_double() {
    let mut rig = rig(vec![idle("a")], 10);
    let mut tries = Vec::new();
    let end = rig.now + seconds(4000.0);
    while let Some(at) = rig.engine.next_wakeup().filter(|at| *at <= end) {
        tries.push(at);
        rig.wait(at.since(rig.now));
    }
    assert_eq!(rig.state("a"), "ready", "there is no room in swap");
    // 60 s, and then after 120, 240, 480, 960 and 1920 s.
    assert!(tries.len() <= 8, "{tries:?}");
    assert!(tries.windows(3).all(|t| t[2].since(t[0]) >= seconds(IDLE_PARK)), "{tries:?}");
    rig.offer_paged(&["a"], 500);
    rig.used("a");
    parks_after(&mut rig, "a", IDLE_PARK);
}

#[test]
fn component_woken_without_a_use_is_parked_again_only_after_a_longer_time() {
    let mut config: Config = config();
    config.speculation.waste_memory = None;
    let mut rig = Rig::with_pools(vec![idle("a")], Vec::new(), 1000, config);
    rig.offer_paged(&["a"], 500);
    rig.make_ready("a");
    parks_after(&mut rig, "a", IDLE_PARK);
    rig.parked("a");
    let key = rig.key("a");
    rig.hint(key);
    rig.woken("a");
    parks_after(&mut rig, "a", 2.0 * IDLE_PARK);
}

#[test]
fn idle_timeout_unloads_a_component_that_was_parked_for_want_of_use() {
    let specs = vec![with(idle("a"), |s| s.idle_timeout = Some(seconds(300.0)))];
    let mut rig = rig(specs, 500);
    parks_after(&mut rig, "a", IDLE_PARK);
    rig.parked("a");
    rig.wait(seconds(300.0 - IDLE_PARK - 1.0));
    assert_eq!(rig.state("a"), "paged");
    rig.wait(seconds(2.0));
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn component_without_an_idle_park_is_never_parked_for_want_of_use() {
    let mut rig = rig(vec![spec("a")], 500);
    rig.wait(seconds(1_000_000.0));
    assert_eq!(rig.state("a"), "ready");
}
