//! Printing: colour only on a terminal, JSON one object a line.

use std::io::{IsTerminal, Write};

/// Whether to colour a stream that is a terminal; `NO_COLOR` is honoured.
pub(crate) fn colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// The styles used.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Good,
    Bad,
    Doubtful,
    Faint,
    Strong,
}

/// Text in a style, if standard output is coloured.
pub(crate) fn styled(style: Style, text: &str) -> String {
    if colour(std::io::stdout().is_terminal()) { wrap(style, text) } else { text.to_owned() }
}

fn wrap(style: Style, text: &str) -> String {
    let code = match style {
        Style::Good => "32",
        Style::Bad => "31",
        Style::Doubtful => "33",
        Style::Faint => "2",
        Style::Strong => "1",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// An error on standard error.
pub(crate) fn error(text: &str) {
    let label = if colour(std::io::stderr().is_terminal()) {
        wrap(Style::Bad, "error:")
    } else {
        "error:".to_owned()
    };
    note(&format!("{label} {text}"));
}

/// A line on standard error, for people; lost when nobody reads it any more.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// One JSON object on a line of its own.
pub(crate) fn json(value: &serde_json::Value) {
    line(&value.to_string());
}

/// A line on standard output. A reader that has gone away ends the program's printing, not the program.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A duration as people read it.
pub(crate) fn time(d: std::time::Duration) -> String {
    let ms = d.as_secs_f64() * 1e3;
    if ms >= 10_000.0 {
        format!("{:.1} s", ms / 1e3)
    } else if ms >= 100.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{ms:.1} ms")
    }
}
