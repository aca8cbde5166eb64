//! Printing: the one way from a text to a terminal.
//!
//! Owns that nothing of other programs or users acts on the terminal: each line is escaped here
//! ([`majordomo::printable`]), whatever it is made of, so a new message cannot forget it. Styles are put in as marks,
//! noncharacters that only this module turns into escape sequences. Colour only on a terminal, JSON one object a line.

mod ansi;
mod out;

use std::time::Duration;

use majordomo::{count, environment_variable, printable, printable_json};

pub(crate) use out::{ended, error_is_terminal, exit, height, is_terminal, width};

/// Whether to colour a stream that is a terminal; `NO_COLOR` is honoured.
pub(crate) fn colour(terminal: bool) -> bool {
    terminal && environment_variable("NO_COLOR").is_none()
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

/// The mark that begins each style, with the parameters of its escape sequence.
const MARKS: [(char, &str); 5] = [
    ('\u{fdd0}', "32"),
    ('\u{fdd1}', "31"),
    ('\u{fdd2}', "33"),
    ('\u{fdd3}', "2"),
    ('\u{fdd4}', "1"),
];
/// The mark that ends a style.
const END_MARK: char = '\u{fdef}';

/// Text in a style, if standard output is coloured.
pub(crate) fn styled(style: Style, text: &str) -> String {
    if colour(is_terminal()) { marked(style, text) } else { printable(text).into_owned() }
}

fn marked(style: Style, text: &str) -> String {
    let mark = MARKS[style as usize].0;
    format!("{mark}{}{END_MARK}", printable(text))
}

/// The text without marks of styles.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| *c != END_MARK && MARKS.iter().all(|(mark, _)| mark != c)).collect()
}

/// A line as it is written: marks become escape sequences with `colours`, and everything else is escaped.
fn rendered(line: &str, colours: bool) -> String {
    if !colours {
        return printable(line).into_owned();
    }
    let mut out = String::with_capacity(line.len());
    let mut is_styled = false;
    let mut rest = line;
    while let Some(at) = rest.find(|c| c == END_MARK || MARKS.iter().any(|(mark, _)| *mark == c)) {
        let (text, tail) = rest.split_at(at);
        out += &printable(text);
        let Some(mark) = tail.chars().next() else { break };
        let style = MARKS.iter().find(|(m, _)| *m == mark);
        out += &style.map_or("\u{1b}[0m".to_owned(), |(_, code)| format!("\u{1b}[{code}m"));
        is_styled = style.is_some();
        rest = &tail[mark.len_utf8()..];
    }
    out += &printable(rest);
    if is_styled {
        out += "\u{1b}[0m";
    }
    out
}

/// An error on standard error.
pub(crate) fn error(text: &str) {
    let label = if colour(error_is_terminal()) {
        marked(Style::Bad, "error:")
    } else {
        "error:".to_owned()
    };
    message(&format!("{label} {text}"));
}

/// An error of several lines on standard error; the texts of others in it are escaped already.
pub(crate) fn error_block(text: &str) {
    let mut lines = text.lines();
    error(lines.next().unwrap_or_default());
    lines.for_each(message);
}

/// A line on standard error, for people; lost when its reader has ended.
pub(crate) fn message(text: &str) {
    out::write_error(&(rendered(text, colour(error_is_terminal())) + "\n"));
}

/// The same for a text of several lines; the texts of others in it are escaped already.
pub(crate) fn message_block(text: &str) {
    text.lines().for_each(message);
}

/// One JSON object on a line of its own.
pub(crate) fn json(value: &serde_json::Value) {
    json_text(&value.to_string());
}

pub(crate) fn json_text(text: &str) {
    out::write(&format!("{}\n", printable_json(text)));
}

/// One JSON object on standard error.
pub(crate) fn json_message(value: &serde_json::Value) {
    out::write_error(&format!("{}\n", printable_json(&value.to_string())));
}

/// A line on standard output.
pub(crate) fn line(text: &str) {
    out::write(&(rendered(text, colour(is_terminal())) + "\n"));
}

/// Lines on standard output.
pub(crate) fn lines(lines: &[String]) {
    lines.iter().for_each(|l| line(l));
}

/// A text of several lines; the texts of others in it are escaped already.
pub(crate) fn block(text: &str) {
    text.lines().for_each(line);
}

/// Help of the arguments, which this program wrote, without and with styles.
pub(crate) fn help(plain: &str, styled: &str) {
    out::write(if colour(is_terminal()) { styled } else { plain });
}

/// A file's content for other programs: a script, a unit, a table. Not escaped.
pub(crate) fn file(text: &str) {
    out::write(&format!("{}\n", text.strip_suffix('\n').unwrap_or(text)));
}

/// A line of a component's output.
pub(crate) fn output(style: Option<Style>, text: &str) {
    let colours = colour(is_terminal());
    let text = ansi::output(text, colours);
    let line = match style {
        Some(style) if colours => format!("\u{1b}[{}m{text}\u{1b}[0m\n", MARKS[style as usize].1),
        _ => text + "\n",
    };
    out::write(&line);
}

/// To the start of the line, which is then blanked.
const CLEAR_LINE: &str = "\r\u{1b}[2K";

/// A line on standard error that the next one replaces. Only for terminals.
pub(crate) fn progress(text: &str) {
    out::write_error(&format!("{CLEAR_LINE}{}", fitted(text)));
}

/// A picture of lines on a terminal: over the `above` lines before the cursor.
pub(crate) fn redraw(above: usize, lines: &[String]) {
    let mut picture = if above > 0 { format!("\u{1b}[{above}A") } else { String::new() };
    for line in lines {
        picture += &format!("\u{1b}[2K{}\n", rendered(line, colour(true)));
    }
    out::write(&picture);
}

/// The terminal's other screen; the one before comes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Screen;

impl Screen {
    pub(crate) fn open() -> Self {
        out::write("\u{1b}[?1049h\u{1b}[?25l");
        Self
    }

    /// Draws over what is there, so that nothing flickers.
    pub(crate) fn draw(&self, lines: &[String]) {
        const HOME: &str = "\u{1b}[H";
        const REST_OF_LINE: &str = "\u{1b}[K";
        const REST_OF_SCREEN: &str = "\u{1b}[J";
        let height = height().unwrap_or(usize::MAX);
        let fits = lines.len() <= height;
        let n_shown = if fits { lines.len() } else { height.saturating_sub(1) };
        let mut shown: Vec<String> =
            lines.iter().take(n_shown).map(|l| rendered(l, colour(true)) + REST_OF_LINE).collect();
        if !fits {
            shown.push(format!("… {} more{REST_OF_LINE}", count(lines.len() - n_shown, "line")));
        }
        out::write(&format!("{HOME}{}{REST_OF_SCREEN}", shown.join("\n")));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        out::write("\u{1b}[?25h\u{1b}[?1049l");
    }
}

/// A line without styles, escaped, and cut to the width of the terminal.
pub(crate) fn fitted(text: &str) -> String {
    let text = printable(text);
    match width() {
        Some(width) => cut(&text, width),
        None => text.into_owned(),
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
    fn only_marked_styles_become_escape_sequences() {
        let text = format!("a {} b\u{1b}[2J\u{202e}\nc", marked(Style::Bad, "x\u{1b}y"));
        let escaped = " b\\u{1b}[2J\\u{202e}\\nc";
        assert_eq!(rendered(&text, true), format!("a \u{1b}[31mx\\u{{1b}}y\u{1b}[0m{escaped}"));
        assert_eq!(plain(&text), "a x\\u{1b}y b\u{1b}[2J\u{202e}\nc");
        assert_eq!(rendered("\u{fdd0}forged", true), "\u{1b}[32mforged\u{1b}[0m");
        assert_eq!(rendered("\u{fdd0}forged", false), "\\u{fdd0}forged");
    }

    /// So no message of this program can reach a terminal unescaped, and no failed write is lost.
    #[test]
    fn nothing_else_writes_to_standard_output_or_error() {
        fn visit(dir: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    visit(&path, found);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let words = ["stdout(", "stderr(", "println!", "print!(", "eprint"];
                let words = words.iter().filter(|w| text.contains(**w));
                found.extend(words.map(|w| format!("{} {w}", path.display())));
            }
        }
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let mut found = Vec::new();
        visit(std::path::Path::new(root), &mut found);
        let allowed = ["src/print.rs", "src/print/out.rs", "src/log.rs"];
        found.retain(|f| !allowed.iter().any(|a| f.split(' ').next().unwrap().ends_with(a)));
        // clap's own question whether an error is printed there.
        found.retain(|f| !f.ends_with("main.rs stderr("));
        assert_eq!(found, Vec::<String>::new());
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
