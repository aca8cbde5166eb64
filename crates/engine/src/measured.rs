//! What was measured of components: growth, their own limits, estimates after running out of memory, and
//! reservations that grow.

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, EventKind, MeasuredNeed, OpId,
};
use majordomo_lifecycle::{Cells, Effect, LoadFailure, Out, Persisted, Then};
use majordomo_registry::OverLimit;

use crate::Engine;

/// After running out of memory a component gets so much more than it had.
const RAISE: f64 = 1.25;

impl Engine {
    pub(crate) fn measured(
        &mut self,
        key: ComponentKey,
        op: OpId,
        bytes: ByteSize,
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) {
        let e = self.scheduler.entry_mut(key);
        if e.op != Some(op) || !e.state.is_alive() {
            return;
        }
        self.budget.measure(key, bytes);
        if e.stale {
            // It runs by an older configuration: its figures are not the new one's.
            return;
        }
        let known = e.peak;
        e.peak = known.max(Some(bytes));
        // Small growth is not worth a write each time.
        if known.is_none_or(|p| bytes.0 > p.0 + p.0 / 16) {
            self.persist(key, out);
        }
        self.check_limit(key, bytes, cells, out);
    }

    fn persist(&self, key: ComponentKey, out: &mut Out<'_>) {
        let e = self.scheduler.entry(key);
        out.push(Effect::Persist(Persisted { key, peak: e.peak, load_time: e.load_time }));
    }

    /// A component above its own limit is asked to trim. It is unloaded when that did not help within the
    /// grace; at once when the component has no way to trim, or the request failed.
    fn check_limit(
        &mut self,
        key: ComponentKey,
        bytes: ByteSize,
        cells: &mut dyn Cells,
        out: &mut Out<'_>,
    ) {
        let grace = self.config().memory.over_limit_grace;
        let must_run = self.scheduler.must_run(key);
        let nobody_misses = self.scheduler.nobody_misses(key);
        let e = self.scheduler.entry_mut(key);
        let Some(spec) = e.spec.clone() else { return };
        let Some(limit) = spec.memory_limit.filter(|l| bytes > *l) else {
            e.over_since = None;
            e.trim_failed = false;
            return;
        };
        if e.state != ComponentState::Ready {
            return;
        }
        let can_trim = spec.loader.can_trim();
        if e.over_since.is_none() {
            e.over_since = Some(out.now);
            out.record(EventKind::OverLimit { component: key, measured: bytes, limit });
            if can_trim {
                self.trim(key, out);
            } else {
                out.record(EventKind::CannotTrim { component: key });
            }
        }
        let e = self.scheduler.entry(key);
        let may_help = can_trim && !e.trim_failed;
        if may_help && e.over_since.is_some_and(|since| out.now.since(since) < grace) {
            return;
        }
        let cause = Cause::OverLimit { measured: bytes, limit };
        let force_at = out.now + self.scheduler.grace(key, out.now);
        // A failure of its own making: what comes up too large each time backs off.
        let fails = must_run || spec.over_limit == OverLimit::Restart;
        let then = if fails { Then::Failed(cause.clone()) } else { Then::Unloaded };
        self.send_group_away(key, &cause, &then, Some(force_at), cells, out);
        if fails && !nobody_misses {
            self.scheduler.entry_mut(key).restart_after = true;
        }
    }

    /// What a failed load means for the component.
    pub(crate) fn end_of_load(
        &mut self,
        key: ComponentKey,
        failure: LoadFailure,
        out: &mut Out<'_>,
    ) -> Cause {
        match failure.out_of_memory {
            Some(oom) => {
                self.raise_estimate(key, oom.peak, out);
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
        out: &mut Out<'_>,
    ) {
        let total = self.budget.total();
        let booked = self.budget.booked_for(key);
        let e = self.scheduler.entry_mut(key);
        if e.stale {
            return;
        }
        let seen = peak.max(e.peak).unwrap_or_default().max(booked);
        let most = e.spec.as_ref().and_then(|s| s.memory_limit).map_or(total, |l| l.min(total));
        let to = seen.scaled(RAISE).min(most.max(seen));
        if e.peak.is_none_or(|known| to > known) {
            e.peak = Some(to);
            out.record(EventKind::EstimateRaised { component: key, to });
            self.persist(key, out);
        }
    }

    /// Adds to a reservation what fits at once; nobody goes for it.
    pub(crate) fn grow(&mut self, key: ComponentKey, op: OpId, bytes: ByteSize, out: &mut Out<'_>) {
        let e = self.scheduler.entry(key);
        let grows = e.op == Some(op)
            && matches!(e.state, ComponentState::Loading | ComponentState::Ready)
            && self.pressure < self.config().memory.refuse_loads_at
            && !self.budget.is_overdrawn();
        if grows {
            // A refusal leaves the reservation as it is, which the answer tells.
            let _ = self.budget.extend(key, bytes);
        }
        let bytes = if e.op == Some(op) { self.budget.reserved_for(key) } else { ByteSize::ZERO };
        out.push(Effect::SetGrant { key, op, bytes });
    }

    /// The largest need in a closure that was measured above what is declared; of one pool, or of all that
    /// count in the total.
    pub(crate) fn measured_need(
        &self,
        closure: &[ComponentKey],
        pool: Option<usize>,
    ) -> Option<MeasuredNeed> {
        let counts = |key: &ComponentKey| match pool {
            Some(pool) => self.pool(*key) == pool,
            None => !self.budget.limit_of(self.pool(*key)).declared,
        };
        closure
            .iter()
            .filter(|k| counts(k))
            .filter_map(|k| {
                let declared = self.catalog().spec(*k)?.memory;
                let peak = self.scheduler.entry(*k).peak.filter(|p| *p > declared)?;
                Some(MeasuredNeed { component: self.catalog().id(*k).clone(), peak, declared })
            })
            .max_by_key(|m| m.peak)
    }
}
