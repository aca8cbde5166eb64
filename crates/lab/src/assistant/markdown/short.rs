//! The part of a report about memory that is really short: the condition, waits with and without first uses, RAM, rungs.

use std::fmt::Write as _;

use super::super::columns::{MIB, played, shown};
use super::super::figures::Spread;
use super::super::goals::{self, Time};
use super::super::played::Played;
use super::super::policy::Policy;
use super::super::pooled::{Part, Statistic, pooled, ratio, waits};
use super::super::ram::Ram;
use super::super::record::{Run, Summary};
use super::super::rungs::{Rungs, median};
use crate::short::Condition;

/// Everything of it; nothing where memory was not made short and nothing was parked.
pub(super) fn sections(out: &mut String, summary: &Summary) {
    if let Some(condition) = &summary.condition {
        out.push_str("\n## Short memory\n\n");
        let _ = writeln!(
            out,
            "{}. Everything loaded and used once has {:.0} MiB as the memory group counts it. The page cache of components' files \
             is dropped before each run. A server rests {:.0} s before its first command.\n",
            condition.sentence(),
            condition.all_loaded as f64 / MIB,
            condition.settle_s
        );
        parts(out, summary);
        out.push('\n');
        reference(out, summary);
        memory(out, summary, condition);
    }
    if summary.runs.iter().any(|run| run.rungs != Rungs::default()) {
        out.push_str("\n## Rungs\n\n");
        rungs(out, summary);
    }
}

/// Waits of all days together, and their ratios to LRU's.
fn parts(out: &mut String, summary: &Summary) {
    let titles = Statistic::EVERY.map(|(name, _)| name);
    let _ = writeln!(
        out,
        "Waits of all days together in ms, with the least and the most of a day; ratios to LRU's over the same commands, with a 90 % interval. \
         A wait ends at the lease. A full wait is the wait and the time of the answer less that of a warm component for the same question: the \
         pages that a first answer misses count. It is negative where an answer was quicker than its reference, and is not cut at zero, so noise \
         moves no mean.\n"
    );
    let ratios: Vec<_> = titles.iter().map(|name| format!("{name} / LRU's")).collect();
    let _ = writeln!(
        out,
        "| time | commands | policy | number | {} | {} |",
        titles.join(" | "),
        ratios.join(" | ")
    );
    let _ = writeln!(out, "|---|---|---|---|{}", "---|".repeat(2 * titles.len()));
    let rows = times(summary).into_iter().flat_map(|time| Part::EVERY.map(|part| (time, part)));
    for ((name, time), part) in rows {
        for (policy, _) in played(summary) {
            let n: usize = waits(summary, policy, part, time).iter().map(Vec::len).sum();
            let _ = write!(out, "| {name} | {} | {policy} | {n} |", part.name());
            for (_, statistic) in Statistic::EVERY {
                let figure = pooled(summary, policy, part, time, statistic);
                let _ = write!(
                    out,
                    " {} |",
                    figure.map_or_else(|| "–".to_owned(), |figure| shown(figure, 0))
                );
            }
            for (_, statistic) in Statistic::EVERY {
                let own =
                    (policy != Policy::Lru).then(|| ratio(summary, policy, part, time, statistic));
                let text = own
                    .flatten()
                    .map(|r| format!("{:.2} ({:.2} to {:.2})", r.value, r.least, r.most));
                let _ = write!(out, " {} |", text.unwrap_or_else(|| "–".to_owned()));
            }
            out.push('\n');
        }
    }
}

/// The times that are shown: full waits where warm answers were measured, and waits.
pub(super) fn times(summary: &Summary) -> Vec<(&'static str, Time)> {
    let full: Option<(_, Time)> =
        summary.warm.is_some().then_some(("full wait", Played::full_wait_ms));
    full.into_iter().chain([("wait", goals::wait as Time)]).collect()
}

/// How good the reference of full waits is: under LRU nothing was just loaded or woken where a command did not wait.
fn reference(out: &mut String, summary: &Summary) {
    if let Some((n_answers, beyond)) = goals::beyond_reference(summary) {
        let _ = writeln!(
            out,
            "The reference is the median of three answers to each question, asked before the first day while everything was loaded. Answers of \
             LRU to the {} that did not wait took {beyond:.0} ms beyond it in the mean: so much of every full wait is no wait.\n",
            majordomo::count(n_answers, "command")
        );
    }
}

/// RAM of components, counted alike under every policy.
fn memory(out: &mut String, summary: &Summary, condition: &Condition) {
    out.push_str(
        "RAM of components: usage of the memory group with swap cache and kernel memory, and what zram holds, without droppable page cache and \
         the manager's own memory; shares of everything loaded, counted alike.\n\n\
         | policy | mean MiB | mean % | peak MiB | peak % | in zram MiB | droppable page cache MiB | in swap MiB | written to swap MiB | killed |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let all = condition.all_loaded.max(1) as f64;
    for (policy, runs) in played(summary) {
        let counted: Vec<Ram> = runs.iter().filter_map(|run| run.ram).collect();
        if counted.is_empty() {
            continue;
        }
        let over = |figure: &dyn Fn(&Ram) -> f64, decimals| {
            shown(Spread::new(&counted.iter().map(figure).collect::<Vec<_>>()), decimals)
        };
        let _ = writeln!(
            out,
            "| {policy} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            over(&|ram| ram.mean / MIB, 0),
            over(&|ram| 100.0 * ram.mean / all, 1),
            over(&|ram| ram.peak as f64 / MIB, 0),
            over(&|ram| 100.0 * ram.peak as f64 / all, 1),
            over(&|ram| ram.zram_mean / MIB, 0),
            over(&|ram| ram.cache_mean / MIB, 0),
            over(&|ram| ram.swapped_mean / MIB, 0),
            over(&|ram| ram.written as f64 / MIB, 0),
            counted.iter().map(|ram| ram.n_killed).sum::<u64>()
        );
    }
}

/// Parks and wakes of all days together.
fn rungs(out: &mut String, summary: &Summary) {
    out.push_str(
        "| policy | parks | wakes | fell through | given up | freed MiB | of those booked | to swap MiB | median park ms | median wake ms |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (policy, runs) in played(summary) {
        let mut sum = Rungs::default();
        runs.iter().for_each(|run: &&Run| sum.add(&run.rungs));
        let or_none = |figure: Option<f64>, decimals: usize| {
            figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.decimals$}"))
        };
        let _ = writeln!(
            out,
            "| {policy} | {} | {} | {} | {} | {:.0} | {} | {:.0} | {} | {} |",
            sum.parks,
            sum.wakes,
            sum.falls,
            sum.given_up,
            sum.freed as f64 / MIB,
            sum.freed_share().map_or_else(|| "–".to_owned(), |s| format!("{:.1} %", 100.0 * s)),
            sum.swapped as f64 / MIB,
            or_none(median(&sum.park_ms), 1),
            or_none(median(&sum.wake_ms), 1)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::goals::testing::{condition, counted, run, summary};
    use super::super::super::warm::WarmAnswers;
    use super::*;
    use crate::short::SwapKind;

    #[test]
    fn short_memory_has_tables_of_waits_memory_and_rungs() {
        let lru = counted(run(Policy::Lru, 1, &[100.0, 300.0]), 390.0, 500);
        let mut product = counted(run(Policy::Product, 1, &[20.0, 60.0]), 200.0, 410);
        product.commands[0].is_first_use = true;
        product.rungs.parks = 2;
        product.rungs.wake_ms = vec![40.0, 60.0, 50.0];
        (product.rungs.covered, product.rungs.expected) = (95 << 20, 100 << 20);
        product.rungs.freed = 99 << 20;
        let mut summary = summary(vec![lru, product]);
        let text = |summary: &Summary| {
            let mut out = String::new();
            sections(&mut out, summary);
            out
        };
        assert!(!text(&summary).contains("Short memory"));
        summary.condition = Some(condition(SwapKind::Disk));
        let (mut with_answers, text) = (summary.clone(), text(&summary));
        let has = |part: &str| assert!(text.contains(part), "{part:?} is missing in\n{text}");
        has("server, components and page cache have 400 MiB and 200 MiB beside it; some swap");
        has("| wait | all, first uses counted | lru | 2 | 200 | 100 | 300 | 300 | – |");
        has("| wait | all, first uses counted | product | 2 | 40 | 20 | 60 | 60 | 0.20 (");
        has("| wait | warm, without first uses | product | 1 | 60 | 60 | 60 | 60 |");
        assert!(!text.contains("| full wait |"));
        has("| product | 200 | 20.0 | 410 | 41.0 | 0 | 9 | 0 | 1024 | 0 |");
        has("| product | 2 | 0 | 0 | 0 | 99 | 95.0 % | 0 | – | 50.0 |");
        with_answers.warm = Some(WarmAnswers::default());
        for (run, beyond) in with_answers.runs.iter_mut().zip([0.0, 10.0]) {
            run.commands[0].wait_ms = 20.0;
            for played in &mut run.commands {
                (played.answer_ms, played.warm_answer_ms) = (70.0 + beyond, Some(70.0));
            }
        }
        let mut text = String::new();
        sections(&mut text, &with_answers);
        let has = |part: &str| assert!(text.contains(part), "{part:?} is missing in\n{text}");
        has("| full wait | all, first uses counted | product | 2 | 50 |");
        has("| wait | all, first uses counted | product | 2 | 40 |");
        has("to the 1 command that did not wait took 0 ms beyond it");
    }
}
