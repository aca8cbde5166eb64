//! Whose files are read ahead, and when.

use majordomo_core::{ByteSize, ComponentId, Config, PressureLevel};
use majordomo_engine::{Effect, Input, OperatorAction};

use crate::rig::{Rig, config, id, seconds, spec, with};

fn observe(rig: &mut Rig, name: &str) {
    let used = vec![rig.key(name)];
    rig.input(Input::Observed { command: None, used, text_scores: Vec::new() });
}

/// Three components of which one fits; they are used in turn, and "a" is in use, so that "b" is likely next.
fn in_turn(change: impl Fn(&mut Config)) -> Rig {
    let specs = ["a", "b", "c"].map(|n| with(spec(n), |s| s.memory = ByteSize::mib(100)));
    let mut config = config();
    change(&mut config);
    let mut rig = Rig::with_pools(specs.into(), Vec::new(), 130, config);
    rig.input(Input::Pressure(PressureLevel::Medium));
    for i in 0..120 {
        observe(&mut rig, ["a", "b", "c"][i % 3]);
        rig.now += seconds(10.0);
    }
    rig.wait(seconds(120.0));
    rig.input(Input::Pressure(PressureLevel::Low));
    rig.demand(&["a"]);
    rig.loaded("a");
    rig
}

/// The components whose files are read, while `act` runs; the speculative ones with a question mark.
fn read(rig: &mut Rig, act: impl FnOnce(&mut Rig)) -> Vec<String> {
    rig.effects.clear();
    act(rig);
    let name = |key| ComponentId::to_string(rig.engine.catalog().id(key));
    let effects = rig.effects.iter();
    effects
        .filter_map(|e| match e {
            Effect::ReadAhead { key, speculative: true } => Some(format!("{}?", name(*key))),
            Effect::ReadAhead { key, speculative: false } => Some(name(*key)),
            Effect::StopReadAhead => Some("stop".to_owned()),
            _ => None,
        })
        .collect()
}

fn use_a(rig: &mut Rig) {
    observe(rig, "a");
    rig.wait(seconds(1.0));
}

#[test]
fn files_of_the_likely_next_component_are_read_ahead_once() {
    let mut rig = in_turn(|_| ());
    let first = read(&mut rig, use_a);
    assert_eq!(first.first().map(String::as_str), Some("b?"), "{first:?}");
    assert!(read(&mut rig, use_a).is_empty(), "they are likely still cached");
    rig.wait(seconds(601.0));
    assert!(read(&mut rig, use_a).contains(&"b?".to_owned()));
}

#[test]
fn nothing_is_read_speculatively_under_pressure_beside_a_demand_or_when_switched_off() {
    let mut rig = in_turn(|_| ());
    rig.input(Input::Pressure(PressureLevel::Medium));
    assert!(read(&mut rig, use_a).is_empty());
    let mut rig = in_turn(|_| ());
    rig.demand(&["c"]);
    assert!(read(&mut rig, use_a).is_empty());
    for switch_off in [
        |c: &mut Config| c.read_ahead.enabled = false,
        |c: &mut Config| c.speculation.enabled = false,
    ] {
        let mut rig = in_turn(switch_off);
        assert!(read(&mut rig, use_a).is_empty());
    }
}

#[test]
fn demand_ends_speculative_reads_and_reads_its_own_files() {
    let mut rig = in_turn(|_| ());
    assert!(read(&mut rig, use_a).contains(&"b?".to_owned()));
    rig.give_back("a");
    assert_eq!(read(&mut rig, |rig| _ = rig.demand(&["b"])), ["stop"]);
    assert_eq!(read(&mut rig, |rig| rig.unloaded("a")), ["b"]);
}

#[test]
fn demand_reads_the_rest_of_a_long_speculative_read_that_was_ended() {
    let mut rig = in_turn(|_| ());
    assert!(read(&mut rig, use_a).contains(&"b?".to_owned()));
    rig.wait(seconds(30.0));
    rig.give_back("a");
    assert_eq!(read(&mut rig, |rig| _ = rig.demand(&["b"])), ["stop"]);
    assert_eq!(read(&mut rig, |rig| rig.unloaded("a")), ["b"]);
}

#[test]
fn files_of_a_demanded_closure_are_read_while_its_members_wait_for_providers() {
    let specs = vec![spec("base"), with(spec("top"), |s| s.dependencies = vec![id("base")])];
    let mut rig = Rig::new(specs, 1000);
    assert_eq!(read(&mut rig, |rig| _ = rig.demand(&["top"])), ["base", "top"]);
    assert!(read(&mut rig, |rig| rig.loaded("base")).is_empty());
    rig.loaded("top");
    rig.give_back("top");
    rig.operator("base", OperatorAction::Unload { force: false });
    rig.settle();
    // They may have left the cache meanwhile: each load asks once.
    assert_eq!(read(&mut rig, |rig| _ = rig.demand(&["base"])), ["base"]);
    assert!(read(&mut rig, |rig| rig.wait(seconds(0.1))).is_empty());
}

#[test]
fn read_counts_as_useful_when_its_component_is_loaded() {
    let mut rig = in_turn(|_| ());
    use_a(&mut rig);
    assert_eq!(rig.engine.read_ahead_outcomes(), (0, 0));
    rig.give_back("a");
    rig.demand(&["b"]);
    rig.unloaded("a");
    rig.loaded("b");
    assert_eq!(rig.engine.read_ahead_outcomes().0, 1);
}
