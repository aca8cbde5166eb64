//! Operators' wishes: load, unload, pin, trim.

use majordomo_core::{
    Cause, ComponentKey, ComponentState, EventKind, IncarnationId, Moment, NoPark, Priority,
    Refusal, WaiterId,
};
use majordomo_lifecycle::{
    Cells, CloseAnswer, DropReason, Effect, Origin, Request, Step, Then, Victim,
};
use majordomo_registry::LoaderSpec;

use crate::admit::leaving_kind;
use crate::{Engine, OperatorAction};

/// An operator whose request is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OperatorWaiter {
    pub waiter: WaiterId,
    pub key: ComponentKey,
    pub awaits: Awaited,
    pub deadline: Moment,
    pub since: Moment,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The component is down.
    Unload,
    /// The component is parked.
    Park,
    /// This incarnation was asked to trim, or could not be.
    Trim(IncarnationId),
}

impl Engine {
    pub(crate) fn operate(
        &mut self,
        waiter: WaiterId,
        key: ComponentKey,
        action: OperatorAction,
        step: &mut Step<'_>,
    ) {
        if let Some(refusal) = self.admission().no_component(key) {
            step.push(Effect::Refuse { waiter, refusal });
            return;
        }
        match action {
            OperatorAction::Load => self.operator_load(waiter, key, step),
            OperatorAction::Unload { force } => {
                self.operator_unload(waiter, key, force, step);
            }
            OperatorAction::Pin | OperatorAction::Unpin => {
                let pinned = action == OperatorAction::Pin;
                self.scheduler.pin(key, pinned);
                self.wake_if_fixed(key, step.now);
                step.push(Effect::Done { waiter });
            }
            OperatorAction::Park => self.operator_park(waiter, key, step),
            OperatorAction::Trim if self.can_trim(key) => self.operator_trim(waiter, key, step),
            OperatorAction::Trim => {
                step.record(EventKind::CannotTrim { component: key });
                let component = self.catalog().id(key).clone();
                step.push(Effect::Refuse { waiter, refusal: Refusal::CannotTrim { component } });
            }
        }
    }

    fn operator_load(&mut self, waiter: WaiterId, key: ComponentKey, step: &mut Step<'_>) {
        if self.ending.is_some() {
            step.push(Effect::Refuse { waiter, refusal: Refusal::ShuttingDown });
            return;
        }
        let closure = self.catalog().closure(&[key]);
        for k in closure {
            self.scheduler.forgive(k, Cause::Operator, step);
        }
        let deadline = step.now + self.patience(key);
        let origin = Origin::Demand { waiter, lease: false };
        let request = Request::whole(origin, vec![key], Priority::High, deadline);
        let id = self.scheduler.submit(request, step.now);
        self.waiters.insert(waiter, id);
    }

    fn operator_unload(
        &mut self,
        waiter: WaiterId,
        key: ComponentKey,
        force: bool,
        step: &mut Step<'_>,
    ) {
        self.hints.preloader_mut().retain(|k| k != key);
        let group = self.scheduler.live_closure(key);
        if !force && let Some(refusal) = self.in_the_way(key, &group, step.cells) {
            step.push(Effect::Refuse { waiter, refusal });
            return;
        }
        // Waiters for it, or for a component that depends on it, would never be granted.
        let ids: Vec<_> = self
            .scheduler
            .transactions()
            .filter(|t| t.is_active() && t.closure.iter().any(|k| group.contains(k)))
            .map(|t| t.id)
            .collect();
        for id in ids {
            let refusal = Refusal::Unloaded { component: self.catalog().id(key).clone() };
            let part_stays =
                group.iter().any(|failed| self.leave_out_failed(id, *failed, &refusal, step));
            if !part_stays {
                self.end(id, &DropReason::Refused(refusal), step);
            }
        }
        for member in &group {
            self.scheduler.cancel_restart(*member);
            if self.state(*member).is_loading() {
                self.scheduler.cancel_load(*member, Cause::Operator, step);
            }
        }
        let force_at = force.then_some(step.now);
        self.remove_with_dependents(key, &Cause::Operator, &Then::Unloaded, force_at, step);
        self.await_operation(waiter, key, Awaited::Unload, step.now);
    }

    /// Parks a component with its dependents, unless something keeps one of them.
    fn operator_park(&mut self, waiter: WaiterId, key: ComponentKey, step: &mut Step<'_>) {
        let state = self.state(key);
        if state.is_parked() {
            step.push(Effect::Done { waiter });
            return;
        }
        let group = self.scheduler.live_closure(key);
        let victims =
            if state.is_parking() { Ok(Vec::new()) } else { self.park_of(key, &group, step) };
        match victims {
            Ok(victims) => {
                // It would be woken for one of its hints in the same moment.
                self.hints.preloader_mut().retain(|k| k != key);
                if !victims.is_empty() {
                    self.evict_all_if_idle(key, victims, &Cause::Operator, step);
                }
                self.await_operation(waiter, key, Awaited::Park, step.now);
            }
            Err(refusal) => step.push(Effect::Refuse { waiter, refusal }),
        }
    }

    /// The park of a component with its dependents at the rung that frees most, or why there is none.
    fn park_of(
        &self,
        key: ComponentKey,
        group: &[ComponentKey],
        step: &mut Step<'_>,
    ) -> Result<Vec<Victim>, Refusal> {
        let component = self.catalog().id(key).clone();
        match self.admission().deepest_park(key, group, step.now) {
            Ok(victims) => match self.in_the_way(key, group, step.cells) {
                None => Ok(victims),
                Some(refusal) => Err(refusal),
            },
            // A holder explains more than the rungs.
            Err(why) => match self.in_the_way(key, group, step.cells) {
                Some(refusal) if why != NoPark::NotOffered => Err(refusal),
                found => {
                    if found.is_none() {
                        self.reopen_looked_at(group, step.cells);
                    }
                    Err(Refusal::CannotPark { component, why })
                }
            },
        }
    }

    /// Opens the cells again that were closed to be looked at.
    fn reopen_looked_at(&self, group: &[ComponentKey], cells: &mut dyn Cells) {
        for &key in group.iter().filter(|k| self.scheduler.entry(**k).is_open()) {
            cells.reopen(key);
        }
    }

    /// Trims a ready component; of a program the answer says whether the request reached it.
    fn operator_trim(&mut self, waiter: WaiterId, key: ComponentKey, step: &mut Step<'_>) {
        self.trim(key, step);
        let e = self.scheduler.entry(key);
        let is_program = e.spec().is_some_and(|s| matches!(s.loader, LoaderSpec::Process(_)));
        let awaited = is_program && e.state() == ComponentState::Ready;
        match self.scheduler.incarnation(key).filter(|_| awaited) {
            Some(id) => self.await_operation(waiter, key, Awaited::Trim(id), step.now),
            None => step.push(Effect::Done { waiter }),
        }
    }

    fn await_operation(
        &mut self,
        waiter: WaiterId,
        key: ComponentKey,
        awaits: Awaited,
        since: Moment,
    ) {
        let deadline = since + self.config().deadlines.demand;
        self.operator_waiters.push(OperatorWaiter { waiter, key, awaits, deadline, since });
    }

    /// The result of a request to trim.
    pub(crate) fn trimmed(
        &mut self,
        id: IncarnationId,
        result: &Result<(), String>,
        step: &mut Step<'_>,
    ) {
        let key = id.key;
        if let (true, Err(error)) = (self.scheduler.is_current(id), result) {
            self.scheduler.entry_mut(key).figures_mut().trim_failed();
            step.record(EventKind::TrimFailed { component: key, error: error.clone() });
        }
        let component = self.catalog().id(key);
        let answer = |waiter| match result {
            Ok(()) => Effect::Done { waiter },
            Err(error) => {
                let (component, error) = (component.clone(), error.clone());
                Effect::Refuse { waiter, refusal: Refusal::TrimFailed { component, error } }
            }
        };
        let is_answered = |w: &OperatorWaiter| w.awaits == Awaited::Trim(id);
        for w in self.operator_waiters.iter().filter(|w| is_answered(w)) {
            step.push(answer(w.waiter));
        }
        self.operator_waiters.retain(|w| !is_answered(w));
    }

    /// Why a component cannot go without force.
    fn in_the_way(
        &self,
        key: ComponentKey,
        group: &[ComponentKey],
        cells: &mut dyn Cells,
    ) -> Option<Refusal> {
        use majordomo_core::HolderKind as H;
        let mut holders = Vec::new();
        let mut closed = Vec::new();
        for &member in group {
            let e = self.scheduler.entry(member);
            let pinned = e.is_pinned_now();
            let kind = match e.state() {
                _ if pinned => Some(H::Pinned),
                _ if e.is_fixed() => Some(H::Core),
                _ if e.is_required() => Some(H::InTransaction),
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
            holders.extend(kind.map(|kind| self.admission().holder(member, kind)));
        }
        if holders.is_empty() {
            return None;
        }
        for member in closed {
            cells.reopen(member);
        }
        Some(Refusal::InUse { component: self.catalog().id(key).clone(), holders })
    }

    /// Answers operators whose request has ended, or who waited long enough.
    pub(crate) fn finish_operator_waiters(&mut self, step: &mut Step<'_>) {
        let mut waiting = std::mem::take(&mut self.operator_waiters);
        waiting.retain(|w| match self.end_of_operation(w, step.now) {
            Some(Ok(())) => {
                step.push(Effect::Done { waiter: w.waiter });
                false
            }
            Some(Err(refusal)) => {
                step.push(Effect::Refuse { waiter: w.waiter, refusal });
                false
            }
            None => true,
        });
        self.operator_waiters = waiting;
    }

    /// None while it is under way.
    fn end_of_operation(&self, w: &OperatorWaiter, now: Moment) -> Option<Result<(), Refusal>> {
        let e = self.scheduler.entry(w.key);
        let component = || self.catalog().id(w.key).clone();
        match w.awaits {
            Awaited::Unload if e.state() == ComponentState::Stuck => {
                return Some(Err(Refusal::Stuck { component: component() }));
            }
            Awaited::Unload if !e.state().is_alive() => return Some(Ok(())),
            Awaited::Park if e.state().is_parked() => {
                if let Some(Cause::ParkFailed { error }) = e.cause() {
                    let error = error.clone();
                    return Some(Err(Refusal::ParkFailed { component: component(), error }));
                }
                return Some(Ok(()));
            }
            Awaited::Park if !(e.state().is_parking() || e.state() == ComponentState::Draining) => {
                let error = e.cause().map(ToString::to_string).unwrap_or_default();
                return Some(Err(Refusal::ParkFailed { component: component(), error }));
            }
            Awaited::Trim(id) if !self.scheduler.is_current(id) || !e.is_up() => {
                let error = "it has ended".to_owned();
                return Some(Err(Refusal::TrimFailed { component: component(), error }));
            }
            _ => {}
        }
        (w.deadline <= now).then(|| {
            let holders = match w.awaits {
                Awaited::Unload | Awaited::Park => {
                    vec![self.admission().holder(w.key, leaving_kind(e))]
                }
                Awaited::Trim(_) => Vec::new(),
            };
            let (waited, missing) = (now.since(w.since), vec![component()]);
            Err(Refusal::DeadlineExceeded { waited, missing, holders, still_loading: None })
        })
    }
}
