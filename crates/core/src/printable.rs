//! Text of other programs and of users, made safe to print.
//!
//! Owns the one rule which characters a terminal, a log or a reader may be shown as they are. An escaped text is one
//! line, moves no cursor, changes no colour, and reads in the order in which it is stored.
//!
//! Escaped are control characters (C0, DEL, C1), line and paragraph separators, bidirectional controls, noncharacters,
//! and characters that have no glyph of their own. Letters, marks and emoji of every script stay. Four kinds of
//! characters without a glyph stay where they shape the character before them, and are escaped elsewhere:
//! - ZERO WIDTH JOINER and NON-JOINER between two characters beyond ASCII (emoji, Persian, Indic scripts);
//! - one variation selector after a character that has variants (beyond ASCII, or one of `0-9#*` as a keycap);
//! - Mongolian variation selectors after a Mongolian letter;
//! - tag characters after the black flag (flags of regions).

use std::borrow::Cow;
use std::fmt::{self, Write};

/// The text with every unsafe character escaped: `\n`, `\t`, `\r`, else `\u{1b}`.
///
/// A backslash stays as it is, so escaping an escaped text changes nothing; [`quoted`] is unambiguous.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) || characters(text).all(|(_, safe)| safe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (c, safe) in characters(text) {
        if safe { out.push(c) } else { escape(c, &mut out) }
    }
    Cow::Owned(out)
}

/// The text in double quotes, with unsafe characters, quotes and backslashes escaped. Unlike `{:?}` it leaves
/// combining marks readable.
#[must_use]
pub fn quoted(text: &str) -> Quoted<'_> {
    Quoted(Cow::Borrowed(text))
}

/// A path in double quotes, as [`quoted`]; bytes that are not UTF-8 are replaced.
#[must_use]
pub fn quoted_path(path: &std::path::Path) -> Quoted<'_> {
    Quoted(path.to_string_lossy())
}

/// The longest part of foreign text that a message repeats, in characters.
const ECHO: usize = 200;

/// The beginning of a foreign text: at most 200 characters, and the number of bytes left out.
///
/// Every message that repeats the input of a client or a program uses this function or [`quoted_start`], so that the
/// message never grows with the input.
#[must_use]
pub fn start_of(text: &str) -> Cow<'_, str> {
    start_within(text, ECHO)
}

/// The beginning of a text: at most `max` characters, and the number of bytes left out.
#[must_use]
pub fn start_within(text: &str, max: usize) -> Cow<'_, str> {
    // A character has at least one byte.
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    match text.char_indices().nth(max) {
        None => Cow::Borrowed(text),
        Some((end, _)) => {
            Cow::Owned(format!("{}\u{2026} ({} more bytes)", &text[..end], text.len() - end))
        }
    }
}

/// The beginning of a foreign text in double quotes: [`start_of`] as [`quoted`].
#[must_use]
pub fn quoted_start(text: &str) -> Quoted<'_> {
    Quoted(start_of(text))
}

/// A text that is displayed in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted<'a>(Cow<'a, str>);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(self.0.len() + 2);
        out.push('"');
        for (c, safe) in characters(&self.0) {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                _ if safe => out.push(c),
                _ => escape(c, &mut out),
            }
        }
        out.push('"');
        f.pad(&out)
    }
}

/// JSON with every unsafe character in its strings written as an escape (a backslash, `u` and four hexadecimal digits).
/// A JSON parser reads the same value from both.
///
/// `json` must be JSON: there, characters beyond ASCII stand in strings only. Line ends between values stay.
#[must_use]
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let is_safe = |c: char, safe: bool| safe || matches!(c, '\n' | '\r' | '\t');
    if json.is_ascii() && !json.contains('\u{7f}')
        || characters(json).all(|(c, safe)| is_safe(c, safe))
    {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for (c, safe) in characters(json) {
        if is_safe(c, safe) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(out)
}

fn escape(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

/// Every character and whether it may be printed as it is, where it stands.
fn characters(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut before = Before::Nothing;
    let mut rest = text.chars();
    std::iter::from_fn(move || {
        let c = rest.next()?;
        let safe = match kind(c) {
            Kind::Visible => true,
            Kind::Unsafe => false,
            Kind::Joiner => {
                before.shapes()
                    && rest
                        .clone()
                        .next()
                        .is_some_and(|n| !n.is_ascii() && kind(n) == Kind::Visible)
            }
            Kind::Variation => {
                matches!(before, Before::Visible(b) if !b.is_ascii() || matches!(b, '0'..='9' | '#' | '*'))
            }
            Kind::Mongolian => matches!(before, Before::Visible('\u{1800}'..='\u{18af}')),
            Kind::Tag => matches!(before, Before::Visible('\u{1f3f4}') | Before::Tag),
        };
        before = match kind(c) {
            Kind::Visible => Before::Visible(c),
            _ if !safe => Before::Nothing,
            Kind::Variation | Kind::Mongolian => Before::Shaped,
            Kind::Tag => Before::Tag,
            Kind::Joiner | Kind::Unsafe => Before::Nothing,
        };
        Some((c, safe))
    })
}

/// The character before another, as far as that decides whether the other is safe.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    Visible(char),
    /// A character beyond ASCII with its variation selector.
    Shaped,
    /// A flag with a tag.
    Tag,
}

impl Before {
    fn shapes(self) -> bool {
        match self {
            Self::Visible(c) => !c.is_ascii() && !c.is_whitespace(),
            Self::Shaped | Self::Tag => true,
            Self::Nothing => false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Visible,
    Unsafe,
    Joiner,
    Variation,
    Mongolian,
    Tag,
}

/// By Unicode 16: general categories Cc, Zl and Zp, the property `Default_Ignorable_Code_Point`, and format characters
/// without a glyph.
fn kind(c: char) -> Kind {
    match c {
        '\0'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fdd0}'..='\u{fdef}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' => Kind::Unsafe,
        '\u{200c}'..='\u{200d}' => Kind::Joiner,
        '\u{180b}'..='\u{180d}' | '\u{180f}' => Kind::Mongolian,
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => Kind::Variation,
        '\u{e0020}'..='\u{e007f}' => Kind::Tag,
        '\u{e0000}'..='\u{e0fff}' => Kind::Unsafe,
        // The last two code points of each plane are noncharacters.
        _ if u32::from(c) & 0xfffe == 0xfffe => Kind::Unsafe,
        _ => Kind::Visible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bidirectional_and_invisible_characters_are_escaped() {
        for (text, want) in [
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\x1b[2J\x1b]0;t\x07", "\\u{1b}[2J\\u{1b}]0;t\\u{7}"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("abc\u{202e}txt.exe", "abc\\u{202e}txt.exe"),
            ("\u{2066}x\u{2069}\u{200e}\u{61c}", "\\u{2066}x\\u{2069}\\u{200e}\\u{61c}"),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            ("\u{feff}ro\u{200b}ot\u{ad}\u{2060}", "\\u{feff}ro\\u{200b}ot\\u{ad}\\u{2060}"),
            ("ro\u{200d}ot\u{200c}", "ro\\u{200d}ot\\u{200c}"),
            ("a\u{fe0f}b", "a\\u{fe0f}b"),
            ("\u{2764}\u{fe0f}\u{fe0f}", "\u{2764}\u{fe0f}\\u{fe0f}"),
            ("x\u{e0041}", "x\\u{e0041}"),
            ("\u{fdd0}\u{ffff}", "\\u{fdd0}\\u{ffff}"),
        ] {
            assert_eq!(printable(text), want, "{text:?}");
            assert_eq!(printable(want), want, "escaping twice changes nothing");
        }
    }

    #[test]
    fn text_of_every_script_stays_readable() {
        for text in [
            "संगीत बजाओ",
            "क\u{94d}\u{200d}ष",
            "می\u{200c}خواهم",
            "עִבְרִית",
            "بِسْمِ",
            "e\u{301}",
            "音楽を再生",
            "👨\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}\u{200d}🔥",
            "1\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "葛\u{e0100}",
            "ᠮᠣ\u{180b}",
            "C:\\path \"x\"",
        ] {
            assert_eq!(printable(text), text);
        }
        assert_eq!(quoted("स\u{902}गीत").to_string(), "\"स\u{902}गीत\"");
        assert_eq!(quoted("a\"b\\c\n\x1b").to_string(), r#""a\"b\\c\n\u{1b}""#);
        assert_eq!(format!("{:>5}", quoted("a")), "  \"a\"");
    }

    #[test]
    fn a_long_text_is_repeated_in_part() {
        assert_eq!(start_of("short"), "short");
        let long = "é".repeat(ECHO + 3);
        assert_eq!(start_of(&long), format!("{}… (6 more bytes)", "é".repeat(ECHO)));
        assert_eq!(start_of(&long[..2 * ECHO]), "é".repeat(ECHO));
        assert!(quoted_start(&"\u{1b}".repeat(1 << 20)).to_string().len() < 2000);
    }

    #[test]
    fn json_keeps_its_meaning() {
        let json = "{\"a\": \"\u{202e}\u{9b}\u{7f}é\u{e0041}\"}\n";
        assert_eq!(printable_json(json), "{\"a\": \"\\u202e\\u009b\\u007fé\\udb40\\udc41\"}\n");
        assert_eq!(printable_json("{\"a\": \"é\"}"), "{\"a\": \"é\"}");
    }
}
