//! The reading of texts and keywords: one pipeline for both, from bytes to folded words.
//!
//! Owns the normalisation ([`Words`]), the looser forms of a word that users type ([`loose`], [`affixes`],
//! [`compounds`]) and which words are negated ([`Negation`]). Knows no component, no model and no configuration.
//!
//! ```
//! use majordomo_text::{Negation, Words, affixes, loose};
//!
//! let text = "Don\u{2019}t play music, turn on the lights";
//! let mut words = Words::default();
//! words.split(text);
//! assert_eq!(words.folded(0), b"don't");
//! assert_eq!(words.folded(2), b"music");
//!
//! // Cues of negation have a scope: here the first clause.
//! let mut negation = Negation::default();
//! negation.read(text, &words, |_| false);
//! let negated: Vec<bool> = (0..words.len()).map(|i| negation.has(i)).collect();
//! assert_eq!(negated, [true, true, true, false, false, false, false]);
//!
//! // Looser forms, for weaker matches.
//! let mut out = Vec::new();
//! assert!(loose::loosen("música".as_bytes(), &mut out));
//! assert_eq!(out, b"musica");
//! affixes::stems("l'agenda".as_bytes(), |stem| assert_eq!(stem, b"agenda"));
//! ```
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
