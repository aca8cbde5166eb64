//! Slots as the engine and callers see them: the cells, the published names, the notices of releases.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fnv::FnvBuildHasher;
use majordomo_core::{Cause, ComponentId, ComponentKey, IncarnationId, WaiterId};
use majordomo_engine::{Cells, CloseAnswer, PeekCells};
use majordomo_lease::{Gate, ReleaseSink, Tick};
use majordomo_registry::Catalog;

use super::hooks::drop_leases_elsewhere;
use crate::component::{DropNotice, Instance, Resident};
use crate::lease::{AnyLease, Incarnation, RawLease, Slot};
use crate::logs::LogBuffer;
use crate::message::{Control, ControlSender, Waiting};
use crate::notices::Notices;
use crate::tags::Tags;

/// Names and slots, as callers see them; replaced as a whole.
#[derive(Debug)]
pub(crate) struct Published {
    /// The catalog in force.
    pub catalog: Arc<Catalog>,
    names: HashMap<ComponentId, ComponentKey, FnvBuildHasher>,
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) logs: Vec<Arc<LogBuffer>>,
}

impl Published {
    pub(super) fn new(
        catalog: Arc<Catalog>,
        slots: Vec<Arc<Slot>>,
        logs: Vec<Arc<LogBuffer>>,
    ) -> Self {
        // Names of removed components too: a demand for one is refused as such, and a lease on one is still found.
        let names = (0..catalog.len())
            .map(ComponentKey::from_index)
            .map(|k| (catalog.id(k).clone(), k))
            .collect();
        Self { catalog, names, slots, logs }
    }

    /// The key of a component's name, also of a removed one.
    #[must_use]
    pub(crate) fn key(&self, name: &str) -> Option<ComponentKey> {
        self.names.get(name).copied()
    }

    pub(crate) fn slot(&self, key: ComponentKey) -> Option<&Arc<Slot>> {
        self.slots.get(key.index())
    }

    /// Revokes the leases on every component, and allows no others.
    pub(super) fn revoke_all(&self, why: &Cause) {
        self.slots.iter().filter_map(|slot| slot.current()).for_each(|i| revoke(&i, why));
    }
}

/// Revokes the leases on an incarnation, and allows no others.
fn revoke(incarnation: &Incarnation, why: &Cause) {
    // The reason first: a holder who sees that the lease is revoked finds it.
    incarnation.instance().revoked_because(why);
    incarnation.gate().revoke();
}

/// Leases that are counted in their cells and not yet handed to their waiters.
pub(super) type CountedLeases = BTreeMap<ComponentKey, Vec<RawLease>>;

/// The cells during one input.
pub(super) struct ShellCells<'a> {
    pub slots: &'a [Arc<Slot>],
    pub engine_catalog: Arc<Catalog>,
    /// The instance of the load that has just finished.
    pub made: Option<Instance>,
    /// Leases that the engine has put into the cells, until the waiters are answered.
    pub granted: CountedLeases,
    /// The component that was published.
    pub installed: Option<ComponentKey>,
    pub tick: Arc<Tick>,
    pub notices: Arc<Notices>,
    pub control: ControlSender,
    pub waiters: &'a BTreeMap<WaiterId, Waiting>,
    pub tags: &'a Tags,
}

impl ShellCells<'_> {
    fn with<R>(&self, key: ComponentKey, f: impl FnOnce(&Incarnation) -> R) -> Option<R> {
        self.slots.get(key.index())?.current().map(|i| f(&i))
    }
}

impl Cells for ShellCells<'_> {
    fn try_close(&mut self, key: ComponentKey) -> CloseAnswer {
        // Nothing published: nothing can be leased.
        self.with(key, |i| i.gate().try_close()).unwrap_or(CloseAnswer::Closed)
    }

    fn close(&mut self, key: ComponentKey) {
        self.with(key, |i| i.gate().close());
    }

    fn reopen(&mut self, key: ComponentKey) {
        self.with(key, |i| i.gate().reopen());
    }

    fn want(&mut self, key: ComponentKey) {
        self.with(key, |i| i.gate().request_notice());
    }

    fn revoke(&mut self, key: ComponentKey, why: &Cause) {
        self.with(key, |i| revoke(i, why));
    }

    fn lease_n(&mut self, key: ComponentKey, n: u32) {
        if let Some(slot) = self.slots.get(key.index()) {
            self.granted.entry(key).or_default().extend(slot.grant(n));
        }
    }

    fn own_leases(&mut self, waiter: WaiterId, key: ComponentKey) -> u32 {
        let party = self.waiters.get(&waiter).and_then(|w| w.party.as_ref());
        party.map_or(0, |p| self.tags.held_by(p, self.engine_catalog.id(key)))
    }

    fn leases_to_give_up(&mut self, waiter: WaiterId, key: ComponentKey) -> u32 {
        let old = self.waiters.get(&waiter).and_then(|w| w.old.as_ref());
        old.map_or(0, |old| old.count(key))
    }

    fn give_up(&mut self, waiter: WaiterId) {
        let Some(old) = self.waiters.get(&waiter).and_then(|w| w.old.as_ref()) else { return };
        // Only leases on published incarnations count for the engine, which looks at their cells at once.
        let is_published = |l: &AnyLease| {
            let id = l.raw.incarnation().id();
            self.with(id.key, Incarnation::id) == Some(id)
        };
        let (published, rest): (Vec<_>, _) = old.take_back().into_iter().partition(is_published);
        drop(published);
        drop_leases_elsewhere(rest);
    }

    fn install(&mut self, id: IncarnationId, n: u32) {
        let (Some(mut instance), Some(slot)) = (self.made.take(), self.slots.get(id.key.index()))
        else {
            return;
        };
        if instance.running().is_none() && instance.service().is_none() {
            let control = self.control.clone();
            instance.gone = DropNotice(Some(Box::new(move || control.send(Control::Down { id }))));
        }
        let limited = self.engine_catalog.spec(id.key).is_some_and(|s| s.max_leases.is_some());
        let (tick, sink) =
            (Arc::clone(&self.tick), Arc::clone(&self.notices) as Arc<dyn ReleaseSink>);
        self.installed = Some(id.key);
        let resident = Resident::new(self.engine_catalog.id(id.key).clone(), instance);
        let gate = Gate::new(id, limited, tick, sink);
        let (leases, _old) = slot.install(Incarnation::new(gate, resident), n);
        self.granted.entry(id.key).or_default().extend(leases);
    }
}

/// Looks at the cells for plans.
pub(super) struct Peek<'a>(pub &'a [Arc<Slot>]);

impl PeekCells for Peek<'_> {
    fn leases(&self, key: ComponentKey) -> u32 {
        self.0.get(key.index()).and_then(|s| s.current()).map_or(0, |i| i.gate().leases())
    }
}
