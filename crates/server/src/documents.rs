//! Documents whose examples are compiled and run as tests of this crate.

#[doc = include_str!("../../../docs/write-a-client.md")]
struct WriteAClient;
