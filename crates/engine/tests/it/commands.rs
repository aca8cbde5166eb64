//! Commands from their beginning to their end: the forecast while they run, and the learning
//! from them.

use std::time::Duration;

use majordomo_core::{ByteSize, CommandId, EventKind, HintTier, PressureLevel};
use majordomo_engine::{Effect, Input};

use crate::rig::{Rig, config, seconds, spec, with};

fn begin(rig: &mut Rig, command: u64, names: &[&str]) {
    let uses = names.iter().map(|n| rig.key(n)).collect();
    rig.input(Input::Begun { command: CommandId(command), uses });
}

fn observe(rig: &mut Rig, command: Option<u64>, names: &[&str]) {
    let used = names.iter().map(|n| rig.key(n)).collect();
    let command = command.map(CommandId);
    rig.input(Input::Observed { command, used, text_scores: Vec::new() });
}

/// Components of 100 MiB. The sequence "a", "b", "c", "a" is learned before the first preload.
fn trained(names: &[&str], budget_mib: u64, change: impl Fn(&mut majordomo_core::Config)) -> Rig {
    let specs = names.iter().map(|n| with(spec(n), |s| s.memory = ByteSize::mib(100)));
    let mut config = config();
    (config.loads.max_concurrent, config.loads.kept_for_demands) = (Some(4), 1);
    change(&mut config);
    let mut rig = Rig::with_pools(specs.collect(), Vec::new(), budget_mib, config);
    rig.input(Input::Pressure(PressureLevel::Medium));
    for i in 0..120 {
        observe(&mut rig, None, &[["a", "b", "c"][i % 3]]);
        rig.now += seconds(10.0);
    }
    rig.wait(seconds(120.0));
    rig.input(Input::Tick);
    rig.input(Input::Pressure(PressureLevel::Low));
    rig
}

/// Preloads of the delayed tier.
fn n_started(rig: &Rig) -> u64 {
    rig.engine.preloader().tier_account(HintTier::Delayed).started
}

#[test]
fn successor_of_a_command_is_preloaded_while_the_command_runs() {
    let mut rig = trained(&["a", "b", "c"], 250, |_| ());
    begin(&mut rig, 0, &["a"]);
    rig.demand(&["a"]);
    rig.loaded("a");
    let since = rig.now;
    let mut because = None;
    while because.is_none() {
        rig.now = rig.engine.next_wakeup().expect("hints are due");
        rig.input(Input::Tick);
        let b = rig.key("b");
        because = rig.effects.iter().find_map(|effect| match effect {
            Effect::Record(r) => match &r.kind {
                EventKind::Hint { component, because, .. } if *component == b => {
                    Some(because.clone())
                }
                _ => None,
            },
            _ => None,
        });
    }
    assert_eq!(rig.now.since(since), config().speculation.delay);
    assert_eq!(rig.states(&["a", "b", "c"]), ["ready", "loading", "unloaded"]);
    // The evidence is that of the forecast for the time after the command.
    let because = because.expect("found above");
    assert!(because.iter().any(|o| o.probability > 0.3), "{because:?}");
}

#[test]
fn eviction_for_a_command_keeps_its_likely_successor() {
    let mut rig = trained(&["a", "b", "c"], 250, |config| {
        config.speculation.enabled = false;
        config.memory.policy = majordomo_core::PolicyKind::Vrank;
    });
    // "b" was used least recently, and "c" most recently.
    for name in ["b", "c"] {
        rig.make_ready(name);
    }
    begin(&mut rig, 0, &["a"]);
    rig.demand(&["a"]);
    assert_eq!(rig.states(&["b", "c"]), ["ready", "unloading"]);
}

#[test]
fn command_without_uses_does_not_change_the_forecast() {
    for silent in [false, true] {
        let mut rig = trained(&["a", "b", "c"], 250, |_| ());
        let a = rig.key("a");
        let before = rig.engine.values().get(a);
        begin(&mut rig, 0, &["a"]);
        assert_ne!(rig.engine.values().get(a), before);
        if silent {
            rig.input(Input::Ended { command: CommandId(0) });
        } else {
            observe(&mut rig, Some(0), &[]);
        }
        assert_eq!(rig.engine.values().get(a), before);
        // The forecast is that of the last command, not of this one.
        rig.wait(seconds(1.0));
        assert_eq!(rig.states(&["a", "b"]), ["loading", "unloaded"]);
    }
}

#[test]
fn preloads_of_one_command_are_limited() {
    let mut rig = trained(&["a", "b", "c"], 2000, |config| {
        config.speculation.per_command = 1;
        config.speculation.floor = majordomo_core::Confidence::saturating(0.001);
    });
    begin(&mut rig, 0, &["a"]);
    for _ in 0..3 {
        rig.wait(seconds(1.0));
        rig.settle();
    }
    assert_eq!(n_started(&rig), 1);
    observe(&mut rig, Some(0), &["a"]);
    for _ in 0..3 {
        rig.wait(seconds(1.0));
        rig.settle();
    }
    assert_eq!(n_started(&rig), 1, "the limit counts from the beginning of the command");
    observe(&mut rig, None, &["b"]);
    rig.wait(seconds(1.0));
    assert!(n_started(&rig) == 2 || rig.state("c") == "ready");
}

#[test]
fn frequent_commands_do_not_delay_hints() {
    let run = |every_ms: u64| {
        let mut rig = trained(&["a", "b", "c"], 250, |_| ());
        rig.demand(&["a"]);
        rig.loaded("a");
        for command in 0..100 {
            begin(&mut rig, command, &["a"]);
            rig.wait(Duration::from_millis(every_ms));
        }
        rig.engine.preloader().account(rig.key("b")).started
    };
    assert_eq!((run(101), run(60)), (1, 1));
}

#[test]
fn end_of_one_command_keeps_the_forecast_of_the_others() {
    let mut rig = trained(&["a", "b", "c", "x"], 1000, |_| ());
    begin(&mut rig, 0, &["x"]);
    begin(&mut rig, 1, &["a"]);
    observe(&mut rig, Some(0), &["x"]);
    let b = rig.key("b");
    assert!(rig.engine.values().get(b).next.get() > 0.3, "{:?}", rig.engine.values().get(b));
    rig.wait(seconds(1.0));
    assert_eq!(rig.states(&["a", "b"]), ["unloaded", "loading"]);
}

#[test]
fn long_command_is_learned_once() {
    let mut rig = trained(&["a", "b", "c"], 600, |_| ());
    let before = rig.engine.sequence().n_observed();
    begin(&mut rig, 0, &["a", "b"]);
    rig.demand(&["a", "b"]);
    rig.settle();
    for name in ["a", "b"] {
        rig.wait(seconds(4.0));
        rig.used(name);
    }
    rig.wait(seconds(4.0));
    assert_eq!(rig.engine.sequence().n_observed(), before);
    observe(&mut rig, Some(0), &["a", "b"]);
    assert_eq!(rig.engine.sequence().n_observed(), before + 1);
}

#[test]
fn forgotten_use_is_not_learned_again_from_a_late_usage_sweep() {
    let mut rig = trained(&["a", "b", "c"], 600, |_| ());
    rig.demand(&["a"]);
    rig.loaded("a");
    let at = rig.now;
    rig.wait(seconds(0.1));
    observe(&mut rig, None, &["a"]);
    rig.input(Input::Forget);
    assert_eq!(rig.engine.sequence().n_observed(), 0);
    rig.wait(seconds(0.9));
    let key = rig.key("a");
    let id = rig.engine.incarnation(key).expect("the component is up");
    let usage = majordomo_engine::Usage { id, uses: 1, last_use: Some(at) };
    rig.input(Input::Usage(vec![usage]));
    rig.wait(seconds(3.0));
    assert_eq!(rig.engine.sequence().n_observed(), 0);
    // Later uses are learned.
    rig.used("a");
    rig.wait(seconds(3.0));
    assert_eq!(rig.engine.sequence().n_observed(), 1);
}
