//! The queue of transactions: their order, and why they wait.

use majordomo_core::{ComponentKey, Holder, LeftOut, Moment};

use super::Scheduler;
use crate::{Request, Transaction, TxnId};

impl Scheduler {
    /// Waiting transactions in the order in which they are looked at: by tier, then arrival.
    #[must_use]
    pub fn queue(&self, now: Moment) -> Vec<TxnId> {
        let queue = &self.config.queue;
        let mut order: Vec<_> = self
            .txns
            .values()
            .filter(|t| !t.is_active() && !t.origin.is_speculative())
            .map(|t| (t.tier(now, queue), t.id))
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, id)| id).collect()
    }

    /// Waiting transactions that have a waiter.
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        self.txns.values().filter(|t| !t.is_active() && t.origin.waiter().is_some()).count()
    }

    /// Enters a transaction into the queue.
    pub fn submit(&mut self, request: Request, now: Moment) -> TxnId {
        let id = TxnId(self.next_txn);
        self.next_txn += 1;
        let mut txn = Transaction::new(id, request, now);
        txn.closure = self.catalog.closure(&txn.requested);
        self.txns.push(txn);
        self.touch();
        id
    }

    /// A waiting transaction is blocked by these holders; at `until` something that blocks it ends by itself.
    pub fn block(&mut self, id: TxnId, holders: Vec<Holder>, until: Option<Moment>, now: Moment) {
        if let Some(t) = self.txns.get_mut(id) {
            t.holders = holders;
            t.retry_at = until;
            t.blocked_since.get_or_insert(now);
        }
    }

    /// A transaction waits until failed members may be tried again, in no other transaction's way.
    pub fn await_retry(&mut self, id: TxnId, holders: Vec<Holder>, until: Moment) {
        if let Some(t) = self.txns.get_mut(id) {
            t.holders = holders;
            (t.retry_at, t.waits_for_retry) = (Some(until), Some(until));
            t.blocked_since = None;
        }
    }

    /// A transaction waits for leases of these holders alone.
    pub fn await_leases(&mut self, id: TxnId, holders: Vec<Holder>) {
        if let Some(t) = self.txns.get_mut(id) {
            t.holders = holders;
        }
    }

    /// A later transaction was admitted before these.
    pub fn overtake(&mut self, ids: &[TxnId]) {
        for id in ids {
            if let Some(t) = self.txns.get_mut(*id) {
                t.overtaken += 1;
            }
        }
    }

    /// Takes components out of a waiting transaction that may be granted in part.
    pub fn leave_out(&mut self, id: TxnId, left_out: Vec<LeftOut>) {
        let Some(t) = self.txns.get_mut(id) else { return };
        let stays = |k: &ComponentKey| left_out.iter().all(|l| l.component != *k);
        t.requested.retain(stays);
        t.order.retain(stays);
        t.closure = self.catalog.closure(&t.requested);
        t.left_out.extend(left_out);
        t.holders.clear();
        t.retry_at = None;
        self.touch();
    }

    /// After a suspend: the deadlines of every transaction and operation begin again.
    pub fn restart_deadlines(&mut self, now: Moment) {
        for t in self.txns.values_mut() {
            t.deadline = now + t.deadline.since(t.since);
            t.since = now;
            t.blocked_since = t.blocked_since.map(|_| now);
        }
        for e in &mut self.entries {
            e.restart_clocks(now);
        }
    }
}
