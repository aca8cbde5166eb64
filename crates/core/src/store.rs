//! The store for state that survives a restart.

use std::fmt;

/// A failure of the state store.
#[derive(Debug)]
pub struct StoreError {
    /// The failed operation, as a lower-case fragment that names the file.
    pub what: String,
    /// The underlying error.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| &**s as &(dyn std::error::Error + 'static))
    }
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "namespaces, keys and values")]
pub enum StoreOp {
    /// Set a key of a namespace to bytes.
    Put {
        /// Such as `footprints`.
        namespace: String,
        key: String,
        value: Vec<u8>,
    },
    /// Remove a key, if it exists.
    Delete { namespace: String, key: String },
    /// Remove every key of a namespace.
    Clear { namespace: String },
}

impl StoreOp {
    /// The namespace that it changes.
    #[must_use]
    pub fn namespace(&self) -> &str {
        match self {
            Self::Put { namespace, .. }
            | Self::Delete { namespace, .. }
            | Self::Clear { namespace } => namespace,
        }
    }
}

/// Namespaced keys with bytes; batches are atomic and durable when `apply` returns. Blocking.
pub trait StateStore: Send + Sync {
    /// The bytes of a key.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn get(&self, namespace: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Every key and its bytes of a namespace, in key order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn list(&self, namespace: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Applies all changes or none.
    ///
    /// # Errors
    /// When the store cannot be written; nothing was changed then.
    fn apply(&self, batch: &[StoreOp]) -> Result<(), StoreError>;

    /// The namespaces that have keys, in order; none from a store that cannot list them.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn namespaces(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// A problem with the store's folder or file, for the status; none when all is well.
    fn warning(&self) -> Option<String> {
        None
    }

    /// Rewrites the store, so that replaced and deleted data is erased from its file.
    ///
    /// # Errors
    /// When the store cannot be read or written; its content is unchanged then.
    fn scrub(&self) -> Result<(), StoreError>;
}
