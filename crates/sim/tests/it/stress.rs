//! Simulated days: reproducible, clean, and reduced when they fail.

use std::time::Duration;

use majordomo_core::{HintSource, HintTier, Moment};
use majordomo_sim::stress::{Action, INPUTS, STATES, Script, run, shrink, unreachable};

fn script(seed: u64, hours: u64) -> Script {
    Script::seeded(seed, 20, Duration::from_secs(hours * 3_600))
}

#[test]
fn runs_of_a_seed_give_the_same_records_byte_for_byte() {
    let records = || {
        let script = script(11, 1);
        (script.actions.clone(), run(&script, true).trace.expect("a trace was requested"))
    };
    let (first, second) = (records(), records());
    assert_eq!(first.0, second.0);
    assert!(first.1.lines().count() > 1_000, "the day has many inputs");
    assert!(first.1 == second.1, "the traces differ");
    let other = run(&script(12, 1), true).trace;
    assert_ne!(Some(first.1), other, "another seed is another day");
}

#[test]
fn seeds_break_no_invariant() {
    let mut n_beyond_budget = 0;
    for seed in 1..=6 {
        let outcome = run(&script(seed, 2), false);
        assert_eq!(outcome.failure, None, "seed {seed}");
        assert_eq!(outcome.coverage.surprising(false), [], "seed {seed}");
        n_beyond_budget += outcome.counts.n_beyond_budget;
    }
    assert!(n_beyond_budget > 0, "some loads have a peak larger than the budget");
}

#[test]
fn seeds_with_rungs_break_no_invariant() {
    let (mut n_parked, mut n_woken, mut n_failed) = (0, 0, 0);
    for seed in 1..=6 {
        let outcome = run(&script(seed, 2).with_rungs(), false);
        assert_eq!(outcome.failure, None, "seed {seed}");
        assert_eq!(outcome.coverage.surprising(true), [], "seed {seed}");
        let n = |name| outcome.counts.by_name.get(name).copied().unwrap_or_default();
        n_parked += n("parked");
        n_woken += n("woken");
        n_failed += n("park_failed") + n("wake_failed");
    }
    assert!(n_parked > 100 && n_woken > 50 && n_failed > 10, "{n_parked} {n_woken} {n_failed}");
}

#[test]
fn day_without_rungs_has_no_step() {
    let outcome = run(&script(2, 2), false);
    for name in ["offers", "parked", "park_failed", "woken", "wake_failed"] {
        assert_eq!(outcome.counts.by_name.get(name), None, "{name}");
    }
}

#[test]
fn demand_waits_for_at_most_one_cancel_of_a_preload() {
    let mut n_waited = 0;
    for seed in 1..=6 {
        let script = Script { preloading: Some(true), ..script(seed, 2) };
        let outcome = run(&script, false);
        assert_eq!(outcome.failure, None, "seed {seed}");
        let waits = outcome.waits;
        assert!(waits.demands.len() > 1_000, "seed {seed}: the day has many demands");
        assert!(waits.quantile(0.5) <= waits.quantile(0.99), "seed {seed}");
        assert!(waits.longest_for_speculation <= waits.longest_cancel, "seed {seed}");
        assert_eq!(waits.n_beyond_one_cancel, 0, "seed {seed}");
        n_waited += waits.n_for_speculation;
    }
    assert!(n_waited > 0, "preloads are cancelled for demands");
}

#[test]
fn stall_of_the_process_does_not_count_as_wait() {
    let stall = Duration::from_secs(30);
    let (hints, demands) =
        (Moment::ZERO + stall, Moment::ZERO + stall + Duration::from_millis(150));
    let mut n_waited = 0;
    for seed in 1..=20 {
        let mut script = Script { preloading: Some(true), ..script(seed, 1) };
        let hint = |component| Action::Hint {
            component,
            percent: 95,
            tier: HintTier::Immediate,
            source: HintSource::Application,
        };
        let demand = |component| Action::Demand {
            components: vec![component],
            priority: None,
            deadline: None,
            hold: Duration::ZERO,
            patience: None,
            stubborn: false,
            direct: true,
            calm: false,
        };
        script.actions = (0..20).map(|c| (hints, hint(c))).collect();
        script.actions.extend((0..20).rev().map(|c| (demands, demand(c))));
        // The stall covers every cancel and every load.
        script.actions.push((demands, Action::Stall(stall)));
        let outcome = run(&script, false);
        assert_eq!(outcome.failure, None, "seed {seed}");
        let waits = outcome.waits;
        assert!(waits.longest_cancel < stall, "seed {seed}: {:?}", waits.longest_cancel);
        assert!(waits.longest_for_speculation < stall, "seed {seed}");
        assert_eq!(waits.n_beyond_one_cancel, 0, "seed {seed}");
        n_waited += waits.n_for_speculation;
    }
    assert!(n_waited > 0, "preloads are cancelled for demands");
}

#[test]
fn runs_are_compared_by_demands_with_a_wait_in_both() {
    let day = |preloading| {
        let script = Script { preloading: Some(preloading), ..script(3, 3) };
        run(&script, false).waits
    };
    let (on, off) = (day(true), day(false));
    let (mut common, mut same) = (on.clone(), off.clone());
    common.retain_common(&off);
    same.retain_common(&on);
    assert!(common.demands.keys().eq(same.demands.keys()));
    assert!(common.demands.iter().all(|(id, wait)| on.demands.get(id) == Some(wait)));
    let n_all = on.demands.len().min(off.demands.len());
    assert!(common.demands.len() < n_all, "some demands have a wait in one run only");
    assert!(common.demands.len() > n_all * 9 / 10, "most demands have a wait in both");
    // Two runs of the same day have the same demands.
    common = on.clone();
    common.retain_common(&day(true));
    assert_eq!(common.demands, on.demands);
}

#[test]
fn catalogs_of_any_size_run() {
    for n in [4, 60] {
        let script = Script::seeded(3, n, Duration::from_secs(3_600));
        assert_eq!(run(&script, false).failure, None, "{n} components");
    }
}

#[test]
fn parts_of_a_script_run() {
    let script = script(2, 2);
    let half = script.until(script.actions[script.actions.len() / 2].0);
    assert_eq!(run(&half, false).failure, None);
    let every_third: Vec<_> = script.actions.iter().step_by(3).cloned().collect();
    assert_eq!(run(&script.with(every_third), false).failure, None);
}

#[test]
fn failing_script_is_reduced_to_a_few_actions() {
    // Demands that must not time out, but have no time to load anything.
    let mut script = script(5, 1);
    let at = script.actions.last().expect("a day has actions").0 + Duration::from_secs(200);
    script.actions.push((at, Action::Calm));
    let at = at + Duration::from_secs(125);
    script.actions.extend((0..20).map(|component| {
        let demand = Action::Demand {
            components: vec![component],
            priority: None,
            deadline: Some(Duration::from_millis(1)),
            hold: Duration::ZERO,
            patience: None,
            stubborn: false,
            direct: true,
            calm: true,
        };
        (at, demand)
    }));
    script.end = at + Duration::from_secs(60);
    let failure = run(&script, false).failure.expect("it fails by design");
    let n_before = script.actions.len();
    let shrunk = shrink(&script, &failure, 400);
    assert_eq!(shrunk.failure.broken.invariant, failure.broken.invariant);
    assert!(shrunk.script.actions.len() * 20 < n_before, "{} actions", shrunk.script.actions.len());
    assert_eq!(run(&shrunk.script, false).failure, Some(shrunk.failure), "it still fails");
}

#[test]
fn every_impossible_pair_has_a_reason() {
    let pairs = STATES.iter().flat_map(|s| INPUTS.iter().map(move |i| (*s, *i)));
    let reasons: Vec<_> = pairs.filter_map(|(s, i)| unreachable(s, i, true)).collect();
    assert!(!reasons.is_empty() && reasons.iter().all(|r| r.len() > 20));
    assert_eq!(unreachable("ready", "demand", false), None);
    assert!(unreachable("ready", "load_succeeded", false).is_some());
}
