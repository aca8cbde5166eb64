//! Leases that an exchange gives up when its demand is admitted.
//!
//! Shared by their holder and the shell while the demand waits. Invariant: each lease is given back once: by the shell
//! when the demand is admitted, or by the holder, who takes back what is left.

use std::sync::{Mutex, MutexGuard, PoisonError};

use majordomo_core::ComponentKey;

use crate::lease::AnyLease;

/// Leases that are to be given up for others.
#[derive(Debug, Default)]
pub struct OldLeases {
    leases: Mutex<Vec<AnyLease>>,
    n_first: usize,
}

impl OldLeases {
    /// Leases that an exchange may give up.
    #[must_use]
    pub fn new(leases: Vec<AnyLease>) -> Self {
        Self { n_first: leases.len(), leases: Mutex::new(leases) }
    }

    fn locked(&self) -> MutexGuard<'_, Vec<AnyLease>> {
        // Every change leaves the list whole, so a panic elsewhere does not spoil it.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes back what was not given up; nothing is given up any more.
    #[must_use]
    pub fn take_back(&self) -> Vec<AnyLease> {
        std::mem::take(&mut *self.locked())
    }

    /// Looks at what was not given up.
    pub fn with<R>(&self, look: impl FnOnce(&[AnyLease]) -> R) -> R {
        look(&self.locked())
    }

    /// Whether they were given up, or taken back.
    #[must_use]
    pub fn are_gone(&self) -> bool {
        self.n_first > 0 && self.locked().is_empty()
    }

    pub(crate) fn count(&self, key: ComponentKey) -> u32 {
        let n = self.locked().iter().filter(|l| l.key() == key).count();
        u32::try_from(n).unwrap_or(u32::MAX)
    }
}
