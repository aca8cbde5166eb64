//! Threads for the code of components: factories, hooks and drops, which may block for as long as they like.
//!
//! Not the runtime's own blocking threads: a runtime that is dropped waits for those, however long they take.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use crate::loader;

/// Runs `job` on a thread of its own, inside the current tokio runtime's context. Where the system gives no thread,
/// `job` runs on one of the runtime's.
pub(crate) fn run(job: impl FnOnce() + Send + 'static) {
    let runtime = Handle::current();
    let job = Arc::new(Mutex::new(Some(job)));
    let own = (runtime.clone(), Arc::clone(&job));
    let spawned = std::thread::Builder::new().name("majordomo-component".into()).spawn(move || {
        let (runtime, job) = own;
        let _entered = runtime.enter();
        run_once(&job);
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread for a component; one of the runtime's is used");
        runtime.spawn_blocking(move || run_once(&job));
    }
}

fn run_once(job: &Mutex<Option<impl FnOnce()>>) {
    let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(job) = job {
        job();
    }
}

/// Runs a component's code; its panic is logged and not propagated.
pub(crate) fn guarded(f: impl FnOnce()) {
    if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(f)) {
        tracing::error!(panic = loader::panic_in_words(&*panic), "a component's hook failed");
    }
}
