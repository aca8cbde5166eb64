//! The comparison as Markdown: tables of policies, ratios, goals and components.

use std::fmt::Write as _;

use super::figures::{Ratio, Spread, quantile};
use super::goals::{self, goals};
use super::played::Played;
use super::policy::Policy;
use super::quiet;
use super::record::{Run, Summary};

const MIB: f64 = (1 << 20) as f64;

/// A column of the table of policies: its title, the figure of a run, and its decimals.
struct Column {
    title: &'static str,
    of: fn(&Run, f64) -> f64,
    decimals: usize,
    /// This quantile of the waits of all days instead of a mean of days, none of which has commands enough for it.
    quantile: Option<f64>,
}

const fn column(title: &'static str, of: fn(&Run, f64) -> f64, decimals: usize) -> Column {
    Column { title, of, decimals, quantile: None }
}

impl Column {
    fn cell(&self, runs: &[&Run], all: f64) -> String {
        let values: Vec<f64> = runs.iter().map(|r| (self.of)(r, all)).collect();
        let mut spread = Spread::new(&values);
        if let Some(share) = self.quantile {
            let served = runs.iter().flat_map(|r| &r.commands).filter(|c| c.is_served);
            let mut waits: Vec<f64> = served.map(goals::wait).collect();
            waits.sort_by(f64::total_cmp);
            spread.mean = quantile(&waits, share);
        }
        shown(spread, self.decimals)
    }
}

const COLUMNS: &[Column] = &[
    column("waited %", |r, _| 100.0 * r.figures.share(r.figures.n_waited), 1),
    column("mean wait ms", |r, _| r.figures.mean_ms, 0),
    column("p50", |r, _| r.figures.p50_ms, 0),
    column("p95", |r, _| r.figures.p95_ms, 0),
    Column { quantile: Some(0.99), ..column("p99", |r, _| r.figures.p99_ms, 0) },
    column("to the answer ms", |r, _| r.figures.to_answer_ms, 0),
    column("before load ms", |r, _| r.figures.before_load_ms, 0),
    column("PSS mean MiB", |r, _| r.mean / MIB, 0),
    column("mean %", |r, all| 100.0 * r.mean / all, 1),
    column("PSS peak MiB", |r, _| r.peak as f64 / MIB, 0),
    column("peak %", |r, all| 100.0 * r.peak as f64 / all, 1),
    column("served", |r, _| r.figures.n_served as f64, 0),
    column("refused", |r, _| r.figures.n_refused as f64, 0),
    column("exact %", |r, _| 100.0 * r.figures.exact_share(), 1),
    column("real %", |r, _| 100.0 * r.figures.share(r.figures.n_real), 1),
];

const WORK: &[Column] = &[
    column("loads", |r, _| r.tally.loads as f64, 0),
    column("evictions", |r, _| r.tally.evictions as f64, 0),
    column("preloads", |r, _| r.tally.preloads as f64, 0),
    column("hit", |r, _| r.tally.hits as f64, 0),
    column("late", |r, _| r.tally.late as f64, 0),
    column("wasted", |r, _| r.tally.wasted as f64, 0),
    column("CPU s of components", |r, _| r.used.components_cpu_s, 1),
    column("CPU s of the manager", |r, _| r.used.manager_cpu_s, 2),
    column("read MiB", |r, _| r.used.io.read as f64 / MIB, 0),
    column("from disk MiB", |r, _| r.used.io.disk_read as f64 / MIB, 1),
    column("to disk MiB", |r, _| r.used.io.disk_written as f64 / MIB, 1),
    column("manager PSS mean MiB", |r, _| r.manager_mean / MIB, 1),
    column("manager PSS peak MiB", |r, _| r.manager_peak as f64 / MIB, 1),
    column("guard PSS MiB", |r, _| r.guard_mean / MIB, 1),
    column("answer ms", |r, _| r.figures.answer_ms, 0),
];

fn shown(spread: Spread, decimals: usize) -> String {
    let number = |x: f64| format!("{x:.decimals$}");
    if number(spread.least) == number(spread.most) {
        return number(spread.mean);
    }
    format!("{} ({}–{})", number(spread.mean), number(spread.least), number(spread.most))
}

fn played(summary: &Summary) -> impl Iterator<Item = (Policy, Vec<&Run>)> {
    Policy::EVERY
        .into_iter()
        .map(|policy| (policy, goals::of(summary, policy).collect::<Vec<_>>()))
        .filter(|(_, runs)| !runs.is_empty())
}

fn table(out: &mut String, summary: &Summary, columns: &[Column]) {
    let all = summary.all_loaded().max(1) as f64;
    let titles: Vec<_> = columns.iter().map(|c| c.title).collect();
    let _ = writeln!(out, "| policy | days | budget MiB | {} |", titles.join(" | "));
    let _ = writeln!(out, "|---|---|---|{}", "---|".repeat(columns.len()));
    for (policy, runs) in played(summary) {
        let budgets: Vec<f64> =
            runs.iter().filter_map(|r| r.budget).map(|b| b as f64 / MIB).collect();
        let budget = match budgets.is_empty() {
            true => "–".to_owned(),
            false => shown(Spread::new(&budgets), 0),
        };
        let _ = write!(out, "| {policy} | {} | {budget} |", runs.len());
        for column in columns {
            let _ = write!(out, " {} |", column.cell(&runs, all));
        }
        out.push('\n');
    }
}

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

/// Options whose value is a folder or a program of this machine; the defaults do elsewhere.
const OF_THIS_MACHINE: &[&str] = &["--dir", "--out", "--majordomo"];
/// Options whose value is a file that a reader must have, each with what stands for its folder.
const FILES: &[(&str, &str)] = &[("--trace", "TRACE"), ("--commands", "COMMANDS")];

/// A command line that can be repeated on another machine.
fn repeatable(command: &[String]) -> String {
    let mut words = command.iter().flat_map(|word| match word.split_once('=') {
        Some((option, value)) if option.starts_with("--") => vec![option, value],
        _ => vec![word.as_str()],
    });
    let mut out = Vec::new();
    while let Some(word) = words.next() {
        if OF_THIS_MACHINE.contains(&word) {
            words.next();
            continue;
        }
        out.push(word.to_owned());
        if let Some((_, folder)) = FILES.iter().find(|(option, _)| *option == word)
            && let Some(file) = words.next()
        {
            out.push(format!("{folder}/{}", file.rsplit('/').next().unwrap_or(file)));
        }
    }
    out.join(" ")
}

/// Where the days of a measurement are from, in words.
fn source(summary: &Summary) -> String {
    if summary.runs.iter().any(|run| run.day.is_generated) {
        return "generated days, whose routines a model of sequences can learn".to_owned();
    }
    let sources = summary.runs.iter().map(|run| {
        let source = &run.day.source;
        source.rsplit_once(", uses").map_or(source.as_str(), |(user, _)| user)
    });
    let sources: std::collections::BTreeSet<&str> = sources.collect();
    format!("days of {}", sources.into_iter().collect::<Vec<_>>().join(" and "))
}

/// The table that README shows.
fn short_table(out: &mut String, summary: &Summary) {
    let all = summary.all_loaded().max(1) as f64;
    let n_days = summary.runs.iter().map(|r| r.day.seed).collect::<std::collections::BTreeSet<_>>();
    let _ = writeln!(
        out,
        "Measured {} with `cargo xtask {}`: {} components of public packages, {:.0} MiB when all are loaded and used;\n\
         {} of {} commands each: {} (in {} on {}).\n",
        summary.date,
        repeatable(&summary.command),
        summary.components.len(),
        all / MIB,
        majordomo::count(n_days.len(), "day"),
        summary.commands_per_day,
        source(summary),
        summary.took(),
        summary.machine
    );
    out.push_str("| policy | memory: mean, peak MiB | of everything loaded | commands that waited | mean wait ms | p95 ms | to the answer ms | refused |\n");
    out.push_str("|---|---|---|---|---|---|---|---|\n");
    for (policy, runs) in played(summary) {
        let of = |figure: fn(&Run) -> f64| {
            Spread::new(&runs.iter().map(|r| figure(r)).collect::<Vec<_>>())
        };
        let name = match policy {
            Policy::All => "everything loaded",
            Policy::Lru => "LRU on demand",
            Policy::Idle => "idle timeout",
            Policy::Product => "Majordomo",
            Policy::ProductEqual => "Majordomo with the idle timeout's memory",
        };
        let (mean, peak) = (of(|r| r.mean).mean, of(|r| r.peak as f64).most);
        let waited = of(|r| 100.0 * r.figures.share(r.figures.n_waited)).mean;
        let refused: usize = runs.iter().map(|r| r.figures.n_refused).sum();
        let _ = writeln!(
            out,
            "| {name} | {:.0}, {:.0} | {:.0} %, {:.0} % | {waited:.1} % | {} | {} | {} | {refused} |",
            mean / MIB,
            peak / MIB,
            100.0 * mean / all,
            100.0 * peak / all,
            shown(of(|r| r.figures.mean_ms), 0),
            shown(of(|r| r.figures.p95_ms), 0),
            shown(of(|r| r.figures.to_answer_ms), 0),
        );
    }
}

fn components(out: &mut String, summary: &Summary) {
    out.push_str(
        "| component | PSS after one answer MiB | load ms | first answer ms |\n|---|---|---|---|\n",
    );
    for (name, m) in &summary.components {
        let _ = writeln!(
            out,
            "| {name} | {:.0} | {} | {} |",
            m.pss as f64 / MIB,
            m.load_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0}")),
            m.first_answer_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0}"))
        );
    }
    let _ = writeln!(out, "| all | {:.0} | | |", summary.all_loaded() as f64 / MIB);
}

fn days(out: &mut String, summary: &Summary) {
    out.push_str("| seed | policy | place | day | earlier uses | played before | pauses over 5 min | load average before, after | mean wait ms | seconds | sampling s |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
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

/// Everything that a reader must know besides: interrupted, unequal, lost, wrong.
fn remarks(summary: &Summary) -> Vec<String> {
    let mut out = Vec::new();
    if summary.was_interrupted {
        out.push(
            "The measurement was interrupted; the last day of a policy may be incomplete."
                .to_owned(),
        );
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
    let mut seeds = std::collections::BTreeSet::new();
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

/// Everything of a measurement that is text; `pictures` are files beside it.
pub(super) fn report(summary: &Summary, pictures: &[&str]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# A real assistant under five policies\n");
    let _ = writeln!(
        out,
        "{}, in {}; {}; `majordomo-lab {}`; assistant: `{}`. A wait of more than {:.0} ms is noticed. Pauses are divided by {} and cut \
         at {} s, in the mean {:.2} s; the idle timeout of {} s passes on the clock of the trace. {} texts were taught before. Figures are means over days, \
         with the least and the most. Of {}.\n",
        summary.date,
        summary.took(),
        summary.machine,
        summary.command.join(" "),
        summary.folder,
        super::played::NOTICED_MS,
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
    out.push_str("\n## Ratios of mean waits\n\nThe same commands under both; 90 % interval by a bootstrap over days and, in each, blocks of successive commands. No day is played twice, so the noise between two runs of the same day is not in it.\n\n");
    ratio_table(&mut out, summary, goals::wait);
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
  speculation; `product` and `product-equal` use the defaults.
- Every server starts with the same taught texts (split train) and the same measured figures of loads (of the calibration, in which each
  component is loaded once and answers one question). `product` and `product-equal` also start with a sequence model of the same user's
  uses before the day, at pauses shortened alike, half a second for each answer; it is made by the product's own model and stored in its
  form. No server knows anything of the day.
- The last of those earlier uses are played, by name, under every policy before the figures begin, and are learned from there: a day begins
  with what each policy would have loaded, not with an empty machine.
- A command's wait is from its text to the lease on the needed component, as the client sees it, with the exchange after a wrong choice. A
  refused command counts as refused; its needed component is then leased by name once. A command that is not served even so has no times.
  The time to the answer is the wait and the component's answer.
- Memory is the sum of proportional set sizes of all processes of components, read from the system at equal distances, with those that
  load or end, and with memory that is swapped out; its mean is over time. The peak is the largest sample, so a shorter one between two
  samples is missed. The manager's process and its guard are apart.
- The state of components is that of the calibration: a browser has a profile, as a person's has.
- The page cache is warm. First loads in life read the files of components from a disk.
- p99 is that of the commands of all days together, with the least and the most of a day; other figures are means of days.
- CPU time and I/O are those of living processes and those that the system adds to a parent which reaps a child; a process that no parent
  waits for is missed. Bytes read are those of read calls, from the page cache or a disk, without mapped files; I/O includes the manager's.
- Pauses begin after the previous command, and are played for a shorter time, the same under every policy. Loads and answers take their
  real time: compressed pauses make them longer in proportion, which is harder for preloads than life.
- The idle timeout passes on the clock of the trace: a component without a use for 5 minutes of it, its own or a dependent's, is unloaded
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
        has("| chat | 1000 | 900 | – |");
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

    #[test]
    fn a_printed_command_can_be_repeated_elsewhere() {
        let of = |words: &str| repeatable(&words.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(
            of("assistant day --dir /x/y --seeds 5 --trace /a/b.tsv.gz --out=/z --majordomo /m"),
            "assistant day --seeds 5 --trace TRACE/b.tsv.gz"
        );
        assert_eq!(
            of("assistant day --commands=a/b.tsv"),
            "assistant day --commands COMMANDS/b.tsv"
        );
    }

    #[test]
    fn a_table_names_the_users_of_its_days() {
        let mut runs = [1, 2, 3].map(|seed| run(Policy::Lru, seed, &[1.0]));
        for (run, user) in runs.iter_mut().zip(["b", "a", "b"]) {
            run.day.is_generated = false;
            run.day.source = format!("trace, user {user}, uses 5 to 9");
        }
        let text = source(&summary(runs.into()));
        assert_eq!(text, "days of trace, user a and trace, user b");
    }
}
