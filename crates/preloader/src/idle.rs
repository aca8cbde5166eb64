//! Idle trimming and refill: what goes when nothing is used for a while, and what comes back after.
//!
//! Knows worths and sizes that it is given; unloads and loads nothing itself. Invariant: what is in use
//! is never planned to go.

use majordomo_core::{ByteSize, ComponentKey, IdleConfig, Moment};

/// Watches for idleness and remembers what was trimmed.
#[derive(Clone, Debug)]
pub struct IdleTrim {
    config: IdleConfig,
    last_use: Option<Moment>,
    trimmed: Vec<ComponentKey>,
}

impl IdleTrim {
    /// One that has seen nothing. Whether it is asked for a plan, `trim` says, is up to the caller.
    #[must_use]
    pub fn new(config: IdleConfig) -> Self {
        Self { config, last_use: None, trimmed: Vec::new() }
    }

    /// Takes other settings; what was trimmed stays remembered.
    pub fn set_config(&mut self, config: IdleConfig) {
        self.config = config;
    }

    /// Something was used.
    pub fn on_used(&mut self, now: Moment) {
        self.last_use = self.last_use.max(Some(now));
    }

    /// When it wants to be asked for a plan; none after it was, until the next use.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Moment> {
        self.last_use.map(|last| last + self.config.after)
    }

    /// What goes now: all of `loaded` (key, size, keep per byte; without what is in use) but the most
    /// valuable per byte that fit in the share of `budget` that `in_use` leaves. Empty before its time.
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
        let mut gone = Vec::new();
        for (key, size, _) in order {
            if *size <= room {
                room = room - *size;
            } else {
                gone.push(*key);
            }
        }
        // What an earlier idle time took and nothing brought back since is still wanted back.
        self.trimmed.retain(|k| !gone.contains(k) && loaded.iter().all(|l| l.0 != *k));
        self.trimmed.extend(&gone);
        gone
    }

    /// What was trimmed and is wanted back.
    #[must_use]
    pub fn trimmed(&self) -> &[ComponentKey] {
        &self.trimmed
    }

    /// Only these may come back.
    pub fn retain(&mut self, keep: impl Fn(ComponentKey) -> bool) {
        self.trimmed.retain(|k| keep(*k));
    }

    /// It is loaded again, or no longer wanted.
    pub fn on_back(&mut self, key: ComponentKey) {
        self.trimmed.retain(|k| *k != key);
    }
}
