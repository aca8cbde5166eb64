//! The goals with memory really short: full waits beside LRU's by the kind of swap, and RAM with swap cache and zram. A full wait
//! ends with the answer, less the time of a warm one.

use majordomo::{ByteSize, Config};

use super::super::columns::MIB;
use super::super::played::Played;
use super::super::policy::Policy;
use super::super::pooled::{self, Part, Statistic};
use super::super::ram::Ram;
use super::super::record::{Run, Summary};
use super::super::rungs::Rungs;
use super::{Goal, beyond_reference, goal, interval, no_orphans, no_refusal, of, real_answers};
use crate::short::{Condition, SwapKind};

/// The goals are for this share of everything loaded as budget; others are reported.
const BUDGET_SHARE: f64 = 0.40;
const MEAN_SHARE: f64 = 0.40;
const PEAK_SHARE: f64 = 0.55;
const P95_MS: f64 = 500.0;
const P95_AIM_MS: f64 = 250.0;
const P99_MS: f64 = 1_500.0;
const FREED_SHARE: f64 = 0.90;
/// Full waits compare nothing where the answers of ready components differ from their reference by more than this in the
/// mean, either way.
const MAX_BIAS_MS: f64 = 15.0;

/// The largest ratio of the mean wait to LRU's, and the ratio that is aimed at, if another is.
const fn over_lru(swap: SwapKind) -> (f64, Option<f64>) {
    match swap {
        SwapKind::None => (0.80, None),
        SwapKind::Disk => (0.30, Some(0.15)),
        SwapKind::Zram => (0.25, None),
    }
}

/// The memory of a policy's runs: the mean of all and the largest peak; none where no group counted.
fn ram(summary: &Summary, policy: Policy) -> Option<(f64, f64)> {
    let all: Vec<&Ram> = of(summary, policy).filter_map(|run| run.ram.as_ref()).collect();
    let peak = all.iter().map(|ram| ram.peak).max()? as f64;
    Some((all.iter().map(|ram| ram.mean).sum::<f64>() / all.len() as f64, peak))
}

/// A goal about a share of the memory of everything loaded, with LRU's share beside the product's.
fn share(
    summary: &Summary,
    text: &str,
    most: f64,
    figure: fn((f64, f64)) -> f64,
    all: f64,
) -> Goal {
    let of = |policy| ram(summary, policy).map(|ram| figure(ram) / all);
    let lru = of(Policy::Lru).map_or_else(String::new, |lru| format!("; lru {:.1} %", 100.0 * lru));
    goal(
        &format!("product: {text} at most {:.0} % of everything loaded", 100.0 * most),
        of(Policy::Product).map(|own| (format!("{:.1} %{lru}", 100.0 * own), own <= most)),
    )
}

fn mean_wait(summary: &Summary, part: Part, swap: SwapKind) -> Goal {
    let (most, aim) = over_lru(swap);
    let aim = aim.map_or_else(String::new, |aim| format!(" (aim {aim:.2})"));
    let ratio =
        pooled::ratio(summary, Policy::Product, part, Played::full_wait_ms, Statistic::Mean);
    goal(
        &format!("product: mean full wait at most {most:.2} of LRU's{aim}; {}", part.name()),
        ratio.map(|r| (interval(r), r.value <= most)),
    )
}

fn tail(summary: &Summary, part: Part, share: f64, most_ms: f64, aim: &str) -> Goal {
    let statistic = Statistic::Quantile(share);
    goal(
        &format!(
            "product: p{:.0} of full waits at most {most_ms:.0} ms{aim}; {}",
            100.0 * share,
            part.name()
        ),
        pooled::pooled(summary, Policy::Product, part, Played::full_wait_ms, statistic)
            .map(|own| (format!("{:.0} ms", own.mean), own.mean <= most_ms)),
    )
}

fn freed(runs: &[&Run]) -> Goal {
    let mut rungs = Rungs::default();
    runs.iter().for_each(|run| rungs.add(&run.rungs));
    let mut goal = goal(
        &format!(
            "product: at least {:.0} % of the bytes that parks were booked to free were freed",
            100.0 * FREED_SHARE
        ),
        rungs.freed_share().map(|share| {
            let [freed, expected] = [rungs.covered, rungs.expected].map(|bytes| bytes as f64 / MIB);
            let measured = format!("{:.1} % ({freed:.0} of {expected:.0} MiB)", 100.0 * share);
            (measured, share >= FREED_SHARE)
        }),
    );
    if goal.is_reached.is_none() {
        "nothing was parked".clone_into(&mut goal.measured);
    }
    goal
}

/// The most that a run wrote; a day of commands is less than a day, so each may write as much as a day.
fn writes(runs: &[&Run]) -> Goal {
    let budget = Config::default().parking.swap_writes_per_day;
    let most = runs.iter().filter_map(|run| Some(run.ram.as_ref()?.written)).max();
    goal(
        &format!("product: every day writes at most {budget} to swap, the default of a day"),
        most.map(|most| (ByteSize(most).to_string(), most <= budget.bytes())),
    )
}

/// Opens the goals that rest on full waits where the reference of these is wrong.
fn compare(summary: &Summary, judged: &mut [Goal]) {
    let why = match beyond_reference(summary) {
        Some((_, beyond)) if beyond.abs() <= MAX_BIAS_MS => return,
        Some((n_answers, beyond)) => format!(
            "the {} of ready components under lru differ from the reference by {beyond:+.0} ms in the mean, more than {MAX_BIAS_MS:.0}",
            majordomo::count(n_answers, "answer")
        ),
        None => "no component was ready for a command under lru, which would check the reference"
            .to_owned(),
    };
    for goal in judged.iter_mut().filter(|goal| goal.is_reached.is_some()) {
        goal.is_reached = None;
        goal.measured = format!("not comparable: {why}; with it {}", goal.measured);
    }
}

/// Every goal under a condition.
pub(super) fn goals(summary: &Summary, condition: &Condition) -> Vec<Goal> {
    let all = (condition.all_loaded.max(1)) as f64;
    let mut judged = vec![
        share(summary, "mean RAM", MEAN_SHARE, |(mean, _)| mean, all),
        share(summary, "peak RAM of every day", PEAK_SHARE, |(_, peak)| peak, all),
    ];
    let mut waits = Vec::new();
    for part in Part::EVERY {
        waits.push(mean_wait(summary, part, condition.swap));
        if condition.swap != SwapKind::None {
            let aim = format!(" (aim {P95_AIM_MS:.0})");
            waits.push(tail(summary, part, 0.95, P95_MS, &aim));
            waits.push(tail(summary, part, 0.99, P99_MS, ""));
        }
    }
    compare(summary, &mut waits);
    judged.extend(waits);
    let budget = condition.budget as f64 / summary.all_loaded().max(1) as f64;
    if (budget - BUDGET_SHARE).abs() > 0.01 {
        for goal in &mut judged {
            goal.is_reached = None;
            goal.measured.push_str(&format!("; reported at {:.0} %", 100.0 * budget));
        }
    }
    let runs: Vec<&Run> = of(summary, Policy::Product).collect();
    if condition.swap != SwapKind::None {
        judged.push(freed(&runs));
    }
    if condition.swap == SwapKind::Disk {
        judged.push(writes(&runs));
    }
    judged.extend([no_refusal(summary), real_answers(summary), no_orphans(summary)]);
    judged
}

#[cfg(test)]
mod tests {
    use super::super::testing::{condition, counted, run, summary};
    use super::*;

    fn judged(waits: &[f64], mean: f64, peak: u64, swap: SwapKind, budget: u64) -> Vec<Goal> {
        let mut lru = counted(run(Policy::Lru, 1, &[1_000.0; 100]), 390.0, 500);
        // One component was ready: its answer checks the reference.
        let ready = &mut lru.commands[0];
        (ready.wait_ms, ready.answer_ms, ready.warm_answer_ms) = (1.0, 100.0, Some(100.0));
        let mut product = counted(run(Policy::Product, 1, waits), mean, peak);
        product.rungs.expected = 100;
        product.rungs.covered = 89;
        let condition = Condition { budget, ..condition(swap) };
        goals(&summary(vec![lru, product]), &condition)
    }

    fn reached(goals: &[Goal], start: &str) -> Vec<Option<bool>> {
        goals.iter().filter(|g| g.goal.starts_with(start)).map(|g| g.is_reached).collect()
    }

    #[test]
    fn goals_follow_the_kind_of_swap() {
        let disk = judged(&[290.0; 100], 400.0, 550, SwapKind::Disk, 400 << 20);
        assert_eq!(reached(&disk, "product: mean full wait at most 0.30"), [Some(true); 2]);
        assert_eq!(reached(&disk, "product: p95 of full waits at most 500"), [Some(true); 2]);
        assert_eq!(reached(&disk, "product: mean RAM"), [Some(true)]);
        assert_eq!(reached(&disk, "product: peak RAM"), [Some(true)]);
        assert_eq!(reached(&disk, "product: every day writes"), [Some(true)]);
        assert_eq!(reached(&disk, "product: at least 90 % of the bytes"), [Some(false)]);
        let zram = judged(&[290.0; 100], 401.0, 551, SwapKind::Zram, 400 << 20);
        assert_eq!(reached(&zram, "product: mean full wait at most 0.25"), [Some(false); 2]);
        assert_eq!(reached(&zram, "product: mean RAM"), [Some(false)]);
        assert_eq!(reached(&zram, "product: peak RAM"), [Some(false)]);
        assert_eq!(reached(&zram, "product: every day writes"), []);
        let none = judged(&[810.0; 100], 400.0, 500, SwapKind::None, 400 << 20);
        assert_eq!(reached(&none, "product: mean full wait at most 0.80"), [Some(false); 2]);
        assert_eq!(reached(&none, "product: p95 of full waits"), []);
    }

    #[test]
    fn slow_tail_fails_whatever_the_mean_is() {
        let mut waits = [1.0; 100];
        waits[98..].fill(1_600.0);
        let disk = judged(&waits, 400.0, 500, SwapKind::Disk, 400 << 20);
        assert_eq!(reached(&disk, "product: mean full wait"), [Some(true); 2]);
        assert_eq!(reached(&disk, "product: p95 of full waits"), [Some(true); 2]);
        assert_eq!(reached(&disk, "product: p99 of full waits"), [Some(false); 2]);
    }

    #[test]
    fn other_budgets_than_that_of_the_goals_are_reported() {
        let other = judged(&[290.0; 100], 900.0, 990, SwapKind::Disk, 250 << 20);
        assert_eq!(reached(&other, "product: mean RAM"), [None]);
        let goal = other.iter().find(|g| g.goal.starts_with("product: mean full wait")).unwrap();
        assert!(goal.measured.ends_with("; reported at 25 %"), "{}", goal.measured);
        assert_eq!(reached(&other, "every policy: every answer real"), [Some(true)]);
    }

    #[test]
    fn full_waits_are_not_compared_by_a_reference_that_is_wrong() {
        let judged = |answer_ms: f64| {
            let mut lru = counted(run(Policy::Lru, 1, &[1.0; 100]), 390.0, 500);
            for (i, played) in lru.commands.iter_mut().enumerate() {
                played.wait_ms = if i < 50 { 1_000.0 } else { 1.0 };
                // The answer to a command that waited is no fault of the reference.
                played.answer_ms = if i < 50 { 900.0 } else { answer_ms };
                played.warm_answer_ms = Some(100.0);
            }
            let product = counted(run(Policy::Product, 1, &[20.0; 100]), 390.0, 500);
            goals(&summary(vec![lru, product]), &condition(SwapKind::Disk))
        };
        for (answer_ms, want) in
            [(114.0, Some(true)), (86.0, Some(true)), (116.0, None), (84.0, None)]
        {
            let goals = judged(answer_ms);
            for start in ["product: mean full wait", "product: p95 of full", "product: p99 of full"]
            {
                assert_eq!(reached(&goals, start), [want; 2], "{start} at {answer_ms}");
            }
            assert_eq!(reached(&goals, "product: mean RAM"), [Some(true)]);
        }
        let goals = judged(84.0);
        let goal = goals.iter().find(|g| g.goal.starts_with("product: p95 of full")).unwrap();
        assert!(
            goal.measured.starts_with(
                "not comparable: the 50 answers of ready components under lru differ from the reference by -16 ms in the mean, more than 15; \
                 with it 20 ms"
            ),
            "{}",
            goal.measured
        );
    }

    #[test]
    fn full_waits_are_not_compared_where_no_answer_checks_the_reference() {
        let lru = counted(run(Policy::Lru, 1, &[1_000.0; 100]), 390.0, 500);
        let product = counted(run(Policy::Product, 1, &[20.0; 100]), 390.0, 500);
        let goals = goals(&summary(vec![lru, product]), &condition(SwapKind::Disk));
        assert_eq!(reached(&goals, "product: p95 of full"), [None; 2]);
        assert_eq!(reached(&goals, "product: mean RAM"), [Some(true)]);
    }
}
