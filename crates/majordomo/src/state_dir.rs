//! The state directory: the one that was named, a copy of one that cannot be written, or a temporary folder.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use majordomo_core::StateStore;
use majordomo_registry::temporary_folder;
use majordomo_runtime::state::{RedbStore, StateError};

use crate::error::BuildError;
use crate::temporary::temporary_dir;
use crate::unkept::{self, is_read_only};

/// The state directory, temporary when none was named.
pub(crate) struct StateDir {
    pub path: PathBuf,
    /// Its store, as long as the shell has it open.
    pub store: Weak<dyn StateStore>,
    pub temporary: bool,
}

impl StateDir {
    /// The directory, and the store in it, which belongs to the shell alone and is closed with it.
    pub(crate) async fn open(
        path: Option<PathBuf>,
        dormant: bool,
    ) -> Result<(Self, Option<Arc<dyn StateStore>>), BuildError> {
        type Opened = (PathBuf, bool, Option<Arc<dyn StateStore>>);
        let opened = tokio::task::spawn_blocking(move || -> Result<Opened, BuildError> {
            match path {
                // A dormant manager changes nothing in the directory.
                Some(path) if dormant => {
                    let store = RedbStore::open_copy(&path).map_err(|e| BuildError::State {
                        path: path.clone(),
                        why: e.to_string(),
                    })?;
                    let store = store.map(|store| Arc::new(store) as Arc<dyn StateStore>);
                    Ok((path, false, store))
                }
                Some(path) => {
                    let path = std::path::absolute(&path).unwrap_or(path);
                    let opened = RedbStore::open(&path);
                    let failed = |why: String| BuildError::State { path: path.clone(), why };
                    let (store, set_aside) = match opened {
                        Err(StateError::Io { source, .. }) if is_read_only(&source) => {
                            let (here, store) = unkept::open(&path, &source).map_err(failed)?;
                            return Ok((here, true, Some(store)));
                        }
                        opened => opened.map_err(|e| failed(e.to_string()))?,
                    };
                    if let Some(set_aside) = set_aside {
                        tracing::warn!("{set_aside}");
                    }
                    Ok((path, false, Some(Arc::new(store) as Arc<dyn StateStore>)))
                }
                None => {
                    let path = temporary_dir().map_err(|e| BuildError::State {
                        path: temporary_folder(),
                        why: e.to_string(),
                    })?;
                    Ok((path, true, None))
                }
            }
        });
        let (path, temporary, store) =
            opened.await.map_err(|e| BuildError::Start(std::io::Error::other(e)))??;
        let weak = match &store {
            Some(store) => Arc::downgrade(store),
            None => Weak::<RedbStore>::new(),
        };
        Ok((Self { path, store: weak, temporary }, store))
    }
}

impl fmt::Debug for StateDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateDir").field(&self.path).finish()
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::debug!(%error, path = ?self.path, "the temporary folder stays");
        }
    }
}
