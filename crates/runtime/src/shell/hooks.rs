//! Calls into the code of components, whose panics end here.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use majordomo_core::ByteSize;
use tokio::sync::oneshot;

use crate::component::Instance;
use crate::component_thread::{self, guarded};
use crate::lease::{AnyLease, Incarnation};
use crate::message::{Reply, Waiting};

/// A component's own account of its memory; none when that panics.
pub(super) fn footprint_of(instance: &Instance) -> Option<ByteSize> {
    std::panic::catch_unwind(AssertUnwindSafe(|| instance.footprint())).ok().flatten()
}

/// The memory that a component expects to hold asleep; none when it does not sleep, or when that panics.
pub(super) fn asleep_of(instance: &Instance) -> Option<ByteSize> {
    std::panic::catch_unwind(AssertUnwindSafe(|| instance.expects_asleep())).ok().flatten()
}

/// Drops an instance off the shell's task, since its `Drop` may take long.
pub(super) fn drop_elsewhere(incarnation: Arc<Incarnation>) {
    component_thread::run(move || guarded(move || drop(incarnation)));
}

/// Drops leases off the shell's task: the last one of an unloaded component drops its instance.
pub(super) fn drop_leases_elsewhere(leases: Vec<AnyLease>) {
    if !leases.is_empty() {
        component_thread::run(move || leases.into_iter().for_each(|l| guarded(move || drop(l))));
    }
}

/// Ends a wait. Its caller takes back the leases that it was to give up; if the caller has left, they are dropped.
pub(super) fn end_wait(waiting: Waiting) -> oneshot::Sender<Reply> {
    if let Some(old) = waiting.old.and_then(Arc::into_inner) {
        drop_leases_elsewhere(old.take_back());
    }
    waiting.reply
}
