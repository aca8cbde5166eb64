//! Why a manager could not be made or changed.

use std::path::PathBuf;

use majordomo_core::quoted_path;
use majordomo_registry::{CatalogError, Problems};

/// Why there is no manager.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration file has problems.
    #[error("{0}")]
    Config(Problems),
    /// The components do not fit together, for these reasons.
    #[error("the components do not fit together: {}", all(.0))]
    Catalog(Vec<CatalogError>),
    /// A keyword or trigger has no word in it.
    #[error("a keyword is unusable: {0}")]
    Keyword(String),
    /// CORE and pinned components need more than the budget.
    #[error("CORE and pinned components need {need}, the budget is {budget}; raise it or pin less")]
    OverBudget {
        /// What they need.
        need: majordomo_core::ByteSize,
        /// The budget.
        budget: majordomo_core::ByteSize,
    },
    /// The machine does not tell how much memory it has.
    #[error("the memory of this machine cannot be read ({0}); state a budget in bytes")]
    Memory(String),
    /// The state directory or file cannot be used.
    #[error("the state directory {} cannot be used: {why}", quoted_path(path))]
    State {
        /// The directory.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The guard process, without which no process is started, does not run.
    #[error("the guard process cannot be started: {0}")]
    Guard(#[from] majordomo_runtime::guard::GuardError),
    /// The system gives no thread, or there is no tokio runtime.
    #[error("the manager cannot be started: {0}")]
    Start(#[from] std::io::Error),
}

fn all(errors: &[CatalogError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Why a new configuration was not taken; nothing is changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The manager was not made from a file.
    #[error("this manager was built in code, there is no file to read again")]
    NoFile,
    /// The file, or what it describes, has problems.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The manager is shutting down.
    #[error("the manager is shutting down")]
    ShuttingDown,
}

/// Why what is remembered cannot be told or forgotten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// No component has that name.
    #[error(transparent)]
    Refused(#[from] majordomo_core::Refusal),
    /// The state cannot be read or written.
    #[error(transparent)]
    Store(majordomo_core::StoreError),
    /// The manager is shutting down.
    #[error("the manager is shutting down")]
    ShuttingDown,
}

impl From<CatalogError> for BuildError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(vec![error])
    }
}

impl From<Problems> for BuildError {
    fn from(problems: Problems) -> Self {
        Self::Config(problems)
    }
}
