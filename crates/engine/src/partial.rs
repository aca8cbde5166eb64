//! Commands whose components do not all fit: which are left out, so that the others are granted.
//!
//! A partial demand names its components in the order of confidence. Pure, as all of admission: which subset is
//! feasible is found by trial plans, and nothing is held before the subset is settled. Invariants: the most confident
//! component that can be granted is in the subset; every component left out carries the reason; a subset is never empty.

use std::collections::BTreeMap;

use majordomo_core::{ComponentKey, Holder, HolderKind, LeftOut, Moment, Refusal};
use majordomo_lifecycle::{Admitted, Cells, DropReason, Origin, Step, TxnId, Verdict};

use crate::Engine;
use crate::admit::Ask;

/// The treatment of a demand that cannot be met as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    /// It is not partial, or no part of it can be granted: it waits or is refused as a whole.
    Whole,
    /// The obstacle to the rest ends by itself: the demand waits until then at the latest.
    Wait(Moment),
    /// It was cut down to the components that can be granted.
    Cut,
}

impl Engine {
    /// Cuts a partial demand down to the components that can be granted now, or at least to those that are not refused.
    pub(crate) fn reduce(&mut self, id: TxnId, step: &mut Step<'_>) -> Reduction {
        let Some(txn) = self.scheduler.transaction(id).filter(|t| t.order.len() > 1) else {
            return Reduction::Whole;
        };
        let (order, origin, deadline) = (txn.order.clone(), txn.origin, txn.deadline);
        // A short-lived obstacle is waited for, but no longer than an overtaken demand waits, and never so long that
        // no time to load is left.
        let patience = self.config().queue.overtake_for.min(txn.deadline.since(txn.since) / 2);
        let patient_until = txn.since + patience;
        let trial = (id, origin, deadline, patient_until);
        let (mut kept, mut possible) = (Vec::new(), Vec::new());
        let (mut left, mut impossible) = (Vec::new(), Vec::new());
        let mut ends_soon = false;
        for component in order {
            match self.try_set(trial, &kept, component, step) {
                Verdict::Ready | Verdict::Start(_) => kept.push(component),
                Verdict::Refuse(refusal) => left.push(LeftOut { component, refusal }),
                // A back-off that ends within its patience counts as passing, too.
                Verdict::Later { mut holders, .. } | Verdict::Blocked { mut holders, .. } => {
                    self.name_leased(&mut holders, step.cells);
                    ends_soon |= holders.iter().any(|h| is_passing(h.kind));
                    let refusal = Refusal::Blocked {
                        component: self.catalog().id(component).clone(),
                        holders,
                    };
                    left.push(LeftOut { component, refusal });
                }
            }
            match self.try_set(trial, &possible, component, step) {
                Verdict::Refuse(refusal) => impossible.push(LeftOut { component, refusal }),
                _ => possible.push(component),
            }
        }
        let cut = match (kept.is_empty(), possible.is_empty()) {
            (false, _) if left.is_empty() => return Reduction::Whole,
            (false, _) if ends_soon && step.now < patient_until => {
                return Reduction::Wait(patient_until);
            }
            (false, _) => left,
            // Nothing can be granted now: components that never fit beside a more confident one are left out, the rest
            // waits together.
            (true, false) if !impossible.is_empty() => impossible,
            (true, _) => return Reduction::Whole,
        };
        self.leave_out(id, cut, step);
        Reduction::Cut
    }

    /// The verdict on a demand for `kept` and one more component, leases as they are.
    fn try_set(
        &self,
        (id, origin, deadline, patient_until): (TxnId, Origin, Moment, Moment),
        kept: &[ComponentKey],
        more: ComponentKey,
        step: &mut Step<'_>,
    ) -> Verdict {
        let requested: Vec<_> = kept.iter().copied().chain([more]).collect();
        let closure = self.catalog().closure(&requested);
        let ask = Ask {
            patience: Some(patient_until),
            ..Ask::new(Some(id), origin, &closure, Some(deadline))
        };
        let mut leased = BTreeMap::new();
        loop {
            let verdict = self.admission().admit(ask, &leased, step.now);
            let Verdict::Start(Admitted { victims, .. }) = &verdict else { return verdict };
            let before = leased.len();
            for key in victims.iter().map(|v| v.key) {
                if self.state(key) == majordomo_core::ComponentState::Ready {
                    let leases = self.leases_out(key, step.cells);
                    leased.extend((leases > 0).then_some((key, leases)));
                }
            }
            if leased.len() == before {
                return verdict;
            }
        }
    }

    /// Takes components out of a partial demand, which returns to the queue with the rest.
    fn leave_out(&mut self, id: TxnId, left: Vec<LeftOut>, step: &mut Step<'_>) {
        if let Some(first) = left.first() {
            // A load that outlives the deadline of its demands continues.
            self.scheduler.requeue_after(id, &first.refusal, step);
        }
        self.scheduler.leave_out(id, left);
    }

    /// Leaves out of a partial demand what needs a component that failed. False when nothing would be left, or it is
    /// not partial.
    pub(crate) fn leave_out_failed(
        &mut self,
        id: TxnId,
        failed: ComponentKey,
        refusal: &Refusal,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(txn) = self.scheduler.transaction(id) else { return false };
        let needs_it = |k: &ComponentKey| self.catalog().closure(&[*k]).contains(&failed);
        let (gone, rest): (Vec<_>, Vec<_>) = txn.order.iter().copied().partition(needs_it);
        if gone.is_empty() || rest.is_empty() {
            return false;
        }
        let left = |component| LeftOut { component, refusal: refusal.clone() };
        self.leave_out(id, gone.into_iter().map(left).collect(), step);
        true
    }

    /// At the deadline of a partial demand: grants what is ready of it. False when nothing is.
    pub(crate) fn grant_ready_part(&mut self, id: TxnId, step: &mut Step<'_>) -> bool {
        let Some(txn) = self.scheduler.transaction(id) else { return false };
        let (waited, holders) = (step.now.since(txn.since), txn.holders.clone());
        let (ready, late): (Vec<_>, Vec<_>) =
            txn.order.iter().copied().partition(|k| self.is_set_ready(*k));
        if ready.is_empty() || late.is_empty() {
            return false;
        }
        let left = late.into_iter().map(|component| {
            let missing = vec![self.catalog().id(component).clone()];
            let still_loading = self.still_loading(&self.catalog().closure(&[component]), step.now);
            let holders = holders.clone();
            let refusal = Refusal::DeadlineExceeded { waited, missing, holders, still_loading };
            LeftOut { component, refusal }
        });
        let left = left.collect();
        self.leave_out(id, left, step);
        let is_leased = self.lease_or_await(id, step.cells);
        if is_leased {
            self.granted(id, step);
        }
        is_leased
    }

    fn is_set_ready(&self, key: ComponentKey) -> bool {
        self.catalog().closure(&[key]).iter().all(|k| self.scheduler.entry(*k).is_open())
    }

    /// Refuses a demand as a whole: for a partial demand with the reason of its most confident component, since the reasons
    /// of the set were no reason to refuse all.
    pub(crate) fn refuse_whole(&mut self, id: TxnId, refusal: Refusal, step: &mut Step<'_>) {
        let first = self.scheduler.transaction(id).and_then(|t| {
            let first = *t.order.first().filter(|_| t.order.len() > 1)?;
            Some((first, t.origin))
        });
        let own = first.and_then(|(first, origin)| {
            let closure = self.catalog().closure(&[first]);
            let ask = Ask::new(Some(id), origin, &closure, None);
            match self.admission().admit(ask, &BTreeMap::new(), step.now) {
                Verdict::Refuse(own) => Some(own),
                _ => None,
            }
        });
        self.end(id, &DropReason::Refused(own.unwrap_or(refusal)), step);
    }

    /// Names the leases of holders that were loaded just now, or are held, and are leased already.
    pub(crate) fn name_leased(&self, holders: &mut [Holder], cells: &mut dyn Cells) {
        for holder in holders.iter_mut().filter(|h| h.kind == HolderKind::JustLoaded) {
            let Some(key) = self.catalog().key(holder.component.as_str()) else { continue };
            let leases = self.leases_out(key, cells);
            if leases > 0 {
                holder.kind = HolderKind::Leased { leases };
            }
        }
    }

    /// The leases of a demand's own party among what is in its way, if nothing else there ever ends: it would wait
    /// for itself.
    pub(crate) fn waits_for_itself(
        &self,
        origin: Origin,
        holders: &[Holder],
        cells: &mut dyn Cells,
    ) -> Option<Vec<Holder>> {
        let waiter = origin.waiter()?;
        let mut own = Vec::new();
        for holder in holders {
            let key = self.catalog().key(holder.component.as_str())?;
            let leases = match holder.kind {
                // No demand waits for these.
                kind if kind.never_ends() => continue,
                HolderKind::Leased { leases } => leases,
                HolderKind::Draining => match cells.try_close(key) {
                    majordomo_lifecycle::CloseAnswer::Leased(leases) => leases,
                    majordomo_lifecycle::CloseAnswer::Closed => return None,
                },
                _ => return None,
            };
            if cells.own_leases(waiter, key) < leases {
                return None;
            }
            own.push(holder.clone());
        }
        (!own.is_empty()).then_some(own)
    }

    /// The refusal of a demand that would wait for its own party's leases.
    pub(crate) fn own_leases_refusal(&self, id: TxnId, own: Vec<Holder>) -> Refusal {
        let requested =
            self.scheduler.transaction(id).map(|t| t.requested.clone()).unwrap_or_default();
        let missing = requested.into_iter().map(|k| self.catalog().id(k).clone()).collect();
        Refusal::OwnLeases { missing, holders: own }
    }
}

/// Whether what keeps a component ends by itself before long.
fn is_passing(kind: HolderKind) -> bool {
    matches!(
        kind,
        HolderKind::JustLoaded
            | HolderKind::InTransaction
            | HolderKind::Unloading
            | HolderKind::BackingOff
    )
}
