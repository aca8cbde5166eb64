//! The read ahead of files: whose files are brought into the system's cache before a load needs them.
//!
//! Decides by key alone: which files a component has, and which of their bytes are missing, is the shell's business.
//! Nothing is booked. Invariants: no speculative read under memory pressure or beside a demanded load; no component is asked for
//! again speculatively while its files are likely still cached; the files of each demanded load are asked for once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use majordomo_core::{
    ComponentKey, ComponentState, Confidence, Moment, PressureLevel, Rung, StatusValue,
};
use majordomo_lifecycle::{Effect, Phase, Step};

use crate::Engine;

/// Files that were read, or used by a component, this long ago are taken as still cached.
const CACHED_FOR: Duration = Duration::from_secs(10 * 60);
/// Files that were read ahead are useful when their component is loaded within this time.
const USEFUL_FOR: Duration = Duration::from_secs(3600);
/// Components whose files are read ahead after one command, with those that they need.
const PER_COMMAND: usize = 3;
/// The weight of earlier outcomes after each new one.
const DECAY: f64 = 0.98;

/// The components whose files were read ahead, and the outcomes.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    /// When files of a component were last read or used.
    cached: BTreeMap<ComponentKey, Moment>,
    /// Read ahead speculatively, no load since.
    open: BTreeMap<ComponentKey, Moment>,
    /// A command ended: its likely successors are looked at.
    due: bool,
    /// Speculative reads that may run, or may have ended: no input reports their ends.
    running: BTreeSet<ComponentKey>,
    /// Members of demanded loads whose files were asked for.
    demanded: BTreeSet<ComponentKey>,
    /// Decayed counts, which raise the floor.
    useful: f64,
    wasted: f64,
    n_useful: u64,
    n_wasted: u64,
}

impl ReadAhead {
    /// New predictions were made.
    pub(crate) fn predicted(&mut self) {
        self.due = true;
    }

    fn is_cached(&self, key: ComponentKey, now: Moment) -> bool {
        self.cached.get(&key).is_some_and(|at| now.since(*at) < CACHED_FOR)
    }

    /// A component was loaded or unloaded: its files are cached.
    pub(crate) fn used(&mut self, key: ComponentKey, now: Moment) {
        self.cached.insert(key, now);
        self.expire(now);
        if self.open.remove(&key).is_some() {
            self.ended(true);
        }
    }

    /// Speculative reads end. None of them is known to have read all, so their files are not taken as cached. Whether any may
    /// run.
    fn stop(&mut self) -> bool {
        let running = std::mem::take(&mut self.running);
        for key in running.iter().filter(|key| self.open.contains_key(key)) {
            self.cached.remove(key);
        }
        !running.is_empty()
    }

    fn ended(&mut self, useful: bool) {
        (self.useful, self.wasted) = (self.useful * DECAY, self.wasted * DECAY);
        if useful {
            (self.useful, self.n_useful) = (self.useful + 1.0, self.n_useful + 1);
        } else {
            (self.wasted, self.n_wasted) = (self.wasted + 1.0, self.n_wasted + 1);
        }
    }

    fn expire(&mut self, now: Moment) {
        let n_before = self.open.len();
        self.open.retain(|_, at| now.since(*at) <= USEFUL_FOR);
        for _ in self.open.len()..n_before {
            self.ended(false);
        }
    }

    /// The probability from which files are read ahead: the configured one, raised while more than half as much was wasted as
    /// was useful.
    fn floor(&self, configured: Confidence) -> Confidence {
        let factor = ((1.0 + 2.0 * self.wasted) / (1.0 + self.useful)).max(1.0);
        Confidence::saturating(configured.get() * factor as f32)
    }

    /// How many reads were useful, and how many wasted.
    pub(crate) fn outcomes(&self) -> (u64, u64) {
        (self.n_useful, self.n_wasted)
    }

    pub(crate) fn section(&self, configured: Confidence) -> Vec<(String, StatusValue)> {
        vec![
            ("floor".to_owned(), StatusValue::Number(self.floor(configured).get().into())),
            ("components: useful".to_owned(), StatusValue::Count(self.n_useful)),
            ("components: wasted".to_owned(), StatusValue::Count(self.n_wasted)),
            ("components: open".to_owned(), StatusValue::Count(self.open.len() as u64)),
        ]
    }
}

impl Engine {
    /// How many components whose files were read ahead were loaded within an hour, and how many were not.
    #[must_use]
    pub fn read_ahead_outcomes(&self) -> (u64, u64) {
        self.read_ahead.outcomes()
    }

    /// Files of demanded loads are read at once, those of likely components when there is nothing to disturb.
    pub(crate) fn read_ahead_files(&mut self, step: &mut Step<'_>) {
        let due = std::mem::take(&mut self.read_ahead.due);
        if !self.config().read_ahead.enabled || self.ending.is_some() {
            return;
        }
        let may_speculate = self.scheduler.pressure() == PressureLevel::Low
            && self.scheduler.transactions().all(|t| t.origin.is_speculative());
        if !may_speculate && self.read_ahead.stop() {
            step.push(Effect::StopReadAhead);
        }
        self.read_demanded_files(step);
        if due && may_speculate && self.config().speculation.enabled {
            self.read_ahead.expire(step.now);
            for key in self.likely_loads(step.now) {
                let (files, now) = (&mut self.read_ahead, step.now);
                if !files.is_cached(key, now) {
                    files.cached.insert(key, now);
                    files.open.insert(key, now);
                    files.running.insert(key);
                    step.push(Effect::ReadAhead { key, speculative: true });
                }
            }
        }
    }

    /// Whatever was read before: the shell sees what the cache still has, and an earlier read may have been cut short.
    fn read_demanded_files(&mut self, step: &mut Step<'_>) {
        let loads = self.demanded_loads();
        let before = std::mem::take(&mut self.read_ahead.demanded);
        for key in loads {
            if self.read_ahead.demanded.insert(key) && !before.contains(&key) {
                self.read_ahead.cached.insert(key, step.now);
                step.push(Effect::ReadAhead { key, speculative: false });
            }
        }
    }

    /// Members of demanded closures that are loaded from nothing, or wait for their providers or a lane.
    fn demanded_loads(&self) -> Vec<ComponentKey> {
        let is_cold = |k: &ComponentKey| {
            matches!(
                self.state(*k),
                ComponentState::Queued { from: Rung::Gone }
                    | ComponentState::Loading { from: Rung::Gone }
            )
        };
        let demanded = self.scheduler.transactions();
        let demanded = demanded.filter(|t| !t.origin.is_speculative() && t.phase == Phase::Loading);
        demanded.flat_map(|t| t.closure.iter().copied().filter(is_cold)).collect()
    }

    /// Components that are likely next and unloaded, with the unloaded ones that they need, the likeliest first.
    fn likely_loads(&self, now: Moment) -> Vec<ComponentKey> {
        let floor = self.read_ahead.floor(self.config().read_ahead.floor);
        let is_gone = |k: &ComponentKey| self.state(*k) == ComponentState::UNLOADED;
        let next = |k: ComponentKey| self.forecaster.values().get(k).next;
        let catalog = self.catalog();
        let mut likely: Vec<_> = catalog
            .keys()
            .filter(|k| catalog.spec(*k).is_some() && is_gone(k) && next(*k) >= floor)
            .filter(|k| !self.read_ahead.is_cached(*k, now))
            .collect();
        likely.sort_by(|a, b| next(*b).cmp(&next(*a)).then(a.cmp(b)));
        likely.truncate(PER_COMMAND);
        likely.into_iter().flat_map(|k| catalog.closure(&[k])).filter(is_gone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ComponentKey = ComponentKey(3);

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn read_is_useful_when_its_component_is_loaded_within_an_hour_and_else_wasted() {
        for (loaded_after, outcomes) in [(3600, (1, 0)), (3601, (0, 1))] {
            let mut files = ReadAhead::default();
            files.open.insert(KEY, at(0));
            files.used(KEY, at(loaded_after));
            assert_eq!(files.outcomes(), outcomes, "{loaded_after} s");
        }
    }

    #[test]
    fn floor_rises_with_waste_and_falls_again_with_use() {
        let mut files = ReadAhead::default();
        let configured = Confidence::saturating(0.1);
        let floor = |files: &ReadAhead| files.floor(configured).get();
        assert_eq!(floor(&files), 0.1);
        (0..3).for_each(|_| files.ended(false));
        assert!(floor(&files) > 0.35, "{}", floor(&files));
        (0..9).for_each(|_| files.ended(true));
        assert_eq!(floor(&files), 0.1);
    }
}
