//! Exchanges: demands that give up leases of their own when they are admitted.
//!
//! Invariant: the leases are given up in the step that admits the demand, or not at all; a demand that can be admitted
//! beside them leaves them alone until it is granted.

use std::collections::BTreeMap;

use majordomo_core::{ComponentKey, ComponentState, Holder, HolderKind, WaiterId};
use majordomo_lifecycle::{Cells, CloseAnswer, Step, TxnId, Verdict};

use crate::Engine;
use crate::admit::Ask;
use crate::evict::keys_of_victims;

impl Engine {
    /// Admits a demand that is blocked but for the leases that it gives up. True when it was.
    pub(crate) fn admit_by_exchange(
        &mut self,
        id: TxnId,
        ask: Ask<'_>,
        leased: &BTreeMap<ComponentKey, u32>,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(waiter) = ask.origin.waiter() else { return false };
        let mut leased = leased.clone();
        let gives_up: Vec<_> = self
            .scheduler
            .keys_where(|e| e.state() == ComponentState::Ready)
            .into_iter()
            .filter(|key| step.cells.leases_to_give_up(waiter, *key) > 0)
            .collect();
        if gives_up.is_empty() {
            return false;
        }
        leased.retain(|key, leases| *leases > step.cells.leases_to_give_up(waiter, *key));
        let ask = Ask { gives_up: &gives_up, ..ask };
        loop {
            let Verdict::Start(admitted) = self.admission().admit(ask, &leased, step.now) else {
                return false;
            };
            let victims = &keys_of_victims(&admitted.victims);
            let others = self.close_but_for(waiter, victims, step.cells);
            if !others.is_empty() {
                leased.extend(others);
                continue;
            }
            step.cells.give_up(waiter);
            // Closed before: no newcomer came meanwhile. The holder may have taken its leases back.
            if !self.close_all(victims.iter().copied(), step.cells).is_empty() {
                self.reopen_ready(victims, step.cells);
                return false;
            }
            self.evict(id, ask.origin, &admitted, step);
            self.scheduler.activate(id, admitted, step);
            return true;
        }
    }

    /// Closes victims of which only the waiter holds leases; if others do, all are opened again and those returned.
    fn close_but_for(
        &self,
        waiter: WaiterId,
        victims: &[ComponentKey],
        cells: &mut dyn Cells,
    ) -> Vec<(ComponentKey, u32)> {
        let mut others = Vec::new();
        for &key in victims.iter().filter(|k| self.state(**k) == ComponentState::Ready) {
            cells.close(key);
            if let CloseAnswer::Leased(leases) = cells.try_close(key)
                && leases > cells.leases_to_give_up(waiter, key)
            {
                others.push((key, leases));
            }
        }
        if !others.is_empty() {
            self.reopen_ready(victims, cells);
        }
        others
    }

    fn reopen_ready(&self, victims: &[ComponentKey], cells: &mut dyn Cells) {
        for &key in victims.iter().filter(|k| self.state(**k) == ComponentState::Ready) {
            cells.reopen(key);
        }
    }

    /// Gives up the leases that a waiter exchanges when only they keep the components that its demand drains: their end
    /// is noticed as any other's.
    pub(crate) fn give_up_for_drained(
        &mut self,
        id: TxnId,
        waiter: Option<WaiterId>,
        holders: &[Holder],
        cells: &mut dyn Cells,
    ) {
        let Some(waiter) = waiter else { return };
        let is_drained_for_demand = |h: &Holder| {
            let Some(key) = self.catalog().key(h.component.as_str()) else { return false };
            let removal = self.scheduler.entry(key).removal();
            h.kind == HolderKind::Draining
                && removal.is_some_and(|r| r.freed_for() == Some(id))
                && matches!(cells.try_close(key), CloseAnswer::Leased(n)
                    if n <= cells.leases_to_give_up(waiter, key))
        };
        let mut waited_for = holders.iter().filter(|h| !h.kind.never_ends()).peekable();
        if waited_for.peek().is_some() && waited_for.all(is_drained_for_demand) {
            cells.give_up(waiter);
        }
    }
}
