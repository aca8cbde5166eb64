//! How texts and keywords are read: one pipeline for both, from bytes to folded words.
//!
//! Owns the normalisation ([`Words`]), the looser forms of a word that people type ([`loose`], [`affixes`],
//! [`compounds`]) and which words are negated ([`Negation`]). Knows no component, no model and no configuration.
#![forbid(unsafe_code)]

pub mod affixes;
pub mod compounds;
mod fold;
pub mod loose;
mod negation;
mod script;
mod words;

pub use negation::Negation;
pub use script::is_han;
pub use words::Words;
