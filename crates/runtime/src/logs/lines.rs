//! Cuts a byte stream into lines of bounded length.
//!
//! Invariant: holds at most `max` bytes whatever comes in; the rest of a long line is dropped, not
//! made into a line of its own.

#[derive(Debug)]
pub(super) struct LineCutter {
    max: usize,
    partial: Vec<u8>,
    cut: bool,
}

impl LineCutter {
    pub(super) fn new(max: usize) -> Self {
        Self { max, partial: Vec::new(), cut: false }
    }

    /// Takes bytes and calls `emit(line, cut)` for every line that ends in them.
    pub(super) fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(&str, bool)) {
        let mut pieces = bytes.split(|b| *b == b'\n');
        // `split` gives at least one piece; the last one has no line end yet.
        let mut piece = pieces.next().unwrap_or_default();
        for next in pieces {
            self.extend(piece);
            self.flush(&mut emit);
            piece = next;
        }
        self.extend(piece);
    }

    /// Emits what stands without a line end.
    pub(super) fn finish(&mut self, mut emit: impl FnMut(&str, bool)) {
        if !self.partial.is_empty() {
            self.flush(&mut emit);
        }
    }

    fn extend(&mut self, piece: &[u8]) {
        let room = self.max - self.partial.len();
        if piece.len() > room {
            self.cut = true;
        }
        self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn flush(&mut self, emit: &mut impl FnMut(&str, bool)) {
        let line = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        emit(&String::from_utf8_lossy(line), self.cut);
        self.partial.clear();
        self.cut = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut() {
        let check = |feeds: &[&[u8]], want: &[(&str, bool)]| {
            let mut cutter = LineCutter::new(8);
            let mut got = Vec::new();
            for bytes in feeds {
                cutter.feed(bytes, |l, c| got.push((l.to_owned(), c)));
                assert!(cutter.partial.len() <= 8);
            }
            cutter.finish(|l, c| got.push((l.to_owned(), c)));
            let got: Vec<(&str, bool)> = got.iter().map(|(l, c)| (l.as_str(), *c)).collect();
            assert_eq!(got, want);
        };
        check(&[], &[]);
        check(&[b"a\nb"], &[("a", false), ("b", false)]);
        check(&[b"a\r\n\nb\n"], &[("a", false), ("", false), ("b", false)]);
        check(&[b"ab", b"cd\ne", b"f\n"], &[("abcd", false), ("ef", false)]);
        check(&[b"0123456789", b"abc\nx\n"], &[("01234567", true), ("x", false)]);
        check(&[b"\xff\xfe\n"], &[("\u{fffd}\u{fffd}", false)]);
    }
}
