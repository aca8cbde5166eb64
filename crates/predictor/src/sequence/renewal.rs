//! The renewal expert: a component's own usual distance between uses, by commands or by time.
//!
//! Models each component's use as a renewal process: its hazard is counted in buckets of its age that
//! double in width, and drawn towards the hazard of all components where its own counts are few.

use serde::{Deserialize, Serialize};

/// Ages double from bucket to bucket.
const BUCKETS: usize = 20;
/// Share of a component's counts that stays at each command spent in the bucket.
const STAYS: f32 = 0.99;
/// The same for the counts over all components.
const STAYS_ALL: f32 = 0.998;
/// Weight of the hazard of all in a component's own, in commands.
const PRIOR: f32 = 8.0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Hazard {
    used: f32,
    exposed: f32,
}

impl Hazard {
    fn count(&mut self, used: bool, stays: f32) {
        self.used = self.used * stays + f32::from(u8::from(used));
        self.exposed = self.exposed * stays + 1.0;
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Renewal {
    /// By component, `BUCKETS` each.
    own: Vec<Hazard>,
    all: Vec<Hazard>,
    /// The bucket of each component at the last prediction.
    #[serde(skip)]
    bucket: Vec<u8>,
}

impl Default for Renewal {
    fn default() -> Self {
        Self {
            own: Vec::new(),
            all: vec![Hazard { used: 0.5, exposed: 10.0 }; BUCKETS],
            bucket: Vec::new(),
        }
    }
}

impl Renewal {
    /// `used` is sorted.
    pub(super) fn learn(&mut self, used: &[u32]) {
        for h in &mut self.all {
            h.used *= STAYS_ALL;
            h.exposed *= STAYS_ALL;
        }
        let mut used = used.iter().peekable();
        for (local, bucket) in self.bucket.iter().enumerate() {
            let hit = used.next_if(|u| **u as usize == local).is_some();
            let bucket = usize::from(*bucket);
            self.own[local * BUCKETS + bucket].count(hit, STAYS);
            self.all[bucket].count(hit, 1.0);
        }
    }

    pub(super) fn predict(&mut self, ages: impl Iterator<Item = f32>, p: &mut [f32]) {
        self.own.resize(p.len() * BUCKETS, Hazard::default());
        self.bucket.clear();
        for ((p, age), own) in p.iter_mut().zip(ages).zip(self.own.chunks_exact(BUCKETS)) {
            let bucket = ((1.0 + age).log2() as usize).min(BUCKETS - 1);
            self.bucket.push(bucket as u8);
            // Neighbours count half: buckets are narrow for components of few uses.
            let mut near = own[bucket];
            for side in [bucket.checked_sub(1), Some(bucket + 1)].into_iter().flatten() {
                if let Some(h) = own.get(side) {
                    near.used += 0.5 * h.used;
                    near.exposed += 0.5 * h.exposed;
                }
            }
            let all = self.all[bucket];
            let hazard = all.used / all.exposed.max(f32::MIN_POSITIVE);
            *p = (near.used + PRIOR * hazard) / (near.exposed + PRIOR);
        }
    }

    pub(super) fn is_sound(&self, n: usize) -> bool {
        let sound = |h: &Hazard| {
            h.used.is_finite() && h.exposed.is_finite() && h.used >= 0.0 && h.exposed >= 0.0
        };
        self.own.len() <= n * BUCKETS
            && self.all.len() == BUCKETS
            && self.own.iter().chain(&self.all).all(sound)
    }
}
