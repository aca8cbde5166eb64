//! Pressure and overdraft: trim, then unload idle components, and back off when nothing more can be unloaded.

use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, EventKind, Moment, PressureLevel, Priority,
};
use majordomo_lifecycle::{Effect, Entry, Step, Victim};
use majordomo_memory::{Need, Shortage};

use crate::Engine;
use crate::admit::{Judge, Purpose, is_present};
use crate::evict::keys_of_victims;

/// The longest wait between rounds that freed nothing.
const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// A component that was parked because of a pressure is unloaded after so many rounds in a row that freed nothing.
const PATIENT_ROUNDS: u32 = 2;

/// When relief was last tried and when it is tried next.
#[derive(Debug, Default)]
pub(crate) struct Relief {
    /// No round before this moment; none = no relief is needed.
    due: Option<Moment>,
    /// Rounds in a row that freed nothing.
    idle_rounds: u32,
    /// This need was answered by trimming already.
    trimmed: bool,
    /// When the pressure last rose.
    rose_at: Moment,
}

impl Relief {
    pub(crate) fn next(&self) -> Option<Moment> {
        self.due
    }
}

impl Engine {
    pub(crate) fn set_pressure(&mut self, level: PressureLevel, step: &mut Step<'_>) {
        if level == self.scheduler.pressure() {
            return;
        }
        step.record(EventKind::Pressure { from: self.scheduler.pressure(), to: level });
        if level > self.scheduler.pressure() {
            // A new need: act at once.
            self.relief = Relief { due: Some(step.now), rose_at: step.now, ..Relief::default() };
        }
        self.scheduler.set_pressure(level);
    }

    /// One round, when one is due.
    pub(crate) fn relieve(&mut self, step: &mut Step<'_>) {
        // The peak of a load passes by itself.
        let is_overdrawn = |engine: &Self| !engine.scheduler.budget().excess().is_none();
        if is_overdrawn(self) {
            self.shrink_partial_reservations();
        }
        let overdrawn = is_overdrawn(self);
        let m = &self.config().memory;
        let (pressed, first_wait) = (
            self.scheduler.pressure() >= m.trim_at || self.scheduler.pressure() >= m.unload_low_at,
            m.relief_back_off,
        );
        if !overdrawn && !pressed {
            self.relief = Relief::default();
            return;
        }
        if overdrawn && self.overdraft.0 == 0 && self.scheduler.budget().overdraft().0 > 0 {
            // It has just begun.
            let rose_at = self.relief.rose_at;
            self.relief = Relief { due: Some(step.now), rose_at, ..Relief::default() };
        }
        if self.relief.due.is_some_and(|t| t > step.now) {
            return;
        }
        let mut progress = 0;
        let excess = self.scheduler.budget().excess();
        // Declared memory does not shrink by a trim.
        if !self.relief.trimmed && (pressed || self.scheduler.budget().is_ram(&excess)) {
            self.relief.trimmed = true;
            progress += self.trim_all(step);
        }
        let (memory, _) = excess.apart_from_swap();
        progress += self.evict_preloads((!pressed).then_some(&memory), step);
        progress += self.unload_for_pressure(step);
        // Trimming gets one round to take effect before components are unloaded, unless it cannot help.
        if overdrawn && (progress == 0 || self.scheduler.pressure() >= PressureLevel::Critical) {
            progress += self.unload_for_overdraft(step);
        }
        self.relief.idle_rounds = if progress > 0 { 0 } else { self.relief.idle_rounds + 1 };
        let factor = 1u32.checked_shl(self.relief.idle_rounds).unwrap_or(u32::MAX);
        let wait = first_wait.checked_mul(factor).map_or(MAX_BACK_OFF, |w| w.min(MAX_BACK_OFF));
        self.relief.due = Some(step.now + wait.max(Duration::from_millis(1)));
    }

    /// A reservation that is smaller than the working peak it is for cannot keep the budget from being exceeded: nothing
    /// is evicted for the part of it that is not in use.
    fn shrink_partial_reservations(&mut self) {
        for key in self
            .scheduler
            .keys_where(|e| e.state() == ComponentState::Ready && !e.restart().is_outdated())
        {
            self.scheduler.shrink_partial_reservation(key);
        }
    }

    /// Asks every ready component that can trim to give back what it can spare; each at most once in 30 s.
    fn trim_all(&mut self, step: &mut Step<'_>) -> usize {
        let now = step.now;
        let keys = self.scheduler.keys_where(|e| {
            e.state() == ComponentState::Ready
                && e.figures().trimmed_at().is_none_or(|t| now.since(t) >= MAX_BACK_OFF)
                && e.spec().is_some_and(|spec| spec.loader.can_trim())
        });
        for &key in &keys {
            self.trim(key, step);
        }
        keys.len()
    }

    /// Whether the running incarnation, or else the next one, can be asked to trim.
    pub(crate) fn can_trim(&self, key: ComponentKey) -> bool {
        let spec = self.scheduler.entry(key).spec();
        spec.or_else(|| self.catalog().spec(key)).is_some_and(|spec| spec.loader.can_trim())
    }

    /// Asks a ready component to trim.
    pub(crate) fn trim(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let ready = self.state(key) == ComponentState::Ready;
        if let Some(id) = self.scheduler.incarnation(key).filter(|_| ready) {
            self.scheduler.entry_mut(key).figures_mut().asked_to_trim(step.now);
            step.push(Effect::Trim { id });
            step.record(EventKind::Trimmed { component: key });
        }
    }

    /// Evicts the preloads that no demand has asked for; they come before all other components. `short`: only those that
    /// have memory there.
    fn evict_preloads(&mut self, short: Option<&Shortage>, step: &mut Step<'_>) -> usize {
        let mut keys = self.scheduler.keys_where(|e| e.is_unrequested() && is_present(e.state()));
        keys.retain(|k| short.is_none_or(|short| self.admission().helps(*k, short)));
        let cause = self.relief_cause();
        if !self.scheduler.offers_rungs() {
            return keys.into_iter().filter(|k| self.evict_if_idle(*k, &cause, step)).count();
        }
        // Where rungs are offered, speculative wakes are among them: not all of them for a few bytes.
        match short {
            Some(short) => self.evict_until(&keys, short.clone(), &cause, step),
            None => self.evict_steps(keys, &cause, step),
        }
    }

    /// Takes the first step of each of these components.
    fn evict_steps(
        &mut self,
        keys: Vec<ComponentKey>,
        cause: &Cause,
        step: &mut Step<'_>,
    ) -> usize {
        keys.into_iter()
            .filter(|k| {
                let victims = self.cheapest_step(*k, step.now);
                self.evict_all_if_idle(*k, victims, cause, step)
            })
            .count()
    }

    fn relief_cause(&self) -> Cause {
        if self.scheduler.pressure() >= self.config().memory.unload_low_at {
            Cause::Pressure { level: self.scheduler.pressure() }
        } else {
            Cause::Overdraft
        }
    }

    fn unload_for_pressure(&mut self, step: &mut Step<'_>) -> usize {
        let m = &self.config().memory;
        let lowest_kept = if self.scheduler.pressure() >= m.refuse_loads_at {
            Priority::Core
        } else if self.scheduler.pressure() >= m.unload_medium_at {
            Priority::High
        } else if self.scheduler.pressure() >= m.unload_low_at {
            Priority::Medium
        } else {
            return 0;
        };
        let at_once = self.scheduler.pressure() >= m.refuse_loads_at;
        let residency = m.min_residency;
        let now = step.now;
        let ready = self.scheduler.keys_where(|e| {
            e.state() == ComponentState::Ready && (at_once || now.since(e.ready_at()) >= residency)
        });
        // Parked components give way before any that is ready; but what was parked because of this pressure stays for as long
        // as there is something else.
        let ram = Shortage { total: ByteSize(u64::MAX), pools: Vec::new() };
        let helps = |engine: &Self, key: &ComponentKey| engine.admission().helps(*key, &ram);
        let mut parked = self.scheduler.keys_where(|e| e.state().is_parked());
        parked.retain(|k| helps(self, k));
        let rose_at = self.relief.rose_at;
        let (just_parked, parked): (Vec<_>, Vec<_>) =
            parked.into_iter().partition(|k| self.scheduler.entry(*k).since() >= rose_at);
        let cause = Cause::Pressure { level: self.scheduler.pressure() };
        let tiers = self.scheduler.requested_tiers(now);
        let is_below_kept = |engine: &Self, key: &ComponentKey| {
            let group = engine.scheduler.live_closure(*key);
            engine.scheduler.effective_priority(*key, &group, &tiers) > lowest_kept
        };
        let mut progress = 0;
        let spared = if self.relief.idle_rounds < PATIENT_ROUNDS && !at_once {
            Vec::new()
        } else {
            just_parked
        };
        for (is_parked, keys) in [(true, parked), (false, ready), (true, spared)] {
            let mut keys: Vec<_> = keys.into_iter().filter(|k| is_below_kept(self, k)).collect();
            if is_parked && !at_once && !keys.is_empty() {
                // A program that saves at its end reads its memory again: not all of them at a time.
                let lanes = self.scheduler.wake_lanes();
                let free = lanes.saturating_sub(self.scheduler.n_ends_of_parked());
                keys.truncate(free);
                progress += usize::from(free == 0);
            }
            if !at_once {
                // To park one that was woken just now costs a wake for nothing.
                keys.retain(|k| !self.rests(*k, now));
            }
            progress += self.evict_steps(keys, &cause, step);
            if progress > 0 && !at_once {
                break;
            }
        }
        progress
    }

    /// Whether a component was woken so short a time ago that no pressure parks it.
    fn rests(&self, key: ComponentKey, now: Moment) -> bool {
        self.scheduler.entry(key).parking().rests_until() > now
    }

    /// Evicts in the policy's order until the bytes of the victims cover the excess. For swap only parked components end: bytes
    /// there of one that is up are of no use to others, and come back as it is used.
    fn unload_for_overdraft(&mut self, step: &mut Step<'_>) -> usize {
        let may_help = |e: &Entry| e.state() == ComponentState::Ready || e.state().is_parked();
        let keys = self.scheduler.keys_where(may_help);
        let (memory, _) = self.scheduler.budget().excess().apart_from_swap();
        let n_for_memory = self.evict_until(&keys, memory, &Cause::Overdraft, step);
        let parked = self.scheduler.keys_where(|e| e.state().is_parked());
        let (_, swap) = self.scheduler.budget().excess().apart_from_swap();
        n_for_memory + self.evict_until(&parked, swap, &Cause::Overdraft, step)
    }

    /// Evicts of these components in the policy's order until their bytes cover the excess.
    fn evict_until(
        &mut self,
        keys: &[ComponentKey],
        mut excess: Shortage,
        cause: &Cause,
        step: &mut Step<'_>,
    ) -> usize {
        let now = step.now;
        for key in self.scheduler.keys_where(|e| e.state().is_unloading()) {
            self.scheduler.budget().relieve(&mut excess, &self.scheduler.freeing(key));
        }
        let admission = self.admission();
        let candidates = admission.candidates_where_short(keys, &excess, Purpose::Relief, now);
        let order = admission.eviction_order(&candidates, now);
        let ways: Vec<_> = candidates.iter().map(|(row, way)| (row.key, way.clone())).collect();
        let mut order: Vec<_> = order.into_iter().map(|i| ways[i].clone()).collect();
        // The excess is in memory now: it does not wait for the end of a rest.
        order.sort_by_key(|(key, _)| self.rests(*key, now));
        let mut progress = 0;
        for (key, victims) in order {
            if excess.is_none() {
                break;
            }
            // A provider whose dependents alone hold such bytes stays: they are candidates themselves.
            let helps = self.admission().helps(key, &excess);
            let mut freed = Need::new();
            victims.iter().for_each(|v| freed.add_all(&self.admission().freed_by(*v)));
            if helps && self.evict_all_if_idle(key, victims, cause, step) {
                progress += 1;
                self.scheduler.budget().relieve(&mut excess, &freed);
            }
        }
        progress
    }

    /// The first step of a component with its dependents that frees RAM.
    fn cheapest_step(&self, key: ComponentKey, now: Moment) -> Vec<Victim> {
        let closure = self.scheduler.live_closure(key);
        let short = Shortage { total: ByteSize(u64::MAX), pools: Vec::new() };
        let admission = self.admission();
        let loss = |victims: &[Victim]| admission.loss(victims);
        let judge = Judge { purpose: Purpose::Relief, loss: &loss };
        let steps = admission.steps(key, &closure, &short, &judge, now);
        steps.into_iter().next().map(|step| step.members).unwrap_or_default()
    }

    /// Evicts a component with its dependents, if all of them may be evicted and none is leased. Returns whether it did.
    pub(crate) fn evict_if_idle(
        &mut self,
        key: ComponentKey,
        cause: &Cause,
        step: &mut Step<'_>,
    ) -> bool {
        let group = self.scheduler.live_closure(key).into_iter().map(Victim::gone).collect();
        self.evict_all_if_idle(key, group, cause, step)
    }

    /// Leaves a component and its dependents where a step says, if all of them may be evicted and none is leased. Returns
    /// whether it did.
    pub(crate) fn evict_all_if_idle(
        &mut self,
        key: ComponentKey,
        mut group: Vec<Victim>,
        cause: &Cause,
        step: &mut Step<'_>,
    ) -> bool {
        // A dependent that is unloading already does not keep the component loaded.
        group.retain(|v| v.key == key || !self.scheduler.entry(v.key).state().is_unloading());
        let free = group.iter().all(|v| {
            let e = self.scheduler.entry(v.key);
            // A running load is cancelled only if no demand asked for it, and a wake never.
            (is_present(e.state()) || e.state().is_parked())
                && !e.state().is_waking()
                && !e.is_fixed()
                && !e.is_required()
                && (e.state() == ComponentState::Ready
                    || e.state().is_parked()
                    || e.is_unrequested())
        });
        if !free || !self.close_all(keys_of_victims(&group), step.cells).is_empty() {
            return false;
        }
        for member in group {
            let cause = if member.key == key { cause.clone() } else { Cause::DependentFirst };
            self.evict_one(member, cause, None, step);
        }
        true
    }
}
