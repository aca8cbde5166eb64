//! A secret that clients show: how it may look, where it is read from, how it is compared.
//!
//! Invariant: a token is never printed, and the time of a comparison does not depend on how much of a text is right.

use std::fmt;
use std::io::Read;
use std::path::Path;

use majordomo_core::{decode_text, quoted_path};
use majordomo_files::Trust;

/// The shortest token that is not taken for a slip.
const SHORTEST: usize = 16;
/// The longest one: it has to fit into the head of a request, beside the rest.
const LONGEST: usize = 1024;
/// More than a file with a token has, in any encoding.
const LONGEST_FILE: u64 = 64 << 10;

/// Why a token is not usable, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token cannot be used: {why}")]
pub struct TokenError {
    /// The mistake, in words.
    pub why: String,
}

/// The secret that clients must show. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token: 16 to 1024 visible ASCII characters.
    ///
    /// # Errors
    /// When it has others, or too few or too many.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let is_fit = (SHORTEST..=LONGEST).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic());
        is_fit.then(|| Self(text.to_owned())).ok_or_else(|| TokenError {
            why: format!(
                "a token must have {SHORTEST} to {LONGEST} visible ASCII characters and no spaces; make one with `openssl rand -hex 32`"
            ),
        })
    }

    /// Reads the token from a file of the user or root that no other user may read. Blocking.
    ///
    /// # Errors
    /// When the file is not trusted, cannot be read, or has no token.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |why: String| TokenError { why: format!("{}: {why}", quoted_path(path)) };
        let opened = majordomo_files::open(path, Trust::Secret);
        let file = opened.map_err(|e| TokenError { why: e.to_string() })?;
        let mut bytes = Vec::new();
        file.take(LONGEST_FILE).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
        let text = decode_text(bytes).map_err(|error| match error.is_whole_text() {
            true => failed(error.to_string()),
            // Its bytes are the secret.
            false => failed("the token is not ASCII text".to_owned()),
        })?;
        Self::new(&text).map_err(|error| failed(error.why))
    }

    /// Whether `given` is this token, compared in a time that does not depend on how much of it is right.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        let (a, b) = (self.0.as_bytes(), given.as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |d, (x, y)| d | (x ^ y)) == 0
    }

    /// The value of the header `Authorization` that shows it.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        assert!(Token::new("short").is_err() && Token::new("has a space in its midst").is_err());
        // A token that no request can show would lock every client out.
        assert!(Token::new(&"x".repeat(1024)).is_ok() && Token::new(&"x".repeat(1025)).is_err());
        let token = Token::new(" 0123456789abcdef\n").unwrap();
        assert!(token.is("0123456789abcdef"));
        assert!(!token.is("0123456789abcdee") && !token.is("") && !token.is("0123456789abcdef0"));
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
