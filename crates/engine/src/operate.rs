//! Operators' wishes: load, unload, pin, trim.

use majordomo_core::{
    Cause, ComponentKey, ComponentState, EventKind, Moment, Priority, Refusal, WaiterId,
};
use majordomo_lifecycle::{Cells, CloseAnswer, DropReason, Effect, Origin, Out, Then};

use crate::engine::UnloadWaiter;
use crate::{Engine, OperatorAction};

impl Engine {
    pub(crate) fn operate(
        &mut self,
        waiter: WaiterId,
        key: ComponentKey,
        action: OperatorAction,
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) {
        if self.catalog().spec(key).is_none() {
            let refusal = match (key.index() < self.catalog().len())
                .then(|| self.catalog().id(key).clone())
            {
                Some(component) => Refusal::Removed { component },
                None => Refusal::UnknownComponent { name: format!("#{key}"), did_you_mean: None },
            };
            out.push(Effect::Refuse { waiter, refusal });
            return;
        }
        match action {
            OperatorAction::Load => self.operator_load(waiter, key, out),
            OperatorAction::Unload { force } => {
                self.operator_unload(waiter, key, force, cells, out);
            }
            OperatorAction::Pin | OperatorAction::Unpin => {
                self.scheduler.entry_mut(key).operator_pin = Some(action == OperatorAction::Pin);
                self.scheduler.touch();
                out.push(Effect::Done { waiter });
            }
            OperatorAction::Trim if self.can_trim(key) => {
                self.trim(key, out);
                out.push(Effect::Done { waiter });
            }
            OperatorAction::Trim => {
                out.record(EventKind::CannotTrim { component: key });
                let component = self.catalog().id(key).clone();
                out.push(Effect::Refuse { waiter, refusal: Refusal::CannotTrim { component } });
            }
        }
    }

    fn operator_load(&mut self, waiter: WaiterId, key: ComponentKey, out: &mut Out<'_>) {
        if self.ending.is_some() {
            out.push(Effect::Refuse { waiter, refusal: Refusal::ShuttingDown });
            return;
        }
        let closure = self.catalog().closure(&[key]);
        for k in closure {
            self.scheduler.forgive(k, Cause::Operator, &self.budget, out);
        }
        let deadline = out.now + self.patience(key);
        let origin = Origin::Demand { waiter, lease: false };
        let id = self.scheduler.submit(origin, vec![key], Priority::High, out.now, deadline);
        self.waiters.insert(waiter, id);
    }

    fn operator_unload(
        &mut self,
        waiter: WaiterId,
        key: ComponentKey,
        force: bool,
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) {
        self.foresight.preloader.retain(|k| k != key);
        let group = self.scheduler.live_group(key);
        if !force && let Some(refusal) = self.in_the_way(key, &group, cells, out.now) {
            out.push(Effect::Refuse { waiter, refusal });
            return;
        }
        // Whoever waits for it, or for something that depends on it, waits in vain.
        let ids: Vec<_> = self
            .scheduler
            .transactions()
            .filter(|t| t.is_active() && t.closure.iter().any(|k| group.contains(k)))
            .map(|t| t.id)
            .collect();
        for id in ids {
            let refusal = self.load_failure(key, "an operator unloaded it".to_owned());
            let part_stays =
                group.iter().any(|failed| self.leave_out_failed(id, *failed, &refusal, out));
            if !part_stays {
                self.end(id, &DropReason::Refused(refusal), out);
            }
        }
        for member in &group {
            self.scheduler.entry_mut(*member).restart_at = None;
            if self.state(*member) == ComponentState::Loading {
                self.scheduler.cancel_load(*member, Cause::Operator, &self.budget, out);
            }
        }
        let force_at = force.then_some(out.now);
        self.send_group_away(key, &Cause::Operator, &Then::Unloaded, force_at, cells, out);
        let deadline = out.now + self.config().deadlines.demand;
        self.unload_waiters.push(UnloadWaiter { waiter, key, deadline, since: out.now });
    }

    /// Why a component cannot go without force.
    fn in_the_way(
        &self,
        key: ComponentKey,
        group: &[ComponentKey],
        cells: &mut dyn Cells,
        _now: Moment,
    ) -> Option<Refusal> {
        use majordomo_core::HolderKind as H;
        let mut holders = Vec::new();
        let mut closed = Vec::new();
        for &member in group {
            let e = self.scheduler.entry(member);
            let pinned = e.is_pinned(e.spec.as_ref());
            let kind = match e.state {
                _ if pinned => Some(H::Pinned),
                _ if e.is_fixed() => Some(H::Core),
                _ if e.pins > 0 => Some(H::InTransaction),
                ComponentState::Stuck => Some(H::Stuck),
                ComponentState::Ready => match cells.try_close(member) {
                    CloseAnswer::Closed => {
                        closed.push(member);
                        None
                    }
                    CloseAnswer::Leased(leases) => Some(H::Leased { leases }),
                },
                _ => None,
            };
            holders.extend(kind.map(|kind| self.holder(member, kind)));
        }
        if holders.is_empty() {
            return None;
        }
        for member in closed {
            cells.reopen(member);
        }
        Some(Refusal::InUse { component: self.catalog().id(key).clone(), holders })
    }

    /// Answers operators whose component is down, or who waited long enough.
    pub(crate) fn finish_unload_waiters(&mut self, out: &mut Out<'_>) {
        let mut waiting = std::mem::take(&mut self.unload_waiters);
        waiting.retain(|w| {
            let state = self.state(w.key);
            if state == ComponentState::Stuck {
                let component = self.catalog().id(w.key).clone();
                out.push(Effect::Refuse {
                    waiter: w.waiter,
                    refusal: Refusal::Stuck { component },
                });
                return false;
            }
            if !state.is_alive() {
                out.push(Effect::Done { waiter: w.waiter });
                return false;
            }
            if w.deadline <= out.now {
                let refusal = Refusal::DeadlineExceeded {
                    waited: out.now.since(w.since),
                    missing: vec![self.catalog().id(w.key).clone()],
                    holders: vec![
                        self.holder(w.key, crate::admit::leaving_kind(self.scheduler.entry(w.key))),
                    ],
                    goes_on: None,
                };
                out.push(Effect::Refuse { waiter: w.waiter, refusal });
                return false;
            }
            true
        });
        self.unload_waiters = waiting;
    }
}
