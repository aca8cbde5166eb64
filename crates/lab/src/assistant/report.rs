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

/// Runs the command.
pub(super) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    let summary = read(folder)?;
    ensure!(!summary.runs.is_empty(), "no policy was played to its end in {}", folder.display());
    let samples: Vec<SampleLine> = read_lines(&folder.join("memory.jsonl"))?;
    let pictures = plot::draw(folder, &summary, &samples)?;
    let path = folder.join("report.md");
    let text = markdown::report(&summary, &pictures);
    std::fs::write(&path, &text)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    print!("{text}");
    eprintln!("written to {}", path.display());
    Ok(ExitCode::SUCCESS)
}
