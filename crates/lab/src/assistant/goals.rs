//! The goals of the product on this yardstick, and whether a measurement reaches them (ADR 0027).

mod short;

use super::equal;
use super::figures::{Ratio, mean};
use super::played::Played;
use super::policy::Policy;
use super::record::{Aside, Run, Summary};

/// A goal and its result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Goal {
    pub(super) goal: String,
    pub(super) measured: String,
    /// None where the policies were not played that it compares.
    pub(super) is_reached: Option<bool>,
}

const MEAN_SHARE: f64 = 0.40;
const PEAK_SHARE: f64 = 0.55;
const OVER_LRU: f64 = 0.75;
const OVER_IDLE: f64 = 0.80;
const EXACT: f64 = 0.92;

/// The runs of a policy, by seed.
pub(super) fn of(summary: &Summary, policy: Policy) -> impl Iterator<Item = &Run> {
    summary.runs.iter().filter(move |run| run.policy == policy)
}

/// A time of a command in milliseconds.
pub(super) type Time = fn(&Played) -> f64;

/// The wait of a command.
pub(super) fn wait(played: &Played) -> f64 {
    played.wait_ms
}

/// The times of two policies for the same commands, by day, of one seed or of all; commands that
/// one of both did not serve are left out.
pub(super) fn pairs(
    summary: &Summary,
    policy: Policy,
    rival: Policy,
    seed: Option<u64>,
    time: Time,
) -> Vec<Vec<(f64, f64)>> {
    pairs_of(summary, policy, rival, seed, time, &|_| true)
}

/// Those of the commands that `has` selects, by what the days ask for.
pub(super) fn pairs_of(
    summary: &Summary,
    policy: Policy,
    rival: Policy,
    seed: Option<u64>,
    time: Time,
    has: &dyn Fn(&Played) -> bool,
) -> Vec<Vec<(f64, f64)>> {
    let runs = of(summary, policy).filter(|run| seed.is_none_or(|seed| run.day.seed == seed));
    let both = runs.filter_map(|run| {
        let other = of(summary, rival).find(|other| other.day.seed == run.day.seed)?;
        Some(run.commands.iter().zip(&other.commands))
    });
    both.map(|day| {
        let served = day.filter(|(a, b)| a.is_served && b.is_served && has(a));
        served.map(|(a, b)| (time(a), time(b))).collect()
    })
    .collect()
}

/// By how many milliseconds answers took longer than their warm reference, under LRU where a command did not wait: nothing was
/// just loaded or woken there, so it is what the reference is wrong by. The number of these answers, and their mean.
pub(super) fn beyond_reference(summary: &Summary) -> Option<(usize, f64)> {
    let commands = of(summary, Policy::Lru).flat_map(|run| &run.commands);
    let ready = commands.filter(|c| c.is_served && !c.waited());
    let beyond: Vec<f64> = ready.filter_map(|c| Some(c.answer_ms - c.warm_answer_ms?)).collect();
    (!beyond.is_empty()).then(|| (beyond.len(), mean(&beyond)))
}

/// The ratios of a policy to its rival: of each seed, and over all.
pub(super) fn ratios(
    summary: &Summary,
    policy: Policy,
    rival: Policy,
    time: Time,
) -> (Vec<(u64, Ratio)>, Option<Ratio>) {
    let ratio = |seed| Ratio::new(&pairs(summary, policy, rival, seed, time));
    let seeds = of(summary, policy).map(|run| run.day.seed);
    let each = seeds.filter_map(|seed| Some((seed, ratio(Some(seed))?)));
    (each.collect(), ratio(None))
}

/// The ratios of the means and of the peaks of memory of `product-equal` to those of `idle`, by
/// seed.
pub(super) fn memory_ratios(summary: &Summary) -> Vec<(u64, f64, f64)> {
    let both = of(summary, Policy::ProductEqual).filter_map(|run| {
        let idle = of(summary, Policy::Idle).find(|idle| idle.day.seed == run.day.seed)?;
        let peaks = run.peak as f64 / idle.peak.max(1) as f64;
        Some((run.day.seed, run.mean / idle.mean.max(1.0), peaks))
    });
    both.collect()
}

/// The seeds on which `product-equal` has no more memory than `idle`, and those on which it has, each with the ratio.
pub(super) fn equal_memory(summary: &Summary) -> (Vec<u64>, Vec<(u64, f64)>) {
    let means = memory_ratios(summary).into_iter().map(|(seed, means, _)| (seed, means));
    let (more, equal): (Vec<_>, Vec<_>) =
        means.partition(|(_, means)| *means > 1.0 + equal::TOLERANCE);
    (equal.into_iter().map(|(seed, _)| seed).collect(), more)
}

/// The goal at equal memory, over the days with equal memory: an idle timeout may hold less than the product's largest
/// component needs. With fewer than half of the days it stays open.
fn at_equal_memory(summary: &Summary) -> Goal {
    let text = format!(
        "product-equal: mean wait at most {OVER_IDLE:.2} of the idle timeout's at its mean memory"
    );
    let (equal, more) = equal_memory(summary);
    let days: Vec<Vec<(f64, f64)>> = equal
        .iter()
        .flat_map(|seed| pairs(summary, Policy::ProductEqual, Policy::Idle, Some(*seed), wait))
        .collect();
    let mut goal = goal(&text, Ratio::new(&days).map(|r| (interval(r), r.value <= OVER_IDLE)));
    if !more.is_empty() {
        let seeds: Vec<String> =
            more.iter().map(|(seed, means)| format!("{seed} ({means:.2})")).collect();
        let of_days = if equal.is_empty() { "no day with equal memory" } else { &goal.measured };
        goal.measured =
            format!("{of_days}; left out, with more mean memory: seed {}", seeds.join(", "));
    }
    if equal.len() < more.len() {
        goal.is_reached = None;
    }
    goal
}

fn interval(ratio: Ratio) -> String {
    format!("{:.2} ({:.2} to {:.2})", ratio.value, ratio.least, ratio.most)
}

fn goal(goal: &str, measured: Option<(String, bool)>) -> Goal {
    let (measured, is_reached) = match measured {
        Some((measured, is_reached)) => (measured, Some(is_reached)),
        None => ("not played".to_owned(), None),
    };
    Goal { goal: goal.to_owned(), measured, is_reached }
}

fn sum(runs: &[&Run], of: impl Fn(&Run) -> usize) -> usize {
    runs.iter().map(|run| of(run)).sum()
}

fn no_refusal(summary: &Summary) -> Goal {
    let product: Vec<&Run> = of(summary, Policy::Product).collect();
    let refused = sum(&product, |r| r.figures.n_refused + r.n_warm_up_refused);
    let n_asked = sum(&product, |r| r.figures.n_commands + r.day.n_warm_up);
    goal(
        "product: no refusal",
        (n_asked > 0).then(|| (format!("{refused} of {n_asked}"), refused == 0)),
    )
}

/// Sums over every run and those that were left out beside it.
fn with_aside(
    summary: &Summary,
    of: impl Fn(&Run) -> usize,
    aside: impl Fn(&Aside) -> usize,
) -> usize {
    summary.runs.iter().map(|run| of(run) + run.aside.iter().map(&aside).sum::<usize>()).sum()
}

fn real_answers(summary: &Summary) -> Goal {
    let n = with_aside(summary, |r| r.figures.n_commands, |a| a.n_commands);
    let real = with_aside(summary, |r| r.figures.n_real, |a| a.n_real);
    goal("every policy: every answer real", (n > 0).then(|| (format!("{real} of {n}"), real == n)))
}

fn no_orphans(summary: &Summary) -> Goal {
    let orphans = with_aside(summary, |r| r.orphans.len(), |a| a.n_orphans);
    goal(
        "every policy: no process outlives its server",
        (!summary.runs.is_empty()).then(|| (format!("{orphans}"), orphans == 0)),
    )
}

/// Every goal, or those of short memory where it was made short.
pub(super) fn goals(summary: &Summary) -> Vec<Goal> {
    if let Some(condition) = &summary.condition {
        return short::goals(summary, condition);
    }
    let all = summary.all_loaded().max(1) as f64;
    let product: Vec<&Run> = of(summary, Policy::Product).collect();
    let is_played = sum(&product, |r| r.figures.n_commands) > 0;
    let share = |bytes: f64| format!("{:.1} %", 100.0 * bytes / all);
    let mean = product.iter().map(|r| r.mean).sum::<f64>() / product.len().max(1) as f64;
    let peak = product.iter().map(|r| r.peak).max().unwrap_or(0) as f64;
    let (each, total) = ratios(summary, Policy::Product, Policy::Lru, wait);
    let is_worse = each.iter().any(|(_, ratio)| ratio.is_worse());
    let worse: Vec<String> = each
        .iter()
        .filter(|(_, r)| r.value > 1.0)
        .map(|(seed, r)| {
            let noise = if r.is_worse() { "beyond" } else { "within" };
            format!("{seed}: {}, {noise} noise", interval(*r))
        })
        .collect();
    let new = sum(&product, |r| r.figures.n_new);
    let exact = sum(&product, |r| r.figures.n_exact) as f64 / new.max(1) as f64;
    let percent = |share: f64| 100.0 * share;
    vec![
        no_refusal(summary),
        goal(
            &format!(
                "product: mean memory at most {:.0} % of everything loaded",
                percent(MEAN_SHARE)
            ),
            is_played.then(|| (share(mean), mean <= MEAN_SHARE * all)),
        ),
        goal(
            &format!("product: peak of every day at most {:.0} %", percent(PEAK_SHARE)),
            is_played.then(|| (share(peak), peak <= PEAK_SHARE * all)),
        ),
        goal(
            &format!("product: mean wait at most {OVER_LRU:.2} of LRU's, over all seeds"),
            total.map(|r| (interval(r), r.value <= OVER_LRU)),
        ),
        goal(
            "product: on no seed worse than LRU beyond noise",
            total.map(|_| {
                let text = match worse.is_empty() {
                    true => "slower on none".to_owned(),
                    false => format!("slower on {}", worse.join("; ")),
                };
                (text, !is_worse)
            }),
        ),
        at_equal_memory(summary),
        goal(
            &format!(
                "product: exactly the needed component chosen for at least {:.0} % of new texts",
                percent(EXACT)
            ),
            is_played.then(|| (format!("{:.1} % of {new}", 100.0 * exact), exact >= EXACT)),
        ),
        real_answers(summary),
        no_orphans(summary),
    ]
}

#[cfg(test)]
pub(super) mod testing;

#[cfg(test)]
mod tests {
    use super::testing::{run, summary};
    use super::*;

    fn reached(summary: &Summary, start: &str) -> Option<bool> {
        let all = goals(summary);
        all.iter().find(|g| g.goal.starts_with(start)).unwrap().is_reached
    }

    #[test]
    fn goals_are_judged_over_all_seeds_and_on_each() {
        let slow = [100.0; 40];
        let (half, twice) = ([50.0; 40], [200.0; 40]);
        let good = summary(vec![
            run(Policy::Lru, 1, &slow),
            run(Policy::Product, 1, &half),
            run(Policy::Idle, 1, &slow),
            run(Policy::ProductEqual, 1, &half),
        ]);
        assert!(goals(&good).iter().all(|g| g.is_reached == Some(true)), "{:?}", goals(&good));
        let mut bad = good.clone();
        bad.runs.push(run(Policy::Lru, 2, &slow));
        bad.runs.push(run(Policy::Product, 2, &twice));
        assert_eq!(reached(&bad, "product: mean wait"), Some(false));
        assert_eq!(reached(&bad, "product: on no seed"), Some(false));
        bad.runs[1].commands[0].refusal = Some("too_large".to_owned());
        bad.runs[1].figures = super::super::figures::Figures::new(&bad.runs[1].commands);
        assert_eq!(reached(&bad, "product: no refusal"), Some(false));
    }

    #[test]
    fn a_comparison_at_equal_memory_is_open_where_the_product_has_more() {
        let of = |share: f64| {
            let mut equal = run(Policy::ProductEqual, 1, &[50.0; 40]);
            equal.mean *= share;
            summary(vec![run(Policy::Idle, 1, &[100.0; 40]), equal])
        };
        for (share, want) in [(0.5, Some(true)), (1.04, Some(true)), (1.06, None), (2.0, None)] {
            assert_eq!(reached(&of(share), "product-equal"), want, "{share}");
        }
        let goals = goals(&of(2.0));
        let goal = goals.iter().find(|g| g.goal.starts_with("product-equal")).unwrap();
        assert_eq!(
            goal.measured,
            "no day with equal memory; left out, with more mean memory: seed 1 (2.00)"
        );
        assert_eq!(memory_ratios(&of(2.0)), [(1, 2.0, 1.0)]);
    }

    #[test]
    fn a_comparison_at_equal_memory_omits_days_with_more() {
        let day = |seed, wait, share: f64| {
            let mut equal = run(Policy::ProductEqual, seed, &[wait; 40]);
            equal.mean *= share;
            [run(Policy::Idle, seed, &[100.0; 40]), equal]
        };
        let of = |days: [[Run; 2]; 3]| summary(days.into_iter().flatten().collect());
        let slower_with_more = of([day(1, 50.0, 1.0), day(2, 50.0, 1.0), day(3, 900.0, 3.0)]);
        assert_eq!(reached(&slower_with_more, "product-equal"), Some(true));
        let faster_with_more = of([day(1, 90.0, 1.0), day(2, 90.0, 1.0), day(3, 1.0, 3.0)]);
        assert_eq!(reached(&faster_with_more, "product-equal"), Some(false));
        let mostly_more = of([day(1, 50.0, 1.0), day(2, 50.0, 3.0), day(3, 50.0, 3.0)]);
        assert_eq!(reached(&mostly_more, "product-equal"), None);
    }

    #[test]
    fn runs_that_are_left_out_count_for_real_answers_and_orphans() {
        let mut equal = run(Policy::ProductEqual, 1, &[50.0; 40]);
        equal.aside = vec![Aside { n_commands: 40, n_real: 39, n_orphans: 1 }];
        let summary = summary(vec![run(Policy::Idle, 1, &[100.0; 40]), equal]);
        assert_eq!(reached(&summary, "every policy: every answer real"), Some(false));
        assert_eq!(reached(&summary, "every policy: no process"), Some(false));
    }

    #[test]
    fn a_preload_that_delays_answers_shows_in_the_ratio_to_the_answer() {
        let mut product = run(Policy::Product, 1, &[50.0; 40]);
        product.commands.iter_mut().for_each(|c| c.answer_ms = 250.0);
        product.commands[0] = Played { is_served: false, ..product.commands[0].clone() };
        let both = summary(vec![run(Policy::Lru, 1, &[100.0; 40]), product]);
        let ratio = |time| ratios(&both, Policy::Product, Policy::Lru, time).1.unwrap().value;
        assert_eq!((ratio(wait), ratio(Played::to_answer_ms)), (0.5, 3.0));
        assert_eq!(pairs(&both, Policy::Product, Policy::Lru, None, wait)[0].len(), 39);
    }

    #[test]
    fn goals_of_policies_that_were_not_played_are_open() {
        let only = summary(vec![run(Policy::Product, 1, &[1.0])]);
        assert_eq!(reached(&only, "product-equal"), None);
        assert_eq!(reached(&only, "product: mean wait"), None);
        assert_eq!(reached(&only, "every policy: every answer"), Some(true));
    }
}
