//! Bookings by measured figures: peaks of loads and of uses, their decline, and loads beyond the
//! budget.

use std::time::Duration;

use majordomo_core::{ByteSize, EventKind, HintOutcome, Priority, Refusal};
use majordomo_engine::{Effect, Input, LoadReport, OperatorAction, Persisted};
use majordomo_memory::{Learned, Peaks};
use majordomo_registry::{ComponentSpec, PoolSpec};

use crate::rig::{Rig, config, seconds, spec, with};

pub(crate) fn sized(name: &str, mib: u64) -> ComponentSpec {
    with(spec(name), |s| s.memory = ByteSize::mib(mib))
}

/// Ends a load with its peak and the memory held after it, in MiB.
pub(crate) fn loaded(rig: &mut Rig, name: &str, peak: u64, ready: u64) {
    let report =
        LoadReport { measured: Some(ByteSize::mib(ready)), peak: Some(ByteSize::mib(peak)) };
    rig.loaded_with(name, report);
}

fn booked(rig: &Rig, name: &str) -> u64 {
    rig.engine.budget().booked_for(rig.key(name)).0 >> 20
}

/// Loads, uses and unloads a component once, with these measured figures in MiB.
pub(crate) fn once(rig: &mut Rig, name: &str, (peak, ready, used): (u64, u64, u64)) {
    let w = rig.demand(&[name]);
    rig.settle_unloads();
    loaded(rig, name, peak, ready);
    assert_eq!(rig.answered(w), "granted");
    rig.used(name);
    rig.wait(seconds(11.0));
    rig.measure(&[(name, used)]);
    rig.give_back(name);
    rig.operator(name, OperatorAction::Unload { force: false });
    rig.settle();
    assert_eq!(rig.state(name), "unloaded");
}

fn learn(rig: &mut Rig, name: &str, learned: Learned) {
    let key = rig.key(name);
    rig.input(Input::Learned(vec![Persisted { key, learned, load_time: None }]));
}

/// The peak of loads, the memory held when ready, and the peak of uses, in MiB.
fn learned((load, ready, working): (u64, u64, u64)) -> Learned {
    let [load, ready, working] = [load, ready, working].map(ByteSize::mib);
    Learned::restored(Peaks::ended([load]), Some(ready), Peaks::ended([working]))
}

pub(crate) fn warnings(rig: &Rig) -> Vec<(u64, u64)> {
    let warning = |e: &Effect| match e {
        Effect::Record(r) => match r.kind {
            EventKind::LoadBeyondBudget { peak, beyond, .. } => {
                Some((peak.0 >> 20, beyond.0 >> 20))
            }
            _ => None,
        },
        _ => None,
    };
    rig.effects.iter().filter_map(warning).collect()
}

pub(crate) fn overdraft(rig: &Rig) -> [u64; 3] {
    let d = rig.engine.status(rig.now).memory;
    [d.overdraft, d.overdraft_by_kind.load, d.overdraft_by_kind.growth].map(|b| b.0 >> 20)
}

#[test]
fn load_peak_is_booked_until_ready_and_the_settled_need_from_then_on() {
    let mut rig = Rig::new(vec![sized("a", 10)], 1000);
    once(&mut rig, "a", (133, 7, 8));
    let w = rig.demand(&["a"]);
    assert_eq!(booked(&rig, "a"), 133);
    loaded(&mut rig, "a", 133, 7);
    assert_eq!(rig.answered(w), "granted");
    assert_eq!(booked(&rig, "a"), 8, "its use needed 8 MiB");
}

#[test]
fn component_whose_load_peak_exceeds_the_budget_is_loaded_again_alone_with_a_recorded_overdraft() {
    let mut rig = Rig::new(vec![sized("a", 12), sized("b", 40), sized("c", 40)], 100);
    once(&mut rig, "a", (133, 7, 8));
    rig.make_ready("b");
    rig.wait(seconds(3.0));
    rig.demand(&["c"]);
    let a = rig.demand(&["a"]);
    assert!(!rig.is_loading("a"), "another load runs");
    rig.unloaded("b");
    assert!(!rig.is_loading("a"), "another load runs");
    rig.loaded("c");
    assert!(rig.is_loading("a"));
    assert_eq!(warnings(&rig), [(133, 73)], "c is leased and keeps 40 of 100 MiB");
    assert_eq!(overdraft(&rig), [73, 73, 0]);
    let late = rig.demand(&["b"]);
    assert!(!rig.is_loading("b"), "nothing loads beside it");
    rig.hint(rig.key("b"));
    loaded(&mut rig, "a", 133, 7);
    assert_eq!(rig.answered(a), "granted");
    assert_eq!((booked(&rig, "a"), overdraft(&rig)), (8, [0, 0, 0]));
    assert!(rig.is_loading("b"));
    rig.settle();
    assert_eq!(rig.answered(late), "granted");
}

#[test]
fn load_beyond_the_budget_evicts_first_and_takes_only_the_rest_as_overdraft() {
    let mut rig = Rig::new(vec![sized("a", 12), sized("b", 40), sized("c", 40)], 100);
    once(&mut rig, "a", (133, 7, 8));
    rig.make_ready("b");
    rig.make_ready("c");
    rig.wait(seconds(3.0));
    let key = rig.key("a");
    let plan = rig.engine.plan(&[key], rig.now, &rig.cells);
    let load = plan.loads[0].clone();
    assert_eq!([load.bytes, load.settled, load.beyond].map(|b| b.0 >> 20), [133, 8, 33]);
    assert_eq!(plan.evictions.len(), 2);
    rig.demand(&["a"]);
    rig.unloaded("b");
    rig.unloaded("c");
    assert_eq!((warnings(&rig), overdraft(&rig)), (vec![(133, 33)], [33, 33, 0]));
    // The peak passes by itself: no component is trimmed for it.
    rig.wait(seconds(5.0));
    assert!(!rig.effects.iter().any(|e| matches!(e, Effect::Trim { .. })));
}

#[test]
fn load_beyond_the_budget_waits_for_components_that_stay_for_a_while_only() {
    let mut config = config();
    config.memory.min_residency = seconds(2.0);
    let specs = vec![sized("a", 12), sized("b", 40), sized("c", 40)];
    let mut rig = Rig::with_pools(specs, Vec::new(), 100, config);
    once(&mut rig, "a", (133, 7, 8));
    rig.make_ready("b");
    rig.wait(seconds(3.0));
    rig.make_ready("c");
    rig.demand(&["a"]);
    assert_eq!(rig.states(&["b", "c"]), ["ready", "ready"]);
    rig.wait(seconds(2.0));
    assert_eq!(rig.states(&["b", "c"]), ["unloading", "unloading"]);
}

#[test]
fn load_beyond_the_budget_needs_memory_that_the_machine_can_spare() {
    let mut rig = Rig::new(vec![sized("a", 12), sized("b", 40)], 100);
    once(&mut rig, "a", (133, 7, 8));
    rig.input(Input::Spare(ByteSize::mib(100)));
    let w = rig.demand(&["a"]);
    assert_eq!(rig.answered(w), "too_large");
    let text = rig.effects.iter().find_map(|e| match e {
        Effect::Refuse { refusal, .. } => Some(refusal.to_string()),
        _ => None,
    });
    let text = text.expect("the demand is refused");
    for words in ["peak of its load: 133 MiB", "peak of its use: 8 MiB", "100 MiB to spare"] {
        assert!(text.contains(words), "{text}");
    }
    // The memory of its victims counts as well.
    rig.make_ready("b");
    rig.measure(&[("b", 40)]);
    rig.wait(seconds(3.0));
    let w = rig.demand(&["a"]);
    rig.settle();
    assert_eq!((rig.answered(w), rig.state("b")), ("granted", "unloaded"));
}

#[test]
fn speculation_never_loads_beyond_the_budget() {
    let mut rig = Rig::new(vec![sized("a", 12)], 100);
    once(&mut rig, "a", (133, 7, 8));
    rig.hint(rig.key("a"));
    assert!(!rig.is_loading("a"));
    let outcome = rig.effects.iter().find_map(|e| match e {
        Effect::Record(r) => match r.kind {
            EventKind::Hint { outcome, .. } => Some(outcome),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(outcome, Some(HintOutcome::NoRoom));
}

#[test]
fn peak_of_a_pool_with_its_own_budget_is_loaded_beyond_that() {
    let pool = PoolSpec { name: "ml".into(), budget: Some(ByteSize::mib(100)), declared: false };
    let specs = vec![with(sized("a", 12), |s| s.pool = "ml".into())];
    let mut rig = Rig::with_pools(specs, vec![pool], 1000, config());
    once(&mut rig, "a", (133, 7, 8));
    let w = rig.demand(&["a"]);
    assert_eq!(warnings(&rig), [(133, 33)]);
    rig.settle();
    assert_eq!(rig.answered(w), "granted");
}

#[test]
fn learned_load_peak_falls_after_loads_that_needed_less() {
    let mut rig = Rig::new(vec![sized("a", 12)], 1000);
    once(&mut rig, "a", (133, 7, 8));
    for want in [133, 133, 9] {
        let key = rig.key("a");
        let plan = rig.engine.plan(&[key], rig.now, &rig.cells);
        assert_eq!(plan.loads[0].bytes.0 >> 20, want);
        once(&mut rig, "a", (9, 7, 8));
    }
}

#[test]
fn margin_ends_when_the_component_is_measured() {
    let mut settings = config();
    settings.memory.estimate_margin = 1.2;
    let mut rig = Rig::with_pools(vec![sized("a", 100)], vec![], 1000, settings);
    rig.demand(&["a"]);
    assert_eq!(booked(&rig, "a"), 120);
    rig.loaded("a");
    assert_eq!(booked(&rig, "a"), 120, "nothing is measured yet");
    rig.measure(&[("a", 30)]);
    assert_eq!(booked(&rig, "a"), 100, "its use is not measured yet");
    rig.used("a");
    rig.measure(&[("a", 50)]);
    assert_eq!(booked(&rig, "a"), 100, "its use has just begun");
    rig.wait(seconds(10.0));
    rig.measure(&[("a", 50)]);
    assert_eq!(booked(&rig, "a"), 50);
    rig.measure(&[("a", 40)]);
    assert_eq!(booked(&rig, "a"), 50, "its use may need that again");
}

#[test]
fn core_component_without_leases_is_booked_as_measured_after_it_has_served_for_long() {
    let core = with(sized("store", 12), |s| s.priority = Priority::Core);
    let mut rig = Rig::new(vec![core], 1000);
    rig.input(Input::Start);
    loaded(&mut rig, "store", 6, 5);
    rig.measure(&[("store", 6)]);
    assert_eq!(booked(&rig, "store"), 12);
    rig.wait(Duration::from_secs(601));
    rig.measure(&[("store", 6)]);
    assert_eq!(booked(&rig, "store"), 6);
}

#[test]
fn long_running_component_follows_its_use_downwards_by_the_hour() {
    let mut rig = Rig::new(vec![sized("a", 100)], 1000);
    rig.demand(&["a"]);
    rig.loaded("a");
    rig.used("a");
    rig.wait(seconds(10.0));
    rig.measure(&[("a", 300)]);
    rig.measure(&[("a", 50)]);
    for want in [300, 300, 50] {
        assert_eq!(booked(&rig, "a"), want);
        rig.wait(Duration::from_secs(3600));
        rig.measure(&[("a", 50)]);
    }
}

#[test]
fn working_peak_is_reserved_for_at_the_next_load_so_that_use_does_not_exceed_the_budget() {
    let mut rig = Rig::new(vec![sized("ocr", 110), sized("b", 300)], 720);
    once(&mut rig, "ocr", (110, 107, 553));
    rig.make_ready("b");
    rig.wait(seconds(3.0));
    let w = rig.demand(&["ocr"]);
    assert_eq!(rig.state("b"), "unloading", "553 and 300 MiB do not fit");
    rig.settle_unloads();
    loaded(&mut rig, "ocr", 110, 107);
    assert_eq!((rig.answered(w), booked(&rig, "ocr")), ("granted", 553));
    rig.measure(&[("ocr", 553)]);
    assert_eq!(overdraft(&rig), [0, 0, 0]);
    let status = rig.engine.status(rig.now);
    let ocr = status.components.iter().find(|c| c.id.as_str() == "ocr").expect("a configured name");
    let peaks = [ocr.load_peak, ocr.working_peak].map(|p| p.map(|b| b.0 >> 20));
    assert_eq!(peaks, [Some(110), Some(553)]);
}

#[test]
fn working_peak_is_reserved_from_free_memory_and_not_taken_from_others() {
    let mut rig = Rig::new(vec![sized("a", 50), sized("b", 50)], 120);
    rig.demand(&["a"]);
    rig.settle();
    rig.demand(&["b"]);
    rig.settle();
    rig.used("a");
    rig.measure(&[("a", 90)]);
    assert_eq!(overdraft(&rig), [20, 0, 20]);
    rig.measure(&[("a", 30)]);
    assert_eq!((booked(&rig, "a"), overdraft(&rig)), (70, [0, 0, 0]));
}

#[test]
fn component_whose_use_exceeds_the_budget_gets_all_of_it_and_is_not_refused() {
    let mut rig = Rig::new(vec![sized("a", 50), sized("b", 50)], 100);
    once(&mut rig, "a", (20, 20, 150));
    rig.make_ready("b");
    rig.wait(seconds(3.0));
    let w = rig.demand(&["a"]);
    rig.settle_unloads();
    assert_eq!(
        (warnings(&rig), overdraft(&rig)),
        (vec![], [0, 0, 0]),
        "its load needs 20 MiB only"
    );
    loaded(&mut rig, "a", 20, 20);
    assert_eq!((rig.answered(w), booked(&rig, "a"), rig.state("b")), ("granted", 100, "unloaded"));
    assert_eq!(overdraft(&rig), [0, 0, 0]);
}

#[test]
fn component_whose_use_exceeds_the_budget_is_loaded_beside_components_that_cannot_be_evicted() {
    let mut rig = Rig::new(vec![sized("a", 50), sized("b", 50)], 100);
    once(&mut rig, "a", (20, 20, 150));
    rig.demand(&["b"]);
    rig.settle();
    rig.wait(seconds(3.0));
    let w = rig.demand(&["a"]);
    assert_eq!((warnings(&rig), rig.is_loading("a")), (vec![], true), "b is leased");
    loaded(&mut rig, "a", 20, 20);
    assert_eq!((rig.answered(w), booked(&rig, "a")), ("granted", 50));
    assert_eq!(overdraft(&rig), [0, 0, 0]);
}

#[test]
fn in_a_set_beyond_the_budget_only_loads_whose_own_peak_does_not_fit_run_alone() {
    let mut rig = Rig::new(vec![sized("ocr", 20), sized("a", 12)], 100);
    learn(&mut rig, "ocr", learned((19, 18, 68)));
    learn(&mut rig, "a", learned((133, 15, 15)));
    let w = rig.demand(&["ocr", "a"]);
    assert_eq!((warnings(&rig), rig.is_loading("ocr")), (vec![], true));
    loaded(&mut rig, "ocr", 19, 18);
    assert_eq!(warnings(&rig).len(), 1, "the load of a");
    loaded(&mut rig, "a", 133, 15);
    assert_eq!(rig.answered(w), "granted");
    rig.measure(&[("ocr", 18), ("a", 15)]);
    assert_eq!((booked(&rig, "ocr"), overdraft(&rig)), (68, [0, 0, 0]));
}

#[test]
fn reservation_that_covers_a_working_peak_in_part_shrinks_before_an_idle_component_is_evicted() {
    let mut rig = Rig::new(vec![sized("a", 20), sized("b", 18)], 100);
    learn(&mut rig, "a", learned((20, 20, 150)));
    learn(&mut rig, "b", learned((18, 18, 18)));
    rig.demand(&["a", "b"]);
    loaded(&mut rig, "a", 20, 20);
    loaded(&mut rig, "b", 18, 18);
    assert_eq!((booked(&rig, "a"), booked(&rig, "b")), (82, 18));
    rig.give_back("a");
    rig.give_back("b");
    rig.wait(seconds(60.0));
    rig.measure(&[("a", 20), ("b", 21)]);
    rig.wait(seconds(60.0));
    assert_eq!((rig.state("a"), rig.state("b")), ("ready", "ready"));
    assert_eq!((booked(&rig, "a"), booked(&rig, "b")), (79, 21));
}

#[test]
fn learned_record_with_a_single_peak_no_longer_refuses_the_component() {
    let mut rig = Rig::new(vec![sized("a", 12)], 100);
    learn(&mut rig, "a", Learned::of_one_peak(ByteSize::mib(133)));
    let w = rig.demand(&["a"]);
    loaded(&mut rig, "a", 9, 7);
    assert_eq!(rig.answered(w), "granted");
}

#[test]
fn refusal_for_a_measured_figure_ends_by_itself_and_names_the_way_out() {
    let mut rig = Rig::new(vec![sized("a", 50)], 100);
    rig.demand(&["a"]);
    loaded(&mut rig, "a", 150, 150);
    rig.give_back("a");
    rig.wait(seconds(60.0));
    rig.settle();
    assert_eq!(rig.state("a"), "unloaded", "its overdraft");
    let refused = |rig: &mut Rig| {
        let w = rig.demand(&["a"]);
        assert_eq!(rig.answered(w), "too_large");
        rig.effects.iter().find_map(|e| match e {
            Effect::Refuse { refusal: Refusal::TooLarge { measured, .. }, .. } => measured.clone(),
            _ => None,
        })
    };
    let m = refused(&mut rig).expect("it rests on a measured figure");
    assert_eq!(m.retry_in, Some(seconds(900.0)));
    for words in ["raise the budget", "majordomo state forget a", "tried again in 900 s"] {
        assert!(m.to_string().contains(words), "{m}");
    }
    rig.wait(seconds(899.0));
    assert_eq!(refused(&mut rig).and_then(|m| m.retry_in), Some(seconds(1.0)));
    rig.wait(seconds(1.0));
    let w = rig.demand(&["a"]);
    loaded(&mut rig, "a", 20, 20);
    assert_eq!(rig.answered(w), "granted");
}

#[test]
fn grant_that_a_component_asked_for_does_not_shrink() {
    let mut rig = Rig::new(vec![sized("a", 10)], 100);
    rig.demand(&["a"]);
    let key = rig.key("a");
    let id = rig.engine.incarnation(key).expect("the component loads");
    rig.input(Input::Grow { id, bytes: ByteSize::mib(14) });
    loaded(&mut rig, "a", 20, 20);
    rig.used("a");
    rig.wait(seconds(10.0));
    rig.measure(&[("a", 20)]);
    assert_eq!(booked(&rig, "a"), 24);
}
