//! How a component failed: in words, and with the loader's error where there is one.

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// How a component failed: dereferences to the words. Two are equal when their words are.
#[derive(Clone, Default)]
pub struct FailureCause {
    words: String,
    error: Option<Arc<dyn Error + Send + Sync>>,
}

impl FailureCause {
    /// The error that the component's loader returned; none for a failure without one, such as an exit.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.error.as_deref()
    }

    /// Attaches the loader's error.
    pub fn set_error(&mut self, error: Arc<dyn Error + Send + Sync>) {
        self.error = Some(error);
    }
}

impl<T: Into<String>> From<T> for FailureCause {
    fn from(words: T) -> Self {
        Self { words: words.into(), error: None }
    }
}

impl Deref for FailureCause {
    type Target = str;

    fn deref(&self) -> &str {
        &self.words
    }
}

impl PartialEq for FailureCause {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for FailureCause {}

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl fmt::Debug for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.words, f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for FailureCause {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.words)
    }
}
