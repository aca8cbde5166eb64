//! Children that leave their process group (Linux only).
//!
//! A process whose parent has ended is given to the nearest ancestor that is a *subreaper*. That setting
//! belongs to the whole process, so only a binary may opt in, and by that it promises that every child
//! of its process is started by a [`super::ProcessLoader`] or the guard. Strays are told apart by the
//! environment variable that all descendants of a component inherit.
//!
//! Invariant: no leader is reaped here; those that the loader started are known from before they run.

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, waitpid};

use crate::guard::TAG_VARIABLE;
use crate::proctable;

/// Leave to adopt, find and kill children that left their group.
#[derive(Clone, Debug)]
pub struct Subreaper {
    leaders: Arc<Mutex<BTreeSet<i32>>>,
}

impl Subreaper {
    /// Makes this process a subreaper.
    ///
    /// # Errors
    /// Where the system has none (macOS: such children are out of scope there).
    pub fn enable() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            // Linux only asks whether the value is zero.
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
            Ok(Self { leaders: Arc::default() })
        }
        #[cfg(not(target_os = "linux"))]
        Err(io::ErrorKind::Unsupported.into())
    }

    fn leaders(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.leaders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a child that is known before a sweep can see it.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let mut leaders = self.leaders();
        let child = command.spawn()?;
        leaders.insert(i32::try_from(child.id()).map_err(io::Error::other)?);
        Ok(child)
    }

    pub(super) fn forget(&self, leader: i32) {
        self.leaders().remove(&leader);
    }

    /// Kills every living process whose tag starts with `prefix` and is no leader, and reaps adopted
    /// ones that have ended. Gives how many it killed. Blocks.
    pub(super) fn sweep(&self, prefix: &str) -> usize {
        let mut killed = Vec::new();
        // Each round may uncover children of what it killed; a bound keeps a fork bomb from holding us.
        for _ in 0..16 {
            let leaders = self.leaders();
            let found: Vec<i32> = proctable::tagged(TAG_VARIABLE, prefix)
                .into_iter()
                .filter(|pid| !leaders.contains(pid))
                .collect();
            drop(leaders);
            self.reap_adopted();
            if found.is_empty() {
                break;
            }
            for pid in found {
                if proctable::signal_process(pid, Signal::KILL) {
                    killed.push(pid);
                }
            }
        }
        // One that is killed loses its tag before it can be reaped. Returns as soon as SIGKILL has done its work, and
        // at once for somebody else's child.
        for pid in killed.iter().copied().filter_map(Pid::from_raw) {
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
        killed.len()
    }

    /// Reaps children that this process was given and that have ended. Blocks for one look at the
    /// process table.
    pub fn reap_adopted(&self) {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        // Held over the look: a child started meanwhile could otherwise pass for adopted.
        let leaders = self.leaders();
        let ended = proctable::scan().into_iter().filter(|e| e.ppid == own && e.zombie);
        for entry in ended.filter(|e| !leaders.contains(&e.pid)) {
            if let Some(pid) = Pid::from_raw(entry.pid) {
                // Reaping the guard does no harm: its owner takes "no such child" for an end.
                let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
    }
}
