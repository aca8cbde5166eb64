//! A state directory that cannot be written: its state is used, and nothing new is kept.
//!
//! Works on a copy in a temporary folder.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use majordomo_core::{StateStore, StoreError, StoreOp};
use majordomo_files::{Folder, Owners, Trust};
use majordomo_runtime::state::{FILE, RedbStore, is_full_disk};

use crate::temporary::temporary_dir;

/// Whether an error says that the directory may be read only.
pub(crate) fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
        || is_full_disk(error)
}

/// The copy, and the problem of the original.
#[derive(Debug)]
struct Unkept {
    store: RedbStore,
    problem: String,
}

/// Copies the state of a directory that cannot be written to a temporary one, which is given too.
pub(crate) fn open(
    dir: &Path,
    error: &io::Error,
) -> Result<(PathBuf, Arc<dyn StateStore>), String> {
    let way_out = if is_full_disk(error) {
        "; free some space and start again, to keep what is learned"
    } else {
        ""
    };
    let problem =
        format!("{} cannot be written ({error}); nothing new is kept{way_out}", dir.display());
    copied(dir, &problem).map_err(|why| {
        format!(
            "it cannot be written ({error}), and the folder for temporary files cannot stand in for it ({why}); free some space, or choose another state directory"
        )
    })
}

fn copied(dir: &Path, problem: &str) -> Result<(PathBuf, Arc<dyn StateStore>), String> {
    let here = temporary_dir().map_err(|e| e.to_string())?;
    match Folder::open(dir, Owners::User).and_then(|folder| folder.read(FILE, Trust::Own)) {
        Ok(mut state) => {
            let copied = Folder::open(&here, Owners::User)
                .and_then(|folder| folder.write_fresh(FILE))
                .map_err(io::Error::from)
                .and_then(|mut copy| io::copy(&mut state, &mut copy));
            copied.map_err(|e| e.to_string())?;
        }
        // The directory has no state yet.
        Err(e) if e.is_missing() => {}
        Err(e) => tracing::warn!("what is in the state directory cannot be read either: {e}"),
    }
    let (store, set_aside) = RedbStore::open(&here).map_err(|e| e.to_string())?;
    if let Some(set_aside) = set_aside {
        tracing::warn!("{set_aside}");
    }
    tracing::warn!("the state directory {problem}");
    Ok((here, Arc::new(Unkept { store, problem: problem.to_owned() })))
}

impl StateStore for Unkept {
    fn get(&self, namespace: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(namespace, key)
    }

    fn list(&self, namespace: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.store.list(namespace)
    }

    fn apply(&self, batch: &[StoreOp]) -> Result<(), StoreError> {
        self.store.apply(batch)
    }

    /// The original holds the forgotten values, too.
    fn scrub(&self) -> Result<(), StoreError> {
        let what = format!("{}, so nothing in it can be forgotten", self.problem);
        Err(StoreError { what, source: None })
    }

    fn namespaces(&self) -> Result<Vec<String>, StoreError> {
        self.store.namespaces()
    }

    fn warning(&self) -> Option<String> {
        Some(self.problem.clone())
    }
}
