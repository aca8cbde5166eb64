//! Idle trimming and refill: what to unload when nothing was used for a while, and what to load again after that.
//!
//! Plans by the values and sizes that the caller passes; unloads and loads nothing itself. Invariant: a component
//! in use is never trimmed.

use majordomo_core::{ByteSize, ComponentKey, IdleConfig, Moment};

/// Watches for idleness and remembers what was trimmed.
#[derive(Clone, Debug)]
pub struct IdleTrim {
    config: IdleConfig,
    last_use: Option<Moment>,
    trimmed: Vec<ComponentKey>,
}

impl IdleTrim {
    /// Starts without a use. The caller decides, by the setting `trim`, whether to request plans.
    #[must_use]
    pub fn new(config: IdleConfig) -> Self {
        Self { config, last_use: None, trimmed: Vec::new() }
    }

    /// Replaces the settings; the record of trimmed components stays.
    pub fn set_config(&mut self, config: IdleConfig) {
        self.config = config;
    }

    /// Records a use of any component.
    pub fn on_used(&mut self, now: Moment) {
        self.last_use = self.last_use.max(Some(now));
    }

    /// The moment of the next plan; none between a plan and the next use.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Moment> {
        self.last_use.map(|last| last + self.config.after)
    }

    /// The components to unload: all of `loaded` (key, size, keep per byte; without components in use) but the most
    /// valuable per byte that fit in the share of `budget` beside `in_use`. Empty before the moment of the plan.
    pub fn plan(
        &mut self,
        now: Moment,
        budget: ByteSize,
        in_use: ByteSize,
        loaded: &[(ComponentKey, ByteSize, f64)],
    ) -> Vec<ComponentKey> {
        if self.next_wakeup().is_none_or(|wakeup| wakeup > now) {
            return Vec::new();
        }
        self.last_use = None;
        let mut order: Vec<_> = loaded.iter().collect();
        order.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
        let mut room = budget.scaled(self.config.keep_share).saturating_sub(in_use);
        let mut unloaded = Vec::new();
        for (key, size, _) in order {
            if *size <= room {
                room = room - *size;
            } else {
                unloaded.push(*key);
            }
        }
        // Components of an earlier plan that were not loaded again are still to be refilled.
        self.trimmed.retain(|k| !unloaded.contains(k) && loaded.iter().all(|l| l.0 != *k));
        self.trimmed.extend(&unloaded);
        unloaded
    }

    /// The components that were trimmed and are to be loaded again.
    #[must_use]
    pub fn trimmed(&self) -> &[ComponentKey] {
        &self.trimmed
    }

    /// Drops the trimmed components of which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(ComponentKey) -> bool) {
        self.trimmed.retain(|k| keep(*k));
    }

    /// Records that a component is loaded again, or need not be.
    pub fn on_back(&mut self, key: ComponentKey) {
        self.trimmed.retain(|k| *k != key);
    }
}
