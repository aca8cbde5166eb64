//! The children that this process started itself, as opposed to those that it has adopted.
//!
//! One list for all managers of the process. Invariant: a child is listed before it could pass for an adopted one, and
//! until its owner has reaped it; so its number means that child for as long as the owner uses it.

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, WaitOptions, waitpid};

use crate::proctable;

static STARTED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn started() -> MutexGuard<'static, BTreeSet<i32>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a child that its owner reaps, and takes off the list with [`forget`].
///
/// # Errors
/// The system's reason.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut started = started();
    let child = command.spawn()?;
    started.insert(i32::try_from(child.id()).map_err(io::Error::other)?);
    Ok(child)
}

/// Takes a child off the list: its owner has reaped it.
pub fn forget(pid: i32) {
    started().remove(&pid);
}

/// Reaps processes that this one has adopted and that have ended. Blocks for a look at its children.
pub(crate) fn reap_adopted() {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    // Held over the look: a child started meanwhile could otherwise pass for adopted.
    let started = started();
    let children = proctable::children(own).unwrap_or_else(|| {
        proctable::scan().into_iter().filter(|e| e.ppid == own).map(|e| e.pid).collect()
    });
    for pid in children.into_iter().filter(|pid| !started.contains(pid)) {
        if let Some(pid) = Pid::from_raw(pid) {
            // Nothing happens to one that lives.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}
