//! Simulated days: reproducible, clean, and reduced when they fail.

use std::time::Duration;

use majordomo_core::{HintSource, HintTier, Moment};
use majordomo_sim::stress::{Action, INPUTS, STATES, Script, run, shrink, unreachable};

fn script(seed: u64, hours: u64) -> Script {
    Script::seeded(seed, 20, Duration::from_secs(hours * 3_600))
}

#[test]
fn two_runs_of_a_seed_give_the_same_records_byte_for_byte() {
    let records = || {
        let script = script(11, 1);
        (script.actions.clone(), run(&script, true).trace.expect("it was asked for"))
    };
    let (first, second) = (records(), records());
    assert_eq!(first.0, second.0);
    assert!(first.1.lines().count() > 1_000, "much happens");
    assert!(first.1 == second.1, "the traces differ");
    let other = run(&script(12, 1), true).trace;
    assert_ne!(Some(first.1), other, "another seed is another day");
}

#[test]
fn some_hours_of_some_seeds_are_clean() {
    let mut n_beyond_budget = 0;
    for seed in 1..=6 {
        let outcome = run(&script(seed, 2), false);
        assert_eq!(outcome.failure, None, "seed {seed}");
        assert_eq!(outcome.coverage.surprising(), [], "seed {seed}");
        n_beyond_budget += outcome.counts.n_beyond_budget;
    }
    assert!(n_beyond_budget > 0, "some loads have a peak larger than the budget");
}

#[test]
fn no_demand_waits_for_more_than_one_cancel_of_a_load_ahead() {
    let mut n_waited = 0;
    for seed in 1..=6 {
        let script = Script { preloading: Some(true), ..script(seed, 2) };
        let outcome = run(&script, false);
        assert_eq!(outcome.failure, None, "seed {seed}");
        let waits = outcome.waits;
        assert!(waits.demands.len() > 1_000, "seed {seed}: much is asked for");
        assert!(waits.quantile(0.5) <= waits.quantile(0.99), "seed {seed}");
        assert!(waits.longest_for_speculation <= waits.longest_cancel, "seed {seed}");
        assert_eq!(waits.n_beyond_one_cancel, 0, "seed {seed}");
        n_waited += waits.n_for_speculation;
    }
    assert!(n_waited > 0, "loads ahead are cancelled for demands");
}

#[test]
fn time_in_which_the_process_stands_still_is_no_wait() {
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
        // Every cancel and every load takes it all.
        script.actions.push((demands, Action::Stall(stall)));
        let outcome = run(&script, false);
        assert_eq!(outcome.failure, None, "seed {seed}");
        let waits = outcome.waits;
        assert!(waits.longest_cancel < stall, "seed {seed}: {:?}", waits.longest_cancel);
        assert!(waits.longest_for_speculation < stall, "seed {seed}");
        assert_eq!(waits.n_beyond_one_cancel, 0, "seed {seed}");
        n_waited += waits.n_for_speculation;
    }
    assert!(n_waited > 0, "loads ahead are cancelled for demands");
}

#[test]
fn two_days_of_a_script_are_compared_by_the_demands_that_have_a_wait_in_both() {
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
    assert!(common.demands.len() < n_all, "some are refused in one of them only");
    assert!(common.demands.len() > n_all * 9 / 10, "most are the same");
    // The same day has no demand that another run of it lacks.
    common = on.clone();
    common.retain_common(&day(true));
    assert_eq!(common.demands, on.demands);
}

#[test]
fn a_catalog_may_be_small_or_large() {
    for n in [4, 60] {
        let script = Script::seeded(3, n, Duration::from_secs(3_600));
        assert_eq!(run(&script, false).failure, None, "{n} components");
    }
}

#[test]
fn a_script_runs_in_part() {
    let script = script(2, 2);
    let half = script.until(script.actions[script.actions.len() / 2].0);
    assert_eq!(run(&half, false).failure, None);
    let every_third: Vec<_> = script.actions.iter().step_by(3).cloned().collect();
    assert_eq!(run(&script.with(every_third), false).failure, None);
}

#[test]
fn a_failing_script_is_reduced_to_what_makes_it_fail() {
    // Demands that must not time out, and yet have no time to load anything.
    let mut script = script(5, 1);
    let at = script.actions.last().expect("a day has actions").0 + Duration::from_secs(200);
    script.actions.push((at, Action::Calm));
    let at = at + Duration::from_secs(125);
    script.actions.extend((0..20).map(|component| {
        let ask = Action::Demand {
            components: vec![component],
            priority: None,
            deadline: Some(Duration::from_millis(1)),
            hold: Duration::ZERO,
            patience: None,
            stubborn: false,
            direct: true,
            calm: true,
        };
        (at, ask)
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
fn the_table_of_pairs_gives_a_reason_for_each_that_cannot_be() {
    let pairs = STATES.iter().flat_map(|s| INPUTS.iter().map(move |i| (*s, *i)));
    let reasons: Vec<_> = pairs.filter_map(|(s, i)| unreachable(s, i)).collect();
    assert!(!reasons.is_empty() && reasons.iter().all(|r| r.len() > 20));
    assert_eq!(unreachable("ready", "demand"), None);
    assert!(unreachable("ready", "load_succeeded").is_some());
}
