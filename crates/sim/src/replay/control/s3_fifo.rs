//! S3-FIFO (Yang et al., SOSP 2023): a small queue for newcomers, a main queue, and a ghost of names.
//!
//! Invariant: a loaded item is in exactly one of the queues and not in the ghost.

use std::collections::VecDeque;

use majordomo_core::{ByteSize, ComponentKey, Moment, Values};
use majordomo_memory::{Candidate, EvictionPolicy, PolicyEvent, Ranked};

use super::slot;

/// The small queue gets one part in so many of the budget.
const SMALL_SHARE: u64 = 10;
/// The counter of uses saturates here.
const MAX_FREQUENCY: u8 = 3;
/// Newcomers used more often than this move to the main queue.
const PROMOTE_ABOVE: u8 = 1;

#[derive(Clone, Debug)]
pub(in super::super) struct S3Fifo {
    small_limit: u64,
    small: VecDeque<ComponentKey>,
    main: VecDeque<ComponentKey>,
    ghost: VecDeque<ComponentKey>,
    small_bytes: u64,
    sizes: Vec<u64>,
    frequency: Vec<u8>,
}

impl S3Fifo {
    pub(in super::super) fn new(total: ByteSize) -> Self {
        Self {
            small_limit: total.0 / SMALL_SHARE,
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghost: VecDeque::new(),
            small_bytes: 0,
            sizes: Vec::new(),
            frequency: Vec::new(),
        }
    }

    /// Removes the next victim from its queue; a newcomer's name is put into the ghost.
    fn evict(&mut self) -> Option<ComponentKey> {
        loop {
            let from_small = !self.small.is_empty()
                && (self.small_bytes > self.small_limit || self.main.is_empty());
            if from_small {
                let key = self.small.pop_front()?;
                self.small_bytes -= self.sizes[key.index()];
                if self.frequency[key.index()] > PROMOTE_ABOVE {
                    self.frequency[key.index()] = 0;
                    self.main.push_back(key);
                } else {
                    self.ghost.push_back(key);
                    while self.ghost.len() > self.main.len().max(4) {
                        self.ghost.pop_front();
                    }
                    return Some(key);
                }
            } else {
                let key = self.main.pop_front()?;
                let frequency = &mut self.frequency[key.index()];
                if *frequency == 0 {
                    return Some(key);
                }
                *frequency -= 1;
                self.main.push_back(key);
            }
        }
    }

    fn forget(&mut self, key: ComponentKey) {
        if let Some(i) = self.small.iter().position(|k| *k == key) {
            self.small.remove(i);
            self.small_bytes -= self.sizes[key.index()];
        }
        self.main.retain(|k| *k != key);
    }
}

impl EvictionPolicy for S3Fifo {
    fn name(&self) -> &'static str {
        "s3-fifo"
    }

    fn on_event(&mut self, event: &PolicyEvent) {
        match *event {
            PolicyEvent::Loaded { key, size, .. } => {
                *slot(&mut self.sizes, key.index()) = size.0;
                // The use that a load on demand is for counts as the insertion.
                *slot(&mut self.frequency, key.index()) = u8::MAX;
                if let Some(i) = self.ghost.iter().position(|k| *k == key) {
                    self.ghost.remove(i);
                    self.main.push_back(key);
                } else {
                    self.small.push_back(key);
                    self.small_bytes += size.0;
                }
            }
            PolicyEvent::Used { key, .. } => {
                let frequency = slot(&mut self.frequency, key.index());
                *frequency =
                    if *frequency == u8::MAX { 0 } else { (*frequency + 1).min(MAX_FREQUENCY) };
            }
            PolicyEvent::Unloaded { key, evicted, .. } => {
                // Repeats the walk that `rank` made on a copy. A victim out of that order is only removed.
                let walked = evicted && self.evict() == Some(key);
                if !walked {
                    self.forget(key);
                }
            }
            _ => {}
        }
    }

    fn rank(&self, candidates: &[Candidate], _values: &Values, _now: Moment) -> Vec<Ranked> {
        let mut walk = self.clone();
        let mut order = vec![f64::MAX; self.sizes.len()];
        let mut place = 0.0;
        while let Some(key) = walk.evict() {
            order[key.index()] = place;
            place += 1.0;
        }
        candidates.iter().map(|c| Ranked { key: c.key, keep: order[c.key.index()] }).collect()
    }
}
