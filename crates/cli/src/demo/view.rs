//! The output of the demo while it runs: a live picture on a terminal, a line a day elsewhere.

use majordomo::{ByteSize, ComponentState, Manager, Outcome, count};

use crate::print;
use crate::summary::Summary;

/// Width of the memory bar.
const BAR: usize = 40;

pub(super) struct View {
    days: u32,
    live: bool,
    quiet: bool,
    /// Lines drawn by the last picture.
    drawn: usize,
}

/// The component that was decided on, with confidence and evidence.
fn why(outcome: &Outcome) -> String {
    match outcome.needed().first().or_else(|| outcome.candidates().first()) {
        Some(need) => {
            format!(
                "           {} {}{}",
                need.id,
                need.confidence,
                crate::plan::evidence(&need.into())
            )
        }
        None => "           no evidence for any component".to_owned(),
    }
}

impl View {
    pub(super) fn new(days: u32, quiet: bool) -> Self {
        Self { days, live: !quiet && print::is_terminal(), quiet, drawn: 0 }
    }

    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            print::line(text);
        }
    }

    pub(super) async fn command(
        &mut self,
        day: u32,
        text: &str,
        outcome: &Outcome,
        memory: ByteSize,
        manager: &Manager,
        summary: &Summary,
    ) {
        if !self.live {
            return;
        }
        let Ok(status) = manager.status().await else { return };
        let budget = status.memory.budget;
        let filled =
            (memory.0 * BAR as u64).checked_div(budget.0).unwrap_or(0).min(BAR as u64) as usize;
        let mut lines = vec![
            format!("day {day:>2}/{}  > {text}", self.days),
            format!("           {}", crate::run::result(outcome, memory)),
            print::fitted(&why(outcome)),
            format!(
                "memory     [{}{}] {memory} of {budget}",
                "#".repeat(filled),
                "-".repeat(BAR - filled)
            ),
            format!(
                "so far     {}, {} waited, {}, {}",
                count(summary.commands, "command"),
                summary.n_waited(),
                count(summary.loads, "load"),
                count(summary.unloads, "unload")
            ),
        ];
        for c in &status.components {
            let mark = match c.state {
                ComponentState::Ready => "*",
                ComponentState::Loading { .. } | ComponentState::Queued { .. } => "+",
                ComponentState::Unloading { .. } | ComponentState::Draining => "-",
                ComponentState::Down(rung) if rung.is_parked() => "~",
                ComponentState::Down(_) => " ",
                _ => "!",
            };
            let size = c
                .measured
                .filter(|_| c.state.is_alive())
                .map(|m| m.to_string())
                .unwrap_or_default();
            lines.push(format!("  {mark} {:<12} {:<10} {size:>10}", c.id, c.state));
        }
        self.draw(&lines);
    }

    /// Draws over the last picture.
    fn draw(&mut self, lines: &[String]) {
        print::redraw(self.drawn, lines);
        self.drawn = lines.len();
    }

    pub(super) fn day(&self, day: u32, summary: &Summary) {
        if !self.live && !self.quiet {
            print::line(&format!(
                "day {day:>2}: {} so far, {} waited, {}, {}",
                count(summary.commands, "command"),
                summary.n_waited(),
                count(summary.loads, "load"),
                count(summary.unloads, "unload")
            ));
        }
    }

    pub(super) fn end(&mut self) {
        self.drawn = 0;
    }
}
