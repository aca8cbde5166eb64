//! Where state survives a restart.

use std::fmt;

/// A failure of the state store.
#[derive(Debug)]
pub struct StoreError {
    /// What was being done, as a lower-case fragment that names the file.
    pub what: String,
    /// The cause, where another error lies behind it.
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
pub enum StoreOp {
    /// Set a key of a namespace to bytes.
    Put {
        /// The namespace, such as `footprints`.
        namespace: String,
        /// The key inside it.
        key: String,
        /// The bytes.
        value: Vec<u8>,
    },
    /// Remove a key, if it is there.
    Delete {
        /// The namespace.
        namespace: String,
        /// The key inside it.
        key: String,
    },
    /// Remove every key of a namespace.
    Clear {
        /// The namespace.
        namespace: String,
    },
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

    /// The namespaces that have keys, in order; none from a store that cannot tell.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn namespaces(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    /// What is wrong with where it is kept, for the status; none when all is well.
    fn note(&self) -> Option<String> {
        None
    }

    /// Writes the store anew, so that nothing that was replaced or deleted before is left in its file.
    ///
    /// # Errors
    /// When the store cannot be read or written; what is in it is as it was then.
    fn scrub(&self) -> Result<(), StoreError>;
}
