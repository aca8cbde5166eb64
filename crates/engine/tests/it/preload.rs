//! Preloads beside demands: their victims and reservations, when they are held back, and their
//! accounting.

use std::time::Duration;

use majordomo_core::ByteSize;
use majordomo_engine::{Effect, Input, OperatorAction};
use majordomo_registry::{ComponentSpec, ConflictPolicy, PoolSpec};

use crate::rig::{Rig, config, seconds, spec, with};

fn rig(sizes: &[(&str, u64)], budget_mib: u64) -> Rig {
    let specs = sizes.iter().map(|(name, mib)| pooled(name, "general", *mib));
    let mut config = config();
    (config.loads.max_concurrent, config.loads.kept_for_demands) = (Some(4), 1);
    Rig::with_pools(specs.collect(), Vec::new(), budget_mib, config)
}

fn pooled(name: &str, pool: &str, mib: u64) -> ComponentSpec {
    with(spec(name), |s| (s.memory, s.pool) = (ByteSize::mib(mib), pool.into()))
}

fn pool(name: &str, budget_mib: Option<u64>, declared: bool) -> Vec<PoolSpec> {
    vec![PoolSpec { name: name.into(), budget: budget_mib.map(ByteSize::mib), declared }]
}

/// Loads each component with a lease that is not given back.
fn hold(rig: &mut Rig, names: &[&str]) {
    for name in names {
        rig.demand(&[name]);
        rig.loaded(name);
    }
}

/// Demands a set that stays blocked until its deadline.
fn queue_until_deadline(rig: &mut Rig, names: &[&str], time: Duration) {
    let waits = rig.demand_with(names, None, Some(time));
    rig.wait(time);
    assert_eq!(rig.answered(waits), "deadline_exceeded");
}

fn free(rig: &mut Rig, name: &str) {
    rig.give_back(name);
    rig.operator(name, OperatorAction::Unload { force: false });
    rig.unloaded(name);
}

#[test]
fn demand_for_an_evicted_preload_cancels_other_preloads_at_once() {
    let mut rig = rig(&[("speculative", 240), ("other", 200), ("large", 350)], 600);
    for name in ["speculative", "other"] {
        rig.hint(rig.key(name));
        assert!(rig.is_loading(name), "{name}");
    }
    rig.demand(&["large"]);
    assert_eq!(rig.states(&["speculative", "other"]), ["unloading", "loading"]);
    // The bytes that "speculative" releases are reserved for "large".
    rig.demand(&["speculative"]);
    let other = rig.key("other");
    let cancels = |e: &Effect| matches!(e, Effect::CancelLoad { id, .. } if id.key == other);
    assert!(rig.effects.iter().any(cancels), "{:?}", rig.effects);
}

#[test]
fn preloads_leave_memory_to_queued_demands() {
    let sizes =
        [("held", 300), ("spare", 200), ("requested", 301), ("speculative", 250), ("small", 50)];
    let mut rig = rig(&sizes, 600);
    rig.make_ready("spare");
    hold(&mut rig, &["held"]);
    queue_until_deadline(&mut rig, &["requested"], seconds(5.0));
    let held_back = |rig: &Rig| {
        let status = rig.engine.status(rig.now);
        status.sections["preloader"].iter().any(|l| l.0.starts_with("only beside"))
    };
    assert!(held_back(&rig));
    // The one would evict "spare"; the other would take memory that the next demand of that size
    // needs.
    for name in ["speculative", "small"] {
        rig.hint(rig.key(name));
    }
    assert_eq!(rig.states(&["spare", "speculative", "small"]), ["ready", "unloaded", "unloaded"]);
    // Preloads are held back for the default deadline of demands after the last moment at which one
    // queued.
    rig.wait(config().deadlines.demand - seconds(5.0));
    assert_eq!(rig.state("spare"), "ready");
    rig.wait(seconds(5.0) + Duration::from_millis(1));
    assert_eq!(rig.state("spare"), "unloading");
    assert!(!held_back(&rig));
}

#[test]
fn preloads_take_memory_that_queued_demands_do_not_need() {
    let sizes = [("held", 300), ("other", 200), ("requested", 301), ("small", 50)];
    let mut rig = rig(&sizes, 600);
    hold(&mut rig, &["held", "other"]);
    queue_until_deadline(&mut rig, &["requested"], seconds(5.0));
    for name in ["held", "other"] {
        free(&mut rig, name);
    }
    rig.hint(rig.key("small"));
    assert!(rig.is_loading("small"));
}

#[test]
fn demand_blocked_by_a_conflict_does_not_queue_for_memory() {
    let with_conflict = with(spec("other"), |s| {
        s.conflicts = vec![crate::rig::id("held")];
        s.conflict_policy = ConflictPolicy::Replace;
    });
    let specs = vec![spec("held"), with_conflict, spec("spare"), spec("speculative")];
    let mut rig = Rig::new(specs, 200);
    hold(&mut rig, &["held"]);
    rig.make_ready("spare");
    queue_until_deadline(&mut rig, &["other"], seconds(1.0));
    rig.hint(rig.key("speculative"));
    assert_eq!(rig.state("spare"), "unloading");
}

#[test]
fn dependency_of_a_used_component_is_not_expendable() {
    let dependent = with(spec("app"), |s| s.dependencies = vec![crate::rig::id("engine")]);
    let mut rig = Rig::new(vec![spec("engine"), dependent], 600);
    rig.hint(rig.key("app"));
    rig.settle();
    assert!(rig.take("app"));
    rig.used("app");
    rig.give_back("app");
    // Pressure evicts unused preloads first, whatever their age.
    rig.input(Input::Pressure(majordomo_core::PressureLevel::Medium));
    assert_eq!(rig.states(&["engine", "app"]), ["ready", "ready"]);
}

/// The preloads of a component: hits, late, wasted and open.
fn account(rig: &Rig, name: &str) -> [u64; 4] {
    let a = rig.engine.preloader().account(rig.key(name));
    [a.hits, a.late, a.wasted, a.open]
}

#[test]
fn preload_is_a_hit_when_it_is_granted_and_not_when_it_is_requested() {
    let mut rig = rig(&[("speculative", 100), ("late", 100), ("large", 550)], 600);
    for name in ["speculative", "late"] {
        rig.hint(rig.key(name));
    }
    rig.loaded("speculative");
    // A set that does not fit is refused and uses no preload.
    let refused = rig.demand(&["speculative", "large"]);
    assert_eq!(rig.answered(refused), "too_large");
    assert_eq!(account(&rig, "speculative"), [0, 0, 0, 1]);
    let waits = rig.demand(&["speculative", "late"]);
    assert_eq!(account(&rig, "speculative"), [0, 0, 0, 1]);
    rig.loaded("late");
    assert_eq!(rig.answered(waits), "granted");
    assert_eq!(account(&rig, "speculative"), [1, 0, 0, 0]);
    assert_eq!(account(&rig, "late"), [0, 1, 0, 0]);
}

#[test]
fn preload_that_fails_is_not_wasted() {
    let app = with(spec("app"), |s| s.dependencies = vec![crate::rig::id("engine")]);
    let mut rig = Rig::new(vec![spec("exits"), spec("starves"), spec("engine"), app], 1000);
    for name in ["exits", "starves", "app"] {
        rig.hint(rig.key(name));
    }
    rig.settle();
    let floor = rig.engine.preloader().floor();
    rig.exits("exits");
    rig.exits_out_of_memory("starves");
    // `app` ends with its dependency.
    rig.exits("engine");
    rig.settle();
    for name in ["exits", "starves", "app"] {
        let a = rig.engine.preloader().account(rig.key(name));
        assert_eq!((a.wasted, a.failed, a.open), (0, 1, 0), "{name}");
    }
    assert_eq!(rig.engine.preloader().floor(), floor);
}

#[test]
fn demand_that_is_not_granted_does_not_count_for_a_preload() {
    let mut rig = rig(&[("speculative", 100), ("expired", 100), ("held", 300), ("x", 300)], 600);
    rig.hint(rig.key("speculative"));
    rig.wait(seconds(1.0));
    let waiter = rig.demand(&["speculative"]);
    rig.input(Input::Abandon { waiter });
    rig.wait(seconds(1.0));
    rig.loaded("speculative");
    rig.wait(seconds(3600.0));
    assert!(rig.take("speculative"));
    rig.used("speculative");
    rig.give_back("speculative");
    assert_eq!(account(&rig, "speculative"), [1, 0, 0, 0]);
    // A preload whose demanded set was refused expires like any other.
    rig.hint(rig.key("expired"));
    rig.loaded("expired");
    hold(&mut rig, &["held"]);
    queue_until_deadline(&mut rig, &["expired", "x"], seconds(1.0));
    rig.wait(config().speculation.expiry + seconds(10.0));
    rig.input(Input::Tick);
    assert_eq!(account(&rig, "expired"), [0, 0, 1, 0]);
}

#[test]
fn repeated_hints_are_recorded_once_a_minute() {
    let mut rig = rig(&[("there", 100), ("absent", 100)], 600);
    rig.make_ready("there");
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
    // The limit holds for alternating confidences too.
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
fn demands_queued_for_one_memory_do_not_hold_back_preloads_in_another() {
    let rig_of = |sizes: &[(&str, &str, u64)], vram_mib| {
        let specs = sizes.iter().map(|(name, pool, mib)| pooled(name, pool, *mib));
        Rig::with_pools(specs.collect(), pool("vram", Some(vram_mib), true), 600, config())
    };
    // Demands queue for RAM; a preload in another memory takes nothing from them.
    let sizes =
        [("held", "general", 300), ("requested", "general", 400), ("speculative", "vram", 4000)];
    let mut rig = rig_of(&sizes, 8000);
    hold(&mut rig, &["held"]);
    queue_until_deadline(&mut rig, &["requested"], seconds(5.0));
    free(&mut rig, "held");
    rig.hint(rig.key("speculative"));
    assert!(rig.is_loading("speculative"));
    // Demands queue for the other memory; RAM is not short.
    let sizes = [
        ("held", "vram", 100),
        ("requested", "vram", 100),
        ("spare", "general", 600),
        ("speculative", "general", 100),
    ];
    let mut rig = rig_of(&sizes, 100);
    rig.make_ready("spare");
    hold(&mut rig, &["held"]);
    queue_until_deadline(&mut rig, &["requested"], seconds(5.0));
    rig.hint(rig.key("speculative"));
    assert_eq!(rig.state("spare"), "unloading");
}

#[test]
fn preload_does_not_take_memory_that_is_freed_for_a_demand() {
    let mut specs = ["z", "y", "speculative"].map(spec).to_vec();
    specs.push(with(spec("requested"), |s| {
        s.conflicts = vec![crate::rig::id("y")];
        s.conflict_policy = ConflictPolicy::Replace;
    }));
    let mut config = config();
    (config.loads.max_concurrent, config.loads.kept_for_demands) = (Some(4), 1);
    let mut rig = Rig::with_pools(specs, Vec::new(), 200, config.clone());
    rig.make_ready("z");
    rig.make_ready("y");
    rig.operator("z", OperatorAction::Unload { force: false });
    rig.hint(rig.key("speculative"));
    rig.demand(&["requested"]);
    rig.unloaded("y");
    assert!(
        rig.is_loading("requested"),
        "{:?}",
        rig.states(&["z", "y", "speculative", "requested"])
    );
}

#[test]
fn younger_demand_does_not_take_pool_memory_of_an_admitted_demand() {
    let sizes = [("x", "general", 200), ("a", "general", 100), ("b", "p", 100), ("c", "p", 100)];
    let specs = sizes.map(|(name, pool, mib)| pooled(name, pool, mib)).to_vec();
    let mut rig = Rig::with_pools(specs, pool("p", Some(100), false), 300, config());
    rig.make_ready("x");
    let older = rig.demand(&["a", "b"]);
    assert_eq!(rig.states(&["x", "a", "b"]), ["unloading", "queued", "queued"]);
    rig.demand(&["c"]);
    rig.unloaded("x");
    rig.settle();
    assert_eq!(rig.answered(older), "granted");
}

#[test]
fn leased_component_counts_towards_the_share_kept_while_idle() {
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
    // A fifth of the budget stays loaded: the leased component and one more.
    let states = rig.states(&["held", "a", "b"]);
    assert_eq!(states[0], "ready");
    assert_eq!(states.iter().filter(|s| **s == "ready").count(), 2, "{states:?}");
}

#[test]
fn preload_waits_for_the_minimum_residency_of_its_victim() {
    let mut config = config();
    config.memory.min_residency = seconds(2.0);
    let specs = vec![pooled("fresh", "general", 400), pooled("speculative", "general", 300)];
    let mut rig = Rig::with_pools(specs, Vec::new(), 600, config);
    rig.demand(&["fresh"]);
    rig.loaded("fresh");
    rig.give_back("fresh");
    rig.hint(rig.key("speculative"));
    assert_eq!(rig.states(&["fresh", "speculative"]), ["ready", "unloaded"]);
    rig.wait(seconds(2.0));
    assert_eq!(rig.state("fresh"), "unloading");
}

#[test]
fn preload_cancels_no_load_that_continues_after_the_deadline_of_its_demand() {
    let mut rig = rig(&[("slow", 100), ("speculative", 100)], 100);
    let waiter = rig.demand_with(&["slow"], None, Some(seconds(1.0)));
    rig.wait(seconds(1.0));
    assert_eq!(rig.answered(waiter), "deadline_exceeded");
    rig.hint(rig.key("speculative"));
    assert_eq!(rig.states(&["slow", "speculative"]), ["loading", "unloaded"]);
    // A load that a preload began may be replaced by a better one.
    let mut rig = self::rig(&[("early", 100), ("better", 100)], 100);
    rig.hint(rig.key("early"));
    assert!(rig.is_loading("early"));
    // Its hint's confidence counts for eight commands.
    for _ in 0..8 {
        let text_scores = vec![(rig.key("early"), majordomo_core::Confidence::ZERO)];
        rig.input(Input::Observed { command: None, used: Vec::new(), text_scores });
    }
    rig.hint(rig.key("better"));
    assert_eq!(rig.states(&["early", "better"]), ["unloading", "queued"]);
}

#[test]
fn preload_evicts_no_component_that_a_waiting_demand_needs() {
    let mut rig = rig(&[("idle", 100), ("failing", 100), ("speculative", 200)], 200);
    rig.demand(&["failing"]);
    rig.load_ends("failing", Err("no"));
    rig.make_ready("idle");
    let waiter = rig.demand(&["idle", "failing"]);
    assert_eq!(rig.answered(waiter), "waits", "for the next attempt");
    rig.hint(rig.key("speculative"));
    assert_eq!(rig.states(&["idle", "speculative"]), ["ready", "unloaded"]);
    rig.input(Input::Abandon { waiter });
    rig.hint(rig.key("speculative"));
    assert_eq!(rig.state("idle"), "unloading");
}

#[test]
fn demand_does_not_wait_for_the_victims_of_a_preload() {
    let mut rig = rig(&[("slow", 100), ("speculative", 80), ("small", 40)], 150);
    rig.demand(&["slow"]);
    rig.loaded("slow");
    rig.give_back("slow");
    rig.hint(rig.key("speculative"));
    assert_eq!(rig.states(&["slow", "speculative"]), ["unloading", "queued"]);
    // 50 MiB are free, and the preload has reserved them.
    rig.demand(&["small"]);
    assert!(rig.is_loading("small"));
}

#[test]
fn demand_keeps_memory_freed_by_its_victims_while_an_older_demand_waits() {
    for pool_of_slow in ["general", "other"] {
        check_demand_keeps_freed_memory(pool_of_slow);
    }
}

fn check_demand_keeps_freed_memory(pool_of_slow: &str) {
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
    rig.demand(&["older"]);
    rig.demand(&["younger"]);
    assert_eq!(rig.states(&["slow", "quick"]), ["unloading", "unloading"]);
    rig.unloaded("quick");
    assert!(rig.is_loading("younger"), "{:?}", rig.states(&["slow", "older", "younger"]));
    rig.unloaded("slow");
    assert!(rig.is_loading("older"));
}
