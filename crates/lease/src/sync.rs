//! The atomics and references of cell and slot: the standard library's, or loom's while their protocol is modelled.

#[cfg(not(majordomo_loom))]
pub(crate) use std::sync::Arc;

#[cfg(not(majordomo_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(majordomo_loom)]
pub(crate) use loom::sync::Arc;
#[cfg(majordomo_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(majordomo_loom)]
pub(crate) use modelled::Swap;

#[cfg(majordomo_loom)]
mod modelled {
    use loom::sync::{Arc, Mutex};

    /// The part of `arc_swap::ArcSwapOption` that the slot uses, as a loom mutex.
    pub(crate) struct Swap<T>(Mutex<Option<Arc<T>>>);

    impl<T> Swap<T> {
        pub(crate) fn new(value: Option<Arc<T>>) -> Self {
            Self(Mutex::new(value))
        }

        // Boxed for arc-swap's shape: its guard dereferences to the option.
        pub(crate) fn load(&self) -> Box<Option<Arc<T>>> {
            Box::new(self.load_full())
        }

        pub(crate) fn load_full(&self) -> Option<Arc<T>> {
            self.0.lock().expect("no model panics in here").clone()
        }

        pub(crate) fn swap(&self, new: Option<Arc<T>>) -> Option<Arc<T>> {
            std::mem::replace(&mut *self.0.lock().expect("no model panics in here"), new)
        }
    }
}
