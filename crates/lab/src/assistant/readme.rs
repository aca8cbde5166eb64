//! The table that README shows: few columns, the date, and a command that can be repeated
//! elsewhere.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::columns::{MIB, played, shown};
use super::figures::Spread;
use super::goals::equal_memory;
use super::played::Played;
use super::policy::Policy;
use super::pooled::{Part, Statistic, pooled};
use super::record::{Run, Summary};

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
pub(super) fn source(summary: &Summary) -> String {
    if summary.runs.iter().any(|run| run.day.is_generated) {
        return "generated days, whose routines a model of sequences can learn".to_owned();
    }
    let sources = summary.runs.iter().map(|run| {
        let source = &run.day.source;
        source.rsplit_once(", uses").map_or(source.as_str(), |(user, _)| user)
    });
    let sources: BTreeSet<&str> = sources.collect();
    format!("days of {}", sources.into_iter().collect::<Vec<_>>().join(" and "))
}

/// The table that README shows.
pub(super) fn short_table(out: &mut String, summary: &Summary) {
    let all = summary.all_loaded().max(1) as f64;
    let condition = summary.condition.as_ref();
    let counted = condition.map_or(all, |condition| condition.all_loaded.max(1) as f64);
    let condition = condition.map_or_else(String::new, |condition| {
        format!("\n{}. RAM of components, with swap cache and zram.", condition.sentence())
    });
    let n_days = summary.runs.iter().map(|r| r.day.seed).collect::<BTreeSet<_>>();
    let _ = writeln!(
        out,
        "Measured {} with `cargo xtask {}`: {} components of public packages, {:.0} MiB when all are loaded and used;\n\
         {} of {} commands each: {} (in {} on {}).{condition}\n",
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
    out.push_str("| policy | memory: mean, peak MiB | of everything loaded | commands that waited | mean wait ms | p95 ms | mean full wait ms | p95 ms | to the answer ms | refused |\n");
    out.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
    for (policy, runs) in played(summary) {
        let of = |figure: fn(&Run) -> f64| {
            Spread::new(&runs.iter().map(|r| figure(r)).collect::<Vec<_>>())
        };
        let equal;
        let name = match policy {
            Policy::All if n_days.len() > 1 => "everything loaded (first day)",
            Policy::All => "everything loaded",
            Policy::Lru => "LRU on demand",
            Policy::Idle => "idle timeout",
            Policy::TwoState => "Majordomo without rungs",
            Policy::Product => "Majordomo",
            Policy::ProductEqual => {
                let (days, more) = equal_memory(summary);
                let n = days.len() + more.len();
                equal = match more.len() {
                    0 => "Majordomo with the idle timeout's memory".to_owned(),
                    _ => format!(
                        "Majordomo with the idle timeout's memory on {} of {n} days",
                        days.len()
                    ),
                };
                equal.as_str()
            }
        };
        // A run that no group counted has its PSS.
        let mean = of(|r| r.ram.map_or(r.mean, |ram| ram.mean)).mean;
        let peak = of(|r| r.ram.map_or(r.peak, |ram| ram.peak) as f64).most;
        let waited = of(|r| 100.0 * r.figures.share(r.figures.n_waited)).mean;
        let full = [Statistic::Mean, Statistic::Quantile(0.95)].map(|statistic| {
            let time = Played::full_wait_ms;
            let figure = pooled(summary, policy, Part::All, time, statistic);
            figure
                .filter(|_| summary.warm.is_some())
                .map_or_else(|| "–".to_owned(), |f| shown(f, 0))
        });
        let refused: usize = runs.iter().map(|r| r.figures.n_refused).sum();
        let _ = writeln!(
            out,
            "| {name} | {:.0}, {:.0} | {:.0} %, {:.0} % | {waited:.1} % | {} | {} | {} | {} | {} | {refused} |",
            mean / MIB,
            peak / MIB,
            100.0 * mean / counted,
            100.0 * peak / counted,
            shown(of(|r| r.figures.mean_ms), 0),
            shown(of(|r| r.figures.p95_ms), 0),
            full[0],
            full[1],
            shown(of(|r| r.figures.to_answer_ms), 0),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::goals::testing::{run, summary};
    use super::*;

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
