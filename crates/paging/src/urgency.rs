//! Whether a caller waits for paging, and the processor time that its threads may take from other programs.
//!
//! Moving a page costs the processor about as much as a fast device needs to read it, so paging in the background would slow
//! down a program that answers meanwhile. Its threads run at the lowest priority until it becomes urgent. Invariant: a
//! thread is only slowed down where this process may undo that.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::process::Pid;

/// How urgent the calls of a [`Pager`](crate::Pager) are. Clones are one: what becomes urgent does so for all calls.
///
/// Urgent by default.
#[derive(Clone, Debug, Default)]
pub struct Urgency(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    in_background: bool,
    slowed: Vec<Slowed>,
}

/// A thread at the lowest priority.
#[derive(Clone, Copy, Debug)]
struct Slowed {
    thread: Pid,
    /// Its priority before.
    nice: i32,
}

impl Urgency {
    /// Calls that no one waits for.
    #[must_use]
    pub fn background() -> Self {
        Self(Arc::new(Mutex::new(State { in_background: true, slowed: Vec::new() })))
    }

    /// A caller waits for them from now on.
    pub fn hasten(&self) {
        let mut state = self.state();
        state.in_background = false;
        state.slowed.drain(..).for_each(Slowed::restore);
    }

    /// Runs work on this thread with the priority of these calls.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let _turn = Turn::begin(self);
        work()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The work of one thread.
struct Turn<'a>(Option<(&'a Urgency, Pid)>);

impl<'a> Turn<'a> {
    fn begin(urgency: &'a Urgency) -> Self {
        if !urgency.state().in_background || !can_be_undone() {
            return Self(None);
        }
        let mut state = urgency.state();
        let slowed = state.in_background.then(Slowed::own).flatten();
        state.slowed.extend(slowed);
        Self(slowed.map(|slowed| (urgency, slowed.thread)))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some((urgency, thread)) = self.0 else { return };
        let mut state = urgency.state();
        if let Some(at) = state.slowed.iter().position(|slowed| slowed.thread == thread) {
            state.slowed.swap_remove(at).restore();
        }
    }
}

impl Slowed {
    /// Restoring it fails only when its right was taken away meanwhile.
    fn restore(self) {
        let _ = set_nice(self.thread, self.nice);
    }
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::io;
    use rustix::process::{Pid, getpriority_process, setpriority_process};
    use rustix::thread::gettid;

    use super::Slowed;

    /// The lowest priority: about 1.5 % of the processor beside a program at the usual one.
    const LOWEST: i32 = 19;

    impl Slowed {
        /// Slows down this thread, unless it is as slow already.
        pub(super) fn own() -> Option<Self> {
            let thread = gettid();
            let nice = getpriority_process(Some(thread)).ok().filter(|nice| *nice < LOWEST)?;
            set_nice(thread, LOWEST).ok()?;
            Some(Self { thread, nice })
        }
    }

    /// On Linux the priority belongs to the thread.
    pub(super) fn set_nice(thread: Pid, nice: i32) -> io::Result<()> {
        setpriority_process(Some(thread), nice)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use rustix::io;
    use rustix::process::Pid;

    use super::Slowed;

    impl Slowed {
        /// Nothing is paged on other systems.
        pub(super) fn own() -> Option<Self> {
            None
        }
    }

    pub(super) fn set_nice(_thread: Pid, _nice: i32) -> io::Result<()> {
        Err(io::Errno::NOSYS)
    }
}

use system::set_nice;

/// Whether this process may raise the priority of its threads again (CAP_SYS_NICE or RLIMIT_NICE); found out once, on a thread
/// that ends.
fn can_be_undone() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    let trial = || Slowed::own().is_some_and(|own| set_nice(own.thread, own.nice).is_ok());
    *ANSWER.get_or_init(|| {
        std::thread::Builder::new()
            .spawn(trial)
            .is_ok_and(|thread| thread.join().is_ok_and(|may| may))
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;
    use rustix::thread::gettid;

    use super::*;

    fn nice() -> Option<i32> {
        getpriority_process(Some(gettid())).ok()
    }

    #[test]
    fn work_in_the_background_yields_until_it_is_hastened() {
        if !can_be_undone() {
            eprintln!("skipped: this process may not raise priorities");
            return;
        }
        let usual = nice();
        let urgency = Urgency::background();
        let worker = urgency.clone();
        let (slowed, is_slowed) = std::sync::mpsc::channel();
        let (hastened, is_hastened) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            worker.run(|| {
                slowed.send(nice()).unwrap();
                is_hastened.recv().unwrap();
                // Work that begins later is urgent, too.
                (nice(), worker.run(nice))
            })
        });
        assert_eq!(is_slowed.recv().unwrap(), Some(19));
        urgency.hasten();
        hastened.send(()).unwrap();
        assert_eq!(thread.join().unwrap(), (usual, usual));
        assert!(urgency.state().slowed.is_empty());
    }

    #[test]
    fn priority_is_back_after_the_work_even_when_it_panics() {
        let usual = nice();
        let urgency = Urgency::background();
        let lost = std::panic::catch_unwind(|| urgency.run(|| panic!("planned")));
        assert!(lost.is_err());
        assert_eq!(nice(), usual);
        assert_eq!(
            urgency.run(|| urgency.run(nice)),
            if can_be_undone() { Some(19) } else { usual }
        );
        assert_eq!((nice(), Urgency::default().run(nice)), (usual, usual));
    }
}
