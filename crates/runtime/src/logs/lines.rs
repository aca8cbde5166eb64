//! Cuts a byte stream into lines of bounded length.
//!
//! A line ends at `\n`, `\r\n` or `\r`. Text after a lone `\r` is an update: on a terminal it would overwrite the text
//! before it. Text without an end can be flushed; the same line is emitted again when it has grown.
//! Invariant: holds at most twice `max` bytes whatever comes in; of a longer line the newest `max` bytes are emitted
//! with the number of bytes before them.

use std::borrow::Cow;

/// How a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By a line end.
    Line,
    /// By `\r` alone: the next text of the stream may overwrite it.
    Update,
    /// Not yet: the same line follows again.
    Open,
}

/// A line, or what became of the line emitted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// The text and the number of bytes cut off before it; none when it is the text emitted last.
    pub(super) text: Option<(&'a str, u64)>,
    pub(super) end: End,
}

#[derive(Debug)]
pub(super) struct LineCutter {
    max: usize,
    /// The newest bytes of the line under way.
    partial: Vec<u8>,
    /// Bytes of that line that are no longer in `partial`.
    dropped: u64,
    /// Whether bytes came in since the last emission.
    is_dirty: bool,
    /// Whether the line under way was flushed.
    is_flushed: bool,
    /// Whether the last byte was a `\r` that ended a text, or one after it.
    after_return: bool,
}

impl LineCutter {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            partial: Vec::new(),
            dropped: 0,
            is_dirty: false,
            is_flushed: false,
            after_return: false,
        }
    }

    /// Whether there is text that was not emitted.
    pub(super) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Takes bytes and emits every line that ends in them.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut emit: impl FnMut(Piece<'_>)) {
        while let Some(at) = bytes.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            self.extend(&bytes[..at]);
            if bytes[at] == b'\r' {
                // One without text only moves the cursor.
                if !self.partial.is_empty() {
                    self.end(End::Update, &mut emit);
                    self.after_return = true;
                }
            } else if self.after_return {
                // The second half of `\r\n`: what was emitted stays.
                emit(Piece { text: None, end: End::Line });
                self.after_return = false;
            } else {
                self.end(End::Line, &mut emit);
            }
            bytes = &bytes[at + 1..];
        }
        self.extend(bytes);
    }

    /// Emits text that has no line end yet.
    pub(super) fn flush(&mut self, mut emit: impl FnMut(Piece<'_>)) {
        if !self.is_dirty {
            return;
        }
        let whole = self.partial.len() - incomplete(&self.partial);
        let (text, cut) = newest(&self.partial[..whole], self.max, self.dropped);
        if !text.is_empty() {
            emit(Piece { text: Some((&text, cut)), end: End::Open });
            self.is_flushed = true;
        }
        self.is_dirty = false;
    }

    /// The end of the stream: it ends a line as well.
    pub(super) fn finish(&mut self, mut emit: impl FnMut(Piece<'_>)) {
        if !self.partial.is_empty() {
            self.end(End::Line, &mut emit);
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.after_return = false;
        self.is_dirty = true;
        let newest = &bytes[bytes.len().saturating_sub(self.max)..];
        self.dropped += (bytes.len() - newest.len()) as u64;
        let too_many = (self.partial.len() + newest.len()).saturating_sub(self.max);
        // Moved only now and then, not for every byte of an endless line.
        if self.partial.len() + newest.len() > 2 * self.max {
            let too_many = too_many.min(self.partial.len());
            self.partial.drain(..too_many);
            self.dropped += too_many as u64;
        }
        self.partial.extend_from_slice(newest);
    }

    fn end(&mut self, end: End, emit: &mut impl FnMut(Piece<'_>)) {
        if self.is_flushed && !self.is_dirty {
            emit(Piece { text: None, end });
        } else {
            let (text, cut) = newest(&self.partial, self.max, self.dropped);
            emit(Piece { text: Some((&text, cut)), end });
        }
        self.partial.clear();
        self.dropped = 0;
        self.is_dirty = false;
        self.is_flushed = false;
    }
}

/// The last `max` bytes as text, from a character's beginning on, and the number of bytes before them when so many were
/// dropped before `bytes`.
fn newest(bytes: &[u8], max: usize, dropped: u64) -> (Cow<'_, str>, u64) {
    let mut start = bytes.len().saturating_sub(max);
    if start > 0 || dropped > 0 {
        let inside = bytes[start..].iter().take(3).take_while(|b| **b & 0xc0 == 0x80).count();
        start += inside;
    }
    (String::from_utf8_lossy(&bytes[start..]), dropped + start as u64)
}

/// How many bytes at the end are the beginning of a character.
fn incomplete(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    for (i, byte) in tail.iter().enumerate().rev() {
        let length = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => return 0,
        };
        let present = tail.len() - i;
        return if present < length { present } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The emitted pieces: the text with its cut bytes, or `=`; and a sign for its end.
    fn cut(feeds: &[&[u8]], finish: bool) -> Vec<String> {
        let mut cutter = LineCutter::new(8);
        let mut got = Vec::new();
        let mut emit = |p: Piece<'_>| {
            let end = match p.end {
                End::Line => "$",
                End::Update => "<",
                End::Open => "_",
            };
            got.push(match p.text {
                Some((text, 0)) => format!("{text}{end}"),
                Some((text, cut)) => format!("[{cut}]{text}{end}"),
                None => format!("={end}"),
            });
        };
        for bytes in feeds {
            match *bytes {
                b"FLUSH" => cutter.flush(&mut emit),
                bytes => cutter.feed(bytes, &mut emit),
            }
            assert!(cutter.partial.len() <= 16);
        }
        if finish {
            cutter.finish(&mut emit);
        }
        got
    }

    #[test]
    fn a_line_ends_at_newline_return_or_both() {
        let check = |feeds: &[&[u8]], want: &[&str]| assert_eq!(cut(feeds, true), want);
        check(&[], &[]);
        check(&[b"a\nb"], &["a$", "b$"]);
        check(&[b"a\r\n\nb\n"], &["a<", "=$", "$", "b$"]);
        check(&[b"a\r", b"\nb\n"], &["a<", "=$", "b$"]);
        check(&[b"ab", b"cd\ne", b"f\n"], &["abcd$", "ef$"]);
        check(&[b"\r1%\r2%\r3%\ndone\n"], &["1%<", "2%<", "3%$", "done$"]);
        check(&[b"a\r\r\nb\n"], &["a<", "=$", "b$"]);
        check(&[b"a\r\n\r\nb\r\n"], &["a<", "=$", "$", "b<", "=$"]);
        check(&[b"a\n\r\n", b"\r", b"\n"], &["a$", "$", "$"]);
        check(&[b"\xff\xfe\n"], &["\u{fffd}\u{fffd}$"]);
    }

    #[test]
    fn of_a_long_line_the_newest_part_is_kept() {
        let check = |feeds: &[&[u8]], want: &[&str]| assert_eq!(cut(feeds, true), want);
        check(&[b"0123456789", b"abc\nx\n"], &["[5]56789abc$", "x$"]);
        check(&[&[b'x'; 1000], b"yz\n"], &["[994]xxxxxxyz$"]);
        let many: Vec<&[u8]> = std::iter::repeat_n(&b"abc"[..], 100).collect();
        check(&many, &["[292]bcabcabc$"]);
        // The cut falls inside é.
        check(&["123éabcdefg\n".as_bytes()], &["[5]abcdefg$"]);
    }

    #[test]
    fn text_without_an_end_is_flushed_and_grows() {
        let check = |feeds: &[&[u8]], want: &[&str]| assert_eq!(cut(feeds, false), want);
        check(&[b"FLUSH", b"pass: ", b"FLUSH", b"FLUSH"], &["pass: _"]);
        check(&[b"pass: ", b"FLUSH", b"\n"], &["pass: _", "=$"]);
        check(&[b"pass: ", b"FLUSH", b"ok\n"], &["pass: _", "pass: ok$"]);
        check(&[b"5%", b"FLUSH", b"\r"], &["5%_", "=<"]);
        // Half a character waits for its other half.
        check(&[b"a\xc3", b"FLUSH", b"\xa9\n"], &["a_", "aé$"]);
        check(&[b"\xe2\x82", b"FLUSH", b"\xac", b"FLUSH"], &["€_"]);
        check(&[b"a\xff", b"FLUSH"], &["a\u{fffd}_"]);
    }
}
