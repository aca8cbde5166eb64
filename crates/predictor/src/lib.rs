//! From a command's text to the components it needs, each with a confidence and the evidence for it.
//!
//! Pure computation: no file, no clock, no thread, and no idea of what is loaded. Everything is
//! deterministic; nothing here depends on the order of a hash map.
#![forbid(unsafe_code)]

mod hash;
mod keywords;
mod words;

pub use keywords::{
    ComponentHits, KeywordError, KeywordHit, KeywordMatcher, KeywordMatches, KeywordScratch,
};
