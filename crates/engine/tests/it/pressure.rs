//! Memory pressure: the actions of each level, overdraft by other programs, limits of components,
//! and components that run out of memory.

use majordomo_core::{
    ByteSize, Cause, EventKind, IncarnationId, Moment, OpId, PressureLevel, Priority, Refusal,
};
use majordomo_engine::{Effect, Footprints, Input, LoadFailure, OperatorAction, OutOfMemory};
use majordomo_registry::{ComponentSpec, LoaderSpec, OverLimit, PoolSpec, TrimSignal, TrimSpec};

use crate::rig::{Rig, config, id, seconds, spec, with};

use PressureLevel::{Critical, Emergency, High, Low, Medium};

fn of(name: &str, priority: Priority) -> ComponentSpec {
    with(spec(name), |s| s.priority = priority)
}

/// One component of each kind.
fn all_kinds() -> Rig {
    let specs = vec![
        of("core", Priority::Core),
        of("high", Priority::High),
        of("medium", Priority::Medium),
        of("low", Priority::Low),
        with(of("pinned", Priority::Low), |s| s.pinned = true),
        of("leased", Priority::Low),
        with(of("top", Priority::High), |s| s.dependencies = vec![id("base")]),
        of("base", Priority::Low),
        of("preloaded", Priority::High),
    ];
    let mut rig = Rig::new(specs, 2000);
    for name in ["core", "high", "medium", "low", "pinned", "top"] {
        rig.make_ready(name);
    }
    rig.demand(&["leased"]);
    rig.settle();
    rig.hint(rig.key("preloaded"));
    rig.settle();
    assert_eq!(rig.state("preloaded"), "ready");
    rig.wait(seconds(3.0));
    rig
}

fn trims(rig: &Rig) -> usize {
    rig.effects.iter().filter(|e| matches!(e, Effect::Trim { .. })).count()
}

fn measured(rig: &mut Rig, rows: &[(&str, u64)], external: u64, unreturned: u64) {
    let row = |&(name, mib): &(&str, u64)| {
        let key = rig.key(name);
        let id = rig.engine.incarnation(key).expect("the component is up");
        (id, ByteSize::mib(mib).into())
    };
    let own = rows.iter().map(row).collect();
    let (external, unreturned) = (ByteSize::mib(external), ByteSize::mib(unreturned));
    rig.input(Input::Footprints(Footprints { own, external, unreturned }));
}

#[test]
fn each_pressure_level_trims_and_evicts_its_kinds_of_components() {
    let check = |level: PressureLevel, n_trimmed: usize, evicted_names: &[&str], refused: bool| {
        let mut rig = all_kinds();
        rig.input(Input::Pressure(level));
        assert_eq!(trims(&rig), n_trimmed, "{level}: trims");
        rig.settle();
        for name in
            ["core", "high", "medium", "low", "pinned", "leased", "top", "base", "preloaded"]
        {
            let want = if evicted_names.contains(&name) { "unloaded" } else { "ready" };
            assert_eq!(rig.state(name), want, "{level}: {name}");
        }
        // No component is preloaded while pressure lasts.
        if evicted_names.contains(&"preloaded") {
            rig.hint(rig.key("preloaded"));
            rig.settle();
            assert_eq!(rig.state("preloaded"), "unloaded", "{level}: speculation");
            let w = rig.demand(&["preloaded"]);
            rig.settle();
            let want = if refused { "pressure" } else { "granted" };
            assert_eq!(rig.answered(w), want, "{level}: a demand");
        }
    };
    check(Low, 0, &[], false);
    check(Medium, 9, &["preloaded"], false);
    check(High, 9, &["preloaded", "low"], false);
    check(Critical, 9, &["preloaded", "low", "medium"], false);
    check(Emergency, 9, &["preloaded", "low", "medium", "high", "top", "base"], true);
}

#[test]
fn pressure_levels_of_actions_are_configurable() {
    let mut settings = config();
    settings.memory.unload_low_at = Medium;
    settings.memory.trim_at = Emergency;
    settings.memory.unload_medium_at = Emergency;
    let mut rig =
        Rig::with_pools(vec![of("low", Priority::Low), spec("medium")], vec![], 500, settings);
    rig.make_ready("low");
    rig.make_ready("medium");
    rig.wait(seconds(3.0));
    rig.input(Input::Pressure(Medium));
    rig.settle();
    assert_eq!(rig.states(&["low", "medium"]), ["unloaded", "ready"]);
}

#[test]
fn pressure_rounds_back_off_without_progress_and_unload_after_a_release() {
    let mut rig = Rig::new(vec![of("low", Priority::Low)], 500);
    rig.demand(&["low"]);
    rig.settle();
    rig.wait(seconds(3.0));
    rig.input(Input::Pressure(High));
    assert_eq!(trims(&rig), 1);
    let mut rounds = Vec::new();
    let mut at = rig.now;
    while rounds.len() < 7 {
        let next = rig.engine.next_wakeup().expect("pressure is not over");
        rig.wait(next.since(rig.now));
        rounds.push(next.since(at).as_secs());
        at = next;
    }
    assert_eq!(rounds, [1, 2, 4, 8, 16, 30, 30]);
    rig.give_back("low");
    rig.wait(seconds(30.0));
    rig.settle();
    assert_eq!(rig.state("low"), "unloaded");
}

#[test]
fn rising_pressure_acts_at_once_during_a_back_off() {
    let mut rig = Rig::new(vec![of("medium", Priority::Medium)], 500);
    rig.make_ready("medium");
    rig.wait(seconds(3.0));
    rig.input(Input::Pressure(High));
    rig.wait(seconds(20.0));
    assert_eq!(rig.state("medium"), "ready");
    rig.input(Input::Pressure(Critical));
    assert_eq!(rig.state("medium"), "unloading");
}

#[test]
fn other_programs_and_unreturned_bytes_are_overdraft_by_kind() {
    let check = |external: u64, unreturned: u64, want: [u64; 4]| {
        let mut rig = Rig::new(vec![spec("a"), spec("b")], 200);
        rig.make_ready("a");
        rig.make_ready("b");
        measured(&mut rig, &[("a", 100), ("b", 130)], external, unreturned);
        let d = rig.engine.status(rig.now).memory.overdraft_by_kind;
        let got = [d.growth, d.external, d.unreturned, d.config].map(|b| b.0 >> 20);
        assert_eq!(got, want, "{external} external, {unreturned} unreturned");
    };
    check(0, 0, [30, 0, 0, 0]);
    check(50, 0, [30, 50, 0, 0]);
    check(0, 20, [30, 0, 20, 0]);
    check(10, 5, [30, 10, 5, 0]);

    let mut rig = Rig::new(vec![spec("a"), spec("b"), spec("c")], 250);
    rig.make_ready("a");
    rig.wait(seconds(1.0));
    rig.make_ready("b");
    rig.wait(seconds(3.0));
    measured(&mut rig, &[], 100, 0);
    assert_eq!(trims(&rig), 2, "a trim first");
    rig.wait(seconds(1.1));
    rig.settle();
    assert_eq!(rig.states(&["a", "b"]), ["unloaded", "ready"], "then the least recently used");
    let (external, unreturned) = rig.engine.budget().taken();
    assert_eq!((external, unreturned), (ByteSize::mib(100), ByteSize::ZERO));
    let w = rig.demand(&["c"]);
    rig.settle();
    assert_eq!(rig.answered(w), "granted");
    assert_eq!(rig.state("b"), "unloaded", "bytes of other programs are not available to c");
}

#[test]
fn component_above_its_memory_limit_is_trimmed_and_then_follows_its_policy() {
    let check = |over_limit: OverLimit, priority: Priority, want: &str| {
        let specs = vec![with(of("a", priority), |s| {
            s.memory_limit = Some(ByteSize::mib(120));
            s.over_limit = over_limit;
        })];
        let mut rig = Rig::new(specs, 500);
        rig.make_ready("a");
        measured(&mut rig, &[("a", 120)], 0, 0);
        assert_eq!(trims(&rig), 0, "at its limit is not above it");
        measured(&mut rig, &[("a", 121)], 0, 0);
        assert_eq!(trims(&rig), 1);
        measured(&mut rig, &[("a", 90)], 0, 0);
        rig.wait(seconds(6.0));
        measured(&mut rig, &[("a", 130)], 0, 0);
        rig.wait(seconds(4.9));
        measured(&mut rig, &[("a", 130)], 0, 0);
        assert_eq!(rig.state("a"), "ready", "its time to trim starts again");
        rig.wait(seconds(0.2));
        measured(&mut rig, &[("a", 130)], 0, 0);
        assert_eq!(rig.state("a"), "unloading");
        rig.settle();
        assert_eq!(rig.state("a"), if want == "unload" { "unloaded" } else { "failed" });
        let cause = rig.engine.scheduler().entry(rig.key("a")).cause().cloned();
        if want == "restart" {
            let limit = ByteSize::mib(120);
            assert_eq!(cause, Some(Cause::OverLimit { measured: ByteSize::mib(130), limit }));
        }
        rig.wait(seconds(2.0));
        let after = if want == "unload" { "unloaded" } else { "loading" };
        assert_eq!(rig.state("a"), after, "{over_limit:?}");
    };
    check(OverLimit::Restart, Priority::Medium, "restart");
    check(OverLimit::Unload, Priority::Medium, "unload");
    check(OverLimit::Unload, Priority::Core, "restart");
}

/// A program of 100 MiB that can trim if `trim` is given.
fn program(name: &str, trim: Option<TrimSpec>) -> ComponentSpec {
    let mut spec = ComponentSpec::process(name, &["program"]).expect("a name of a test");
    let LoaderSpec::Process(process) = &mut spec.loader else { unreachable!("it is a process") };
    process.trim = trim;
    spec
}

fn recorded(rig: &Rig, is_counted: impl Fn(&EventKind) -> bool) -> usize {
    let records = rig.effects.iter().filter_map(|e| match e {
        Effect::Record(r) => Some(&r.kind),
        _ => None,
    });
    records.filter(|kind| is_counted(kind)).count()
}

fn cannot_trim(kind: &EventKind) -> bool {
    matches!(kind, EventKind::CannotTrim { .. })
}

#[test]
fn over_limit_policy_is_immediate_without_a_way_to_trim() {
    let check = |trim: Option<TrimSpec>, want: &str| {
        let case = format!("{trim:?}");
        let specs = vec![with(program("a", trim), |s| s.memory_limit = Some(ByteSize::mib(120)))];
        let mut rig = Rig::new(specs, 500);
        rig.make_ready("a");
        measured(&mut rig, &[("a", 121)], 0, 0);
        assert_eq!(rig.state("a"), want, "{case}");
        assert_eq!(trims(&rig), usize::from(want == "ready"), "{case}");
        assert_eq!(recorded(&rig, cannot_trim), usize::from(want != "ready"), "{case}");
    };
    check(None, "unloading");
    check(Some(TrimSpec::Signal(TrimSignal::Usr1)), "ready");
    check(Some(TrimSpec::Http("/trim".into())), "ready");
}

#[test]
fn over_limit_policy_is_immediate_after_a_failed_trim() {
    let specs = vec![with(spec("a"), |s| s.memory_limit = Some(ByteSize::mib(120)))];
    let mut rig = Rig::new(specs, 500);
    rig.make_ready("a");
    let key = rig.key("a");
    let id = rig.engine.incarnation(key).expect("the component is up");
    let failed = |kind: &EventKind| matches!(kind, EventKind::TrimFailed { .. });
    let refused = || Err("it answered 500".to_owned());
    // An answer of an earlier incarnation says nothing about this one.
    let earlier = IncarnationId { op: OpId(id.op.0 + 7), ..id };
    rig.input(Input::Trimmed { id: earlier, result: refused() });
    assert_eq!(recorded(&rig, failed), 0);
    measured(&mut rig, &[("a", 121)], 0, 0);
    measured(&mut rig, &[("a", 121)], 0, 0);
    assert_eq!(rig.state("a"), "ready", "the trim is requested and has its grace");
    rig.input(Input::Trimmed { id, result: Ok(()) });
    measured(&mut rig, &[("a", 121)], 0, 0);
    assert_eq!(rig.state("a"), "ready");
    rig.input(Input::Trimmed { id, result: refused() });
    assert_eq!(recorded(&rig, failed), 1);
    measured(&mut rig, &[("a", 121)], 0, 0);
    assert_eq!(rig.state("a"), "unloading");
}

#[test]
fn operator_trim_of_a_program_without_a_way_is_refused_and_recorded() {
    let usr1 = Some(TrimSpec::Signal(TrimSignal::Usr1));
    let mut rig = Rig::new(vec![program("mute", None), program("able", usr1)], 500);
    rig.make_ready("mute");
    rig.make_ready("able");
    let waiter = rig.operator("mute", OperatorAction::Trim);
    assert_eq!(rig.answered(waiter), "cannot_trim");
    assert_eq!((trims(&rig), recorded(&rig, cannot_trim)), (0, 1));
    rig.operator("able", OperatorAction::Trim);
    assert_eq!((trims(&rig), recorded(&rig, cannot_trim)), (1, 0));
}

#[test]
fn operator_trim_of_a_program_is_answered_by_the_result_of_the_request() {
    let usr1 = Some(TrimSpec::Signal(TrimSignal::Usr1));
    let mut rig = Rig::new(vec![program("a", usr1)], 500);
    rig.make_ready("a");
    let (key, reached) = (rig.key("a"), Ok(()));
    let id = rig.engine.incarnation(key).expect("the component is up");
    let first = rig.operator("a", OperatorAction::Trim);
    assert_eq!(rig.answered(first), "waits");
    rig.input(Input::Trimmed { id, result: reached });
    assert_eq!(rig.answered(first), "done");
    let second = rig.operator("a", OperatorAction::Trim);
    rig.input(Input::Trimmed { id, result: Err("it answered 501".into()) });
    assert_eq!(rig.answered(second), "trim_failed");
    let late = rig.operator("a", OperatorAction::Trim);
    rig.wait(seconds(31.0));
    assert_eq!(rig.answered(late), "deadline_exceeded");
    let lost = rig.operator("a", OperatorAction::Trim);
    rig.exits("a");
    assert_eq!(rig.answered(lost), "trim_failed");
}

#[test]
fn pressure_trims_only_components_that_can_trim() {
    let usr1 = Some(TrimSpec::Signal(TrimSignal::Usr1));
    let mut rig = Rig::new(vec![program("mute", None), program("able", usr1)], 500);
    rig.make_ready("mute");
    rig.make_ready("able");
    rig.input(Input::Pressure(PressureLevel::Medium));
    assert_eq!((trims(&rig), recorded(&rig, cannot_trim)), (1, 0));
}

#[test]
fn running_out_of_memory_raises_the_estimate() {
    let check = |limit: Option<u64>, budget: u64, peak: Option<u64>, want: u64| {
        let specs = vec![with(spec("a"), |s| s.memory_limit = limit.map(ByteSize::mib))];
        let mut rig = Rig::new(specs, budget);
        rig.make_ready("a");
        let key = rig.key("a");
        let id = rig.engine.incarnation(key).expect("the component is up");
        let out_of_memory = Some(OutOfMemory { peak: peak.map(ByteSize::mib) });
        rig.input(Input::Exited {
            id,
            how: "out of memory: a test".into(),
            code: None,
            out_of_memory,
        });
        let raised = rig.effects.iter().find_map(|e| match e {
            Effect::Record(r) => match r.kind {
                EventKind::EstimateRaised { to, .. } => Some(to),
                _ => None,
            },
            _ => None,
        });
        assert_eq!(raised, Some(ByteSize::mib(want)), "{limit:?} {budget} {peak:?}");
        assert!(rig.effects.iter().any(|e| matches!(e, Effect::Persist(_))));
        rig.settle();
        let cause = rig.engine.scheduler().entry(key).cause().cloned();
        assert!(matches!(cause, Some(Cause::OutOfMemory { .. })), "{cause:?}");
        assert_eq!(cause.unwrap().to_string(), "it ran out of memory: a test");
        rig.wait(seconds(2.0));
        rig.demand(&["a"]);
        assert_eq!(rig.engine.budget().reserved_for(key), ByteSize::mib(want));
    };
    check(None, 1000, Some(200), 250);
    check(None, 1000, None, 125);
    check(Some(150), 1000, Some(140), 150);
    check(None, 220, Some(200), 220);
}

#[test]
fn load_after_one_that_ran_out_of_memory_reserves_more() {
    let mut rig = Rig::new(vec![spec("a")], 1000);
    let w = rig.demand(&["a"]);
    let key = rig.key("a");
    let id = rig.engine.incarnation(key).expect("the component loads");
    let out_of_memory = Some(OutOfMemory { peak: Some(ByteSize::mib(400)) });
    let failure = LoadFailure { error: "\"prog\" ran out of memory".into(), out_of_memory };
    rig.forget_load("a");
    rig.input(Input::LoadFinished { id, result: Err(failure) });
    assert_eq!(rig.answered(w), "load_failed");
    let cause = rig.engine.scheduler().entry(key).cause().cloned().unwrap();
    assert_eq!(cause.to_string(), "\"prog\" ran out of memory", "{cause:?}");
    rig.wait(seconds(2.0));
    rig.demand(&["a"]);
    assert_eq!(rig.engine.budget().reserved_for(key), ByteSize::mib(500));
}

#[test]
fn component_measured_above_the_budget_is_refused_with_the_figure() {
    let pool = PoolSpec { name: "ml".into(), budget: Some(ByteSize::mib(150)), declared: false };
    let specs = vec![with(spec("a"), |s| s.pool = "ml".into()), spec("b")];
    let mut rig = Rig::with_pools(specs, vec![pool], 200, config());
    let check = |rig: &mut Rig, name: &str, words: &[&str]| {
        rig.make_ready(name);
        measured(rig, &[(name, 300)], 0, 0);
        rig.wait(seconds(60.0));
        rig.settle();
        assert_eq!(rig.state(name), "unloaded", "its overdraft");
        let w = rig.demand(&[name]);
        assert_eq!(rig.answered(w), "too_large");
        let refusal = rig.effects.iter().find_map(|e| match e {
            Effect::Refuse { refusal, .. } => Some(refusal),
            _ => None,
        });
        let Some(Refusal::TooLarge { measured: Some(m), .. }) = refusal else {
            panic!("{refusal:?}");
        };
        assert_eq!((m.peak, m.declared), (ByteSize::mib(300), ByteSize::mib(100)));
        let text = refusal.map(ToString::to_string).unwrap_or_default();
        for word in words {
            assert!(text.contains(word), "{text}");
        }
    };
    check(&mut rig, "a", &["a was measured at 300 MiB (declared: 100 MiB)"]);
    check(&mut rig, "b", &["b was measured at 300 MiB"]);
}

#[test]
fn reservation_grows_only_into_free_bytes() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 250);
    rig.make_ready("a");
    rig.make_ready("b");
    let grow = |rig: &mut Rig, mib: u64| {
        let key = rig.key("a");
        let id = rig.engine.incarnation(key).expect("the component is up");
        rig.input(Input::Grow { id, bytes: ByteSize::mib(mib) });
        let granted = rig.effects.iter().find_map(|e| match e {
            Effect::SetGrant { bytes, .. } => Some(bytes.0 >> 20),
            _ => None,
        });
        granted.expect("each request is answered")
    };
    assert_eq!(grow(&mut rig, 51), 100, "the growth does not fit, and b is not evicted");
    assert_eq!(grow(&mut rig, 50), 150);
    assert_eq!(rig.engine.budget().free(), ByteSize::ZERO);
    assert_eq!(rig.state("b"), "ready");
    rig.input(Input::Pressure(Emergency));
    assert_eq!(rig.now, Moment::ZERO);
}

/// Whether the last unload of a component hibernates it.
fn hibernates(rig: &Rig, name: &str) -> bool {
    let requested = rig.key(name);
    let found = rig.effects.iter().rev().find_map(|e| match e {
        Effect::StartUnload { id, hibernate, .. } if id.key == requested => Some(*hibernate),
        _ => None,
    });
    found.expect("the component unloads")
}

#[test]
fn unload_hibernates_unless_the_component_failed_or_memory_is_too_short_for_loads() {
    let specs = ["evicted", "unloaded", "failed", "pressed", "next"].map(spec);
    let mut rig = Rig::new(specs.to_vec(), 400);
    for name in ["evicted", "unloaded", "failed", "pressed"] {
        rig.make_ready(name);
    }
    rig.demand(&["next"]);
    assert!(hibernates(&rig, "evicted"));
    rig.operator("unloaded", OperatorAction::Unload { force: false });
    assert!(hibernates(&rig, "unloaded"));
    rig.exits("failed");
    assert!(!hibernates(&rig, "failed"));
    rig.input(Input::Pressure(config().memory.refuse_loads_at));
    assert!(!hibernates(&rig, "pressed"));
}
