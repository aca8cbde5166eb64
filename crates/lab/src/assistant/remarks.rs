//! The remarks of a report: interrupted, unequal, lost, wrong.

use std::collections::BTreeSet;

use super::columns::MIB;
use super::quiet;
use super::record::{Run, Summary};
use crate::short::{Condition, SwapKind};

/// Facts about a day that hold for every policy, from one of its runs.
fn of_a_day(run: &Run) -> Vec<String> {
    let (mut out, f) = (Vec::new(), &run.figures);
    let day = format!("Seed {}", run.day.seed);
    if f.n_new < f.n_commands {
        out.push(format!(
            "{day}: {} of {} commands repeat a text of the day, which was learned by then; they do not count for `exact`.",
            f.n_commands - f.n_new,
            f.n_commands
        ));
    }
    if !run.day.items.is_empty() {
        let pairs: Vec<_> = run.day.items.iter().map(|(item, c)| format!("{item} = {c}")).collect();
        out.push(format!("{day}: items of the trace stand for components: {}.", pairs.join(", ")));
    }
    if run.day.n_left_out > 0 {
        out.push(format!("{day}: {} uses of the user are of no component.", run.day.n_left_out));
    }
    out
}

/// Facts about memory that was made short.
fn of_condition(summary: &Summary, condition: &Condition) -> Vec<String> {
    let mut out = Vec::new();
    if condition.is_pressed {
        out.push(
            "The margin is so small that the manager sees memory pressure when the budget is full."
                .to_owned(),
        );
    }
    if condition.gave > 0 {
        out.push(format!(
            "The hog gave {:.0} MiB back, since the machine needed them: memory was not as short as stated.",
            condition.gave as f64 / MIB
        ));
    }
    for run in &summary.runs {
        let name = format!("Seed {}, {}", run.day.seed, run.policy);
        if let Some(killed) = run.ram.map(|ram| ram.n_killed).filter(|n| *n > 0) {
            out.push(format!("{name}: the kernel killed {killed} for want of memory."));
        }
        if run.policy.has_rungs() && condition.swap != SwapKind::None && run.rungs.parks == 0 {
            out.push(format!("{name}: nothing was parked."));
        }
    }
    out
}

/// Everything that a reader must know besides: interrupted, unequal, lost, wrong.
pub(super) fn remarks(summary: &Summary) -> Vec<String> {
    let mut out = Vec::new();
    if summary.was_interrupted {
        out.push(
            "The measurement was interrupted; the last day of a policy may be incomplete."
                .to_owned(),
        );
    }
    if let Some(condition) = &summary.condition {
        out.extend(of_condition(summary, condition));
    }
    if !summary.labels.is_empty() {
        let pairs: Vec<_> = summary.labels.iter().map(|(l, c)| format!("{l} = {c}")).collect();
        out.push(format!("Labels of the commands stand for components: {}.", pairs.join(", ")));
    }
    if summary.n_rows_left_out > 0 {
        out.push(format!(
            "{} of the commands are left out: no single label, or one that stands for no component.",
            majordomo::count(summary.n_rows_left_out, "row")
        ));
    }
    if !summary.unused.is_empty() {
        out.push(format!(
            "Without commands or questions, and so not used by name: {}.",
            summary.unused.join(", ")
        ));
    }
    let mut seeds = BTreeSet::new();
    out.extend(summary.runs.iter().filter(|r| seeds.insert(r.day.seed)).flat_map(of_a_day));
    for run in &summary.runs {
        let name = format!("Seed {}, {}", run.day.seed, run.policy);
        if let Some(busy) = run.busy_before.filter(|busy| *busy > quiet::QUIET) {
            out.push(format!("{name}: began while other programs kept {busy:.1} processors busy."));
        }
        if !run.tried.is_empty() {
            let tried: Vec<_> = run
                .tried
                .iter()
                .map(|(budget, mean)| {
                    format!("{:.0} MiB gave {:.0}", *budget as f64 / MIB, mean / MIB)
                })
                .collect();
            out.push(format!(
                "{name}: budgets for an equal mean: {}; the closest is shown.",
                tried.join(", ")
            ));
        }
        if run.tally.missed > 0 {
            out.push(format!(
                "{name}: {} events were lost; its counts are too low.",
                run.tally.missed
            ));
        }
        if !run.orphans.is_empty() {
            out.push(format!(
                "{name}: still running after the end of the server: {}.",
                run.orphans.join(", ")
            ));
        }
        if let Some(harm) = run.harm {
            out.push(format!(
                "{name}: the manager counted {harm} harmful preloads, with those before the day."
            ));
        }
        if run.n_unloads_refused > 0 {
            out.push(format!(
                "{name}: the server refused {} of the idle timeout.",
                majordomo::count(run.n_unloads_refused, "unload")
            ));
        }
        if run.n_warm_up_refused > 0 {
            out.push(format!(
                "{name}: {} of {} uses before the day were refused.",
                run.n_warm_up_refused, run.day.n_warm_up
            ));
        }
        let wrong = run.commands.iter().filter(|c| c.refusal.is_some() || !c.is_real);
        for c in wrong.take(3) {
            let refusal =
                c.refusal.as_ref().map(|r| format!("refused ({r}), ")).unwrap_or_default();
            out.push(format!(
                "{name}, command {}: {}, {refusal}chosen [{}], left out [{}], answer: {}",
                c.index + 1,
                c.component,
                c.chosen.join(", "),
                c.left_out.join(", "),
                c.answer
            ));
        }
    }
    out
}
