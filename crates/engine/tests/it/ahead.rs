//! Loading ahead beside demands: what a demand may wait for, and when guesses stop.

use std::time::Duration;

use majordomo_core::ByteSize;
use majordomo_engine::{Effect, Input, OperatorAction};
use majordomo_registry::{ComponentSpec, ConflictPolicy, PoolSpec};

use crate::rig::{Rig, config, seconds, spec, with};

fn rig(sizes: &[(&str, u64)], budget_mib: u64) -> Rig {
    let specs = sizes.iter().map(|(name, mib)| pooled(name, "general", *mib));
    let mut config = config();
    (config.loads.max_concurrent, config.loads.kept_for_demands) = (4, 1);
    Rig::with_pools(specs.collect(), Vec::new(), budget_mib, config)
}

/// A component of a pool.
fn pooled(name: &str, pool: &str, mib: u64) -> ComponentSpec {
    with(spec(name), |s| (s.memory, s.pool) = (ByteSize::mib(mib), pool.into()))
}

fn pool(name: &str, budget_mib: Option<u64>, declared: bool) -> Vec<PoolSpec> {
    vec![PoolSpec { name: name.into(), budget: budget_mib.map(ByteSize::mib), declared }]
}

/// Has them loaded, each with a lease that is not given back.
fn hold(rig: &mut Rig, names: &[&str]) {
    for name in names {
        rig.demand(&[name]);
        rig.loaded(name);
    }
}

/// Has a set asked for in vain for so long.
fn queue_in_vain(rig: &mut Rig, names: &[&str], time: Duration) {
    let waits = rig.ask(names, None, Some(time));
    rig.wait(time);
    assert_eq!(rig.answered(waits), "deadline_exceeded");
}

fn free(rig: &mut Rig, name: &str) {
    rig.give_back(name);
    rig.operator(name, OperatorAction::Unload { force: false });
    rig.unloaded(name);
}

#[test]
fn a_demand_for_what_another_drove_out_cancels_other_guesses_at_once() {
    let mut rig = rig(&[("guess", 240), ("other", 200), ("large", 350)], 600);
    for name in ["guess", "other"] {
        rig.hint(rig.key(name));
        assert!(rig.is_loading(name), "{name}");
    }
    rig.demand(&["large"]);
    assert_eq!(rig.states(&["guess", "other"]), ["unloading", "loading"]);
    // The bytes that "guess" gives back belong to "large".
    rig.demand(&["guess"]);
    let other = rig.key("other");
    let cancels = |e: &Effect| matches!(e, Effect::CancelLoad { id, .. } if id.key == other);
    assert!(rig.effects.iter().any(cancels), "{:?}", rig.effects);
}

#[test]
fn guesses_leave_memory_to_demands_that_queue_for_it() {
    let sizes = [("held", 300), ("spare", 200), ("wanted", 301), ("guess", 250), ("small", 50)];
    let mut rig = rig(&sizes, 600);
    rig.have("spare");
    hold(&mut rig, &["held"]);
    rig.wait(config().memory.min_residency);
    queue_in_vain(&mut rig, &["wanted"], seconds(5.0));
    let held_back = |rig: &Rig| {
        let status = rig.engine.status(rig.now);
        status.sections["preloader"].iter().any(|l| l.0.starts_with("only beside"))
    };
    assert!(held_back(&rig));
    // It would drive out another, or take what the next demand of that size needs.
    for name in ["guess", "small"] {
        rig.hint(rig.key(name));
    }
    assert_eq!(rig.states(&["spare", "guess", "small"]), ["ready", "unloaded", "unloaded"]);
    // As long as a demand may wait by default, after the last moment at which one queued.
    rig.wait(config().deadlines.demand - seconds(5.0));
    assert_eq!(rig.state("spare"), "ready");
    rig.wait(seconds(5.0) + Duration::from_millis(1));
    assert_eq!(rig.state("spare"), "unloading");
    assert!(!held_back(&rig));
}

#[test]
fn guesses_take_memory_that_queued_demands_do_not_need() {
    let sizes = [("held", 300), ("other", 200), ("wanted", 301), ("small", 50)];
    let mut rig = rig(&sizes, 600);
    hold(&mut rig, &["held", "other"]);
    queue_in_vain(&mut rig, &["wanted"], seconds(5.0));
    for name in ["held", "other"] {
        free(&mut rig, name);
    }
    rig.hint(rig.key("small"));
    assert!(rig.is_loading("small"));
}

#[test]
fn a_conflict_with_what_is_leased_is_no_queue_for_memory() {
    let with_conflict = with(spec("other"), |s| {
        s.conflicts = vec![crate::rig::id("held")];
        s.conflict_policy = ConflictPolicy::Replace;
    });
    let specs = vec![spec("held"), with_conflict, spec("spare"), spec("guess")];
    let mut rig = Rig::new(specs, 200);
    hold(&mut rig, &["held"]);
    rig.have("spare");
    rig.wait(config().memory.min_residency);
    queue_in_vain(&mut rig, &["other"], seconds(1.0));
    rig.hint(rig.key("guess"));
    assert_eq!(rig.state("spare"), "unloading");
}

#[test]
fn what_a_used_component_needs_is_no_guess_any_more() {
    let dependent = with(spec("app"), |s| s.dependencies = vec![crate::rig::id("engine")]);
    let mut rig = Rig::new(vec![spec("engine"), dependent], 600);
    rig.hint(rig.key("app"));
    rig.settle();
    assert!(rig.take("app"));
    rig.used("app");
    rig.give_back("app");
    // What was loaded ahead and not used goes first under pressure, whatever its age.
    rig.input(Input::Pressure(majordomo_core::PressureLevel::Medium));
    assert_eq!(rig.states(&["engine", "app"]), ["ready", "ready"]);
}

/// Hits, late, wasted and open of a component.
fn account(rig: &Rig, name: &str) -> [u64; 4] {
    let a = rig.engine.preloader().account(rig.key(name));
    [a.hits, a.late, a.wasted, a.open]
}

#[test]
fn a_guess_is_right_when_it_is_used_not_when_it_is_asked_for() {
    let mut rig = rig(&[("guess", 100), ("late", 100), ("large", 550)], 600);
    for name in ["guess", "late"] {
        rig.hint(rig.key(name));
    }
    rig.loaded("guess");
    // A set that does not fit is refused: the guess was of no use to it.
    let refused = rig.demand(&["guess", "large"]);
    assert_eq!(rig.answered(refused), "too_large");
    assert_eq!(account(&rig, "guess"), [0, 0, 0, 1]);
    let waits = rig.demand(&["guess", "late"]);
    assert_eq!(account(&rig, "guess"), [0, 0, 0, 1]);
    rig.loaded("late");
    assert_eq!(rig.answered(waits), "granted");
    assert_eq!(account(&rig, "guess"), [1, 0, 0, 0]);
    assert_eq!(account(&rig, "late"), [0, 1, 0, 0]);
}

#[test]
fn a_guess_that_breaks_is_not_wasted_however_it_breaks() {
    let app = with(spec("app"), |s| s.dependencies = vec![crate::rig::id("engine")]);
    let mut rig = Rig::new(vec![spec("exits"), spec("starves"), spec("engine"), app], 1000);
    for name in ["exits", "starves", "app"] {
        rig.hint(rig.key(name));
    }
    rig.settle();
    let floor = rig.engine.preloader().floor();
    rig.exits("exits");
    rig.exits_out_of_memory("starves");
    // It is lost with what it depends on.
    rig.exits("engine");
    rig.settle();
    for name in ["exits", "starves", "app"] {
        let a = rig.engine.preloader().account(rig.key(name));
        assert_eq!((a.wasted, a.failed, a.open), (0, 1, 0), "{name}");
    }
    assert_eq!(rig.engine.preloader().floor(), floor);
}

#[test]
fn what_was_asked_for_in_vain_is_as_good_as_not_asked_for() {
    let mut rig = rig(&[("guess", 100), ("gone", 100), ("held", 300), ("x", 300)], 600);
    rig.hint(rig.key("guess"));
    rig.wait(seconds(1.0));
    let leaves = rig.demand(&["guess"]);
    rig.input(Input::Abandon { waiter: leaves });
    rig.wait(seconds(1.0));
    rig.loaded("guess");
    rig.wait(seconds(3600.0));
    assert!(rig.take("guess"));
    rig.used("guess");
    rig.give_back("guess");
    assert_eq!(account(&rig, "guess"), [1, 0, 0, 0]);
    // One whose set never came expires like any other.
    rig.hint(rig.key("gone"));
    rig.loaded("gone");
    hold(&mut rig, &["held"]);
    rig.wait(config().memory.min_residency);
    queue_in_vain(&mut rig, &["gone", "x"], seconds(1.0));
    rig.wait(config().speculation.expiry + seconds(10.0));
    rig.input(Input::Tick);
    assert_eq!(account(&rig, "gone"), [0, 0, 1, 0]);
}

#[test]
fn a_flood_of_hints_leaves_room_for_other_records() {
    let mut rig = rig(&[("there", 100), ("absent", 100)], 600);
    rig.have("there");
    let records = |rig: &Rig| {
        let hints = rig.effects.iter().filter(|e| format!("{e:?}").contains("Hint {"));
        hints.count()
    };
    let mut n = 0;
    for _ in 0..1000 {
        rig.hint(rig.key("there"));
        n += records(&rig);
    }
    assert_eq!(n, 1);
    rig.wait(seconds(60.0));
    rig.hint(rig.key("there"));
    assert_eq!(records(&rig), 1, "once a minute");
    // By turns it is no different.
    let key = rig.key("absent");
    rig.operator("absent", OperatorAction::Load);
    let mut n = 0;
    for i in 0..1000u16 {
        let confidence = majordomo_core::Confidence::saturating(f32::from(i % 2));
        let tier = majordomo_core::HintTier::Immediate;
        let source = majordomo_core::HintSource::Application;
        rig.input(Input::Hint { key, confidence, tier, source });
        if i == 500 {
            rig.loaded("absent");
        }
        n += records(&rig);
    }
    assert!(n <= 3, "{n}");
}

#[test]
fn memory_apart_from_ram_is_no_part_of_a_queue_for_ram() {
    let rig_of = |sizes: &[(&str, &str, u64)], vram_mib| {
        let specs = sizes.iter().map(|(name, pool, mib)| pooled(name, pool, *mib));
        Rig::with_pools(specs.collect(), pool("vram", Some(vram_mib), true), 600, config())
    };
    // Demands queue for RAM; a guess for another memory takes nothing from them.
    let sizes = [("held", "general", 300), ("wanted", "general", 400), ("guess", "vram", 4000)];
    let mut rig = rig_of(&sizes, 8000);
    hold(&mut rig, &["held"]);
    queue_in_vain(&mut rig, &["wanted"], seconds(5.0));
    free(&mut rig, "held");
    rig.hint(rig.key("guess"));
    assert!(rig.is_loading("guess"));
    // They queue for the other memory; RAM is not short.
    let sizes = [
        ("held", "vram", 100),
        ("wanted", "vram", 100),
        ("spare", "general", 600),
        ("guess", "general", 100),
    ];
    let mut rig = rig_of(&sizes, 100);
    rig.have("spare");
    hold(&mut rig, &["held"]);
    rig.wait(config().memory.min_residency);
    queue_in_vain(&mut rig, &["wanted"], seconds(5.0));
    rig.hint(rig.key("guess"));
    assert_eq!(rig.state("spare"), "unloading");
}

#[test]
fn a_guess_does_not_take_what_a_demands_victim_freed() {
    let mut specs = ["z", "y", "guess"].map(spec).to_vec();
    specs.push(with(spec("wanted"), |s| {
        s.conflicts = vec![crate::rig::id("y")];
        s.conflict_policy = ConflictPolicy::Replace;
    }));
    let mut config = config();
    (config.loads.max_concurrent, config.loads.kept_for_demands) = (4, 1);
    let mut rig = Rig::with_pools(specs, Vec::new(), 200, config.clone());
    rig.have("z");
    rig.have("y");
    rig.wait(config.memory.min_residency);
    rig.operator("z", OperatorAction::Unload { force: false });
    rig.hint(rig.key("guess"));
    rig.demand(&["wanted"]);
    rig.unloaded("y");
    assert!(rig.is_loading("wanted"), "{:?}", rig.states(&["z", "y", "guess", "wanted"]));
}

#[test]
fn a_younger_demand_takes_no_pool_that_an_admitted_one_needs() {
    let sizes = [("x", "general", 200), ("a", "general", 100), ("b", "p", 100), ("c", "p", 100)];
    let specs = sizes.map(|(name, pool, mib)| pooled(name, pool, mib)).to_vec();
    let mut rig = Rig::with_pools(specs, pool("p", Some(100), false), 300, config());
    rig.have("x");
    rig.wait(config().memory.min_residency);
    let older = rig.demand(&["a", "b"]);
    assert_eq!(rig.states(&["x", "a", "b"]), ["unloading", "queued", "queued"]);
    rig.demand(&["c"]);
    rig.unloaded("x");
    rig.settle();
    assert_eq!(rig.answered(older), "granted");
}

#[test]
fn what_is_leased_takes_its_part_of_what_stays_while_idle() {
    let specs = ["held", "a", "b"].map(|n| with(spec(n), |s| s.memory = ByteSize::mib(100)));
    let mut config = config();
    config.idle.trim = majordomo_core::IdleTrimWhen::Always;
    (config.idle.after, config.idle.keep_share) = (seconds(60.0), 0.2);
    let mut rig = Rig::with_pools(specs.to_vec(), Vec::new(), 1000, config);
    hold(&mut rig, &["a", "b", "held"]);
    rig.give_back("a");
    rig.give_back("b");
    let used = vec![rig.key("a"), rig.key("b")];
    rig.input(Input::Observed { command: None, used, text_scores: Vec::new() });
    rig.wait(seconds(120.0));
    // A fifth of the budget stays: the one that is leased, and one more.
    let states = rig.states(&["held", "a", "b"]);
    assert_eq!(states[0], "ready");
    assert_eq!(states.iter().filter(|s| **s == "ready").count(), 2, "{states:?}");
}

#[test]
fn a_guess_waits_for_what_was_loaded_just_now_and_may_stay() {
    let mut rig = rig(&[("fresh", 400), ("guess", 300)], 600);
    rig.demand(&["fresh"]);
    rig.loaded("fresh");
    rig.give_back("fresh");
    rig.hint(rig.key("guess"));
    assert_eq!(rig.states(&["fresh", "guess"]), ["ready", "unloaded"]);
    rig.wait(config().memory.min_residency);
    assert_eq!(rig.state("fresh"), "unloading");
}

#[test]
fn a_demand_does_not_wait_for_the_victims_of_a_guess() {
    let mut rig = rig(&[("slow", 100), ("guess", 80), ("small", 40)], 150);
    rig.demand(&["slow"]);
    rig.loaded("slow");
    rig.give_back("slow");
    rig.wait(config().memory.min_residency);
    rig.hint(rig.key("guess"));
    assert_eq!(rig.states(&["slow", "guess"]), ["unloading", "queued"]);
    // 50 MiB are free, and the guess has set them aside.
    rig.demand(&["small"]);
    assert!(rig.is_loading("small"));
}

#[test]
fn a_demand_keeps_what_its_victims_freed_while_an_older_one_waits_for_its_own() {
    for pool_of_slow in ["general", "other"] {
        keeps_what_its_victims_freed(pool_of_slow);
    }
}

fn keeps_what_its_victims_freed(pool_of_slow: &str) {
    let mut specs = vec![pooled("slow", pool_of_slow, 100)];
    let sizes = [("quick", 100), ("older", 200), ("younger", 100)];
    specs.extend(sizes.map(|(name, mib)| pooled(name, "general", mib)));
    let mut rig = Rig::with_pools(specs, pool("other", None, false), 300, config());
    for name in ["slow", "quick"] {
        rig.demand(&[name]);
        rig.loaded(name);
        rig.give_back(name);
        rig.wait(seconds(1.0));
    }
    rig.wait(config().memory.min_residency);
    rig.demand(&["older"]);
    rig.demand(&["younger"]);
    assert_eq!(rig.states(&["slow", "quick"]), ["unloading", "unloading"]);
    rig.unloaded("quick");
    assert!(rig.is_loading("younger"), "{:?}", rig.states(&["slow", "older", "younger"]));
    rig.unloaded("slow");
    assert!(rig.is_loading("older"));
}
