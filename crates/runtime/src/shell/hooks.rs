//! Calls into the code of components, whose panics end here.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use majordomo_core::ByteSize;

use crate::component::Instance;
use crate::component_thread;
use crate::lease::Incarnation;
use crate::loader;

/// A component's own account of its memory; none when that panics.
pub(super) fn footprint_of(instance: &Instance) -> Option<ByteSize> {
    std::panic::catch_unwind(AssertUnwindSafe(|| instance.footprint())).ok().flatten()
}

/// Runs a component's code; its panic is logged and not propagated.
pub(super) fn guarded(f: impl FnOnce()) {
    if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(f)) {
        tracing::error!(panic = loader::panic_in_words(&*panic), "a component's hook failed");
    }
}

/// Drops an instance off the shell's task, since its `Drop` may take long.
pub(super) fn drop_elsewhere(incarnation: Arc<Incarnation>) {
    component_thread::run(move || guarded(move || drop(incarnation)));
}
