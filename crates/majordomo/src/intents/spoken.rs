//! A user's text: the part that is read, and a form of it that no log line shows.

use std::fmt;

/// Bytes of a text that are read; the rest of a longer one changes nothing.
pub const MAX_TEXT: usize = 64 << 10;

/// A text on its way to be learned. Shown nowhere.
pub(crate) struct Spoken(pub Box<str>);

impl fmt::Debug for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of text", self.0.len())
    }
}

/// The part of a text that is read.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
