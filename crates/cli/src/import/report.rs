//! The account of an import: every key of the input, and what became of it.
//!
//! Invariant, kept by [`Report::complete`]: each key has one row, or stands below one that has.

use std::collections::BTreeSet;

use crate::print::{self, Style, styled};

use super::document::{Node, Value};

/// Keys from the top of the file.
pub(super) type Path = Vec<String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Translated,
    NotNeeded,
    NotSupported,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Translated, Self::NotNeeded, Self::NotSupported];

    const fn words(self) -> &'static str {
        match self {
            Self::Translated => "translated",
            Self::NotNeeded => "not needed",
            Self::NotSupported => "not supported",
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::Translated => Style::Good,
            Self::NotNeeded => Style::Faint,
            Self::NotSupported => Style::Doubtful,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub path: Path,
    /// From 1.
    pub line: usize,
    pub outcome: Outcome,
    pub detail: String,
}

#[derive(Debug, Default)]
pub(super) struct Report {
    pub rows: Vec<Row>,
    /// Facts that concern no key, for the operator to look at.
    pub remarks: Vec<String>,
}

impl Report {
    pub(super) fn add(
        &mut self,
        outcome: Outcome,
        path: &[String],
        line: usize,
        detail: impl Into<String>,
    ) {
        self.rows.push(Row { path: path.to_vec(), line, outcome, detail: detail.into() });
    }

    /// Adds rows for keys of trees, each with the path to it, that no translation knows; puts all into the order of the file.
    pub(super) fn complete(&mut self, trees: &[(Path, &Node)]) {
        let known: BTreeSet<Path> = self.rows.iter().map(|row| row.path.clone()).collect();
        let mut missing = Vec::new();
        for (path, node) in trees {
            unknown(node, &mut path.clone(), &known, &mut missing);
        }
        for (path, line) in missing {
            self.add(
                Outcome::NotSupported,
                &path,
                line,
                "no key that this version knows; llama-swap ignores such keys",
            );
        }
        self.rows.sort_by(|a, b| (a.line, &a.path).cmp(&(b.line, &b.path)));
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }

    /// Prints the report on standard error.
    pub(super) fn print(&self, file: &str, json: bool) {
        if json {
            for row in &self.rows {
                print::json_message(&serde_json::json!({
                    "line": row.line,
                    "key": shown(&row.path),
                    "outcome": row.outcome.words(),
                    "detail": row.detail,
                }));
            }
            for remark in &self.remarks {
                print::json_message(&serde_json::json!({ "remark": remark }));
            }
            return;
        }
        let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let keys: Vec<String> = self.rows.iter().map(|row| shown(&row.path)).collect();
        let key_width = width(&mut keys.iter().map(|key| key.chars().count())).clamp(3, 44);
        let line_width = width(&mut self.rows.iter().map(|row| row.line.to_string().len())).max(4);
        print::message(&styled(
            Style::Faint,
            &format!("{:>line_width$}  {:<key_width$}  {:<13}  DETAIL", "LINE", "KEY", "RESULT"),
        ));
        for (row, key) in self.rows.iter().zip(&keys) {
            let outcome = styled(row.outcome.style(), &format!("{:<13}", row.outcome.words()));
            print::message(&format!(
                "{:>line_width$}  {key:<key_width$}  {outcome}  {}",
                row.line, row.detail
            ));
        }
        for remark in &self.remarks {
            print::message(&format!("* {remark}"));
        }
        let counts =
            Outcome::ALL.map(|outcome| format!("{} {}", self.count(outcome), outcome.words()));
        print::message(&format!(
            "{file}: {}: {}",
            majordomo::count(self.rows.len(), "key"),
            counts.join(", ")
        ));
    }
}

fn unknown(node: &Node, path: &mut Path, known: &BTreeSet<Path>, missing: &mut Vec<(Path, usize)>) {
    for member in node.members() {
        path.push(member.key.clone());
        // Rows below a path sort directly behind it.
        let has_rows_below =
            || known.range(path.clone()..).next().is_some_and(|row| row.starts_with(path));
        if known.contains(path) {
        } else if matches!(member.node.value, Value::Map(_)) && has_rows_below() {
            unknown(&member.node, path, known, missing);
        } else {
            missing.push((path.clone(), member.line));
        }
        path.pop();
    }
}

/// A path as text: keys with other characters than letters, digits, `_` and `-` in quotation marks.
pub(super) fn shown(path: &[String]) -> String {
    path.iter().map(|key| super::out::key(key)).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::document::read;

    #[test]
    fn every_key_has_a_row_or_stands_below_one() {
        let root =
            read("a: 1\nb:\n  c: 1\n  d: {e: 1, f: 2}\n  g: [x]\nh: {i: 1}\n").unwrap().0.unwrap();
        let mut report = Report::default();
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Path>();
        report.add(Outcome::Translated, &path("b.d"), 4, "");
        report.add(Outcome::NotNeeded, &path("a"), 1, "");
        report.complete(&[(Vec::new(), &root)]);
        let rows: Vec<_> = report.rows.iter().map(|row| (shown(&row.path), row.outcome)).collect();
        let expected = [
            ("a", Outcome::NotNeeded),
            ("b.c", Outcome::NotSupported),
            ("b.d", Outcome::Translated),
            ("b.g", Outcome::NotSupported),
            ("h", Outcome::NotSupported),
        ];
        assert_eq!(rows, expected.map(|(path, outcome)| (path.to_owned(), outcome)));
    }
}
