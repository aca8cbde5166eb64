//! Real lease cells, and clients that race with the engine's calls to them.
//!
//! Knows the holder of each lease. Invariant: a cell's lease count is the number of leases listed on it.

use std::collections::BTreeMap;

use majordomo_core::{Cause, ComponentKey, IncarnationId, Moment};
use majordomo_engine::{Cells, CloseAnswer};
use majordomo_lease::LeaseCell;

use crate::rng::Rng;

const MAX_RACES_A_SECOND: u32 = 20;

/// One load of one component.
#[derive(Debug)]
pub(crate) struct Incarnation {
    pub(crate) id: IncarnationId,
    pub(crate) cell: LeaseCell,
    /// Leases are limited, so only the engine grants them.
    limited: bool,
    pub(crate) last_use: Option<Moment>,
    pub(crate) uses_swept: u64,
}

/// A lease that a client holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) incarnation: usize,
    /// Does not react to revocation, and does not race.
    pub(crate) stubborn: bool,
}

/// All cells of one process.
#[derive(Debug)]
pub(crate) struct SimCells {
    pub(crate) incarnations: Vec<Incarnation>,
    slots: Vec<Option<usize>>,
    limited: Vec<bool>,
    pub(crate) leases: BTreeMap<u64, Held>,
    next_lease: u64,
    pub(crate) now: Moment,
    /// Of a thousand calls of the engine, those that meet a racing client.
    pub(crate) races: u16,
    seed: u64,
    /// A second, and the races in it: bounded, so that more calls of the engine do not bring more clients.
    rate: (u64, u32),
    /// Leases that the engine gave during one input, by component.
    pub(crate) given: Vec<(ComponentKey, u32)>,
    /// Releases to be reported to the engine.
    pub(crate) notices: Vec<IncarnationId>,
    /// Incarnations whose leases were revoked during one input.
    pub(crate) revoked: Vec<usize>,
    /// Leases that racing clients took during one input.
    pub(crate) raced: Vec<u64>,
    /// The first wrong use of a cell by the engine.
    pub(crate) misuse: Option<String>,
}

impl SimCells {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            incarnations: Vec::new(),
            slots: Vec::new(),
            limited: Vec::new(),
            leases: BTreeMap::new(),
            next_lease: 0,
            now: Moment::ZERO,
            races: 0,
            seed,
            rate: (0, 0),
            given: Vec::new(),
            notices: Vec::new(),
            revoked: Vec::new(),
            raced: Vec::new(),
            misuse: None,
        }
    }

    /// Whether the next incarnation of a component has limited leases.
    pub(crate) fn set_limited(&mut self, key: ComponentKey, limited: bool) {
        if self.limited.len() <= key.index() {
            self.limited.resize(key.index() + 1, false);
        }
        self.limited[key.index()] = limited;
    }

    pub(crate) fn slot(&self, key: ComponentKey) -> Option<usize> {
        self.slots.get(key.index()).copied().flatten()
    }

    pub(crate) fn current(&self, key: ComponentKey) -> Option<&Incarnation> {
        self.slot(key).map(|i| &self.incarnations[i])
    }

    /// Hides the incarnation from new leases.
    pub(crate) fn clear(&mut self, key: ComponentKey) {
        if let Some(slot) = self.slots.get_mut(key.index()) {
            *slot = None;
        }
    }

    /// A lease by the fast path.
    pub(crate) fn acquire(&mut self, key: ComponentKey, stubborn: bool) -> Option<u64> {
        let at = self.slot(key)?;
        let i = &mut self.incarnations[at];
        if i.limited || !i.cell.try_acquire() {
            return None;
        }
        i.last_use = Some(self.now);
        Some(self.hold(at, stubborn))
    }

    /// Records the holder of a lease that the cell counts already.
    pub(crate) fn granted(&mut self, key: ComponentKey, stubborn: bool) -> Option<u64> {
        let at = self.slot(key)?;
        self.incarnations[at].last_use = Some(self.now);
        Some(self.hold(at, stubborn))
    }

    fn hold(&mut self, incarnation: usize, stubborn: bool) -> u64 {
        let id = self.next_lease;
        self.next_lease += 1;
        self.leases.insert(id, Held { incarnation, stubborn });
        id
    }

    /// Releases a lease, unless it was released before.
    pub(crate) fn release(&mut self, lease: u64) {
        let Some(held) = self.leases.remove(&lease) else { return };
        let i = &mut self.incarnations[held.incarnation];
        i.last_use = Some(self.now);
        if i.cell.release() {
            self.notices.push(i.id);
        }
    }

    /// A client acquires or releases a lease just before the engine's call.
    fn race(&mut self, key: ComponentKey) {
        if self.races == 0 {
            return;
        }
        let mut rng = Rng::new(&[self.seed, 3, key.index() as u64, self.now.0]);
        if rng.below(1000) >= usize::from(self.races) {
            return;
        }
        let second = self.now.0 / 1_000_000;
        self.rate = (second, if self.rate.0 == second { self.rate.1 + 1 } else { 1 });
        if self.rate.1 > MAX_RACES_A_SECOND {
            return;
        }
        if rng.chance(0.5) {
            if let Some(lease) = self.acquire(key, false) {
                self.raced.push(lease);
            }
            return;
        }
        let Some(at) = self.slot(key) else { return };
        let last = self.leases.iter().find(|(_, h)| h.incarnation == at && !h.stubborn);
        if let Some(lease) = last.map(|(id, _)| *id) {
            self.release(lease);
        }
    }

    fn cell(&mut self, key: ComponentKey, what: &str) -> Option<&LeaseCell> {
        match self.slot(key) {
            Some(at) => Some(&self.incarnations[at].cell),
            None => {
                self.misuse
                    .get_or_insert_with(|| format!("{what} of {key}, which is not published"));
                None
            }
        }
    }
}

impl Cells for SimCells {
    fn try_close(&mut self, key: ComponentKey) -> CloseAnswer {
        self.race(key);
        self.cell(key, "try_close").map_or(CloseAnswer::Closed, LeaseCell::try_close)
    }

    fn close(&mut self, key: ComponentKey) {
        if let Some(cell) = self.cell(key, "close") {
            cell.close();
        }
    }

    fn reopen(&mut self, key: ComponentKey) {
        if let Some(cell) = self.cell(key, "reopen") {
            cell.reopen();
        }
    }

    fn want(&mut self, key: ComponentKey) {
        if let Some(cell) = self.cell(key, "want") {
            cell.request_notice();
        }
    }

    fn revoke(&mut self, key: ComponentKey, _why: &Cause) {
        if let Some(cell) = self.cell(key, "revoke") {
            cell.revoke();
        }
        self.revoked.extend(self.slot(key));
    }

    fn lease_n(&mut self, key: ComponentKey, n: u32) {
        if let Some(cell) = self.cell(key, "lease_n") {
            cell.lease_n(n);
        }
        self.given.push((key, n));
    }

    fn install(&mut self, id: IncarnationId, n: u32) {
        if self.slot(id.key).is_some() {
            self.misuse = Some(format!("install of {}, which is published already", id.key));
        }
        if self.slots.len() <= id.key.index() {
            self.slots.resize(id.key.index() + 1, None);
        }
        self.slots[id.key.index()] = Some(self.incarnations.len());
        let limited = self.limited.get(id.key.index()).copied().unwrap_or(false);
        let cell = LeaseCell::new(n);
        let i = Incarnation { id, cell, limited, last_use: None, uses_swept: 0 };
        self.incarnations.push(i);
        self.given.push((id.key, n));
    }
}
