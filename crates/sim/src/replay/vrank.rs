//! V-rank under replay: the production model, preloader and policy, wired as the engine wires them.
//!
//! Decides nothing itself; adds the order of calls only.

use std::time::Duration;

use majordomo_core::{
    ComponentKey, Confidence, IdleConfig, Moment, PressureLevel, Priority, SpeculationConfig,
    Values, WallSeconds,
};
use majordomo_memory::{
    Candidate, EvictionPolicy, PolicyEvent, Ranked, VRank, VRankConfig, VRankMode,
};
use majordomo_predictor::SequenceModel;
use majordomo_preloader::{Hint, HintSource, IdleTrim, Preloader, Proposal, Tier};

use super::budget::ReplayBudget;
use super::policy::{ReplayPolicy, TimerAction, View};

pub(super) struct VRankReplay {
    model: SequenceModel,
    values: Values,
    preloader: Preloader,
    policy: VRank,
    trim: Option<IdleTrim>,
    current: Option<ComponentKey>,
    /// The preloader's proposals after the last event.
    proposals: Vec<Proposal>,
}

impl VRankReplay {
    pub(super) fn new(mode: VRankMode, trim: Option<IdleConfig>, budget: ReplayBudget) -> Self {
        let config = VRankConfig { mode, capacity: Some(budget.total), ..VRankConfig::default() };
        let mut preloader = Preloader::new(&SpeculationConfig::default())
            .expect("the default settings are in range");
        preloader.set_weighted(mode == VRankMode::Wait);
        Self {
            model: SequenceModel::new(),
            values: Values::new(),
            preloader,
            policy: VRank::new(config),
            trim: trim.map(IdleTrim::new),
            current: None,
            proposals: Vec::new(),
        }
    }
}

impl ReplayPolicy for VRankReplay {
    fn rank(&self, candidates: &[Candidate], now: Moment) -> Vec<Ranked> {
        self.policy.rank(candidates, &self.values, now)
    }

    fn worth(&self, key: ComponentKey, load_time: Duration) -> f64 {
        self.policy.worth(self.values.get(key), load_time)
    }

    fn on_event(&mut self, event: &PolicyEvent) {
        self.policy.on_event(event);
        match *event {
            PolicyEvent::Loaded { key, at, size, load_time, speculative, .. } => {
                if let Some(trim) = &mut self.trim {
                    trim.on_back(key);
                }
                let proposal = self.proposals.iter().find(|p| p.key == key);
                if let Some(proposal) = proposal.filter(|_| speculative) {
                    self.preloader.on_started(proposal, size, at);
                    self.preloader.on_loaded(key, at + load_time);
                }
            }
            PolicyEvent::Used { key, at, .. } => {
                self.preloader.on_demand(&[key], at);
                self.preloader.on_used(key, at);
            }
            PolicyEvent::Unloaded { key, at, .. } => {
                self.preloader.on_evicted(key, at);
            }
            _ => {}
        }
    }

    fn observe(&mut self, x: ComponentKey, at: Moment, _view: &View<'_>) {
        self.model.observe(&[x], WallSeconds((at.0 / 1_000_000) as i64));
        self.model.refresh(&mut self.values);
        self.current = Some(x);
        if let Some(trim) = &mut self.trim {
            trim.on_used(at);
        }
    }

    fn predicted_rank(&mut self, x: ComponentKey) -> Option<Option<usize>> {
        let likeliest = self.model.likeliest(usize::MAX);
        let others = likeliest.iter().filter(|(key, _)| Some(*key) != self.current);
        Some(others.into_iter().position(|(key, _)| *key == x))
    }

    fn preloads(
        &mut self,
        view: &View<'_>,
        queue: &mut Vec<ComponentKey>,
        _touched: &mut Vec<ComponentKey>,
    ) {
        let now = Moment(view.at_us);
        let absent = |key: &ComponentKey| Some(*key) != view.current && !view.is_resident(*key);
        let hint = |key, confidence, source| Hint { key, confidence, tier: Tier::Delayed, source };
        let likeliest = self.model.likeliest(usize::MAX).into_iter();
        let mut hints: Vec<Hint> = likeliest
            .filter(|(key, _)| absent(key))
            .map(|(key, confidence)| {
                let stakes = self.policy.stakes(view.wait(key)) as f32;
                let confidence = Confidence::saturating(confidence.get() * stakes);
                hint(key, confidence, HintSource::Sequence)
            })
            .collect();
        if let Some(trim) = &self.trim {
            // A trimmed item was in memory for its value, so reuse soon is enough to load it again.
            let back = trim.trimmed().iter().filter(|key| absent(key));
            let reuse = |key: ComponentKey| self.values.get(key).reuse;
            hints.extend(back.map(|key| hint(*key, reuse(*key), HintSource::Refill)));
        }
        self.preloader.observe(&hints, now);
        self.proposals.clear();
        let due = self.preloader.next_wakeup(now).unwrap_or(now);
        while let Some(proposal) = self.preloader.next(due, true, PressureLevel::Low) {
            self.proposals.push(proposal);
        }
        queue.extend(self.proposals.iter().map(|p| p.key));
    }

    fn admits(&mut self, key: ComponentKey, victims: &[ComponentKey], view: &View<'_>) -> bool {
        let lost = |key: &ComponentKey| self.worth(*key, view.wait_if_evicted(*key));
        self.policy.pays(self.worth(key, view.wait(key)), victims.iter().map(lost).sum())
    }

    fn next_timer(&self) -> Option<Moment> {
        self.trim.as_ref().and_then(IdleTrim::next_wakeup)
    }

    fn fire(&mut self, now: Moment, view: &View<'_>) -> Vec<TimerAction> {
        let idle: Vec<_> = view.resident().filter(|key| Some(*key) != view.current).collect();
        let candidate = |key: &ComponentKey| Candidate {
            key: *key,
            priority: Priority::Medium,
            size: view.size(*key),
            worth: self.worth(*key, view.wait_if_evicted(*key)),
            last_use: Moment::ZERO,
            uses: 0,
            speculative: false,
        };
        let candidates: Vec<_> = idle.iter().map(candidate).collect();
        let ranked = self.policy.rank(&candidates, &self.values, now);
        let loaded: Vec<_> =
            ranked.iter().zip(&candidates).map(|(r, c)| (r.key, c.size, r.keep)).collect();
        let Some(trim) = &mut self.trim else { return Vec::new() };
        let in_use = view.current.map_or_else(Default::default, |key| view.size(key));
        let trimmed = trim.plan(now, view.budget(), in_use, &loaded);
        trimmed.into_iter().map(TimerAction::Unload).collect()
    }
}
