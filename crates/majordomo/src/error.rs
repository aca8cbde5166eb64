//! Errors of starting a manager and of changing its configuration.

use std::path::PathBuf;

use majordomo_core::quoted_path;
use majordomo_registry::Problems;

/// The error of a manager that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration has problems: those of its file or text, and those of components, settings and factories
    /// added in code. All of them are listed.
    #[error(transparent)]
    Config(#[from] Problems),
    /// The machine does not report how much memory it has.
    #[error("the memory of this machine cannot be read ({0}); state a budget in bytes")]
    Memory(String),
    /// The state directory or file cannot be used.
    #[error("the state directory {} cannot be used: {why}", quoted_path(path))]
    State {
        /// The directory as it was named.
        path: PathBuf,
        /// The reason, in words.
        why: String,
    },
    /// The guard process does not run, without which no program is started.
    #[error("the guard process cannot be started: {0}")]
    Guard(#[from] majordomo_runtime::guard::GuardError),
    /// The system provides no thread, or there is no tokio runtime with what a manager needs.
    #[error("the manager cannot be started: {0}")]
    Start(#[from] std::io::Error),
}

/// The error of a configuration that was not applied. Nothing is changed then.
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
    /// The configuration declares the component, not the code.
    #[error("component {component} is declared in the configuration; remove it there, and reload")]
    DeclaredInFile {
        /// The component to remove.
        component: majordomo_core::ComponentId,
    },
    /// The manager is shutting down.
    #[error("the manager is shutting down")]
    ShuttingDown,
}

/// The error of a learned store that cannot be read or changed.
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
