//! `assistant report`: reads the results of days and writes the comparison.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};

use super::args::ReportArgs;
use super::markdown;
use super::plot;
use super::record::{PlayedLine, SampleLine, Summary, read_lines};

/// The results in a folder, commands and all.
fn read(folder: &Path) -> anyhow::Result<Summary> {
    let path = folder.join("summary.json");
    let text = std::fs::read(&path).with_context(|| {
        format!("{} cannot be read; `majordomo-lab assistant day` writes it", path.display())
    })?;
    let mut summary: Summary = serde_json::from_slice(&text)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let lines: Vec<PlayedLine> = read_lines(&folder.join("day.jsonl"))?;
    for line in lines {
        let run = summary
            .runs
            .iter_mut()
            .find(|run| run.day.seed == line.seed && run.policy == line.policy)
            .with_context(|| {
                format!("day.jsonl has {} of seed {}, summary.json has not", line.policy, line.seed)
            })?;
        run.commands.push(line.played);
    }
    Ok(summary)
}

/// Adds the days of another measurement, which must be of other seeds and under the same settings.
fn pool(summary: &mut Summary, other: Summary, folder: &Path) -> anyhow::Result<()> {
    let differs = summary.difference(&other);
    ensure!(differs.is_none(), "{} differs in {}", folder.display(), differs.unwrap_or_default());
    for run in other.runs {
        let is_twice =
            summary.runs.iter().any(|own| own.day.seed == run.day.seed && own.policy == run.policy);
        ensure!(
            !is_twice,
            "{} plays {} of seed {} again",
            folder.display(),
            run.policy,
            run.day.seed
        );
        summary.runs.push(run);
    }
    summary.took_s += other.took_s;
    summary.was_interrupted |= other.was_interrupted;
    Ok(())
}

/// Runs the command.
pub(super) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    let mut summary = read(folder)?;
    ensure!(!summary.runs.is_empty(), "no policy was played to its end in {}", folder.display());
    let mut samples: Vec<SampleLine> = read_lines(&folder.join("memory.jsonl"))?;
    for other in &args.others {
        pool(&mut summary, read(other)?, other)?;
        samples.extend(read_lines::<SampleLine>(&other.join("memory.jsonl"))?);
    }
    let pictures = plot::draw(folder, &summary, &samples)?;
    let path = folder.join("report.md");
    let text = markdown::report(&summary, &pictures);
    std::fs::write(&path, &text)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    print!("{text}");
    eprintln!("written to {}", path.display());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::super::goals::testing::{condition, run, summary};
    use super::super::policy::Policy;
    use super::*;
    use crate::short::SwapKind;

    #[test]
    fn days_under_the_same_settings_are_pooled_and_others_refused() {
        let of = |seed, swap| {
            let mut summary = summary(vec![run(Policy::Lru, seed, &[1.0])]);
            summary.condition = Some(condition(swap));
            summary
        };
        let folder = Path::new("other");
        let mut all = of(1, SwapKind::Disk);
        pool(&mut all, of(2, SwapKind::Disk), folder).unwrap();
        assert_eq!((all.runs.len(), all.took_s), (2, 2.0 * 1_310.0));
        let refused = |all: &mut Summary, other| pool(all, other, folder).unwrap_err().to_string();
        assert_eq!(refused(&mut all, of(2, SwapKind::Disk)), "other plays lru of seed 2 again");
        assert_eq!(refused(&mut all, of(3, SwapKind::None)), "other differs in the swap");
        let slower = Summary { longest_pause_s: 9.0, ..of(3, SwapKind::Disk) };
        assert_eq!(refused(&mut all, slower), "other differs in the pauses");
    }
}
