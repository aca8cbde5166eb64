//! The stack-depth expert: the number of other components used since, and how often such a depth was used again.
//!
//! Reuse by LRU stack depth is the classical model of Mattson et al. (1970). A second table learns the
//! depths separately by the depth of the last command, which distinguishes switching between two components from
//! moving through many.

use serde::{Deserialize, Serialize};

/// The greatest depth that is counted; deeper ones count as this depth.
const DEPTHS: usize = 128;
/// Classes of the last command's depth.
const CLASSES: usize = 6;
/// Share of the counts that stays at each command.
const STAYS: f32 = 0.995;
/// The same in the table of a class, at each of its visits.
const STAYS_IN_CLASS: f32 = 0.99;
/// Weight of the prior 1 / (1 + depth), in uses.
const PRIOR: f32 = 3.0;
/// Weight of the table over all classes in the table of a class.
const PRIOR_IN_CLASS: f32 = 8.0;
/// Counts below this become 0.
const GONE: f32 = 1e-12;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StackDepth {
    /// Components, latest first.
    order: Vec<u32>,
    /// Place of each component in `order`.
    depth: Vec<u32>,
    counts: Vec<f32>,
    by_class: Vec<Vec<f32>>,
    class: usize,
    #[serde(skip)]
    prefix: Vec<f32>,
}

impl Default for StackDepth {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            depth: Vec::new(),
            counts: vec![0.0; DEPTHS],
            by_class: vec![vec![0.0; DEPTHS]; CLASSES],
            class: 0,
            prefix: Vec::new(),
        }
    }
}

fn class_of(depth: usize) -> usize {
    match depth {
        0 | 1 => 0,
        2 => 1,
        3 | 4 => 2,
        5..=8 => 3,
        9..=20 => 4,
        _ => 5,
    }
}

fn decay(counts: &mut [f32], stays: f32) {
    for c in counts {
        *c = if *c > GONE { *c * stays } else { 0.0 };
    }
}

/// Means of the counts around a depth, over a window that grows with it, by running sums.
struct Smoothed<'a>(&'a [f32]);

impl<'a> Smoothed<'a> {
    fn new(counts: &[f32], prefix: &'a mut Vec<f32>) -> Self {
        prefix.clear();
        prefix.push(0.0);
        let mut sum = 0.0;
        prefix.extend(counts.iter().map(|c| {
            sum += c;
            sum
        }));
        Self(prefix)
    }

    fn total(&self) -> f32 {
        self.0[DEPTHS]
    }

    fn at(&self, depth: usize) -> f32 {
        let depth = depth.min(DEPTHS - 1);
        let reach = depth / 6;
        let (low, high) = (depth - reach, (depth + reach + 1).min(DEPTHS));
        (self.0[high] - self.0[low]).max(0.0) / (high - low) as f32
    }
}

impl StackDepth {
    pub(super) fn depth(&self, local: usize) -> usize {
        self.depth[local] as usize
    }

    pub(super) fn learn(&mut self, used: &[u32], n: usize) {
        let n_known = self.depth.len();
        decay(&mut self.counts, STAYS);
        let row = &mut self.by_class[self.class];
        let mut deepest = 0;
        let mut decayed = false;
        for local in used {
            let Some(depth) = self.depth.get(*local as usize) else {
                deepest = DEPTHS;
                continue;
            };
            let depth = (*depth as usize).min(DEPTHS - 1);
            self.counts[depth] += 1.0;
            if !std::mem::replace(&mut decayed, true) {
                decay(row, STAYS_IN_CLASS);
            }
            row[depth] += 1.0;
            deepest = deepest.max(depth);
        }
        self.class = class_of(deepest);
        self.depth.resize(n, 0);
        for local in used {
            let from = if (*local as usize) < n_known {
                self.depth[*local as usize] as usize
            } else {
                self.order.push(*local);
                self.order.len() - 1
            };
            // Earlier ones of this command have moved it down already.
            let from =
                self.order[from..].iter().position(|k| k == local).map_or(from, |d| from + d);
            self.order[..=from].rotate_right(1);
        }
        for (depth, local) in self.order.iter().enumerate() {
            self.depth[*local as usize] = depth as u32;
        }
    }

    pub(super) fn predict(&mut self, p: &mut [f32]) {
        let counts = Smoothed::new(&self.counts, &mut self.prefix);
        let harmonic: f32 = (1..=p.len()).map(|d| 1.0 / d as f32).sum();
        let total = counts.total() + PRIOR;
        for (p, depth) in p.iter_mut().zip(&self.depth) {
            let prior = 1.0 / ((1 + *depth) as f32 * harmonic);
            *p = (counts.at(*depth as usize) + PRIOR * prior) / total;
        }
    }

    /// `all` begins with what [`predict`](Self::predict) wrote.
    pub(super) fn predict_in_class(&mut self, all: &[f32], p: &mut [f32]) {
        let counts = Smoothed::new(&self.by_class[self.class], &mut self.prefix);
        let total = counts.total() + PRIOR_IN_CLASS;
        for ((p, all), depth) in p.iter_mut().zip(all).zip(&self.depth) {
            *p = (counts.at(*depth as usize) + PRIOR_IN_CLASS * all) / total;
        }
    }

    pub(super) fn is_sound(&self, n: usize) -> bool {
        let places = self.order.iter().enumerate();
        let counts =
            |c: &Vec<f32>| c.len() == DEPTHS && c.iter().all(|x| x.is_finite() && *x >= 0.0);
        self.order.len() == n
            && self.depth.len() == n
            && places.into_iter().all(|(d, l)| self.depth.get(*l as usize) == Some(&(d as u32)))
            && counts(&self.counts)
            && self.by_class.len() == CLASSES
            && self.by_class.iter().all(counts)
            && self.class < CLASSES
    }
}
