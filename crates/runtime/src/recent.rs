//! What this thread leased lately, so that the next lease of it asks nothing shared but its own cell.
//!
//! A `Weak` on an incarnation is enough to ask: a cell that takes leases belongs to the incarnation in its slot
//! (lifecycle's invariant), and a name keeps its key for the life of a shell (the catalog's). So nothing here
//! can be stale in a way that matters; what fails is looked up again. Keeps no component alive, only the few
//! bytes of an incarnation, at most one per component and thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use fnv::FnvBuildHasher;
use majordomo_core::{ComponentId, ComponentKey};

use crate::lease::{Incarnation, RawLease};
use crate::shell::Lanes;

#[derive(Default)]
struct Recent {
    /// Whose keys these are; a `Weak`, so that its address names no other shell.
    of: Weak<Lanes>,
    by_key: Vec<Weak<Incarnation>>,
    names: HashMap<ComponentId, ComponentKey, FnvBuildHasher>,
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
    fn incarnation(&self, key: ComponentKey) -> Option<Arc<Incarnation>> {
        self.by_key.get(key.index())?.upgrade()
    }

    /// The entry of a key; this thread has turned to another shell when the last was not this one.
    fn remember(&mut self, lanes: &Arc<Lanes>, lease: &RawLease) {
        if !self.is_of(lanes) {
            *self = Self { of: Arc::downgrade(lanes), ..Self::default() };
        }
        let key = lease.incarnation().key();
        if self.by_key.len() <= key.index() {
            self.by_key.resize_with(key.index() + 1, Weak::new);
        }
        self.by_key[key.index()] = Arc::downgrade(lease.incarnation());
    }
}

/// A lease if the component is ready.
#[inline]
pub(crate) fn acquire(lanes: &Arc<Lanes>, key: ComponentKey) -> Option<RawLease> {
    let known = RECENT.try_with(|r| {
        let r = r.try_borrow().ok()?;
        if r.is_of(lanes) { r.incarnation(key) } else { None }
    });
    // The lease is made out here: through the nested results it would be copied by way of memory.
    match known.unwrap_or(None).and_then(Incarnation::acquire_owned) {
        Some(lease) => Some(lease),
        None => look_up(lanes, key),
    }
}

/// The same by name.
#[inline]
pub(crate) fn acquire_named(lanes: &Arc<Lanes>, name: &str) -> Option<RawLease> {
    let known = RECENT.try_with(|r| {
        let r = r.try_borrow().ok()?;
        if r.is_of(lanes) { r.incarnation(*r.names.get(name)?) } else { None }
    });
    match known.unwrap_or(None).and_then(Incarnation::acquire_owned) {
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
                r.names.insert(id.clone(), key);
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
