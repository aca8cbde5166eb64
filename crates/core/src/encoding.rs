//! Bytes of a text file, or of text input, as text.
//!
//! Owns the one rule for every text that is read: UTF-8, with or without a byte order mark, with lines that end in
//! `\n` or `\r\n`. Other encodings are refused by name; no byte is replaced.

use std::fmt;

/// Some editors put it at the start of a UTF-8 file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Bytes at the start that are looked at for another encoding without a byte order mark.
const SAMPLE: usize = 1024;

/// The characters of the bytes 0x80 to 0x9F in Windows-1252; a space for an undefined byte.
const WINDOWS_1252: &str = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ";

/// Why bytes are not taken as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodingError {
    line: usize,
    column: usize,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Foreign(Foreign),
    /// A byte that is not UTF-8, and its place in the line, from 1.
    Byte {
        value: u8,
        place: usize,
    },
}

/// Another encoding of Unicode, by its unit in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Foreign {
    bits: u8,
    is_little_endian: bool,
    has_mark: bool,
}

impl Foreign {
    /// The name that `iconv` knows it by.
    fn name(self) -> String {
        let order = match (self.has_mark, self.is_little_endian) {
            (true, _) => "",
            (false, true) => "LE",
            (false, false) => "BE",
        };
        format!("UTF-{}{order}", self.bits)
    }

    /// By the byte order mark at the start of a text.
    fn marked(bytes: &[u8]) -> Option<Self> {
        let (bits, is_little_endian) = match bytes {
            [0xff, 0xfe, 0, 0, ..] => (32, true),
            [0, 0, 0xfe, 0xff, ..] => (32, false),
            [0xff, 0xfe, ..] => (16, true),
            [0xfe, 0xff, ..] => (16, false),
            _ => return None,
        };
        Some(Self { bits, is_little_endian, has_mark: true })
    }

    /// By where its zero bytes are: text in Latin letters has them at fixed places of its units.
    fn unmarked(bytes: &[u8]) -> Option<Self> {
        let sample = &bytes[..bytes.len().min(SAMPLE)];
        let mut zeros = [0usize; 4];
        for (i, _) in sample.iter().enumerate().filter(|(_, b)| **b == 0) {
            zeros[i % 4] += 1;
        }
        // In two or more units and at least half of them, and none where units have their letter.
        let many = |n: usize, size: usize| n > 1 && n * 2 >= sample.len() / size;
        let (bits, is_little_endian) = match zeros {
            [0, a, b, c] if many(a.min(b).min(c), 4) => (32, true),
            [a, b, c, 0] if many(a.min(b).min(c), 4) => (32, false),
            [0, a, 0, b] if many(a + b, 2) => (16, true),
            [a, 0, b, 0] if many(a + b, 2) => (16, false),
            _ => return None,
        };
        Some(Self { bits, is_little_endian, has_mark: false })
    }
}

impl EncodingError {
    fn foreign(line: usize, foreign: Foreign) -> Self {
        Self { line, column: 1, cause: Cause::Foreign(foreign) }
    }

    /// `valid` is the text before the byte that is not UTF-8.
    fn byte(first_line: usize, valid: &str, value: u8) -> Self {
        let valid =
            valid.strip_prefix(BYTE_ORDER_MARK).filter(|_| first_line == 1).unwrap_or(valid);
        let start = valid.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: first_line + valid.matches('\n').count(),
            column: valid[start..].chars().count() + 1,
            cause: Cause::Byte { value, place: valid.len() - start + 1 },
        }
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }

    /// Whether the whole text has another encoding, so that its other lines are not worth a try.
    #[must_use]
    pub fn is_whole_text(&self) -> bool {
        matches!(self.cause, Cause::Foreign(_))
    }

    /// The problem, without the line.
    #[must_use]
    pub fn what(&self) -> String {
        match self.cause {
            Cause::Foreign(Foreign { bits, is_little_endian, .. }) => {
                let order = if is_little_endian { "little-endian" } else { "big-endian" };
                format!("the text is UTF-{bits} ({order}), not UTF-8")
            }
            Cause::Byte { value, place } => {
                let other = windows_1252(value)
                    .map(|c| format!(" (in Windows-1252 it is \"{c}\")"))
                    .unwrap_or_default();
                format!("byte {place} of the line, {value:#04X}, is not UTF-8{other}")
            }
        }
    }

    /// The way to mend the file.
    #[must_use]
    pub fn way_out(&self) -> String {
        let from = match self.cause {
            Cause::Foreign(foreign) => foreign.name(),
            Cause::Byte { .. } => "WINDOWS-1252".to_owned(),
        };
        format!("save it as UTF-8, or convert it: iconv -f {from} -t UTF-8")
    }
}

fn windows_1252(byte: u8) -> Option<char> {
    let c = match byte {
        0x80..=0x9f => WINDOWS_1252.chars().nth(usize::from(byte - 0x80))?,
        _ => char::from(byte),
    };
    (!c.is_ascii() && !c.is_whitespace() && c != '\u{ad}').then_some(c)
}

impl fmt::Display for EncodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_whole_text() {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{}; {}", self.what(), self.way_out())
    }
}

impl std::error::Error for EncodingError {}

/// The text of a file or of other input: UTF-8 without its byte order mark, every line ended by `\n` alone.
///
/// # Errors
/// When it is UTF-16 or UTF-32, with or without a byte order mark, or has a byte that is not UTF-8.
pub fn decode_text(bytes: Vec<u8>) -> Result<String, EncodingError> {
    if let Some(foreign) = Foreign::marked(&bytes).or_else(|| Foreign::unmarked(&bytes)) {
        return Err(EncodingError::foreign(1, foreign));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(plain_text(text)),
        Err(error) => Err(invalid(error.as_bytes(), error.utf8_error(), 1)),
    }
}

/// Text without the byte order mark at its start, every line ended by `\n` alone.
#[must_use]
pub fn plain_text(mut text: String) -> String {
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    if text.contains("\r\n") { text.replace("\r\n", "\n") } else { text }
}

/// A line of a text that is read line by line, without its end. `number` is from 1; the first may have a byte order mark.
///
/// # Errors
/// As [`decode_text`].
pub fn decode_line(bytes: &[u8], number: usize) -> Result<&str, EncodingError> {
    let marked = Foreign::marked(bytes).filter(|_| number == 1);
    if let Some(foreign) = marked.or_else(|| Foreign::unmarked(bytes)) {
        return Err(EncodingError::foreign(number, foreign));
    }
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|error| invalid(line, error, number))?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).filter(|_| number == 1).unwrap_or(text))
}

fn invalid(bytes: &[u8], error: std::str::Utf8Error, first_line: usize) -> EncodingError {
    let (valid, rest) = bytes.split_at(error.valid_up_to());
    let valid = std::str::from_utf8(valid).unwrap_or_default();
    EncodingError::byte(first_line, valid, rest.first().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, is_little_endian: bool) -> Vec<u8> {
        let bytes = |u: u16| if is_little_endian { u.to_le_bytes() } else { u.to_be_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn utf32(text: &str, is_little_endian: bool) -> Vec<u8> {
        let bytes = |c: char| {
            let unit = u32::from(c);
            if is_little_endian { unit.to_le_bytes() } else { unit.to_be_bytes() }
        };
        text.chars().flat_map(bytes).collect()
    }

    #[test]
    fn byte_order_mark_and_carriage_returns_are_no_part_of_a_text() {
        let check = |bytes: &[u8], want: &str| {
            assert_eq!(decode_text(bytes.to_vec()).as_deref(), Ok(want));
        };
        check(b"", "");
        check(b"\xef\xbb\xbf", "");
        check(b"\xef\xbb\xbfa\r\nb\r\n", "a\nb\n");
        check("é\r\n漢字".as_bytes(), "é\n漢字");
        check(b"a\rb", "a\rb");
        // A zero byte by itself is no other encoding.
        for text in ["one zero byte \0 in a text", "a\0", "\0", "two \0 of \0 them"] {
            check(text.as_bytes(), text);
        }
        assert_eq!(decode_line(b"\xef\xbb\xbfa\r\n", 1), Ok("a"));
        assert_eq!(decode_line(b"\xef\xbb\xbfa\r\n", 2), Ok("\u{feff}a"));
        assert_eq!(decode_line(b"a", 7), Ok("a"));
    }

    #[test]
    fn other_encodings_of_unicode_are_refused_by_name_with_and_without_a_mark() {
        let text = "[components.a]\nkeywords = [\"été\", \"漢字\"]\n";
        let check = |bytes: Vec<u8>, name: &str, iconv: &str| {
            let error = decode_text(bytes.clone()).unwrap_err();
            assert_eq!(error.what(), format!("the text is {name}, not UTF-8"));
            assert!(error.way_out().ends_with(&format!("iconv -f {iconv} -t UTF-8")), "{error}");
            assert!(error.is_whole_text());
            let first = bytes.split_inclusive(|b| *b == b'\n').next().unwrap();
            assert_eq!(decode_line(first, 1), Err(error));
        };
        for (is_le, order, suffix) in [(true, "little-endian", "LE"), (false, "big-endian", "BE")] {
            for (bits, encode) in [(16, utf16 as fn(&str, bool) -> Vec<u8>), (32, utf32)] {
                let (name, iconv) = (format!("UTF-{bits} ({order})"), format!("UTF-{bits}"));
                check(encode(&format!("\u{feff}{text}"), is_le), &name, &iconv);
                check(encode(text, is_le), &name, &format!("{iconv}{suffix}"));
            }
        }
        // Without a letter of the Latin script there is the mark alone.
        check(utf16("\u{feff}漢字", true), "UTF-16 (little-endian)", "UTF-16");
    }

    #[test]
    fn invalid_byte_is_named_with_its_place() {
        let check = |bytes: &[u8], place: (usize, usize), want: &str| {
            let error = decode_text(bytes.to_vec()).unwrap_err();
            assert_eq!(((error.line(), error.column()), &*error.what()), (place, want));
            assert!(!error.is_whole_text());
        };
        let latin = "byte 6 of the line, 0xE9, is not UTF-8 (in Windows-1252 it is \"é\")";
        check(b"a\r\nb\n# caf\xe9\n", (3, 6), latin);
        check(b"\xef\xbb\xbf# caf\xe9", (1, 6), latin);
        check(
            "漢\u{7f}".as_bytes().split_at(2).0,
            (1, 1),
            "byte 1 of the line, 0xE6, is not UTF-8 (in Windows-1252 it is \"æ\")",
        );
        check(
            "漢字".as_bytes().split_at(5).0,
            (1, 2),
            "byte 4 of the line, 0xE5, is not UTF-8 (in Windows-1252 it is \"å\")",
        );
        check(
            b"it\x92s",
            (1, 3),
            "byte 3 of the line, 0x92, is not UTF-8 (in Windows-1252 it is \"’\")",
        );
        check(b"\x81", (1, 1), "byte 1 of the line, 0x81, is not UTF-8");
        let error = decode_line(b"caf\xe9\n", 12).unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 12: byte 4 of the line, 0xE9, is not UTF-8 (in Windows-1252 it is \"é\"); save it as UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8"
        );
    }

    #[test]
    fn windows_1252_has_32_places() {
        assert_eq!(WINDOWS_1252.chars().count(), 32);
    }
}
