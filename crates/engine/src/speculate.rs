//! Loading ahead: proposals become speculative transactions when nothing that somebody waits for could use
//! the lane or the bytes.

use std::collections::BTreeMap;

use majordomo_core::{
    ByteSize, ComponentKey, ComponentState, Confidence, EventKind, HintOutcome, HintSource, Holder,
    HolderKind, Moment, Opinion, PressureLevel, Priority, Refusal,
};
use majordomo_lifecycle::{Origin, Phase, Request, Step, Verdict};
use majordomo_preloader::{Hint, HintAnswer, Proposal, Tier};

use crate::Engine;
use crate::admit::Ask;
use crate::foresight::is_present;

/// Experts named in the record of a load ahead.
const N_OPINIONS: usize = 3;

/// Demands queued for memory beside what is leased. For as long as a demand may wait by default after the last one
/// did, a guess can only make the next ones queue for longer: it drives nothing out, and leaves free what the largest
/// of them needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contention {
    pub until: Moment,
    pub need: ByteSize,
}

/// What came of a proposal.
enum Attempt {
    Ended(HintOutcome),
    /// What would have to go may stay until then: it was loaded just now, or demands queue for memory.
    Later(Moment),
}

impl Engine {
    /// Takes a hint from outside.
    pub(crate) fn hint(&mut self, hint: Hint, step: &mut Step<'_>) {
        let Hint { key, confidence, tier, source } = hint;
        let refused = if self.catalog().spec(key).is_none() {
            Some(HintOutcome::Unavailable)
        } else if !self.may_speculate() {
            Some(HintOutcome::Forbidden)
        } else if is_present(self.state(key)) {
            Some(HintOutcome::Present)
        } else {
            match self.foresight.preloader.hint(hint, step.now) {
                HintAnswer::Queued | HintAnswer::Merged => None,
                HintAnswer::BelowFloor => Some(HintOutcome::BelowFloor),
                HintAnswer::Full => Some(HintOutcome::Dropped),
                HintAnswer::Present => Some(HintOutcome::Present),
            }
        };
        match refused {
            Some(outcome) => {
                let proposal = Proposal { key, confidence, tier, source };
                self.note_hint(&proposal, outcome, Vec::new(), step);
            }
            None => self.scheduler.touch(),
        }
    }

    /// Records what came of a hint, if that is news.
    fn note_hint(
        &mut self,
        hint: &Proposal,
        outcome: HintOutcome,
        because: Vec<Opinion>,
        step: &mut Step<'_>,
    ) {
        let Proposal { key: component, confidence, tier, source } = *hint;
        if self.foresight.is_news(component, outcome, step.now) {
            step.record(EventKind::Hint { component, confidence, tier, source, outcome, because });
        }
    }

    /// Starts what is proposed, the most urgent and likeliest first, while a lane is free and no demand waits
    /// for memory or a lane.
    pub(crate) fn speculate(&mut self, step: &mut Step<'_>) {
        if self.foresight.preloader.n_waiting() == 0 || !self.may_speculate() {
            return;
        }
        while self.has_lane_ahead(step.now) {
            let idle = self.is_idle(step.now);
            let Some(p) = self.foresight.preloader.next(step.now, idle, self.scheduler.pressure())
            else {
                return;
            };
            let because = self.opinions(&p);
            let outcome = match self.load_ahead(&p, step) {
                Attempt::Ended(outcome) => outcome,
                Attempt::Later(due) if self.foresight.preloader.put_back(&p, due) => continue,
                Attempt::Later(_) => HintOutcome::NoRoom,
            };
            let because = if outcome == HintOutcome::Started { because } else { Vec::new() };
            self.note_hint(&p, outcome, because, step);
        }
    }

    /// Whether anything may be loaded ahead now.
    pub(crate) fn may_speculate(&self) -> bool {
        self.config().speculation.enabled
            && self.scheduler.pressure() == PressureLevel::Low
            && !self.scheduler.budget().is_overdrawn()
            && self.ending.is_none()
    }

    /// A demand for this closure found no room beside what is leased.
    pub(crate) fn note_contention(&mut self, closure: &[ComponentKey], now: Moment) {
        let absent = closure.iter().filter(|k| !is_present(self.state(**k)));
        let ram =
            absent.filter(|k| !self.scheduler.budget().limit_of(self.catalog().pool(**k)).declared);
        let need: ByteSize = ram.map(|k| self.needs(*k).load).sum();
        let before = self.contention(now).map_or(ByteSize::ZERO, |c| c.need);
        let until = now + self.config().deadlines.demand;
        self.contention = Some(Contention { until, need: need.max(before) });
    }

    /// The contention for memory, while it lasts.
    pub(crate) fn contention(&self, now: Moment) -> Option<Contention> {
        self.contention.filter(|c| c.until > now)
    }

    /// Until when a guess of this size must wait because demands may need its memory.
    fn yields_until(
        &self,
        bytes: ByteSize,
        victims: &[ComponentKey],
        now: Moment,
    ) -> Option<Moment> {
        let contention = self.contention(now)?;
        let left = self.scheduler.budget().free().saturating_sub(bytes);
        (!victims.is_empty() || left < contention.need).then_some(contention.until)
    }

    fn opinions(&self, p: &Proposal) -> Vec<Opinion> {
        if !matches!(p.source, HintSource::Sequence | HintSource::Refill) {
            return Vec::new();
        }
        let f = &self.foresight;
        let all = match &f.forecast {
            Some(forecast) => f.model.opinions_of(forecast, p.key),
            None => f.model.opinions(p.key),
        };
        all.into_iter()
            .take(N_OPINIONS)
            .map(|o| Opinion { expert: o.expert, probability: o.probability })
            .collect()
    }

    /// Whether a load ahead may run beside what runs now: every demand has its memory and its lanes.
    fn has_lane_ahead(&self, now: Moment) -> bool {
        let loads = &self.config().loads;
        let (mut ahead, mut loading) = (0, 0);
        for (_, e) in self.scheduler.entries() {
            loading += usize::from(e.state() == ComponentState::Loading);
        }
        for t in self.scheduler.transactions() {
            if t.is_dormant(now) {
                continue;
            }
            if t.origin.is_speculative() {
                ahead += 1;
            } else if t.phase != Phase::Loading
                || t.closure.iter().any(|k| self.state(*k) == ComponentState::Queued)
            {
                return false;
            }
        }
        ahead < loads.preload_lanes() && loading < loads.lanes()
    }

    /// No load in flight, no demand waiting, the processor calm.
    fn is_idle(&self, now: Moment) -> bool {
        self.foresight.calm
            && self.scheduler.transactions().all(|t| t.is_dormant(now))
            && self.scheduler.entries().all(|(_, e)| e.state() != ComponentState::Loading)
    }

    fn load_ahead(&mut self, p: &Proposal, step: &mut Step<'_>) -> Attempt {
        let closure = self.catalog().closure(&[p.key]);
        let origin = Origin::Speculation { confidence: p.confidence };
        let ask = Ask {
            id: None,
            origin,
            closure: &closure,
            deadline: None,
            stated: stated(p),
            gives_up: &[],
        };
        let mut leased = BTreeMap::new();
        let (reserve, victims, awaits) = loop {
            let (reserve, victims, awaits) = match self.admit(ask, &leased, step.now) {
                Verdict::Start { reserve, victims, awaits, .. } => (reserve, victims, awaits),
                Verdict::Ready => return Attempt::Ended(HintOutcome::Present),
                Verdict::Refuse(Refusal::Conflict { .. }) => {
                    return Attempt::Ended(HintOutcome::Conflict);
                }
                Verdict::Blocked { holders, until, .. } => {
                    let stays = |h: &Holder| h.kind == HolderKind::JustLoaded;
                    return match until {
                        Some(t) if holders.iter().any(stays) => Attempt::Later(t),
                        _ => Attempt::Ended(HintOutcome::NoRoom),
                    };
                }
                Verdict::Refuse(Refusal::TooLarge { .. }) => {
                    return Attempt::Ended(HintOutcome::NoRoom);
                }
                Verdict::Refuse(_) | Verdict::Later { .. } => {
                    return Attempt::Ended(HintOutcome::Unavailable);
                }
            };
            // A guess must be able to go again for whoever asks for something else.
            if reserve.iter().any(|r| self.scheduler.is_never_evicted(r.0)) {
                return Attempt::Ended(HintOutcome::Unavailable);
            }
            // What is still on its way out is not brought back on a guess; what is loaded because nothing else
            // happens takes nobody's place.
            let leaving = reserve.iter().any(|r| self.state(r.0) == ComponentState::Unloading);
            if leaving || (p.tier == Tier::Background && !victims.is_empty()) {
                return Attempt::Ended(HintOutcome::NoRoom);
            }
            let ram = reserve.iter().filter(|r| !self.scheduler.budget().limit_of(r.1).declared);
            let bytes = ram.map(|r| r.2).sum();
            if let Some(until) = self.yields_until(bytes, &victims, step.now) {
                return Attempt::Later(until);
            }
            let in_use = self.close_all(&victims, step.cells);
            if in_use.is_empty() {
                break (reserve, victims, awaits);
            }
            // Plan again without them; each round learns of one more at least.
            leased.extend(in_use);
        };
        let priority = self.catalog().spec(p.key).map_or(Priority::Low, |s| s.priority);
        let deadline = step.now + self.patience(p.key);
        let bytes = reserve.iter().map(|r| r.2).sum();
        let request = Request::whole(origin, vec![p.key], priority, deadline);
        let id = self.scheduler.submit(request, step.now);
        self.note_victims(&victims, p.key, step);
        for key in victims {
            self.dismiss(key, Self::eviction_cause(origin), Some(id), step);
        }
        self.foresight.preloader.on_started(p, bytes, step.now);
        self.scheduler.activate(id, reserve, awaits, Vec::new(), step);
        Attempt::Ended(HintOutcome::Started)
    }

    /// Records why each victim was chosen.
    pub(crate) fn note_victims(
        &self,
        victims: &[ComponentKey],
        needed_by: ComponentKey,
        step: &mut Step<'_>,
    ) {
        if victims.is_empty() {
            return;
        }
        let tiers = self.scheduler.wanted_tiers(step.now);
        let groups: Vec<_> = victims.iter().map(|k| self.scheduler.live_group(*k)).collect();
        let candidates: Vec<_> =
            victims.iter().zip(&groups).map(|(k, g)| self.candidate(*k, g, &tiers)).collect();
        let values = self.values_of_groups(&candidates, &groups);
        for r in self.policy.rank(&candidates, &values, step.now) {
            let value = values.get(r.key);
            step.record(EventKind::Victim {
                component: r.key,
                policy: self.policy.name(),
                keep: r.keep,
                next: value.next,
                reuse: value.reuse,
                needed_by,
            });
        }
    }
}

/// What somebody else than the model says of a component's next use.
fn stated(p: &Proposal) -> Option<Confidence> {
    matches!(p.source, HintSource::Application | HintSource::Trigger).then_some(p.confidence)
}
