//! The examples in documents, compiled as tests.

#[doc = include_str!("../../../CHANGELOG.md")]
struct Changelog;

#[doc = include_str!("../../../docs/embedding.md")]
struct Embedding;
