//! The examples in documents, compiled as tests.

#[doc = include_str!("../../../CHANGELOG.md")]
struct Changelog;
