//! Environment variables that Majordomo itself reads.
//!
//! Owns the rule that an empty variable is one that is not set.

use std::ffi::OsString;
use std::path::PathBuf;

/// The value of an environment variable; none when it is not set, or empty.
#[must_use]
pub fn environment_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The folder for temporary files: `TMPDIR`, else `/tmp`.
#[must_use]
pub fn temporary_folder() -> PathBuf {
    environment_variable("TMPDIR").map_or_else(|| "/tmp".into(), PathBuf::from)
}
