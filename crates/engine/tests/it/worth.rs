//! One scale for preloads and their victims: the expected waiting that each saves; and the harm of those that were
//! misjudged.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, ComponentKey, Confidence, EventKind, HintSource, HintTier, PolicyKind, Priority,
};
use majordomo_engine::{Effect, Input};
use majordomo_registry::{Catalog, ComponentSpec, ConflictPolicy};
use proptest::prelude::*;

use crate::rig::{Rig, config, id, seconds, spec, with};

fn component(name: &str, mib: u64, load_time: f64) -> ComponentSpec {
    with(spec(name), |s| (s.memory, s.load_time) = (ByteSize::mib(mib), seconds(load_time)))
}

/// Loads a component in its load time and releases it.
fn load(rig: &mut Rig, name: &str) {
    let waiter = rig.demand(&[name]);
    rig.settle_unloads();
    for key in rig.engine.catalog().closure(&[rig.key(name)]) {
        let part = rig.engine.catalog().id(key).to_string();
        if rig.is_loading(&part) {
            let time = rig.engine.catalog().spec(key).expect("it is configured").load_time;
            rig.wait(time);
            rig.loaded(&part);
        }
    }
    assert_eq!(rig.answered(waiter), "granted", "{name}");
    rig.give_back(name);
}

/// The text of the last command expects these components next, with these probabilities.
fn expect(rig: &mut Rig, rows: &[(&str, f32)]) {
    let score = |(name, p): &(&str, f32)| (rig.key(name), Confidence::saturating(*p));
    let text_scores = rows.iter().map(score).collect();
    rig.input(Input::Observed { command: None, used: Vec::new(), text_scores });
}

fn hint(rig: &mut Rig, name: &str, confidence: f32) {
    rig.input(Input::Hint {
        key: rig.key(name),
        confidence: Confidence::saturating(confidence),
        tier: HintTier::Immediate,
        source: HintSource::Application,
    });
}

/// The victims of the last input, each with its loss, and the gain that it was evicted for.
fn victims(rig: &Rig) -> Vec<(ComponentKey, f64, f64)> {
    let victim = |e: &Effect| match e {
        Effect::Record(record) => match record.kind {
            EventKind::Victim { component, loss, gain: Some(gain), .. } => {
                Some((component, loss, gain))
            }
            _ => None,
        },
        _ => None,
    };
    rig.effects.iter().filter_map(victim).collect()
}

fn harms(rig: &Rig) -> usize {
    let is_harm = |e: &&Effect| matches!(e, Effect::Record(record) if matches!(record.kind, EventKind::Harm { .. }));
    rig.effects.iter().filter(is_harm).count()
}

/// `slow` and `quick`, of which one fits; `slow` loads four times as long.
fn slow_and_quick(loaded: &str) -> Rig {
    let specs = vec![component("slow", 100, 2.0), component("quick", 100, 0.5)];
    let mut rig = Rig::new(specs, 100);
    load(&mut rig, loaded);
    rig
}

#[test]
fn preload_displaces_what_saves_less_waiting_however_probable() {
    let mut rig = slow_and_quick("slow");
    expect(&mut rig, &[("slow", 0.5)]);
    hint(&mut rig, "quick", 1.0);
    assert_eq!(rig.states(&["slow", "quick"]), ["ready", "unloaded"], "1 s against 0.5 s");
    let mut rig = slow_and_quick("quick");
    expect(&mut rig, &[("quick", 0.8)]);
    hint(&mut rig, "slow", 0.5);
    assert_eq!(rig.states(&["slow", "quick"]), ["queued", "unloading"], "0.4 s against 1 s");
    let [(_, loss, gain)] = victims(&rig)[..] else { panic!("{:?}", rig.effects) };
    assert!((loss - 0.4).abs() < 1e-3 && (gain - 1.0).abs() < 1e-3, "{loss}, {gain}");
}

#[test]
fn provider_is_worth_the_demands_for_its_dependents_from_a_reload_on() {
    let specs = |dependencies: &[&str]| {
        let embed = with(component("embed", 50, 2.0), |s| {
            s.dependencies = dependencies.iter().map(|name| id(name)).collect();
        });
        vec![component("store", 50, 1.0), embed, component("new", 100, 1.0)]
    };
    let mut rig = Rig::new(specs(&[]), 100);
    load(&mut rig, "store");
    expect(&mut rig, &[("embed", 0.8)]);
    let catalog = Catalog::build(specs(&["store"]), Vec::new(), Some(rig.engine.catalog()));
    let catalog = Arc::new(catalog.expect("a catalog of a test"));
    let (config, budget) = (Box::new(config()), ByteSize::mib(100));
    rig.input(Input::Configure { catalog, config, budget });
    hint(&mut rig, "new", 0.5);
    assert_eq!(rig.state("store"), "ready", "0.8 s against 0.5 s");
}

#[test]
fn provider_is_ranked_by_the_sum_of_what_its_dependents_are_worth() {
    for policy in [PolicyKind::Vrank, PolicyKind::VrankWait] {
        let dependents = ["d1", "d2", "d3", "d4"];
        let mut specs = vec![component("store", 10, 0.01), component("alone", 100, 1.0)];
        specs.extend(
            dependents.map(|name| {
                with(component(name, 100, 1.0), |s| s.dependencies = vec![id("store")])
            }),
        );
        specs.push(component("new", 50, 1.0));
        let mut config = config();
        config.memory.policy = policy;
        let mut rig = Rig::with_pools(specs, Vec::new(), 510, config);
        for name in dependents.into_iter().chain(["alone"]) {
            load(&mut rig, name);
        }
        let mut scores = dependents.map(|name| (name, 0.5)).to_vec();
        scores.push(("alone", 0.2));
        rig.wait(seconds(100.0));
        expect(&mut rig, &scores);
        rig.demand(&["new"]);
        // 0.5 · 4 and the store's own uses by 410 MiB, against 0.2 by 100 MiB.
        assert_eq!(rig.states(&["store", "d1", "alone"]), ["ready", "ready", "unloading"]);
    }
}

#[test]
fn stated_confidence_protects_its_preload_as_it_gained_it_its_place() {
    let hinted = || {
        let mut rig = slow_and_quick("quick");
        hint(&mut rig, "slow", 0.9);
        rig.settle_unloads();
        rig.wait(seconds(2.0));
        rig.loaded("slow");
        rig
    };
    let mut rig = hinted();
    expect(&mut rig, &[("slow", 0.0)]);
    hint(&mut rig, "quick", 1.0);
    assert_eq!(rig.states(&["slow", "quick"]), ["ready", "unloaded"], "1.8 s against 0.5 s");
    // The statement is about as many commands as the forecast.
    let mut rig = hinted();
    for _ in 0..8 {
        expect(&mut rig, &[("slow", 0.0)]);
    }
    hint(&mut rig, "quick", 1.0);
    assert_eq!(rig.states(&["slow", "quick"]), ["unloading", "queued"]);
    // A use answers it.
    let mut rig = hinted();
    rig.demand(&["slow"]);
    rig.give_back("slow");
    expect(&mut rig, &[("slow", 0.0)]);
    hint(&mut rig, "quick", 1.0);
    assert_eq!(rig.states(&["slow", "quick"]), ["unloading", "queued"]);
}

#[test]
fn provider_is_worth_the_demands_for_its_dependents() {
    let check = |loaded: &str, want: &str| {
        let dependent = with(component("embed", 50, 2.0), |s| s.dependencies = vec![id("store")]);
        let specs = vec![component("store", 50, 1.0), dependent, component("new", 100, 1.0)];
        let mut rig = Rig::new(specs, 100);
        load(&mut rig, loaded);
        expect(&mut rig, &[("embed", 0.4)]);
        // Of `store` 0.4 s are lost, of `embed` 0.8 s.
        hint(&mut rig, "new", 0.6);
        assert_eq!(rig.state("store"), want, "{loaded} loaded");
    };
    check("embed", "ready");
    check("store", "unloading");
}

#[test]
fn preload_that_the_next_command_overtakes_saves_only_a_part() {
    let usual = |pause: f64| {
        let mut rig = slow_and_quick("quick");
        for n in 0..10 {
            let command = majordomo_core::CommandId(n);
            let uses = vec![rig.key("quick")];
            rig.input(Input::Begun { command, uses: uses.clone() });
            rig.input(Input::Observed {
                command: Some(command),
                used: uses,
                text_scores: Vec::new(),
            });
            rig.wait(seconds(pause));
        }
        expect(&mut rig, &[("quick", 0.8)]);
        hint(&mut rig, "slow", 0.5);
        rig.state("quick")
    };
    assert_eq!(usual(20.0), "unloading");
    assert_eq!(usual(0.1), "ready");
}

#[test]
fn prediction_that_the_next_command_overtakes_is_below_the_floor() {
    let after = |pause: f64| {
        let specs = vec![component("used", 10, 0.1), component("slow", 100, 2.0)];
        let mut rig = Rig::new(specs, 200);
        load(&mut rig, "used");
        for n in 0..10 {
            let (command, uses) = (majordomo_core::CommandId(n), vec![rig.key("used")]);
            rig.input(Input::Begun { command, uses: uses.clone() });
            // The pauses are known before anything is predicted.
            let score = if n < 9 { 0.0 } else { 0.2 };
            let text_scores = vec![(rig.key("slow"), Confidence::saturating(score))];
            rig.input(Input::Observed { command: Some(command), used: uses, text_scores });
            rig.wait(seconds(pause));
        }
        rig.engine.preloader().account(rig.key("slow")).started
    };
    assert!(after(5.0) > 0);
    assert_eq!(after(0.1), 0);
}

#[test]
fn preload_replaces_a_conflicting_component_that_is_idle_and_saves_less() {
    let state = |policy: ConflictPolicy, leased: bool, confidence: f32| {
        let conflicting = with(component("dictate", 100, 1.0), |s| {
            (s.conflicts, s.conflict_policy) = (vec![id("listen")], policy);
        });
        let mut rig = Rig::new(vec![component("listen", 100, 1.0), conflicting], 300);
        load(&mut rig, "listen");
        if leased {
            rig.demand(&["listen"]);
        }
        expect(&mut rig, &[("listen", 0.5)]);
        hint(&mut rig, "dictate", confidence);
        rig.settle_unloads();
        rig.states(&["listen", "dictate"])
    };
    assert_eq!(state(ConflictPolicy::Replace, false, 0.4), ["ready", "unloaded"]);
    assert_eq!(state(ConflictPolicy::Replace, false, 0.6), ["unloaded", "loading"]);
    assert_eq!(state(ConflictPolicy::Replace, true, 0.6), ["ready", "unloaded"]);
    assert_eq!(state(ConflictPolicy::Refuse, false, 0.6), ["ready", "unloaded"]);
}

#[test]
fn victim_of_a_higher_priority_weighs_twice_for_each_level() {
    let victim = |priority: Priority, confidence: f32| {
        let specs = vec![
            with(component("victim", 100, 1.0), |s| s.priority = priority),
            with(component("new", 100, 1.0), |s| s.priority = Priority::Medium),
        ];
        let mut rig = Rig::new(specs, 100);
        load(&mut rig, "victim");
        expect(&mut rig, &[("victim", 0.4)]);
        hint(&mut rig, "new", confidence);
        rig.state("victim")
    };
    assert_eq!(victim(Priority::Medium, 0.5), "unloading");
    assert_eq!(victim(Priority::High, 0.5), "ready", "0.8 s against 0.5 s");
    assert_eq!(victim(Priority::High, 0.9), "unloading");
    assert_eq!(victim(Priority::Low, 0.3), "ready", "a lower priority loses no less");
}

#[test]
fn victims_are_ordered_by_the_losses_by_which_they_are_judged() {
    let component =
        |name: &str, priority: Priority| with(component(name, 100, 1.0), |s| s.priority = priority);
    let specs = vec![
        component("high", Priority::High),
        component("low", Priority::Low),
        component("new", Priority::Low),
    ];
    let mut rig = Rig::new(specs, 200);
    load(&mut rig, "high");
    load(&mut rig, "low");
    rig.wait(seconds(100.0));
    expect(&mut rig, &[("high", 0.1), ("low", 0.3)]);
    hint(&mut rig, "new", 0.35);
    // 0.1 s of a component two levels above weigh 0.4 s.
    assert_eq!(rig.states(&["high", "low"]), ["ready", "unloading"]);
}

#[test]
fn record_of_a_victim_states_the_loss_that_was_judged() {
    let specs = vec![
        with(component("victim", 100, 1.0), |s| s.priority = Priority::High),
        with(component("new", 100, 1.0), |s| s.priority = Priority::Medium),
    ];
    let mut rig = Rig::new(specs, 100);
    load(&mut rig, "victim");
    expect(&mut rig, &[("victim", 0.4)]);
    hint(&mut rig, "new", 0.9);
    let [(_, loss, gain)] = victims(&rig)[..] else { panic!("{:?}", rig.effects) };
    assert!((loss - 0.8).abs() < 1e-3 && (gain - 0.9).abs() < 1e-3, "{loss}, {gain}");
}

#[test]
fn preload_begins_only_when_no_demand_waits_for_its_load() {
    let specs = vec![component("demanded", 100, 1.0), component("next", 100, 1.0)];
    let mut rig = Rig::new(specs, 300);
    rig.demand(&["demanded"]);
    hint(&mut rig, "next", 0.9);
    assert_eq!(rig.states(&["demanded", "next"]), ["loading", "unloaded"]);
    rig.wait(seconds(1.0));
    rig.loaded("demanded");
    assert_eq!(rig.states(&["demanded", "next"]), ["ready", "loading"]);
}

#[test]
fn demand_for_the_victim_of_an_unused_preload_is_harm_and_raises_the_floor() {
    let displaced = || {
        let mut rig = slow_and_quick("quick");
        hint(&mut rig, "slow", 0.5);
        rig.settle_unloads();
        rig.wait(seconds(2.0));
        rig.loaded("slow");
        rig
    };
    let floor = |rig: &Rig| rig.engine.preloader().floor_of(HintSource::Application);
    let harmful = |rig: &Rig| rig.engine.preloader().account(rig.key("slow")).harmful;
    let mut rig = displaced();
    let before = floor(&rig);
    rig.demand(&["quick"]);
    assert_eq!((harms(&rig), harmful(&rig)), (1, 1));
    let account = rig.engine.preloader().account(rig.key("slow"));
    assert_eq!(account.harm, Duration::from_millis(500));
    assert!(floor(&rig) > before);
    // Not once the preload has served a demand.
    let mut rig = displaced();
    rig.demand(&["slow"]);
    rig.give_back("slow");
    rig.demand(&["quick"]);
    assert_eq!((harms(&rig), harmful(&rig)), (0, 0));
    // Nor when commands have passed beyond the horizon of the values.
    let mut rig = displaced();
    for _ in 0..8 {
        expect(&mut rig, &[("quick", 0.1)]);
    }
    rig.demand(&["quick"]);
    assert_eq!((harms(&rig), harmful(&rig)), (0, 0));
}

#[test]
fn demand_for_a_preload_and_its_victim_together_is_no_harm() {
    for [victim, preload] in [["a", "b"], ["b", "a"]] {
        let specs = vec![component("a", 100, 1.0), component("b", 100, 1.0)];
        let mut rig = Rig::new(specs, 100);
        load(&mut rig, victim);
        hint(&mut rig, preload, 0.5);
        rig.settle_unloads();
        rig.loaded(preload);
        // Both do not fit: the demand is partial.
        rig.command(&["a", "b"], None);
        assert_eq!(harms(&rig), 0, "{victim} was evicted for {preload}");
    }
}

proptest! {
    #[test]
    fn preload_never_displaces_components_of_higher_expected_loss(
        rows in prop::collection::vec((20..120u64, 1..40u32, 0..100u8), 3..8),
        confidence in 0.2..1.0f32,
    ) {
        let name = |i: usize| format!("c{i}");
        let specs = rows.iter().enumerate();
        let specs = specs.map(|(i, r)| component(&name(i), r.0, f64::from(r.1) / 10.0)).collect();
        let (newcomer, loaded) = (name(0), 1..rows.len());
        // All but the first fit together; the first does not fit beside them.
        let budget = rows[1..].iter().map(|r| r.0).sum::<u64>().max(rows[0].0);
        let mut rig = Rig::with_pools(specs, Vec::new(), budget, config());
        for i in loaded.clone() {
            load(&mut rig, &name(i));
        }
        let names: Vec<_> = loaded.map(name).collect();
        let scores: Vec<_> =
            names.iter().zip(&rows[1..]).map(|(n, r)| (n.as_str(), f32::from(r.2) / 100.0)).collect();
        expect(&mut rig, &scores);
        hint(&mut rig, &newcomer, confidence);
        let victims = victims(&rig);
        // Computed again from the table: a probability times a load time.
        let gain = f64::from(confidence) * f64::from(rows[0].1) / 10.0;
        let loss: f64 = victims
            .iter()
            .filter_map(|v| (1..rows.len()).find(|i| rig.key(&name(*i)) == v.0))
            .map(|i| f64::from(rows[i].2) / 100.0 * f64::from(rows[i].1) / 10.0)
            .sum();
        prop_assert!(victims.is_empty() || loss < gain + 1e-3, "{loss} for {gain}: {victims:?}");
        prop_assert!((victims.iter().map(|v| v.1).sum::<f64>() - loss).abs() < 1e-3);
    }
}
