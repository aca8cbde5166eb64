//! Whose files are trusted: a configuration names programs that are run, so whoever may write it may do what its
//! user may.
//!
//! A file that everybody may write is a problem of the configuration itself, which the reader tells.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::BuildError;

/// Only the user, or root, may be able to write to the file. A group that is the user's own (the same number, as many
/// systems set it up) is no other.
pub(crate) fn check(path: &Path) -> Result<(), BuildError> {
    let failed = |why: String| BuildError::Untrusted { path: path.to_owned(), why };
    let meta = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?;
    let user = rustix::process::geteuid().as_raw();
    let (owner, group, mode) = (meta.uid(), meta.gid(), meta.mode() & 0o777);
    if owner != user && owner != 0 {
        return Err(failed(format!(
            "it belongs to user {owner}, not to user {user} who runs this; make it yours: chown {user} {}",
            path.display()
        )));
    }
    let is_own_group = group == user || group == 0;
    if mode & 0o020 != 0 && !is_own_group {
        return Err(failed(format!(
            "group {group} may write to it (mode {mode:03o}); run: chmod g-w {}",
            path.display()
        )));
    }
    Ok(())
}
