//! The pure core: tiers, merging, replacement, bounds, accounts and the idle plan.

use std::time::Duration;

use majordomo_core::{
    ByteSize, ComponentKey, Confidence, IdleConfig, Moment, PreloadEnd, PressureLevel,
    SpeculationConfig,
};
use majordomo_preloader::{
    Hint, HintAnswer, HintSource, IdleTrim, Preloader, Proposal, Tier, WasteBudget,
};
use proptest::prelude::*;

const LOW: PressureLevel = PressureLevel::Low;

fn hint(key: u32, confidence: f32, tier: Tier, source: HintSource) -> Hint {
    Hint { key: ComponentKey(key), confidence: Confidence::saturating(confidence), tier, source }
}

fn sequence(key: u32, confidence: f32) -> Hint {
    hint(key, confidence, Tier::Delayed, HintSource::Sequence)
}

fn preloader() -> Preloader {
    Preloader::new(&SpeculationConfig::default()).expect("the default settings are in range")
}

fn at(ms: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(ms)
}

fn keys(preloader: &mut Preloader, now: Moment, idle: bool) -> Vec<u32> {
    std::iter::from_fn(|| preloader.next(now, idle, LOW)).map(|p| p.key.0).collect()
}

#[test]
fn hints_are_proposed_by_tier_and_due_time() {
    let mut p = preloader();
    p.hint(hint(1, 0.9, Tier::Background, HintSource::Application), at(0));
    p.hint(hint(2, 0.3, Tier::Delayed, HintSource::Application), at(0));
    p.hint(hint(3, 0.2, Tier::Immediate, HintSource::Application), at(0));
    p.hint(hint(4, 0.5, Tier::Immediate, HintSource::Application), at(0));
    assert_eq!(p.next_wakeup(at(0)), Some(at(100)));
    assert_eq!(keys(&mut p, at(0), false), [4, 3]);
    assert_eq!(keys(&mut p, at(99), false), [0u32; 0]);
    assert_eq!(keys(&mut p, at(100), false), [2]);
    assert_eq!(p.next_wakeup(at(100)), None, "background waits for idleness, not for time");
    assert_eq!(keys(&mut p, at(100), true), [1]);
}

/// A preload by a prediction is started, for which a component of so many times its load time is evicted.
fn displaced(p: &mut Preloader, times: u32) -> (ComponentKey, ComponentKey) {
    let (preload, victim, second) = (ComponentKey(1), ComponentKey(2), Duration::from_secs(1));
    let proposal = Proposal {
        key: preload,
        confidence: Confidence::ONE,
        tier: Tier::Delayed,
        source: HintSource::Sequence,
    };
    p.on_started(&proposal, ByteSize::mib(1), at(0));
    p.on_displaced(preload, second, vec![(victim, second * times)]);
    (preload, victim)
}

#[test]
fn harm_raises_the_floor_of_predictions_by_its_weight() {
    let risen = |weighted: bool, times: u32| {
        let mut p = preloader();
        p.set_weighted(weighted);
        let before = f64::from(p.floor().get()).ln();
        let (preload, victim) = displaced(&mut p, times);
        let harms = p.on_demand(&[victim], at(1));
        assert_eq!(
            harms.iter().map(|(key, h)| (*key, h.preload)).collect::<Vec<_>>(),
            [(victim, preload)]
        );
        f64::from(p.floor().get()).ln() - before
    };
    for (weighted, times, want) in [(false, 1, 0.1), (true, 1, 0.2), (true, 3, 0.6), (true, 9, 0.8)]
    {
        let rise = risen(weighted, times);
        assert!((rise - want).abs() < 1e-3, "{rise} of {want}: weighted {weighted}, {times} times");
    }
}

#[test]
fn certain_prediction_is_admitted_again_some_commands_after_the_highest_floor() {
    let mut p = preloader();
    p.set_weighted(true);
    for _ in 0..20 {
        let (preload, victim) = displaced(&mut p, 4);
        p.on_demand(&[victim], at(1));
        p.on_evicted(preload, at(2));
    }
    let mut commands = 0;
    loop {
        p.observe(&[sequence(3, 1.0)], at(10));
        if p.n_waiting() > 0 {
            break;
        }
        commands += 1;
    }
    assert_eq!(commands, 12, "a floor of e^0.2, 0.016 lower with each command");
}

#[test]
fn observation_replaces_predictions_and_keeps_hints_of_the_application() {
    let mut p = preloader();
    p.observe(&[sequence(1, 0.5), sequence(2, 0.4)], at(0));
    p.hint(hint(9, 0.5, Tier::Delayed, HintSource::Application), at(0));
    p.observe(&[sequence(3, 0.5)], at(50));
    assert_eq!(keys(&mut p, at(100), false), [9]);
    assert_eq!(keys(&mut p, at(150), false), [3]);
    // At most three predictions of an observation, the likeliest.
    p.observe(&(0..8).map(|k| sequence(k, 0.2 + 0.1 * k as f32)).collect::<Vec<_>>(), at(200));
    assert_eq!(keys(&mut p, at(300), false), [7, 6, 5]);
}

#[test]
fn trigger_outlives_the_observation_of_its_own_command() {
    let mut p = preloader();
    p.hint(hint(1, 0.9, Tier::Delayed, HintSource::Trigger), at(0));
    p.observe(&[sequence(2, 0.5)], at(50));
    assert_eq!(p.n_waiting(), 2);
    p.observe(&[], at(60));
    assert_eq!(p.n_waiting(), 0);
}

#[test]
fn duplicates_merge_and_may_become_more_urgent() {
    let mut p = preloader();
    assert_eq!(p.hint(hint(1, 0.3, Tier::Background, HintSource::Text), at(0)), HintAnswer::Queued);
    assert_eq!(p.hint(hint(1, 0.6, Tier::Delayed, HintSource::Text), at(0)), HintAnswer::Merged);
    // A less urgent hint changes nothing.
    assert_eq!(
        p.hint(hint(1, 0.1, Tier::Background, HintSource::Text), at(0)),
        HintAnswer::BelowFloor
    );
    assert_eq!(p.hint(hint(1, 0.2, Tier::Background, HintSource::Text), at(0)), HintAnswer::Merged);
    assert_eq!(p.n_waiting(), 1);
    // The hint was due at once in the background tier, so the delay of the new tier does not apply.
    let proposal = p.next(at(0), false, LOW).unwrap();
    assert_eq!((proposal.tier, proposal.confidence), (Tier::Delayed, Confidence::saturating(0.6)));
    // During the load a new hint has nothing to add.
    p.on_started(&proposal, ByteSize::mib(1), at(0));
    assert_eq!(p.hint(sequence(1, 0.9), at(10)), HintAnswer::Present);
}

#[test]
fn full_tier_keeps_the_likelier_hints() {
    let config = SpeculationConfig { queue: 2, ..SpeculationConfig::default() };
    let mut p = Preloader::new(&config).unwrap();
    let app = |key, c| hint(key, c, Tier::Immediate, HintSource::Application);
    assert_eq!(p.hint(app(1, 0.5), at(0)), HintAnswer::Queued);
    assert_eq!(p.hint(app(2, 0.4), at(0)), HintAnswer::Queued);
    assert_eq!(p.hint(app(3, 0.3), at(0)), HintAnswer::Full);
    assert_eq!(p.hint(app(4, 0.6), at(0)), HintAnswer::Queued);
    // Another tier has its own bound.
    assert_eq!(
        p.hint(hint(5, 0.2, Tier::Delayed, HintSource::Application), at(0)),
        HintAnswer::Queued
    );
    assert_eq!(keys(&mut p, at(0), false), [4, 1]);
    let over = p.section().into_iter().find(|(name, _)| name == "hints over the bound");
    assert_eq!(over.unwrap().1.to_string(), "2");
}

#[test]
fn pressure_stops_proposals_and_old_hints_expire() {
    let mut p = preloader();
    p.hint(hint(1, 0.9, Tier::Immediate, HintSource::Application), at(0));
    assert!(p.next(at(0), true, PressureLevel::Medium).is_none());
    assert!(p.next(at(59_000), true, PressureLevel::Emergency).is_none());
    assert_eq!(p.n_waiting(), 1);
    assert!(p.next(at(61_000), true, LOW).is_none());
    assert_eq!(p.n_waiting(), 0);
}

#[test]
fn demand_drops_the_hints_of_its_component() {
    let mut p = preloader();
    p.observe(&[sequence(1, 0.5)], at(0));
    p.on_demand(&[ComponentKey(1)], at(10));
    assert_eq!(keys(&mut p, at(100), true), [0u32; 0]);
    assert_eq!(p.account(ComponentKey(1)).started, 0);
}

/// One preload of 2 MiB, started at 0 and ended by `end`.
fn account(end: impl Fn(&mut Preloader)) -> (Preloader, majordomo_preloader::PreloadAccount) {
    let mut p = preloader();
    let proposal = Proposal {
        key: ComponentKey(1),
        confidence: Confidence::ONE,
        tier: Tier::Delayed,
        source: HintSource::Sequence,
    };
    p.on_started(&proposal, ByteSize::mib(2), at(0));
    end(&mut p);
    let account = p.account(ComponentKey(1));
    assert_eq!(account, p.tier_account(Tier::Delayed));
    assert_eq!(p.tier_account(Tier::Immediate), majordomo_preloader::PreloadAccount::default());
    (p, account)
}

#[test]
fn accounts_distinguish_hit_late_wasted_and_failed() {
    let key = ComponentKey(1);
    let (_, a) = account(|p| {
        p.on_loaded(key, at(500));
        p.on_used(key, at(700));
        p.on_used(key, at(800));
        p.on_evicted(key, at(900));
    });
    assert_eq!((a.started, a.hits, a.late, a.wasted, a.open), (1, 1, 0, 0, 0));
    // Late by the moment of the demand, once the component is used.
    let demanded = |p: &mut Preloader| {
        p.on_demand(&[key], at(300));
        p.on_loaded(key, at(500));
    };
    let (_, a) = account(|p| {
        demanded(p);
        p.on_used(key, at(500));
    });
    assert_eq!((a.hits, a.late, a.saved), (0, 1, Duration::from_millis(300)));
    let (_, a) = account(|p| {
        demanded(p);
        p.on_evicted(key, at(900));
    });
    assert_eq!((a.hits, a.late, a.wasted), (0, 0, 1), "demanded and not used");
    let (p, a) = account(|p| {
        p.on_loaded(key, at(500));
        p.on_evicted(key, at(4000));
    });
    assert_eq!((a.wasted, a.wasted_byte_seconds), (1, 4.0 * 2.0 * f64::from(1 << 20)));
    assert!(p.floor() > preloader().floor(), "waste raises the floor");
    let (p, a) = account(|p| {
        p.on_failed(key);
    });
    assert_eq!((a.failed, a.wasted, a.open), (1, 0, 0));
    assert_eq!(p.floor(), preloader().floor());
}

#[test]
fn preload_without_a_demand_before_its_expiry_is_wasted() {
    let key = ComponentKey(1);
    let day = SpeculationConfig::default().expiry;
    let (mut p, a) = account(|p| {
        p.on_loaded(key, at(0));
        assert_eq!(p.expire(at(0) + day), []);
    });
    assert_eq!((a.open, a.wasted), (1, 0));
    let ended = p.expire(at(1) + day);
    assert!(matches!(ended[..], [(k, PreloadEnd::Wasted { .. })] if k == key), "{ended:?}");
    assert_eq!((p.account(key).open, p.account(key).wasted), (0, 1));
    assert_eq!(p.expire(at(2) + day), []);
    // A demand for a set waits with it, so it does not expire.
    let (mut p, _) = account(|p| {
        p.on_loaded(key, at(0));
        p.on_demand(&[key], at(10));
    });
    assert_eq!(p.expire(at(2) + day), []);
}

#[test]
fn each_kind_of_source_has_its_own_waste_budget() {
    let mut p = preloader();
    let certain = |k| hint(k, 1.0, Tier::Immediate, HintSource::Application);
    let mut k = 0;
    // An application that is always certain and never right.
    while p.hint(certain(k), at(0)) == HintAnswer::Queued {
        let proposal = p.next(at(0), false, LOW).unwrap();
        p.on_started(&proposal, ByteSize::mib(1), at(0));
        p.on_evicted(proposal.key, at(10));
        k += 1;
        assert!(k < 100, "certainty does not escape the budget");
    }
    assert_eq!(p.hint(certain(k), at(20)), HintAnswer::BelowFloor);
    assert_eq!(p.floor(), preloader().floor(), "the floor of the models does not rise");
    p.observe(&[sequence(200, 0.2)], at(20));
    assert_eq!(keys(&mut p, at(200), false), [200]);
    for i in 0..20 {
        p.observe(&[], at(300 + i));
    }
    assert_eq!(p.hint(certain(k), at(400)), HintAnswer::Queued, "the floor sinks again with time");
}

#[test]
fn merged_hint_keeps_the_source_of_higher_precedence() {
    let trigger = hint(1, 0.5, Tier::Delayed, HintSource::Trigger);
    let app = hint(1, 0.5, Tier::Delayed, HintSource::Application);
    let mut p = preloader();
    // A trigger merged with a prediction outlives the observation of its own command, too.
    p.observe(&[sequence(1, 0.5)], at(0));
    assert_eq!(p.hint(trigger, at(10)), HintAnswer::Merged);
    p.observe(&[], at(20));
    assert_eq!(p.n_waiting(), 1);
    // Given again, it counts as new.
    assert_eq!(p.hint(trigger, at(30)), HintAnswer::Merged);
    p.observe(&[], at(40));
    assert_eq!(p.n_waiting(), 1);
    assert_eq!(p.hint(app, at(50)), HintAnswer::Merged);
    p.observe(&[], at(70));
    p.observe(&[], at(80));
    let proposal = p.next(at(200), false, LOW).unwrap();
    assert_eq!(proposal.source, HintSource::Application);
}

#[test]
fn prediction_is_dropped_with_its_observation() {
    let mut p = preloader();
    p.hint(hint(1, 0.15, Tier::Background, HintSource::Application), at(0));
    p.observe(&[sequence(1, 0.9)], at(10));
    let mut likelier = p.clone();
    let proposal = likelier.next(at(500), true, LOW).unwrap();
    assert_eq!((proposal.source, proposal.tier), (HintSource::Sequence, Tier::Delayed));
    assert_eq!(likelier.n_waiting(), 0, "both hints are done");
    // After another command there is no prediction of 1.
    p.observe(&[], at(20));
    let proposal = p.next(at(500), true, LOW).unwrap();
    let stated = (HintSource::Application, Tier::Background, Confidence::saturating(0.15));
    assert_eq!((proposal.source, proposal.tier, proposal.confidence), stated);
}

#[test]
fn tier_keeps_its_bound_when_hints_become_more_urgent() {
    let mut p =
        Preloader::new(&SpeculationConfig { queue: 1, ..SpeculationConfig::default() }).unwrap();
    let app = |key, c, tier| hint(key, c, tier, HintSource::Application);
    p.hint(app(1, 0.5, Tier::Immediate), at(0));
    p.hint(app(2, 0.3, Tier::Background), at(0));
    assert_eq!(p.hint(app(2, 0.4, Tier::Immediate), at(0)), HintAnswer::Merged);
    assert_eq!(Tier::ALL.map(|t| p.n_waiting_in(t)), [1, 0, 1], "the tier has no place for it");
    assert_eq!(p.hint(app(2, 0.6, Tier::Immediate), at(0)), HintAnswer::Merged);
    assert_eq!(
        Tier::ALL.map(|t| p.n_waiting_in(t)),
        [1, 0, 0],
        "the likelier hint takes the place"
    );
    assert_eq!(keys(&mut p, at(0), true), [2]);
}

#[test]
fn proposal_that_is_put_back_keeps_its_age() {
    let mut p = preloader();
    p.hint(hint(1, 0.5, Tier::Immediate, HintSource::Trigger), at(0));
    p.observe(&[], at(10));
    let proposal = p.next(at(20), false, LOW).unwrap();
    assert!(p.put_back(&proposal, at(30_000)));
    assert!(p.next(at(29_999), true, LOW).is_none());
    assert_eq!(p.next_wakeup(at(20)), Some(at(30_000)));
    let proposal = p.next(at(30_000), false, LOW).unwrap();
    // Its patience would end before that.
    assert!(!p.put_back(&proposal, at(61_000)));
    assert_eq!(p.n_waiting(), 0);
    // The hint that was put back keeps its age, so the second observation replaces it.
    p.hint(hint(2, 0.5, Tier::Immediate, HintSource::Trigger), at(0));
    p.observe(&[], at(10));
    let proposal = p.next(at(20), false, LOW).unwrap();
    assert!(p.put_back(&proposal, at(1000)));
    p.observe(&[], at(30));
    assert_eq!(p.n_waiting(), 0);
}

#[test]
fn settings_outside_their_ranges_are_refused() {
    let config = SpeculationConfig {
        queue: 0,
        waste: f64::NAN,
        expiry: Duration::ZERO,
        ..SpeculationConfig::default()
    };
    let expected = "speculation.queue is 0; it must lie within 1 and 4096; \
        speculation.expiry is 0s; it must lie within 1ms and 30days; \
        speculation.waste is NaN; it must lie within 0 and 1";
    assert_eq!(Preloader::new(&config).unwrap_err().to_string(), expected);
    let mut preloader = preloader();
    assert_eq!(preloader.set_config(&config).unwrap_err().to_string(), expected);
}

#[test]
fn idle_trimming_keeps_the_most_valuable_per_byte() {
    let mut idle = IdleTrim::new(IdleConfig {
        after: Duration::from_secs(60),
        keep_share: 0.5,
        ..IdleConfig::default()
    });
    assert_eq!(idle.next_wakeup(), None);
    idle.on_used(at(1000));
    let wakeup = at(61_000);
    assert_eq!(idle.next_wakeup(), Some(wakeup));
    let loaded = |k: u32, mib, keep| (ComponentKey(k), ByteSize::mib(mib), keep);
    let loaded = [loaded(0, 20, 0.1), loaded(1, 30, 0.5), loaded(2, 10, 0.2), loaded(3, 5, 0.05)];
    let plan = |idle: &mut IdleTrim, now| {
        let unloaded = idle.plan(now, ByteSize::mib(100), ByteSize::mib(5), &loaded);
        unloaded.into_iter().map(|k| k.0).collect::<Vec<_>>()
    };
    assert_eq!(plan(&mut idle, at(60_999)), [0u32; 0], "before the moment of the plan");
    // 45 MiB are free: 1 and 2 fit, then 0 does not, but 3 does.
    assert_eq!(plan(&mut idle, wakeup), [0]);
    assert_eq!(idle.next_wakeup(), None, "one plan until the next use");
    assert_eq!(idle.trimmed(), [ComponentKey(0)]);
    // A second plan trims more; the first component is still to be refilled.
    idle.on_used(at(100_000));
    let unloaded = idle.plan(at(160_000), ByteSize::mib(20), ByteSize::ZERO, &loaded[1..3]);
    assert_eq!(unloaded, [ComponentKey(1)]);
    assert_eq!(idle.trimmed(), [ComponentKey(0), ComponentKey(1)]);
    idle.on_back(ComponentKey(0));
    idle.retain(|k| k != ComponentKey(1));
    assert_eq!(idle.trimmed(), []);
}

/// A call of the preloader.
#[derive(Clone, Debug)]
enum Step {
    Observe(Vec<(u32, f32)>),
    Hint(u32, f32, usize),
    Next(bool),
    Loaded(u32),
    Used(u32),
    Demand(u32),
    Evicted(u32),
    Failed(u32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0u32..8;
    prop_oneof![
        prop::collection::vec((key.clone(), 0f32..1.0), 0..6).prop_map(Step::Observe),
        (key.clone(), 0f32..1.0, 0usize..3).prop_map(|(k, c, t)| Step::Hint(k, c, t)),
        any::<bool>().prop_map(Step::Next),
        key.clone().prop_map(Step::Loaded),
        key.clone().prop_map(Step::Used),
        key.clone().prop_map(Step::Demand),
        key.clone().prop_map(Step::Evicted),
        key.prop_map(Step::Failed),
        (0u64..40_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Every preload that was started is a hit, late, wasted, failed or open; queues keep their bounds;
    /// no hint below the floor is proposed, and no component twice while it waits or is open.
    #[test]
    fn accounts_balance(steps in prop::collection::vec(step(), 1..80)) {
        let config = SpeculationConfig { queue: 2, ..SpeculationConfig::default() };
        let mut p = Preloader::new(&config).unwrap();
        let (mut now, mut n_started) = (0u64, 0);
        for step in steps {
            let time = at(now);
            match step {
                Step::Observe(hints) => {
                    let hints: Vec<_> = hints.iter().map(|(k, c)| sequence(*k, *c)).collect();
                    p.observe(&hints, time);
                }
                Step::Hint(k, c, tier) => {
                    p.hint(hint(k, c, Tier::ALL[tier], HintSource::Application), time);
                }
                Step::Next(idle) => {
                    if let Some(proposal) = p.next(time, idle, LOW) {
                        prop_assert!(proposal.confidence >= p.floor_of(proposal.source));
                        prop_assert_eq!(p.account(proposal.key).open, 0);
                        p.on_started(&proposal, ByteSize::mib(1), time);
                        n_started += 1;
                    }
                }
                Step::Loaded(k) => p.on_loaded(ComponentKey(k), time),
                Step::Used(k) => {
                    p.on_used(ComponentKey(k), time);
                }
                Step::Demand(k) => {
                    p.on_demand(&[ComponentKey(k)], time);
                }
                Step::Evicted(k) => {
                    p.on_evicted(ComponentKey(k), time);
                }
                Step::Failed(k) => {
                    p.on_failed(ComponentKey(k));
                }
                Step::Wait(ms) => now += ms,
            }
            for tier in Tier::ALL {
                prop_assert!(p.n_waiting_in(tier) <= 2);
            }
            let floor = p.floor();
            let waste = WasteBudget::from(&config);
            prop_assert!(waste.lowest_floor <= floor && floor <= waste.highest_floor);
            let mut sum = 0;
            for tier in Tier::ALL {
                let a = p.tier_account(tier);
                prop_assert_eq!(a.started, a.hits + a.late + a.wasted + a.failed + a.open);
                sum += a.started;
            }
            prop_assert_eq!(sum, n_started);
        }
    }
}

#[test]
fn wasted_preload_raises_the_floor_by_its_share_of_a_load() {
    let floor = |share: Option<f64>| {
        let (p, account) = account(|p| {
            if let Some(share) = share {
                p.on_partial_load(ComponentKey(1), share);
            }
            p.on_evicted(ComponentKey(1), at(900));
        });
        assert_eq!(account.wasted, 1, "whatever it cost");
        f64::from(p.floor().get())
    };
    let lowest = f64::from(preloader().floor().get());
    let [whole, part, none] = [None, Some(0.25), Some(0.0)].map(floor);
    assert!((none - lowest).abs() < 1e-6 && part > none && whole > part, "{none} {part} {whole}");
    let steps = |floor: f64| (floor / lowest).ln();
    assert!((steps(part) - 0.25 * steps(whole)).abs() < 1e-3, "{part} {whole}");
}
