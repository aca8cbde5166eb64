//! The comparison as Markdown: tables of policies, ratios, goals and components.

mod short;

use std::fmt::Write as _;

use majordomo_sim::replay::NOTICED;

use super::columns::{COLUMNS, MIB, WORK, played, table};
use super::figures::Ratio;
use super::goals::{self, goals};
use super::played::Played;
use super::policy::Policy;
use super::readme::{short_table, source};
use super::record::Summary;
use super::remarks::remarks;

fn ratio_table(out: &mut String, summary: &Summary, time: goals::Time) {
    out.push_str("| ratio | days | value | interval |\n|---|---|---|---|\n");
    ratio_rows(out, summary, Policy::Product, Policy::Lru, time);
    ratio_rows(out, summary, Policy::ProductEqual, Policy::Idle, time);
}

fn ratio_rows(
    out: &mut String,
    summary: &Summary,
    policy: Policy,
    rival: Policy,
    time: goals::Time,
) {
    let (each, total) = goals::ratios(summary, policy, rival, time);
    let Some(total) = total else { return };
    let mut row = |what: &str, r: Ratio| {
        let _ = writeln!(
            out,
            "| {policy} / {rival} | {what} | {:.2} | {:.2} to {:.2} |",
            r.value, r.least, r.most
        );
    };
    for (seed, ratio) in each {
        row(&format!("seed {seed}"), ratio);
    }
    row("all", total);
}

/// How equal the memory of `product-equal` and `idle` is.
fn memory_rows(out: &mut String, summary: &Summary) {
    let rows = goals::memory_ratios(summary);
    if rows.is_empty() {
        return;
    }
    out.push_str("\nMemory of product-equal / idle:\n\n| seed | means | peaks |\n|---|---|---|\n");
    for (seed, means, peaks) in rows {
        let _ = writeln!(out, "| {seed} | {means:.2} | {peaks:.2} |");
    }
}

fn components(out: &mut String, summary: &Summary) {
    out.push_str(
        "| component | PSS after one answer MiB | load ms | first answer ms | warm answer ms |\n|---|---|---|---|---|\n",
    );
    let or_none = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0}"));
    for (name, m) in &summary.components {
        let _ = writeln!(
            out,
            "| {name} | {:.0} | {} | {} | {} |",
            m.pss as f64 / MIB,
            or_none(m.load_ms),
            or_none(m.first_answer_ms),
            or_none(summary.warm.as_ref().and_then(|warm| warm.of_component(name)))
        );
    }
    let _ = writeln!(out, "| all | {:.0} | | | |", summary.all_loaded() as f64 / MIB);
}

fn days(out: &mut String, summary: &Summary) {
    out.push_str("| seed | policy | place | day | earlier uses | played before | pauses beyond the idle timeout | load average before, after | mean wait ms | seconds | sampling s |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
    for run in &summary.runs {
        let [before, after] = run.load_average;
        let history = if run.policy.has_history() { run.day.n_history } else { 0 };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {history} | {} | {} | {before:.1}, {after:.1} | {:.0} | {:.0} | {:.1} |",
            run.day.seed,
            run.policy,
            run.position + 1,
            run.day.source,
            run.day.n_warm_up,
            run.day.n_long_pauses,
            run.figures.mean_ms,
            run.seconds,
            run.sampling_s
        );
    }
}

/// Everything of a measurement that is text; `pictures` are files beside it.
pub(super) fn report(summary: &Summary, pictures: &[&str]) -> String {
    let mut out = String::new();
    let n_policies = played(summary).count();
    let _ = writeln!(out, "# A real assistant under {n_policies} policies\n");
    let _ = writeln!(
        out,
        "{}, in {}; {}; `majordomo-lab {}`; assistant: `{}`. A wait of more than {:?} is noticed. Pauses are divided by {} and cut \
         at {} s, in the mean {:.2} s; the idle timeout of {} s passes on the clock of the trace. {} texts were taught before. Figures are means over days, \
         with the least and the most. Of {}.\n",
        summary.date,
        summary.took(),
        summary.machine,
        summary.command.join(" "),
        summary.folder,
        NOTICED,
        summary.compress,
        summary.longest_pause_s,
        summary.mean_pause_s,
        summary.idle_timeout_s,
        summary.n_taught,
        source(summary)
    );
    out.push_str("## Goals\n\n| goal | measured | reached |\n|---|---|---|\n");
    for goal in goals(summary) {
        let reached = match goal.is_reached {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let _ = writeln!(out, "| {} | {} | {reached} |", goal.goal, goal.measured);
    }
    out.push_str("\n## Waits and memory\n\n");
    table(&mut out, summary, COLUMNS);
    short::sections(&mut out, summary);
    out.push_str("\n## Ratios of mean waits\n\nThe same commands under both; 90 % interval by a bootstrap over days and, in each, blocks of successive commands. No day is played twice, so the noise between two runs of the same day is not in it.\n\n");
    ratio_table(&mut out, summary, goals::wait);
    if summary.warm.is_some() {
        out.push_str("\n## Ratios of mean full waits\n\nThe same with the time of the answer beyond that of a warm component.\n\n");
        ratio_table(&mut out, summary, Played::full_wait_ms);
    }
    memory_rows(&mut out, summary);
    out.push_str("\n## Ratios of mean times to the answer\n\nWait and answer together, since a preload competes with the answer for the processors.\n\n");
    ratio_table(&mut out, summary, Played::to_answer_ms);
    out.push_str("\n## Work\n\n");
    table(&mut out, summary, WORK);
    out.push('\n');
    for picture in pictures {
        let _ = writeln!(out, "![{picture}]({picture})");
    }
    out.push_str("\n## Components\n\n");
    components(&mut out, summary);
    out.push_str("\n## Days\n\n");
    days(&mut out, summary);
    out.push_str("\n## Remarks\n\n");
    let remarks = remarks(summary);
    for remark in &remarks {
        let _ = writeln!(out, "- {remark}");
    }
    if remarks.is_empty() {
        out.push_str("None.\n");
    }
    out.push_str(METHOD);
    out.push_str("\n## For README\n\n");
    short_table(&mut out, summary);
    out
}

const METHOD: &str = "
## Method

- Each run has a `majordomo serve` of its own. Policies differ in settings alone: `all` pins everything (its conflicts are removed,
  since two that conflict cannot both be loaded) and is played on the first day only; `lru` and `idle` use `policy = \"lru\"` without
  speculation; `product` and `product-equal` use the defaults, and so does `two-state`, with `park = \"never\"` as `all`, `lru` and `idle`.
- Every server starts with the same taught texts (split train) and the same measured figures of loads (of the calibration, in which each
  component is loaded once and answers one question). `product` and `product-equal` also start with a sequence model of the same user's
  uses before the day, at pauses shortened alike, half a second for each answer; it is made by the product's own model and stored in its
  form. No server knows anything of the day.
- The last of those earlier uses are played, by name, under every policy before the figures begin, and are learned from there: a day begins
  with what each policy would have loaded, not with an empty machine.
- A command's wait is from its text to the lease on the needed component, as the client sees it, with the exchange after a wrong choice. A
  refused command counts as refused; its needed component is then leased by name once. A command that is not served even so has no times.
  The time to the answer is the wait and the component's answer.
- A full wait is the wait and the time of the answer less that of a warm component for the same question. That reference is the median of
  three answers, asked in the calibration; it is the same under every policy. A full wait is not cut at zero.
- Memory is the sum of proportional set sizes of all processes of components, read from the system at equal distances, with those that
  load or end, and with memory that is swapped out; its mean is over time. The peak is the largest sample, so a shorter one between two
  samples is missed. The manager's process and its guard are apart.
- The state of components is that of the calibration: a browser has a profile, as a person's has.
- The page cache is warm, unless memory is made short. First loads in life read the files of components from a disk.
- With short memory the server is born into a memory group whose limit is the budget and the margin, so that page cache, swap cache and
  the kernel's memory for the processes are bounded alike under every policy; the page cache of components' files is dropped before
  each run. RAM is the usage of that group, read at each sample, with what zram holds and without page cache that no process has mapped.
  Writes to swap are those of the machine.
- p99 is that of the commands of all days together, with the least and the most of a day; other figures are means of days.
- CPU time and I/O are those of living processes and those that the system adds to a parent which reaps a child; a process that no parent
  waits for is missed. Bytes read are those of read calls, from the page cache or a disk, without mapped files. I/O of the
  manager is that of its threads at each sample; one that lives between two samples alone counts as a component's.
- Pauses begin after the previous command, and are played for a shorter time, the same under every policy. Loads and answers take their
  real time: compressed pauses make them longer in proportion, which is harder for preloads than life.
- The idle timeout passes on the clock of the trace: a component without a use for that long, its own or a dependent's, is unloaded
  at the corresponding point of the played pause, dependents before their providers, CORE and pinned ones never. So at each command the
  same components are loaded as on a real clock, but for the time of waits and answers. The mean memory is over the played time, which
  is busy time: most of a long pause, in which the idle timeout holds nothing, is not in it.
";

#[cfg(test)]
mod tests {
    use super::super::goals::testing::{run, summary};
    use super::*;

    #[test]
    fn a_report_has_a_row_for_each_policy_and_says_what_is_not_reached() {
        let mut lru = run(Policy::Lru, 1, &[100.0, 0.0]);
        lru.commands[0].refusal = Some("too_large".to_owned());
        lru.day.n_left_out = 7;
        lru.day.items = [("editor".to_owned(), "chat".to_owned())].into();
        let mut equal = run(Policy::ProductEqual, 1, &[100.0, 0.0]);
        equal.tried = vec![(500 << 20, 300e6)];
        let runs = vec![
            lru,
            run(Policy::Product, 1, &[90.0, 0.0]),
            run(Policy::Product, 2, &[10.0, 0.0]),
            equal,
        ];
        let text = report(&summary(runs), &["waits.svg"]);
        let has = |part: &str| assert!(text.contains(part), "{part:?} is missing in\n{text}");
        has("| lru | 1 | 400 | 50.0 | 50 |");
        has("| product | 2 | 400 |");
        has("| 25 (5–45) |");
        has("| product / lru | seed 1 | 0.90 |");
        has(
            "| product: mean wait at most 0.75 of LRU's, over all seeds | 0.90 (0.90 to 0.90) | **no** |",
        );
        has(
            "| product-equal: mean wait at most 0.80 of the idle timeout's at its mean memory | not played | – |",
        );
        has("## Ratios of mean times to the answer");
        has("| to the answer ms |");
        has("| chat | 1000 | 900 | – | – |");
        // The waits of both days are 90, 0, 10 and 0.
        has("| 25 (5–45) | 0 | 50 (10–90) | 90 (10–90) |");
        has("Seed 1, lru, command 1: chat, refused (too_large)");
        has("- Seed 1: items of the trace stand for components: editor = chat.\n- Seed 1: 7 uses");
        has("500 MiB gave 286");
        has("![waits.svg](waits.svg)");
        has("| Majordomo |");
        has("with `cargo xtask assistant day`:");
        has("commands each: generated days");
        has("learn (in 22 minutes on 2 processors).");
        has("the idle timeout of 300 s passes on the clock of the trace");
    }
}
