//! The shadow LRU: the hits that plain LRU on demand would have with the same uses and the same memory.
//!
//! Holds keys and sizes only. Invariant: the shadow's bytes never exceed its capacity.

use std::collections::VecDeque;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, StatusValue};

use crate::policy::PolicyEvent;

#[derive(Clone, Copy, Debug, Default)]
struct Real {
    loaded: Option<ByteSize>,
    /// It was loaded for a waiter, which waited for less than a load by so much: its next use is not a whole hit.
    awaited: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct ShadowLru {
    window: usize,
    margin: f64,
    capacity: ByteSize,
    /// The capacity follows the most that was ever loaded.
    follows: bool,
    /// Latest first.
    held: VecDeque<(ComponentKey, ByteSize)>,
    bytes: ByteSize,
    real: Vec<Real>,
    real_bytes: ByteSize,
    /// A use counts by the time its load takes.
    by_time: bool,
    /// The value of each of the last uses if it was a hit: of the shadow, of the real components, of either.
    outcomes: VecDeque<[u64; 3]>,
    /// Sums of the outcomes.
    sums: [u64; 3],
    /// Uses until the fallback ends.
    fallback: usize,
    fallbacks: u64,
}

impl ShadowLru {
    pub(super) fn new(
        window: usize,
        margin: f64,
        capacity: Option<ByteSize>,
        by_time: bool,
    ) -> Self {
        Self {
            window,
            margin,
            capacity: capacity.unwrap_or_default(),
            follows: capacity.is_none(),
            held: VecDeque::new(),
            bytes: ByteSize::ZERO,
            real: Vec::new(),
            real_bytes: ByteSize::ZERO,
            by_time,
            outcomes: VecDeque::new(),
            sums: [0; 3],
            fallback: 0,
            fallbacks: 0,
        }
    }

    /// Counts uses by the time their loads take from now on.
    pub(super) fn count_time(&mut self) {
        if !std::mem::replace(&mut self.by_time, true) {
            self.outcomes.clear();
            self.sums = [0; 3];
        }
    }

    pub(super) fn leads(&self) -> bool {
        self.fallback > 0
    }

    pub(super) fn set_capacity(&mut self, capacity: ByteSize) {
        (self.capacity, self.follows) = (capacity, false);
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.bytes > self.capacity
            && let Some((_, size)) = self.held.pop_back()
        {
            self.bytes = self.bytes - size;
        }
    }

    fn real(&mut self, key: ComponentKey) -> &mut Real {
        if self.real.len() <= key.index() {
            self.real.resize(key.index() + 1, Real::default());
        }
        &mut self.real[key.index()]
    }

    pub(super) fn on_event(&mut self, event: &PolicyEvent) {
        match *event {
            PolicyEvent::Loaded { key, size, speculative, saved, .. } => {
                let awaited = (!speculative).then_some(saved);
                let real = Real { loaded: Some(size), awaited };
                let before = std::mem::replace(self.real(key), real).loaded;
                self.real_bytes = self.real_bytes - before.unwrap_or_default() + size;
                if self.follows {
                    self.capacity = self.capacity.max(self.real_bytes);
                }
            }
            PolicyEvent::Unloaded { key, .. } => {
                let before = std::mem::take(self.real(key)).loaded;
                self.real_bytes = self.real_bytes - before.unwrap_or_default();
            }
            PolicyEvent::Used { key, size, load_time, .. } => self.used(key, size, load_time),
        }
    }

    fn used(&mut self, key: ComponentKey, size: ByteSize, load_time: Duration) {
        let real = self.real(key);
        let awaited = real.awaited.take();
        let is_loaded = real.loaded.is_some();
        let place = self.held.iter().position(|(k, _)| *k == key);
        if let Some((_, size)) = place.and_then(|place| self.held.remove(place)) {
            self.bytes = self.bytes - size;
        }
        self.held.push_front((key, size));
        self.bytes += size;
        self.shrink();
        let worth = if self.by_time { load_time.as_micros() as u64 } else { 1 };
        let real = match awaited {
            _ if !is_loaded => 0,
            None => worth,
            Some(saved) if self.by_time => (saved.as_micros() as u64).min(worth),
            Some(_) => 0,
        };
        self.judge([u64::from(place.is_some()) * worth, real, worth]);
    }

    /// Counts one use; at the end of a full window in which the shadow led, begins a fallback.
    fn judge(&mut self, outcome: [u64; 3]) {
        self.outcomes.push_back(outcome);
        for (sum, worth) in self.sums.iter_mut().zip(outcome) {
            *sum += worth;
        }
        if self.outcomes.len() > self.window
            && let Some(oldest) = self.outcomes.pop_front()
        {
            for (sum, worth) in self.sums.iter_mut().zip(oldest) {
                *sum -= worth;
            }
        }
        if self.fallback > 0 {
            self.fallback -= 1;
            if self.fallback == 0 {
                // V-rank gets a whole window to show what it can do.
                self.outcomes.clear();
                self.sums = [0; 3];
            }
        } else if self.outcomes.len() == self.window {
            let [shadow, real, all] = self.sums.map(|sum| sum as f64);
            if shadow - real > self.margin * all {
                self.fallback = self.window;
                self.fallbacks += 1;
            }
        }
    }

    pub(super) fn section(&self) -> Vec<(String, StatusValue)> {
        let [shadow, real, all] = self.sums.map(|sum| sum as f64);
        let share = |hits: f64| StatusValue::Number(if all > 0.0 { hits / all } else { 0.0 });
        vec![
            ("uses compared".to_owned(), StatusValue::Count(self.outcomes.len() as u64)),
            ("hit share".to_owned(), share(real)),
            ("hit share of a shadow LRU".to_owned(), share(shadow)),
            ("fallen back to LRU".to_owned(), StatusValue::Bool(self.fallback > 0)),
            ("fallbacks".to_owned(), StatusValue::Count(self.fallbacks)),
        ]
    }
}
