//! The chunked transfer coding (RFC 9112, section 7.1): where a body of chunks ends.

/// The longest line of a body of chunks: a size with its extensions, or a trailer field.
const MAX_LINE: usize = 4 << 10;
/// All trailer fields together.
const MAX_TRAILER: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the digits of a chunk's size; how many there were.
    Size {
        digits: usize,
    },
    /// After them.
    Extension {
        length: usize,
    },
    /// At the LF of the size's line.
    SizeEnd,
    /// In a chunk.
    Data,
    /// At the CR after a chunk.
    DataEnd,
    /// At the LF after it.
    DataEndLf,
    /// In the fields after the last chunk.
    Trailer {
        line: usize,
    },
    /// At the LF of such a field; whether its line was empty.
    TrailerEnd {
        is_last: bool,
    },
    Done,
}

/// A body of chunks that is being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunked {
    at: At,
    /// Of the chunk.
    left: u64,
    /// Bytes of trailer fields so far.
    trailer: usize,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { at: At::Size { digits: 0 }, left: 0, trailer: 0 }
    }
}

impl Chunked {
    pub(super) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// How many of these bytes, which come next, belong to the body. None when they break its rules.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut n = 0;
        while n < bytes.len() && !self.is_done() {
            if self.at == At::Data {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - n);
                self.left -= length as u64;
                n += length;
                if self.left == 0 {
                    self.at = At::DataEnd;
                }
                continue;
            }
            self.at = self.step(bytes[n])?;
            n += 1;
        }
        Some(n)
    }

    fn step(&mut self, byte: u8) -> Option<At> {
        Some(match (self.at, byte) {
            (At::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 15 => {
                let digit = char::from(byte).to_digit(16)?;
                self.left = self.left << 4 | u64::from(digit);
                At::Size { digits: digits + 1 }
            }
            (At::Size { digits: 1.. }, b'\r') | (At::Extension { .. }, b'\r') => At::SizeEnd,
            (At::Size { digits: 1.. }, b';') => At::Extension { length: 0 },
            (At::Extension { length }, b' '..=b'~' | b'\t' | 0x80..) if length < MAX_LINE => {
                At::Extension { length: length + 1 }
            }
            (At::SizeEnd, b'\n') if self.left == 0 => At::Trailer { line: 0 },
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataEnd, b'\r') => At::DataEndLf,
            (At::DataEndLf, b'\n') => At::Size { digits: 0 },
            (At::Trailer { line }, b'\r') => At::TrailerEnd { is_last: line == 0 },
            (At::Trailer { line }, b' '..=b'~' | b'\t' | 0x80..) if line < MAX_LINE => {
                self.trailer += 1;
                if self.trailer > MAX_TRAILER {
                    return None;
                }
                At::Trailer { line: line + 1 }
            }
            (At::TrailerEnd { is_last: true }, b'\n') => At::Done,
            (At::TrailerEnd { is_last: false }, b'\n') => At::Trailer { line: 0 },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_chunks_is_found_however_the_bytes_are_split() {
        for (body, want) in [
            ("0\r\n\r\n", Some(5)),
            ("3\r\nabc\r\n0\r\n\r\nGET", Some(13)),
            ("A;x=\"y\"\r\n0123456789\r\n00\r\na: b\r\n\r\n", Some(33)),
            ("3\nabc\r\n0\r\n\r\n", None),
            ("3\r\nabcd\r\n0\r\n\r\n", None),
            ("\r\n", None),
            ("g\r\n", None),
            ("-1\r\n", None),
            ("3 \r\nabc\r\n", None),
            ("3;a\nb\r\nabc\r\n", None),
            ("0\r\na\nb\r\n\r\n", None),
            ("10000000000000000\r\n", None),
        ] {
            let mut whole = Chunked::default();
            assert_eq!(whole.take(body.as_bytes()), want, "{body:?}");
            assert_eq!(whole.is_done(), want.is_some());
            let mut split = Chunked::default();
            let n = body.bytes().map_while(|b| split.take(&[b]).filter(|n| *n == 1)).count();
            if let Some(want) = want {
                assert_eq!(n, want, "{body:?}");
            }
        }
        let mut half = Chunked::default();
        assert_eq!(half.take(b"5\r\nab"), Some(5));
        assert!(!half.is_done());
    }
}
