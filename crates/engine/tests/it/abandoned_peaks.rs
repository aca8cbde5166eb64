//! Loads beyond the budget whose demand is gone.

use majordomo_core::WaiterId;
use majordomo_engine::Input;

use crate::learned::{loaded, once, overdraft, sized, warnings};
use crate::rig::{Rig, seconds};

/// The load of `a` takes 133 of 100 MiB.
fn rig() -> Rig {
    let mut rig = Rig::new(vec![sized("a", 12), sized("b", 40), sized("x", 10)], 100);
    once(&mut rig, "a", (133, 7, 8));
    rig.make_ready("b");
    rig.wait(seconds(3.0));
    rig
}

/// How a demand ends before it is granted.
const ENDS: [fn(&mut Rig, WaiterId); 2] = [
    |rig, waiter| rig.input(Input::Abandon { waiter }),
    |rig, waiter| {
        rig.wait(seconds(2.0));
        assert_eq!(rig.answered(waiter), "deadline_exceeded");
    },
];

#[test]
fn member_beyond_the_budget_is_not_loaded_for_a_demand_that_needs_another_member() {
    for end in ENDS {
        let mut rig = rig();
        let both = rig.demand_with(&["a", "x"], None, Some(seconds(2.0)));
        let one = rig.demand(&["x"]);
        assert_eq!(rig.states(&["a", "b", "x"]), ["queued", "unloading", "queued"]);
        end(&mut rig, both);
        assert_eq!(rig.states(&["a", "x"]), ["unloaded", "loading"], "x fits beside b");
        rig.unloaded("b");
        rig.loaded("x");
        assert_eq!((rig.answered(one), rig.state("a")), ("granted", "unloaded"));
        assert_eq!(overdraft(&rig), [0, 0, 0]);
    }
}

#[test]
fn load_beyond_the_budget_is_cancelled_with_its_last_demand() {
    let mut rig = rig();
    let waiter = rig.demand(&["a"]);
    rig.unloaded("b");
    assert_eq!(warnings(&rig), [(133, 33)]);
    // It is almost done: within the budget it would be finished.
    rig.wait(seconds(1.0));
    rig.input(Input::Abandon { waiter });
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn load_beyond_the_budget_that_outlasts_its_demand_gives_way_to_another() {
    let mut rig = rig();
    let waiter = rig.demand_with(&["a"], None, Some(seconds(2.0)));
    rig.unloaded("b");
    rig.wait(seconds(2.0));
    assert_eq!((rig.answered(waiter), rig.state("a")), ("deadline_exceeded", "loading"));
    rig.hint(rig.key("b"));
    assert!(!rig.is_loading("b"), "no preload runs beside it");
    rig.demand(&["x"]);
    assert_eq!(rig.states(&["a", "x"]), ["unloading", "queued"]);
    rig.unloaded("a");
    assert!(rig.is_loading("x"));
}

#[test]
fn load_beyond_the_budget_that_outlasts_its_demand_serves_the_next_one() {
    let mut rig = rig();
    rig.demand_with(&["a"], None, Some(seconds(2.0)));
    rig.unloaded("b");
    rig.wait(seconds(2.0));
    let again = rig.demand(&["a"]);
    assert_eq!(rig.answered(again), "waits");
    rig.demand(&["x"]);
    assert_eq!(rig.states(&["a", "x"]), ["loading", "unloaded"], "it is requested again");
    loaded(&mut rig, "a", 133, 7);
    assert_eq!((rig.answered(again), overdraft(&rig)), ("granted", [0, 0, 0]));
}

#[test]
fn two_demands_wait_for_one_load_beyond_the_budget() {
    let mut rig = rig();
    let first = rig.demand(&["a"]);
    rig.unloaded("b");
    let second = rig.demand(&["a"]);
    let both = rig.demand(&["a", "x"]);
    assert_eq!([first, second, both].map(|w| rig.answered(w)), ["waits"; 3]);
    assert_eq!(rig.states(&["a", "x"]), ["loading", "unloaded"]);
    loaded(&mut rig, "a", 133, 7);
    rig.settle();
    assert_eq!([first, second, both].map(|w| rig.answered(w)), ["granted"; 3]);
}
