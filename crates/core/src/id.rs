//! Names and keys of components, operations and waiters.
//!
//! A [`ComponentId`] is the checked, human name; a [`ComponentKey`] the dense number the catalog gives
//! it, never reused for another name in the life of a process.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::printable;

/// The longest name, in bytes.
const MAX_NAME: usize = 64;

/// A component's name: `[a-z0-9][a-z0-9_-]{0,63}`. Cloning is a reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId(Arc<str>);

/// Why a text is no component name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The text is empty.
    Empty,
    /// The text has more than 64 bytes.
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A character that a name may not have, or not in this place.
    BadChar {
        /// The character.
        ch: char,
        /// Its byte position.
        at: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name is empty"),
            Self::TooLong { len } => {
                write!(f, "the name has {len} bytes, at most {MAX_NAME} are allowed")
            }
            Self::BadChar { ch, at: 0 } => {
                write!(
                    f,
                    "a name cannot start with '{}'; it starts with a-z or 0-9",
                    printable(ch.encode_utf8(&mut [0; 4]))
                )
            }
            Self::BadChar { ch, at } => write!(
                f,
                "character '{}' at byte {at} is not allowed; a name has a-z, 0-9, '_' and '-'",
                printable(ch.encode_utf8(&mut [0; 4]))
            ),
        }
    }
}

impl std::error::Error for NameError {}

impl ComponentId {
    /// Checks a name.
    ///
    /// # Errors
    /// A [`NameError`] that says which rule is broken and where.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > MAX_NAME {
            return Err(NameError::TooLong { len: name.len() });
        }
        for (at, ch) in name.char_indices() {
            let ok = ch.is_ascii_lowercase()
                || ch.is_ascii_digit()
                || (at > 0 && (ch == '_' || ch == '-'));
            if !ok {
                return Err(NameError::BadChar { ch, at });
            }
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ComponentId {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        Self::new(s)
    }
}

impl TryFrom<&str> for ComponentId {
    type Error = NameError;
    fn try_from(s: &str) -> Result<Self, NameError> {
        Self::new(s)
    }
}

impl Borrow<str> for ComponentId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ComponentId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for ComponentId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for ComponentId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(transparent))]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The dense number of a component in the catalog: an index from 0, append-only in a process.
    ComponentKey(u32)
}
number! {
    /// One load of one component (an incarnation); completions that carry an older one are stale.
    OpId(u64)
}

/// One load of one component, as the engine and its shell name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "a component and its load")]
pub struct IncarnationId {
    pub key: ComponentKey,
    pub op: OpId,
}

number! {
    /// One park or wake of an incarnation; reports that carry an older one are stale.
    StepId(u64)
}
number! {
    /// A waiter: a demand, or a request of an operator, that the engine will answer.
    WaiterId(u64)
}
number! {
    /// A command, from its beginning to its end.
    CommandId(u64)
}

impl ComponentKey {
    /// The key as an index into tables by key.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The key of a table position.
    ///
    /// # Panics
    /// When a table has more than 2^32 rows, which the catalog never builds.
    #[must_use]
    pub fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).expect("a catalog has fewer than 2^32 components"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let check = |name: &str, want: Result<(), NameError>| {
            assert_eq!(ComponentId::new(name).map(drop), want, "{name:?}");
        };
        check("vision", Ok(()));
        check("0-ocr_v2", Ok(()));
        check("", Err(NameError::Empty));
        check("-x", Err(NameError::BadChar { ch: '-', at: 0 }));
        check("Vision", Err(NameError::BadChar { ch: 'V', at: 0 }));
        check("a b", Err(NameError::BadChar { ch: ' ', at: 1 }));
        check("naïve", Err(NameError::BadChar { ch: 'ï', at: 2 }));
        check(&"a".repeat(64), Ok(()));
        check(&"a".repeat(65), Err(NameError::TooLong { len: 65 }));
    }
}
