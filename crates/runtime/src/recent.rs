//! The components that this thread leased lately, so that the next lease touches nothing shared but its own cell.
//!
//! A known incarnation is enough to ask: a gate that takes leases belongs to the incarnation in its slot
//! (an invariant of the crate `lease`), and a name keeps its key for the life of a shell (one of the catalog). So nothing
//! here can be stale in a way that matters; an entry that fails is looked up again. Keeps no component loaded, only the
//! gate of an incarnation, at most one per component and thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use foldhash::fast::FixedState;
use majordomo_core::{ComponentId, ComponentKey};

use crate::lease::{KnownIncarnation, RawLease};
use crate::shell::Lanes;

#[derive(Default)]
struct Recent {
    /// Whose keys these are; a `Weak`, so that its address names no other shell.
    of: Weak<Lanes>,
    by_key: Vec<Option<KnownIncarnation>>,
    by_name: HashMap<ComponentId, KnownIncarnation, FixedState>,
}

thread_local! {
    static RECENT: RefCell<Recent> = RefCell::default();
}

impl Recent {
    #[inline]
    fn is_of(&self, lanes: &Arc<Lanes>) -> bool {
        std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(lanes))
    }

    #[inline]
    fn acquire(&self, key: ComponentKey) -> Option<RawLease> {
        self.by_key.get(key.index())?.as_ref()?.acquire()
    }

    /// The entry of a key; this thread has turned to another shell when the last was not this one.
    fn remember(&mut self, lanes: &Arc<Lanes>, lease: &RawLease) {
        if !self.is_of(lanes) {
            *self = Self { of: Arc::downgrade(lanes), ..Self::default() };
        }
        let key = lease.incarnation().key();
        if self.by_key.len() <= key.index() {
            self.by_key.resize_with(key.index() + 1, || None);
        }
        self.by_key[key.index()] = Some(lease.known());
    }
}

/// A lease if the component is ready.
#[inline]
pub(crate) fn acquire(lanes: &Arc<Lanes>, key: ComponentKey) -> Option<RawLease> {
    let known = RECENT.try_with(|r| {
        let r = r.try_borrow().ok()?;
        if r.is_of(lanes) { r.acquire(key) } else { None }
    });
    match known.unwrap_or(None) {
        Some(lease) => Some(lease),
        None => look_up(lanes, key),
    }
}

/// The same by name.
#[inline]
pub(crate) fn acquire_named(lanes: &Arc<Lanes>, name: &str) -> Option<RawLease> {
    let known = RECENT.try_with(|r| {
        let r = r.try_borrow().ok()?;
        if r.is_of(lanes) { r.by_name.get(name)?.acquire() } else { None }
    });
    match known.unwrap_or(None) {
        Some(lease) => Some(lease),
        None => look_up_named(lanes, name),
    }
}

#[cold]
fn look_up_named(lanes: &Arc<Lanes>, name: &str) -> Option<RawLease> {
    let key = lanes.published.load().key(name)?;
    let lease = look_up(lanes, key)?;
    let id = &lease.incarnation().instance().id;
    // The thread may be ending, or this may be inside a component's `Drop` below: then nothing is remembered.
    let _ = RECENT.try_with(|r| {
        r.try_borrow_mut().ok().map(|mut r| {
            if r.is_of(lanes) {
                r.by_name.insert(id.clone(), lease.known());
            }
        })
    });
    Some(lease)
}

#[cold]
fn look_up(lanes: &Arc<Lanes>, key: ComponentKey) -> Option<RawLease> {
    let lease = lanes.published.load().slot(key)?.acquire()?;
    let _ = RECENT.try_with(|r| r.try_borrow_mut().ok().map(|mut r| r.remember(lanes, &lease)));
    Some(lease)
}
