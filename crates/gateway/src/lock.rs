//! Locks around state that is consistent after every change.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A lock whose holder cannot leave it half-changed.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
