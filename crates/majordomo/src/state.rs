//! The learned store, which survives restarts: reading and forgetting, for a running manager or a state directory that
//! no process uses.

use std::path::Path;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, StateStore, StoreError, StoreOp};
use majordomo_runtime::state::{FILE, RedbStore, forget, measured};

use crate::error::BuildError;

/// Everything in the learned store.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Remembered {
    /// Measured figures of components.
    pub figures: Vec<Figures>,
    /// All values, as they are stored.
    pub values: Vec<StoredValue>,
    /// A problem of the store; none when it works.
    pub problem: Option<String>,
}

/// Measured figures of a component with one configuration on one machine.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Figures {
    /// The component's name.
    pub component: ComponentId,
    /// A hash of its loader and version.
    pub config: u64,
    /// A hash of the machine's id.
    pub host: u64,
    /// The expected peak of its next load; none = never measured.
    pub load_peak: Option<ByteSize>,
    /// The expected peak of its use; none = never measured in use.
    pub working_peak: Option<ByteSize>,
    /// How long it takes to load.
    pub load_time: Option<Duration>,
}

/// A value in the learned store.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredValue {
    /// The owner of the value: `measured`, `intents` and so on.
    pub namespace: String,
    /// The key, unique in its namespace.
    pub key: String,
    /// The bytes, in the owner's format.
    pub value: Vec<u8>,
}

pub(crate) fn read(store: &dyn StateStore) -> Result<Remembered, StoreError> {
    let figures = measured::list(store)?.into_iter().map(|(key, m)| Figures {
        component: key.component,
        config: key.config,
        host: key.host,
        load_peak: m.learned.load_peak(),
        working_peak: m.learned.working_peak(),
        load_time: m.load_time,
    });
    let mut out =
        Remembered { figures: figures.collect(), values: Vec::new(), problem: store.warning() };
    for namespace in store.namespaces()? {
        let values = store.list(&namespace)?.into_iter();
        out.values.extend(values.map(|(key, value)| StoredValue {
            namespace: namespace.clone(),
            key,
            value,
        }));
    }
    Ok(out)
}

/// A state directory that no manager uses. It is locked until this value is dropped.
#[derive(Debug)]
pub struct StoredState {
    store: RedbStore,
}

impl StoredState {
    /// Opens a state directory, which must be there.
    ///
    /// # Errors
    /// [`BuildError::State`]: when it is not there, is in use, belongs to another user, or cannot be read.
    pub fn open(dir: &Path) -> Result<Self, BuildError> {
        let failed = |why: String| BuildError::State { path: dir.to_owned(), why };
        if Self::is_missing(dir) {
            return Err(failed(format!(
                "there is no {FILE} in it; nothing was ever learned there"
            )));
        }
        let (store, set_aside) = RedbStore::open(dir).map_err(|e| failed(e.to_string()))?;
        match set_aside {
            Some(set_aside) => Err(failed(set_aside.to_string())),
            None => Ok(Self { store }),
        }
    }

    /// Whether a directory has no state. One that cannot be looked into may have: to open it reports why.
    #[must_use]
    pub fn is_missing(dir: &Path) -> bool {
        let found = dir.join(FILE).symlink_metadata();
        found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }

    /// Everything that is in a state directory, which must be there; changes nothing in it, and needs no permission to write
    /// there. Blocking.
    ///
    /// # Errors
    /// [`BuildError::State`]: when it is not there, is in use, belongs to another user, or cannot be read.
    pub fn look(dir: &Path) -> Result<Remembered, BuildError> {
        let failed = |why: String| BuildError::State { path: dir.to_owned(), why };
        match RedbStore::open_copy(dir).map_err(|e| failed(e.to_string()))? {
            Some(store) => read(&store).map_err(|e| failed(e.to_string())),
            None => {
                Err(failed(format!("there is no {FILE} in it; nothing was ever learned there")))
            }
        }
    }

    /// Everything that is in it. Blocking.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<Remembered, StoreError> {
        read(&self.store)
    }

    /// Forgets the figures of a component, whether or not it is still configured; says how many there were. Blocking.
    ///
    /// # Errors
    /// When it cannot be written; nothing is forgotten then.
    pub fn forget(&self, component: &ComponentId) -> Result<usize, StoreError> {
        forget(&self.store, std::slice::from_ref(component))
    }

    /// Forgets everything; says how many values there were. Blocking.
    ///
    /// # Errors
    /// When it cannot be written; nothing is forgotten then.
    pub fn forget_everything(&self) -> Result<usize, StoreError> {
        let n = self.read()?.values.len();
        let namespaces = self.store.namespaces()?.into_iter();
        let batch: Vec<_> = namespaces.map(|namespace| StoreOp::Clear { namespace }).collect();
        self.store.apply(&batch)?;
        self.store.scrub()?;
        Ok(n)
    }
}
