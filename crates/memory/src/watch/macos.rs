//! macOS: wakes the watcher when the kernel's level of memory pressure changes (libdispatch).
//!
//! Type-checked on Linux, never run there: unproven until it is run on a Mac. Invariant: the stream that
//! the handler writes to lives until libdispatch has finalised the source.
#![expect(unsafe_code, reason = "libdispatch calls back through C")]

use std::ffi::c_void;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use dispatch2::{DispatchObject, DispatchRetained, DispatchSource, dispatch_source_type_s};

use super::signal::SYSTEM_BYTE;

unsafe extern "C" {
    /// `DISPATCH_SOURCE_TYPE_MEMORYPRESSURE` of `dispatch/source.h`.
    static _dispatch_source_type_memorypressure: dispatch_source_type_s;
}

/// Normal, warning and critical.
const EVERY_LEVEL: usize = 0x1 | 0x2 | 0x4;

/// Cancelled and released when dropped.
pub(super) struct Events(DispatchRetained<DispatchSource>);

impl Drop for Events {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Writes a byte to the stream at every change of level.
pub(super) fn arm(stream: Arc<UnixStream>) -> Events {
    let kind = (&raw const _dispatch_source_type_memorypressure).cast_mut();
    // SAFETY: the type takes no handle and this mask; no queue means the default one.
    let source = unsafe { DispatchSource::new(kind, 0, EVERY_LEVEL, None) };
    let context = Arc::into_raw(stream).cast_mut().cast::<c_void>();
    // SAFETY: the context outlives the source: `release` gives it back when the source is finalised.
    unsafe { source.set_context(context) };
    // SAFETY: `release` takes exactly the context that was set.
    unsafe { source.set_finalizer_f(release) };
    source.set_event_handler_f(notify);
    source.activate();
    Events(source)
}

extern "C" fn notify(context: *mut c_void) {
    // SAFETY: the context is the stream that `arm` set, and is alive until `release`.
    let stream = unsafe { &*context.cast::<UnixStream>() };
    // A full pipe holds a wake-up already.
    let _ = (&*stream).write(&[SYSTEM_BYTE]);
}

extern "C" fn release(context: *mut c_void) {
    // SAFETY: called once, with the pointer that `Arc::into_raw` gave.
    drop(unsafe { Arc::from_raw(context.cast_const().cast::<UnixStream>()) });
}
