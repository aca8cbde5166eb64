//! README shows what was measured: the table of `cargo xtask assistant report`, with its date and
//! its command.
//!
//! The table is copied as `report` prints it under "For README": a line that begins with `Measured
//! 20` and names the command, and rows for LRU and for Majordomo.

use super::Findings;
use crate::project::Project;

const README: &str = "README.md";
const DATED: &str = "Measured 20";
const COMMAND: &str = "`cargo xtask assistant day";
const ROWS: &[&str] = &["| LRU on demand |", "| idle timeout |", "| Majordomo |"];
/// The figure of the demo, which the table replaces.
const DEMO: &str = "the demo's commands wait";

pub(super) fn check(project: &Project, findings: &mut Findings) {
    let Some(text) = project.file(README) else { return };
    let measured = text.lines().position(|line| line.starts_with(DATED));
    let Some(idx) = measured else {
        let what = "no line `Measured 20.. with `cargo xtask assistant day`, which `report` prints";
        findings.error(README, 0, what);
        return;
    };
    let below: Vec<&str> = text.lines().skip(idx).collect();
    if !below[0].contains(COMMAND) {
        findings.error(README, idx + 1, "the measured table does not name its command");
    }
    for row in ROWS {
        if !below.iter().any(|line| line.starts_with(row)) {
            findings.error(README, idx + 1, format!("the measured table has no row `{row}`"));
        }
    }
    if let Some(demo) = text.lines().position(|line| line.contains(DEMO)) {
        findings.error(README, demo + 1, "the demo's figure stands beside the measured table");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const TABLE: &str = "# Majordomo\n\nMeasured 2026-11-30 10:00 UTC with `cargo xtask assistant day --seeds 5`: 12 components\n\n\
        | policy | memory |\n|---|---|\n| LRU on demand | 1 |\n| idle timeout | 1 |\n| Majordomo | 1 |\n";

    fn of(text: &str, expected: &[&str]) {
        testing::check(check, &[(README, text)], expected);
    }

    #[test]
    fn readme_shows_a_dated_table_with_its_command() {
        of(TABLE, &[]);
        of("# Majordomo\n", &["error: README.md: no line"]);
        of(&TABLE.replace("Measured 2026-11-30", "Measured"), &["no line"]);
        let other = TABLE.replace("cargo xtask assistant", "cargo xtask demo");
        of(&other, &["README.md:3: the measured table does not name its command"]);
        of(&TABLE.replace("| idle timeout | 1 |\n", ""), &["no row `| idle timeout |`"]);
    }

    #[test]
    fn the_figure_of_the_demo_is_replaced_by_the_table() {
        let demo = "On two cores the demo's commands wait 0.82 times as long.\n";
        of(demo, &["error: README.md: no line"]);
        of(&format!("{TABLE}\n{demo}"), &["README.md:11: the demo's figure"]);
    }
}
