//! What a text is taken for.

use std::fmt;

use serde::Serialize;

/// Whether an answer is acted upon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The text needs the components named, which stand well apart from the others.
    Confident,
    /// The text may need the candidates, but no component reaches its threshold: the caller should ask or wait.
    Unsure,
    /// The text needs no component.
    #[default]
    None,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Confident => "confident",
            Self::Unsure => "unsure",
            Self::None => "none",
        })
    }
}
