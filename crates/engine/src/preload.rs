//! Preloads: proposals become speculative transactions when no demand could use the lane or the bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{
    ByteSize, ComponentKey, Confidence, EventKind, HintOutcome, HintSource, Holder, HolderKind,
    Moment, Opinion, PreloadEnd, PressureLevel, Priority, Refusal, Rung,
};
use majordomo_lifecycle::{Admitted, Origin, Request, Scheduler, Step, Verdict, Victim};
use majordomo_memory::{Need, Reservation, Shortage};
use majordomo_preloader::{Harm, Hint, HintAnswer, Proposal, Tier};

use crate::Engine;
use crate::admit::{Ask, Purpose, is_present, keys_of};
use crate::evict::keys_of_victims;
use crate::next_room::{NextRoom, Taken};

/// The result of a proposal.
enum Attempt {
    Ended(HintOutcome),
    /// Its victims may stay until then: they were loaded just now, or demands queue for memory.
    Later(Moment),
}

impl Engine {
    /// Takes a hint from outside.
    pub(crate) fn hint(&mut self, hint: Hint, step: &mut Step<'_>) {
        let Hint { key, confidence, tier, source } = hint;
        let refused = if self.catalog().spec(key).is_none() {
            Some(HintOutcome::Unavailable)
        } else if !self.may_preload() {
            Some(HintOutcome::Forbidden)
        } else if is_present(self.state(key)) {
            Some(HintOutcome::Present)
        } else {
            match self.hints.preloader_mut().hint(hint, step.now) {
                HintAnswer::Queued | HintAnswer::Merged => None,
                HintAnswer::BelowFloor => Some(HintOutcome::BelowFloor),
                HintAnswer::Full => Some(HintOutcome::Dropped),
                HintAnswer::Present => Some(HintOutcome::Present),
            }
        };
        match refused {
            Some(outcome) => {
                let proposal = Proposal { key, confidence, tier, source };
                self.record_hint(&proposal, outcome, Vec::new(), step);
            }
            None => self.scheduler.touch(),
        }
    }

    /// Records the outcome of a hint, if that is news.
    fn record_hint(
        &mut self,
        hint: &Proposal,
        outcome: HintOutcome,
        because: Vec<Opinion>,
        step: &mut Step<'_>,
    ) {
        let Proposal { key: component, confidence, tier, source } = *hint;
        if self.hints.is_news(component, outcome, step.now) {
            step.record(EventKind::Hint { component, confidence, tier, source, outcome, because });
        }
    }

    /// Starts proposals, the most urgent and likeliest first, while a lane is free and no demand waits for memory or a
    /// lane.
    pub(crate) fn preload(&mut self, step: &mut Step<'_>) {
        if self.hints.preloader().n_waiting() == 0 || !self.may_preload() {
            return;
        }
        while self.has_preload_lane(step.now) {
            let (idle, pressure) = (self.is_idle(step.now), self.scheduler.pressure());
            let next = self.hints.preloader_mut().next(step.now, idle, pressure);
            let Some(p) = next else { return };
            let by_model = matches!(p.source, HintSource::Sequence | HintSource::Refill);
            let opinions = if by_model { self.forecaster.opinions(p.key) } else { Vec::new() };
            let outcome = match self.try_preload(&p, step) {
                Attempt::Ended(outcome) => outcome,
                Attempt::Later(due) if self.hints.preloader_mut().put_back(&p, due) => continue,
                Attempt::Later(_) => HintOutcome::NoRoom,
            };
            let because = if outcome == HintOutcome::Started { opinions } else { Vec::new() };
            self.record_hint(&p, outcome, because, step);
        }
    }

    /// Whether anything may be preloaded now.
    pub(crate) fn may_preload(&self) -> bool {
        self.config().speculation.enabled
            && self.scheduler.pressure() == PressureLevel::Low
            && !self.scheduler.budget().is_memory_overdrawn()
            && self.ending.is_none()
    }

    /// A demand for this closure found no room beside leased components: so much is missing.
    pub(crate) fn record_contention(
        &mut self,
        closure: &[ComponentKey],
        short: &Shortage,
        now: Moment,
    ) {
        let need = self.missing_need(closure);
        let budget = self.scheduler.budget();
        let is_short = |pool: usize| short.helped_by(pool, budget.limit_of(pool).declared);
        let need = need.iter().filter(|(pool, _)| is_short(*pool)).collect();
        let until = now + self.config().deadlines.demand;
        self.hints.contend(need, until, now);
    }

    /// Until when a preload that needs so many bytes must wait because demands may need its memory.
    fn yields_until(&self, need: &Need, victims: &[Victim], now: Moment) -> Option<Moment> {
        let contention = self.hints.contention(now)?;
        let budget = self.scheduler.budget();
        // All pools of RAM are one account.
        let account = |pool: usize| budget.limit_of(pool).declared.then_some(pool);
        let is_needed = |pool: usize| need.iter().any(|(other, _)| account(other) == account(pool));
        let contended: Need = contention.need.iter().filter(|(pool, _)| is_needed(*pool)).collect();
        if contended.is_empty() {
            return None;
        }
        let mut both = contended;
        both.add_all(need);
        let frees_less = !budget.shortage(&both, None).is_none();
        (!victims.is_empty() || frees_less).then_some(contention.until)
    }

    /// Whether a preload may begin beside the loads under way: no demand waits, not even for its own load, which a second
    /// load would slow down, and no other preload is woken: a second wake would hold its bytes until that has ended.
    pub(crate) fn has_preload_lane(&self, now: Moment) -> bool {
        let loads = &self.config().loads;
        let loading = |e: &majordomo_lifecycle::Entry| e.state().is_cold_load();
        let n_loading = self.scheduler.entries().filter(|(_, e)| loading(e)).count();
        if self.scheduler.n_speculative_wakes() > 0 {
            return false;
        }
        let mut n_preloads = 0;
        for t in self.scheduler.transactions().filter(|t| !t.is_dormant(now)) {
            if !t.origin.is_speculative() {
                return false;
            }
            n_preloads += 1;
        }
        n_preloads < loads.preload_lanes() && n_loading < loads.lanes()
    }

    /// No load in flight, no demand waiting, the processor calm.
    pub(crate) fn is_idle(&self, now: Moment) -> bool {
        self.idleness.is_calm()
            && self.scheduler.transactions().all(|t| t.is_dormant(now))
            && self.scheduler.entries().all(|(_, e)| !e.state().is_loading())
    }

    fn try_preload(&mut self, p: &Proposal, step: &mut Step<'_>) -> Attempt {
        let closure = self.catalog().closure(&[p.key]);
        let origin = Origin::Speculation { confidence: p.confidence };
        let ask = Ask { stated: stated(p), ..Ask::new(None, origin, &closure, None) };
        let mut leased = BTreeMap::new();
        let is_background = p.tier == Tier::Background && self.scheduler.offers_rungs();
        let room =
            if is_background { self.next_room(&self.missing_need(&closure), step) } else { None };
        let admitted = loop {
            let admitted = match self.admit_preload(p, ask, room.as_ref(), &leased, step.now) {
                Ok(admitted) => admitted,
                Err(ended) => return ended,
            };
            let in_use = self.close_all(keys_of_victims(&admitted.victims), step.cells);
            if in_use.is_empty() {
                break admitted;
            }
            // Plan again without them; each round learns of one more at least.
            leased.extend(in_use);
        };
        let priority = self.catalog().spec(p.key).map_or(Priority::Low, |s| s.priority);
        let deadline = step.now + self.patience(p.key);
        let bytes: ByteSize = admitted.reserve.iter().map(|r| r.bytes).sum();
        let displaced: Vec<_> =
            admitted.victims.iter().map(|v| (v.key, self.admission().added_wait(*v))).collect();
        let missing = keys_of(&admitted.reserve);
        let own: Duration = missing.iter().map(|k| self.scheduler.wait(*k)).sum();
        let share_of_loads = self.share_of_loads(&missing, bytes);
        let request = Request::whole(origin, vec![p.key], priority, deadline);
        let id = self.scheduler.submit(request, step.now);
        self.record_victims(&admitted.victims, p.key, Some((ask, &missing)), step);
        for &victim in &admitted.victims {
            self.evict_one(victim, origin.eviction_cause(), Some(id), step);
        }
        self.hints.preloader_mut().on_started(p, bytes, step.now);
        if let Some(share) = share_of_loads {
            self.hints.preloader_mut().on_partial_load(p.key, share);
        }
        self.hints.preloader_mut().on_displaced(p.key, own, displaced);
        self.scheduler.activate(id, admitted, step);
        Attempt::Ended(HintOutcome::Started)
    }

    /// The cost of a preload as a share of loads of all that it misses, bytes times time: less than 1 where members are woken;
    /// none = 1.
    fn share_of_loads(&self, missing: &[ComponentKey], bytes: ByteSize) -> Option<f64> {
        if !missing.iter().any(|k| self.state(*k).is_parked()) {
            return None;
        }
        let seconds = |wait: fn(&Scheduler, ComponentKey) -> Duration| -> f64 {
            missing.iter().map(|k| wait(&self.scheduler, *k).as_secs_f64()).sum()
        };
        let all: ByteSize = missing.iter().map(|k| self.scheduler.needs(*k).load).sum();
        let of_bytes = bytes.0 as f64 / all.0.max(1) as f64;
        let of_time = seconds(Scheduler::wait) / seconds(Scheduler::load_time).max(1e-6);
        Some(of_bytes.min(1.0) * of_time.min(1.0))
    }

    /// The admission of a preload, with leases as far as they are known.
    fn admit_preload(
        &self,
        p: &Proposal,
        ask: Ask<'_>,
        room: Option<&NextRoom>,
        leased: &BTreeMap<ComponentKey, u32>,
        now: Moment,
    ) -> Result<Admitted, Attempt> {
        let ended = |outcome| Err(Attempt::Ended(outcome));
        let admitted = match self.admission().admit(ask, leased, now) {
            Verdict::Start(admitted) => admitted,
            Verdict::Ready => return ended(HintOutcome::Present),
            Verdict::Refuse(Refusal::Conflict { .. }) => return ended(HintOutcome::Conflict),
            Verdict::Blocked { holders, until, .. } => {
                let stays = |h: &Holder| h.kind == HolderKind::JustLoaded;
                return match until {
                    Some(t) if holders.iter().any(stays) => Err(Attempt::Later(t)),
                    _ => ended(HintOutcome::NoRoom),
                };
            }
            Verdict::Refuse(Refusal::TooLarge { .. }) => return ended(HintOutcome::NoRoom),
            Verdict::Refuse(_) | Verdict::Later { .. } => {
                return ended(HintOutcome::Unavailable);
            }
        };
        // A preload must be expendable: a demand for another component may need its place.
        if admitted.reserve.iter().any(|r| self.scheduler.is_never_evicted(r.key)) {
            return ended(HintOutcome::Unavailable);
        }
        // A component that is still unloading is not reloaded speculatively; a preload that runs because the manager is
        // idle evicts nothing.
        let unloads = admitted.reserve.iter().any(|r| self.state(r.key).is_unloading());
        if unloads || (p.tier == Tier::Background && !admitted.victims.is_empty()) {
            return ended(HintOutcome::NoRoom);
        }
        let mut need = Need::new();
        for reservation in &admitted.reserve {
            need.add_all(&reservation.need());
        }
        // Memory that the next command is expected to need more is left free: what was parked early for that stays parked.
        if let Some(room) = room {
            let admission = self.admission();
            let parked = |r: &Reservation| {
                let offered = self.scheduler.entry(r.key).parking().offered().next();
                Victim { key: r.key, to: offered.unwrap_or(Rung::Gone) }
            };
            let parked: Vec<_> = admitted.reserve.iter().map(parked).collect();
            let enter = admission.time_to_enter(&parked, Purpose::Demand).as_secs_f64();
            let taken = Taken { need: &need, closure: ask.closure, enter };
            let added = room.added_wait(&taken, self.scheduler.budget());
            let next = f64::from(self.forecaster.values().get(p.key).next.get());
            let wait: Duration = admitted.reserve.iter().map(|r| self.scheduler.wait(r.key)).sum();
            if added > next * wait.as_secs_f64() {
                return ended(HintOutcome::NoRoom);
            }
        }
        match self.yields_until(&need, &admitted.victims, now) {
            Some(until) => Err(Attempt::Later(until)),
            None => Ok(admitted),
        }
    }

    /// A component that was preloaded is used.
    pub(crate) fn end_preload_as_used(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let end = self.hints.preloader_mut().on_used(key, step.now);
        record_end(key, end, step);
    }

    /// A demand asks for a set: hints for its members have been answered by that, and members that were evicted for a
    /// preload are missed.
    pub(crate) fn record_demand(&mut self, keys: &[ComponentKey], step: &mut Step<'_>) {
        let closure = self.catalog().closure(keys);
        for (component, harm) in self.hints.preloader_mut().on_demand(&closure, step.now) {
            let Harm { preload, cost, .. } = harm;
            let cost_us = u64::try_from(cost.as_micros()).unwrap_or(u64::MAX);
            step.record(EventKind::Harm { component, preload, cost_us });
        }
    }

    /// A demand for a set ended without it: members that no other demand needs were preloaded without a use.
    pub(crate) fn withdraw_demanded(&mut self, keys: &[ComponentKey]) {
        for key in self.catalog().closure(keys) {
            let requested = self
                .scheduler
                .transactions()
                .any(|t| t.origin.waiter().is_some() && t.closure.contains(&key));
            if !requested {
                self.hints.preloader_mut().on_withdrawn(key);
            }
        }
    }

    /// Ends preloads that are so old that their use is no longer expected.
    pub(crate) fn expire_preloads(&mut self, step: &mut Step<'_>) {
        for (key, end) in self.hints.preloader_mut().expire(step.now) {
            record_end(key, Some(end), step);
        }
    }

    /// A component was unloaded, or its load did not begin.
    pub(crate) fn end_preload_as_unloaded(
        &mut self,
        key: ComponentKey,
        failed: bool,
        step: &mut Step<'_>,
    ) {
        let preloader = self.hints.preloader_mut();
        let end =
            if failed { preloader.on_failed(key) } else { preloader.on_evicted(key, step.now) };
        record_end(key, end, step);
    }
}

fn record_end(key: ComponentKey, end: Option<PreloadEnd>, step: &mut Step<'_>) {
    if let Some(result) = end {
        step.record(EventKind::Preload { component: key, result });
    }
}

/// The confidence in a component's next use that a source other than the model states.
fn stated(p: &Proposal) -> Option<Confidence> {
    matches!(p.source, HintSource::Application | HintSource::Trigger).then_some(p.confidence)
}
