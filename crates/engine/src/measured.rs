//! Measured figures of components: growth, their own limits, estimates after running out of memory, and
//! reservations that grow.

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, EventKind, IncarnationId, Moment, Refusal,
};
use majordomo_lifecycle::{Effect, LoadFailure, Persisted, Step, Then};
use majordomo_memory::Learned;
use majordomo_registry::OverLimit;

use crate::{Engine, Sample};

/// After running out of memory a component gets so much more than it had.
const RAISE: f64 = 1.25;
/// Whether figures changed so much that they are worth a write.
fn is_news(before: &Learned, now: &Learned) -> bool {
    let rises = |old: Option<ByteSize>, new: Option<ByteSize>| match (old, new) {
        (Some(old), Some(new)) => new.0 > old.0 + old.0 / 16,
        (old, new) => old != new,
    };
    rises(before.load_peak(), now.load_peak())
        || rises(before.working_peak(), now.working_peak())
        || rises(before.ready(), now.ready())
        || before.uses().seen().len() != now.uses().seen().len()
}

impl Engine {
    pub(crate) fn measured(&mut self, id: IncarnationId, sample: Sample, step: &mut Step<'_>) {
        if !self.scheduler.is_current(id) {
            return;
        }
        let (key, bytes) = (id.key, sample.bytes);
        self.scheduler.book_measured(key, bytes);
        if let Some(swap) = sample.swap {
            self.scheduler.book_measured_swap(key, swap);
        }
        let e = self.scheduler.entry_mut(key);
        let before = *e.figures().learned();
        if !e.measured(bytes, step.now) {
            return;
        }
        let worth_keeping = is_news(&before, e.figures().learned());
        if e.state() == ComponentState::Ready {
            self.scheduler.reserve_settled(key);
        }
        if worth_keeping {
            self.persist(key, step);
        }
        self.check_limit(key, bytes, step);
    }

    fn persist(&self, key: ComponentKey, step: &mut Step<'_>) {
        let e = self.scheduler.entry(key);
        step.push(Effect::Persist(Persisted {
            key,
            learned: *e.figures().learned(),
            load_time: e.figures().load_time(),
        }));
    }

    /// A component above its own limit is asked to trim. It is unloaded when that did not help within the
    /// grace; at once when the component has no way to trim, or the request failed.
    fn check_limit(&mut self, key: ComponentKey, bytes: ByteSize, step: &mut Step<'_>) {
        let grace = self.config().memory.over_limit_grace;
        let must_run = self.scheduler.must_run(key);
        let is_expendable = self.scheduler.is_expendable(key);
        let e = self.scheduler.entry_mut(key);
        let Some(spec) = e.spec().cloned() else { return };
        let Some(limit) = spec.memory_limit.filter(|l| bytes > *l) else {
            e.figures_mut().within_limit();
            return;
        };
        if e.state() != ComponentState::Ready {
            return;
        }
        let can_trim = spec.loader.can_trim();
        if e.figures_mut().over_limit(step.now) {
            step.record(EventKind::OverLimit { component: key, measured: bytes, limit });
            if can_trim {
                self.trim(key, step);
            } else {
                step.record(EventKind::CannotTrim { component: key });
            }
        }
        let figures = self.scheduler.entry(key).figures();
        let may_help = can_trim && !figures.has_trim_failed();
        if may_help && figures.over_limit_for(step.now).is_some_and(|time| time < grace) {
            return;
        }
        let cause = Cause::OverLimit { measured: bytes, limit };
        let force_at = step.now + self.scheduler.grace(key, step.now);
        // A failure of its own making: what comes up too large each time backs off.
        let fails = must_run || spec.over_limit == OverLimit::Restart;
        let then = if fails { Then::Failed(cause.clone()) } else { Then::Unloaded };
        self.remove_with_dependents(key, &cause, &then, Some(force_at), step);
        if fails && !is_expendable {
            self.scheduler.owe_restart(key);
        }
    }

    /// The cause and the next state that a failed load gives the component.
    pub(crate) fn end_of_load(
        &mut self,
        key: ComponentKey,
        failure: LoadFailure,
        step: &mut Step<'_>,
    ) -> Cause {
        match failure.out_of_memory {
            Some(oom) => {
                self.raise_estimate(key, oom.peak, step);
                Cause::OutOfMemory { evidence: failure.error }
            }
            None => Cause::LoadFailed { error: failure.error },
        }
    }

    /// More is reserved for the next load of a component that ran out of memory: never more than the budget or
    /// its own limit, unless that much was seen.
    pub(crate) fn raise_estimate(
        &mut self,
        key: ComponentKey,
        peak: Option<ByteSize>,
        step: &mut Step<'_>,
    ) {
        let total = self.scheduler.budget().total();
        let booked = self.scheduler.budget().booked_for(key);
        let e = self.scheduler.entry_mut(key);
        if e.restart().is_outdated() {
            return;
        }
        let loads = e.state().is_loading();
        let known = if loads {
            e.figures().learned().load_peak()
        } else {
            e.figures().learned().working_peak()
        };
        let seen = peak.max(known).unwrap_or_default().max(booked);
        let most = e.spec().and_then(|s| s.memory_limit).map_or(total, |l| l.min(total));
        let to = seen.scaled(RAISE).min(most.max(seen));
        if known.is_none_or(|known| to > known) {
            if loads {
                e.figures_mut().raise_load(to);
            } else {
                e.figures_mut().raise_working(to);
            }
            step.record(EventKind::EstimateRaised { component: key, to });
            self.persist(key, step);
        }
    }

    /// Adds to a reservation the bytes that fit at once; no component is evicted for them.
    pub(crate) fn grow(&mut self, id: IncarnationId, bytes: ByteSize, step: &mut Step<'_>) {
        let key = id.key;
        let is_current = self.scheduler.is_current(id);
        let grows = is_current
            && matches!(self.state(key), ComponentState::Loading { .. } | ComponentState::Ready)
            && self.scheduler.pressure() < self.config().memory.refuse_loads_at
            && !self.scheduler.budget().is_memory_overdrawn();
        if grows {
            // A refusal leaves the reservation as it is, and the answer states that.
            let _ = self.scheduler.grow_reservation(key, bytes);
        }
        let bytes =
            if is_current { self.scheduler.budget().granted_for(key) } else { ByteSize::ZERO };
        step.push(Effect::SetGrant { id, bytes });
    }

    /// From the first refusal on, the time runs after which a measured figure no longer refuses.
    pub(crate) fn record_too_large(&mut self, refusal: &Refusal, now: Moment) {
        let Refusal::TooLarge { measured: Some(m), .. } = refusal else { return };
        if let Some(key) = self.catalog().key(m.component.as_str()) {
            self.scheduler.entry_mut(key).figures_mut().refused_as_too_large(now);
        }
    }
}
