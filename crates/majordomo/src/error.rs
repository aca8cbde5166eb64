//! Why a manager could not be made or changed.

use std::path::PathBuf;

use majordomo_core::quoted_path;
use majordomo_registry::Problems;

/// Why there is no manager.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration has problems: those of its file or text, and those of components, settings and factories
    /// added in code. All of them are listed.
    #[error("{0}")]
    Config(#[from] Problems),
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

/// Why a new configuration was not taken. Nothing is changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The manager was not made from a file.
    #[error("this manager was built in code: there is no configuration file to read again")]
    NoFile,
    /// The configuration has problems.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// No component has that name, or it was removed before.
    #[error(transparent)]
    Refused(#[from] majordomo_core::Refusal),
    /// The component is not one of the code.
    #[error("component {component} is declared in the configuration; remove it there, and reload")]
    DeclaredInFile {
        /// The component.
        component: majordomo_core::ComponentId,
    },
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
