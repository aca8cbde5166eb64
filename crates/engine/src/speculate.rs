//! Loading ahead: hints become speculative transactions when nothing that somebody waits for could use
//! the lane or the bytes.

use majordomo_core::{ComponentKey, ComponentState, Confidence, EventKind, HintOutcome};
use majordomo_lifecycle::{Cells, Origin, Out, Verdict};

use crate::Engine;

/// A component that is likely to be needed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hint {
    pub key: ComponentKey,
    pub confidence: Confidence,
}

impl Engine {
    pub(crate) fn hint(&mut self, key: ComponentKey, confidence: Confidence, out: &mut Out<'_>) {
        let limits = &self.config().speculation;
        let (floor, capacity) = (limits.floor, limits.queue);
        let present = |s| {
            matches!(s, ComponentState::Ready | ComponentState::Loading | ComponentState::Queued)
        };
        let refused = if self.catalog().spec(key).is_none() {
            Some(HintOutcome::Unavailable)
        } else if !self.config().speculation.enabled || self.ending.is_some() {
            Some(HintOutcome::Forbidden)
        } else if confidence < floor {
            Some(HintOutcome::BelowFloor)
        } else if present(self.state(key)) {
            Some(HintOutcome::Present)
        } else {
            None
        };
        if let Some(outcome) = refused {
            out.record(EventKind::Hint { component: key, confidence, outcome });
            return;
        }
        // A newer hint for the same component replaces the older one.
        self.hints.retain(|h| h.key != key);
        self.hints.push(Hint { key, confidence });
        self.hints.sort_by(|a, b| b.confidence.cmp(&a.confidence).then(a.key.cmp(&b.key)));
        if self.hints.len() > capacity
            && let Some(least) = self.hints.pop()
        {
            let outcome = HintOutcome::Dropped;
            out.record(EventKind::Hint {
                component: least.key,
                confidence: least.confidence,
                outcome,
            });
        }
        self.scheduler.touch();
    }

    /// Starts what was hinted at, the likeliest first, while lanes are free and no demand waits.
    pub(crate) fn speculate(&mut self, cells: &mut dyn Cells, out: &mut Out<'_>) {
        if self.hints.is_empty() {
            return;
        }
        if !self.may_speculate() {
            for h in std::mem::take(&mut self.hints) {
                let outcome = HintOutcome::Forbidden;
                out.record(EventKind::Hint { component: h.key, confidence: h.confidence, outcome });
            }
            return;
        }
        let loads = &self.config().loads;
        let lanes = loads.max_concurrent.saturating_sub(loads.kept_for_demands);
        while !self.hints.is_empty() {
            let demands = self.scheduler.transactions().any(|t| !t.origin.is_speculative());
            let ahead = self.scheduler.transactions().filter(|t| t.origin.is_speculative()).count();
            if demands || ahead >= lanes {
                return;
            }
            let h = self.hints.remove(0);
            let outcome = self.load_ahead(h, cells, out);
            out.record(EventKind::Hint { component: h.key, confidence: h.confidence, outcome });
        }
    }

    fn load_ahead(&mut self, h: Hint, cells: &mut dyn Cells, out: &mut Out<'_>) -> HintOutcome {
        let closure = self.catalog().closure(&[h.key]);
        let verdict =
            self.admit(Self::ask_ahead(&closure, h.confidence), &Default::default(), out.now);
        let Verdict::Start { reserve, victims, awaits, .. } = verdict else {
            return match verdict {
                Verdict::Ready => HintOutcome::Present,
                Verdict::Refuse(majordomo_core::Refusal::Conflict { .. }) => HintOutcome::Conflict,
                Verdict::Refuse(majordomo_core::Refusal::TooLarge { .. }) => HintOutcome::NoRoom,
                Verdict::Refuse(_) => HintOutcome::Unavailable,
                _ => HintOutcome::NoRoom,
            };
        };
        // What is still on its way out is not brought back on a guess.
        if reserve.iter().any(|r| self.state(r.0) == ComponentState::Unloading) {
            return HintOutcome::NoRoom;
        }
        if !self.close_all(&victims, cells).is_empty() {
            return HintOutcome::NoRoom;
        }
        let priority =
            self.catalog().spec(h.key).map_or(majordomo_core::Priority::Low, |s| s.priority);
        let deadline = out.now + self.config().deadlines.load;
        let origin = Origin::Speculation { confidence: h.confidence };
        let id = self.scheduler.submit(origin, vec![h.key], priority, out.now, deadline);
        for key in victims {
            self.dismiss(key, Self::eviction_cause(origin), Some(id), cells, out);
        }
        self.scheduler.activate(id, reserve, awaits, &mut self.budget, out);
        HintOutcome::Started
    }
}
