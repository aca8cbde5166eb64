//! Exchanges: a lease keeps its id and gets other components.
//!
//! Invariant: the old leases are the holder's until the demand for the new ones is admitted, whatever ends the request.

use std::sync::Arc;
use std::time::Duration;

use majordomo::{AnyLease, Manager, Moment, OldLeases, Party, ServerConfig};

use super::LeaseTable;
use super::entry::Exchanging;
use super::index::too_many;
use crate::problem::Problem;
use crate::wire::{EndReason, Lease};

impl LeaseTable {
    /// Begins an exchange: shares the old leases with the demand for the new ones. Renews the lease by its time and by
    /// the longest wait of the demand.
    pub(crate) fn begin_exchange(
        &self,
        id: &str,
        n_new: usize,
        (wait, limits): (Duration, &ServerConfig),
        now: Moment,
    ) -> Result<(Arc<OldLeases>, Party), Problem> {
        let number = self.number(id)?;
        let mut index = self.index();
        let Some(mut entry) = self.entries.get_mut(&number) else {
            return Err(self.missing(&index, id, number));
        };
        if entry.exchanging.is_some() {
            return Err(Problem::new(
                "exchange_under_way",
                format!("lease {id} is being exchanged already; wait for that to end"),
            ));
        }
        let others = index.n_components - entry.n_components;
        if n_new > entry.n_components && others + n_new > limits.max_leases {
            return Err(too_many(others, n_new, limits.max_leases));
        }
        let old = Arc::new(OldLeases::new(entry.held.replace(Vec::new())));
        entry.exchanging = Some(Exchanging(Arc::clone(&old)));
        entry.expires = entry.terms.ttl.map(|ttl| now + wait + ttl);
        let party = entry.terms.party();
        index.arm(number, &mut entry);
        index.version += 1;
        drop(entry);
        drop(index);
        self.changed.notify_one();
        Ok((old, party))
    }

    /// Ends an exchange with the new leases.
    pub(crate) fn end_exchange(
        &self,
        manager: &Manager,
        id: &str,
        new: Vec<AnyLease>,
    ) -> Result<Lease, Problem> {
        let number = self.number(id)?;
        let now = manager.now();
        let mut index = self.index();
        let Some(mut entry) = self.entries.get_mut(&number) else {
            return Err(self.missing(&index, id, number));
        };
        entry.tagged = manager.tag_as(&new, &entry.terms.tag, entry.terms.party());
        let old = entry.exchanging.take();
        let before = std::mem::replace(&mut entry.n_components, new.len());
        entry.held.replace(new);
        entry.expires = entry.terms.ttl.map(|ttl| now + ttl);
        let lease = self.described(number, &entry, now);
        index.n_components = index.n_components - before + entry.n_components;
        index.arm(number, &mut entry);
        index.version += 1;
        drop(entry);
        drop(index);
        // Old leases that fitted beside the new ones are given back here.
        drop(old);
        self.changed.notify_one();
        Ok(lease)
    }

    /// Ends an exchange without new leases: the lease is as it was, or ends if its old leases were given up.
    pub(crate) fn undo_exchange(&self, id: &str) {
        let Ok(number) = self.number(id) else { return };
        let mut index = self.index();
        let Some(mut entry) = self.entries.get_mut(&number) else { return };
        let Some(old) = entry.exchanging.take() else { return };
        let is_given_up = old.0.are_gone();
        if !is_given_up {
            entry.held.replace(old.0.take_back());
        }
        drop(entry);
        let ended =
            if is_given_up { self.take(&mut index, number, EndReason::Exchanged) } else { None };
        index.version += 1;
        drop(index);
        drop((ended, old));
    }
}
