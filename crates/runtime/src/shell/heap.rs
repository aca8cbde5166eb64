//! Memory that this process holds for no component: freed heap memory, shared buffers of unloaded components, and
//! snapshots. Counts all three, and bounds the last.
//!
//! Nothing here runs on the shell's task but bookkeeping. Invariant: at most one trim of the allocator runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use majordomo_core::{ByteSize, ColdStatus, ComponentKey, Moment, OpId, TrimStatus};
use majordomo_memory::{ColdStore, PoolGrant, Snapshot, TrimConfig, TrimDebounce, UnreturnedMeter};

use crate::snapshot::Thawed;

/// The books of the in-process memory.
pub(crate) struct Heap {
    pub(super) debounce: TrimDebounce,
    pub(super) meter: Option<UnreturnedMeter>,
    pub(super) trimming: bool,
    pub(super) status: TrimStatus,
    /// Freed and not given back, as of the last measurement.
    pub(super) unreturned: ByteSize,
    /// Grants of builtins that are loading or up, by incarnation.
    grants: BTreeMap<OpId, PoolGrant>,
    /// Grants of unloaded builtins, as long as their shared buffers have readers.
    leftovers: Vec<PoolGrant>,
    cold: ColdStore,
    cold_status: ColdStatus,
    /// Snapshots handed back, and those that were corrupt: counted where they are unpacked.
    thawed: Arc<Thawed>,
}

impl Heap {
    pub(super) fn new(cold_budget: ByteSize) -> Self {
        Self {
            debounce: TrimDebounce::new(TrimConfig::default()),
            meter: UnreturnedMeter::start(),
            trimming: false,
            status: TrimStatus::default(),
            unreturned: ByteSize::ZERO,
            grants: BTreeMap::new(),
            leftovers: Vec::new(),
            cold: ColdStore::new(cold_budget),
            cold_status: ColdStatus { budget: cold_budget, ..ColdStatus::default() },
            thawed: Arc::default(),
        }
    }

    /// When the shell has to come back for a trim.
    pub(super) fn due(&self) -> Moment {
        let due = self.debounce.due().filter(|_| !self.trimming);
        due.unwrap_or(Moment::NEVER)
    }

    pub(super) fn grant(&mut self, op: OpId, reserved: ByteSize) -> PoolGrant {
        self.grants.entry(op).or_insert_with(|| PoolGrant::new(reserved)).clone()
    }

    pub(super) fn set_grant(&self, op: OpId, bytes: ByteSize) {
        if let Some(grant) = self.grants.get(&op) {
            grant.set_limit(bytes);
        }
    }

    pub(super) fn limit(&self, op: OpId) -> ByteSize {
        self.grants.get(&op).map_or(ByteSize::ZERO, PoolGrant::limit)
    }

    /// Removes an incarnation. Its shared buffers stay counted.
    pub(super) fn gone(&mut self, op: OpId) {
        let shares = |g: &PoolGrant| g.used() > ByteSize::ZERO;
        self.leftovers.extend(self.grants.remove(&op).filter(shares));
    }

    /// Bytes that components map now, and those of unloaded ones among them.
    pub(super) fn mapped(&mut self) -> (ByteSize, ByteSize) {
        self.leftovers.retain(|g| g.used() > ByteSize::ZERO);
        let used = |g: &PoolGrant| g.used();
        let left: ByteSize = self.leftovers.iter().map(used).sum();
        (self.grants.values().map(used).sum::<ByteSize>() + left, left)
    }

    /// Bytes that this process holds for no component.
    pub(super) fn held_for_no_component(&mut self) -> ByteSize {
        let (_, left) = self.mapped();
        self.unreturned + left + self.cold.used()
    }

    pub(super) fn cold_status(&self) -> ColdStatus {
        ColdStatus {
            used: self.cold.used(),
            snapshots: self.cold.len() as u64,
            handed_back: self.thawed.good.load(Ordering::Relaxed),
            corrupt: self.thawed.corrupt.load(Ordering::Relaxed),
            ..self.cold_status
        }
    }

    pub(super) fn trim_status(&self) -> TrimStatus {
        self.status
    }

    pub(super) fn configure(&mut self, cold_budget: ByteSize) {
        self.cold_status.budget = cold_budget;
        self.cold_status.dropped += self.cold.set_budget(cold_budget).len() as u64;
    }

    /// The snapshot for a load, with where to count what came of it.
    pub(super) fn thaw(&mut self, key: ComponentKey, tag: u64) -> Option<(Snapshot, Arc<Thawed>)> {
        Some((self.cold.get(key, tag)?, Arc::clone(&self.thawed)))
    }

    /// A component is up: its snapshot is out of date.
    pub(super) fn forget(&mut self, key: ComponentKey) {
        self.cold.forget(key);
    }

    pub(super) fn keep(&mut self, key: ComponentKey, snapshot: Snapshot) {
        match self.cold.put(key, snapshot) {
            Ok(evicted) => self.cold_status.dropped += evicted.len() as u64,
            Err(error) => {
                tracing::debug!(%error, "a snapshot is not kept");
                self.cold_status.dropped += 1;
            }
        }
    }

    /// Nothing is kept for later when there is not enough for now.
    pub(super) fn empty_cold_store(&mut self) {
        self.cold_status.dropped += self.cold.shrink_to(ByteSize::ZERO).len() as u64;
    }
}
