//! `run`: commands from the arguments or standard input, each with what it needed and how it went.

use std::process::ExitCode;
use std::time::Duration;

use majordomo::{Decision, Manager, Outcome};
use majordomo_server::wire::Need;

use crate::exit::Exit;
use crate::lines::InputLines;
use crate::plan::{doubtful, evidence};
use crate::print::{self, Style, styled, time};
use crate::signals::Interrupts;
use crate::start::{builder, report_stuck, start_or_interrupt};
use crate::summary::Summary;
use crate::target::Job;

/// Memory is measured at least this often.
const SAMPLE: Duration = Duration::from_millis(250);

pub(crate) async fn run(args: Job, json: bool) -> anyhow::Result<ExitCode> {
    let builder = builder(&args.config, args.state_dir.as_deref())?;
    let mut interrupts = Interrupts::new()?;
    let started =
        start_or_interrupt(builder, json, &mut interrupts, print::message, Exit::Success).await?;
    let manager = match started {
        Ok(manager) => manager,
        Err(code) => return Ok(code),
    };
    let mut summary = Summary::new(&manager);
    let outcome = tokio::select! {
        done = commands(&manager, &args, json, &mut summary) => done,
        () = interrupts.next() => {
            print::message("interrupted; stopping (interrupt again to stop at once)");
            Ok(true)
        }
        () = print::ended() => Ok(true),
    };
    summary.catch_up(&manager).await;
    let stuck = interrupts.shutdown(&manager).await;
    let were_readable = outcome?;
    // The unloads at the end are no part of the work: the figures are those before them.
    if json {
        print::json(&summary.json());
    } else {
        print::line("");
        print::lines(&summary.lines());
    }
    report_stuck(&stuck);
    let refused = !summary.refusals.is_empty();
    Ok(match (stuck.is_empty(), refused) {
        (false, _) => ExitCode::FAILURE,
        _ if !were_readable => ExitCode::FAILURE,
        (_, true) => Exit::Refused.into(),
        _ => ExitCode::SUCCESS,
    })
}

/// Carries commands out; false when lines of standard input could not be read.
async fn commands(
    manager: &Manager,
    args: &Job,
    json: bool,
    summary: &mut Summary,
) -> anyhow::Result<bool> {
    if !args.text.is_empty() {
        command(manager, &args.text.join(" "), args.hold, json, summary).await?;
        return Ok(true);
    }
    let mut lines = InputLines::stdin(json);
    // Memory is looked at between commands too, or its mean would be that of the busy moments only.
    let mut look = tokio::time::interval(SAMPLE);
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(text) => command(manager, &text, args.hold, json, summary).await?,
                None => return Ok(!lines.was_unreadable()),
            },
            _ = look.tick() => drop(summary.catch_up(manager).await),
        }
    }
}

async fn command(
    manager: &Manager,
    text: &str,
    hold: Duration,
    json: bool,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let outcome = manager.command(text).await;
    outcome.mark_used();
    summary.command(&outcome);
    let memory = summary.catch_up(manager).await;
    if json {
        print::json(&serde_json::json!({
            "command": text,
            "decision": outcome.decision(),
            "model_version": outcome.model_version(),
            "needed": outcome.needed(),
            "candidates": outcome.candidates(),
            "hit": outcome.was_hit(),
            "waited_ms": outcome.waited().as_secs_f64() * 1e3,
            "refusal": outcome.refusal(),
            "left_out": outcome.left_out(),
            "memory_bytes": memory,
        }));
    } else {
        print::line(&format!("{} {text}", styled(Style::Faint, ">")));
        print::line(&format!("  {}", result(&outcome, memory)));
        for need in outcome.needed() {
            let left = outcome.left_out().iter().find(|l| l.id == need.id);
            let left = left.map(|l| format!(", left out: {}", l.refusal)).unwrap_or_default();
            print::line(&format!(
                "  {} {}{}{left}",
                need.id,
                need.confidence,
                evidence(&need.into())
            ));
        }
        let candidates: Vec<_> = outcome.candidates().iter().map(Need::from).collect();
        for need in doubtful(outcome.decision().into(), &candidates) {
            let because = evidence(need);
            print::line(&format!("  unsure: {} {}{because}", need.component, need.confidence));
        }
    }
    if !hold.is_zero() {
        tokio::time::sleep(hold).await;
    }
    Ok(())
}

/// The result of a command in one line.
pub(crate) fn result(outcome: &Outcome, memory: majordomo::ByteSize) -> String {
    let how = match outcome.refusal() {
        Some(refusal) => styled(Style::Bad, &format!("refused: {refusal}")),
        None if outcome.decision() == Decision::Unsure => {
            styled(Style::Doubtful, "unsure, so nothing was loaded")
        }
        None if outcome.needed().is_empty() => styled(Style::Faint, "no component needed"),
        None if outcome.was_hit() => styled(Style::Good, "hit"),
        None => styled(Style::Doubtful, &format!("waited {}", time(outcome.waited()))),
    };
    format!("{how}, {memory} in use")
}
