//! Printing: colour only on a terminal, JSON one object a line.

use std::io::{IsTerminal, Write};
use std::time::Duration;

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
    tell(text);
}

/// The same. False when nobody reads any more.
pub(crate) fn tell(text: &str) -> bool {
    writeln!(std::io::stdout(), "{text}").is_ok()
}

/// How wide the terminal is, if it is one.
pub(crate) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout())
        .or_else(|_| rustix::termios::tcgetwinsize(std::io::stderr()));
    size.ok().map(|s| usize::from(s.ws_col)).filter(|n| *n > 0)
}

/// How high the terminal is, if it is one.
pub(crate) fn height() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|n| *n > 0)
}

/// A line without styles cut to the width of the terminal.
pub(crate) fn fitted(text: &str) -> String {
    match width() {
        Some(width) => cut(text, width),
        None => text.to_owned(),
    }
}

/// A text of at most so many characters; what is left out is shown as `…`.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// A duration as people read it, exactly.
pub(crate) fn time(d: Duration) -> String {
    let ms = d.as_secs_f64() * 1e3;
    if ms >= 10_000.0 {
        format!("{:.1} s", ms / 1e3)
    } else if ms >= 100.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{ms:.1} ms")
    }
}

/// A duration as people read it, roughly: its two largest units.
pub(crate) fn span(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

/// The time of day of a moment in seconds since 1970, in UTC: the program knows no time zones.
pub(crate) fn clock(time: i64) -> String {
    let s = time.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}Z", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check = |s, want| assert_eq!(span(Duration::from_secs(s)), want);
        check(0, "0 s");
        check(61, "1 min 1 s");
        check(3_600, "1 h 0 min");
        check(90_000, "1 d 1 h");
        assert_eq!(clock(0), "00:00:00Z");
        assert_eq!(clock(-1), "23:59:59Z");
        assert_eq!(clock(1_700_000_000), "22:13:20Z");
    }

    #[test]
    fn cuts() {
        let check = |text, width, want: &str| assert_eq!(cut(text, width), want);
        check("abc", 3, "abc");
        check("abcd", 3, "ab…");
        check("ääää", 3, "ää…");
        check("abc", 0, "…");
    }
}
