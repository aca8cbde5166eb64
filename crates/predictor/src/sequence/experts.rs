//! All experts, their shared state, and their order of rows in the features.
//!
//! Every expert gives each known component a probability of being in the next command. Invariant:
//! `predict` writes one row of natural logarithms for each name in [`EXPERT_NAMES`], in that order.

use majordomo_core::WallSeconds;
use serde::{Deserialize, Serialize};

use super::context::{ContextTable, mix};
use super::frequency::Frequency;
use super::recency::StackDepth;
use super::renewal::Renewal;

/// Rows of the features.
pub(super) const N_EXPERTS: usize = EXPERT_NAMES.len();

/// Names for `why`.
pub(super) const EXPERT_NAMES: [&str; 27] = [
    "recency",
    "recency after such a jump",
    "frequency, 8 commands",
    "frequency, 32 commands",
    "frequency, 128 commands",
    "frequency, 512 commands",
    "frequency, 10 minutes",
    "frequency, 4 hours",
    "frequency, 3 days",
    "after the last command",
    "after the last command, of late",
    "after the last 2 commands",
    "after the last 3 commands",
    "after the last 4 commands",
    "after the last 6 commands",
    "two after the last but one",
    "after the last command and such a pause",
    "after the last command at this time of day",
    "at this time of day",
    "after these 3 commands in any order",
    "after the last and the last but two",
    "after such a pause",
    "after the last command, given what followed it last",
    "after the last command, given what followed it the last 2 times",
    "usual commands between uses",
    "usual time between uses",
    "in use now",
];

/// Row of the frequency that contexts without followers back off to.
const BASE_ROW: usize = 4;
/// First row of the frequencies, used by the reuse head too.
pub(super) const FREQUENCY_ROW: usize = 2;
/// Frequencies by commands and by time.
pub(super) const N_FREQUENCIES: usize = 7;
/// First row of the contexts.
const CONTEXT_ROW: usize = 9;
/// Row of the time of day alone.
pub(super) const SLOT_ROW: usize = 18;
/// Added to probabilities before the logarithm.
const FLOOR: f32 = 1e-5;

const HALF_LIVES_COMMANDS: [f32; 4] = [8.0, 32.0, 128.0, 512.0];
const HALF_LIVES_SECONDS: [f32; 3] = [600.0, 4.0 * 3600.0, 3.0 * 86_400.0];
/// Per context: the share of its counts that stays at each visit, and the row it backs off to.
const CONTEXTS: [(f32, usize); 15] = [
    (1.0, BASE_ROW),
    (0.8, BASE_ROW),
    (0.95, CONTEXT_ROW),
    (0.95, CONTEXT_ROW + 2),
    (0.95, CONTEXT_ROW + 3),
    (0.95, CONTEXT_ROW + 4),
    (0.95, BASE_ROW),
    (0.95, CONTEXT_ROW),
    (0.95, CONTEXT_ROW),
    (0.98, BASE_ROW),
    (0.95, CONTEXT_ROW),
    (0.95, CONTEXT_ROW),
    (0.99, BASE_ROW),
    (0.95, CONTEXT_ROW),
    (0.95, CONTEXT_ROW + 13),
];

/// Commands remembered as contexts.
const HISTORY: usize = 6;

/// The moment of a prediction.
pub(super) struct Now {
    pub(super) step: u64,
    pub(super) at: i64,
}

/// All experts and their shared state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Experts {
    steps: u64,
    at: i64,
    /// Seconds between the last two commands.
    gap: u64,
    /// Hashes of the last commands' sets, latest first.
    history: [u64; HISTORY],
    /// The components of the last command.
    current: Vec<u32>,
    /// By component: step and time of its last use, and uses.
    last_step: Vec<u64>,
    last_at: Vec<i64>,
    uses: Vec<u32>,
    recency: StackDepth,
    by_commands: [Frequency; 4],
    by_seconds: [Frequency; 3],
    contexts: Vec<ContextTable>,
    /// The contexts of the last prediction.
    #[serde(skip)]
    active: [u64; CONTEXTS.len()],
    /// The followers of each command, as contexts.
    followed: super::context::Followed,
    renewal_commands: Renewal,
    renewal_seconds: Renewal,
}

impl Default for Experts {
    fn default() -> Self {
        Self {
            steps: 0,
            at: 0,
            gap: 0,
            history: [0; HISTORY],
            current: Vec::new(),
            last_step: Vec::new(),
            last_at: Vec::new(),
            uses: Vec::new(),
            recency: StackDepth::default(),
            by_commands: Default::default(),
            by_seconds: Default::default(),
            contexts: vec![ContextTable::default(); CONTEXTS.len()],
            active: [0; CONTEXTS.len()],
            followed: Default::default(),
            renewal_commands: Renewal::default(),
            renewal_seconds: Renewal::default(),
        }
    }
}

impl Experts {
    /// Commands learned.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Commands since the last use of a component: 0 = the last command.
    pub(super) fn age(&self, local: usize) -> u64 {
        self.steps - self.last_step[local]
    }

    /// Seconds since its last use.
    pub(super) fn seconds(&self, local: usize, now: &Now) -> f32 {
        now.at.saturating_sub(self.last_at[local]).max(0) as f32
    }

    /// Its total number of uses.
    pub(super) fn uses(&self, local: usize) -> u32 {
        self.uses[local]
    }

    /// Number of other components used since its last use.
    pub(super) fn depth(&self, local: usize) -> usize {
        self.recency.depth(local)
    }

    /// Learns a command. `used` is sorted, without repeats, not empty, and below `n`.
    pub(super) fn learn(&mut self, used: &[u32], at: WallSeconds, n: usize) {
        if self.steps > 0 {
            for ((table, key), (stays, _)) in
                self.contexts.iter_mut().zip(self.active).zip(CONTEXTS)
            {
                table.learn(key, used, stays, self.steps);
            }
        }
        self.followed.learn(self.history[0], hash_of(used), self.steps + 1);
        self.advance(used, at, n);
    }

    /// Records a command in everything but the followers of contexts: counts of use, and the position in the sequence.
    fn advance(&mut self, used: &[u32], at: WallSeconds, n: usize) {
        self.last_step.resize(n, 0);
        self.last_at.resize(n, 0);
        self.uses.resize(n, 0);
        let first = self.steps == 0;
        let gap = if first { 0 } else { at.0.saturating_sub(self.at).max(0) };
        if !first {
            self.renewal_commands.learn(used);
            self.renewal_seconds.learn(used);
        }
        self.recency.learn(used, n);
        for (f, half_life) in self.by_commands.iter_mut().zip(HALF_LIVES_COMMANDS) {
            f.learn(used, n, 0.5f32.powf(1.0 / half_life));
        }
        for (f, half_life) in self.by_seconds.iter_mut().zip(HALF_LIVES_SECONDS) {
            f.learn(used, n, 0.5f32.powf(gap as f32 / half_life));
        }
        self.steps += 1;
        self.at = if first { at.0 } else { self.at.max(at.0) };
        self.gap = gap as u64;
        for local in used {
            let local = *local as usize;
            self.uses[local] = self.uses[local].saturating_add(1);
            self.last_step[local] = self.steps;
            self.last_at[local] = self.at;
        }
        self.history.rotate_right(1);
        self.history[0] = hash_of(used);
        self.current.clear();
        self.current.extend_from_slice(used);
    }

    /// Calls `look` with the experts as they would be after a command, without learning from it. The large tables
    /// are lent, not copied: O(components).
    pub(super) fn imagine<R>(
        &mut self,
        used: &[u32],
        at: WallSeconds,
        look: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let contexts = std::mem::take(&mut self.contexts);
        let followed = std::mem::take(&mut self.followed);
        let mut then = Self { contexts, followed, ..self.clone() };
        then.advance(used, at, self.last_step.len());
        let seen = look(&mut then);
        (self.contexts, self.followed) = (then.contexts, then.followed);
        seen
    }

    /// The contexts of the next command, in the order of [`CONTEXTS`].
    fn contexts_now(&self) -> [u64; CONTEXTS.len()] {
        let h = &self.history;
        let order = |n: usize| h[..n].iter().fold(mix(1, 0), |c, x| mix(c, *x));
        let two_hours = self.at.rem_euclid(86_400) as u64 / 7200;
        // Pauses in classes of a factor of four: 0–1 s, 2–7 s, 8–31 s, …
        let pause = u64::from(64 - (self.gap / 2).leading_zeros()).div_ceil(2);
        let last = mix(2, h[0]);
        let mut three = [h[0], h[1], h[2]];
        three.sort_unstable();
        let [followed, followed_before] = self.followed.of(h[0]);
        [
            order(1),
            order(1),
            order(2),
            order(3),
            order(4),
            order(6),
            mix(3, h[1]),
            mix(mix(4, last), pause),
            mix(mix(5, last), two_hours / 2),
            mix(6, two_hours),
            three.iter().fold(7, |c, x| mix(c, *x)),
            mix(mix(8, last), h[2]),
            mix(9, pause),
            mix(mix(10, last), followed),
            mix(mix(mix(11, last), followed), followed_before),
        ]
    }

    /// Writes the logarithms of every expert's probabilities for `n` components.
    pub(super) fn predict(&mut self, n: usize, features: &mut Vec<f32>) -> Now {
        let now = Now { step: self.steps, at: self.at };
        features.clear();
        features.resize(n * N_EXPERTS, 0.0);
        let mut row = 0;
        let mut next_row = |features: &mut Vec<f32>, fill: &mut dyn FnMut(&[f32], &mut [f32])| {
            let (before, rest) = features.split_at_mut(row * n);
            fill(before, &mut rest[..n]);
            row += 1;
        };
        let recency = &mut self.recency;
        next_row(features, &mut |_, p| recency.predict(p));
        next_row(features, &mut |before, p| recency.predict_in_class(before, p));
        for f in self.by_commands.iter().chain(&self.by_seconds) {
            next_row(features, &mut |_, p| f.predict(p));
        }
        self.active = self.contexts_now();
        for ((table, key), (_, back_off)) in self.contexts.iter().zip(self.active).zip(CONTEXTS) {
            next_row(features, &mut |before, p| {
                table.predict(key, &before[back_off * n..(back_off + 1) * n], p);
            });
        }
        let commands = self.last_step.iter().map(|last| (now.step - last) as f32);
        next_row(features, &mut |_, p| self.renewal_commands.predict(commands.clone(), p));
        let seconds = self.last_at.iter().map(|last| now.at.saturating_sub(*last).max(0) as f32);
        next_row(features, &mut |_, p| self.renewal_seconds.predict(seconds.clone(), p));
        let (probabilities, in_use) = features.split_at_mut((N_EXPERTS - 1) * n);
        for p in probabilities {
            *p = (*p + FLOOR).ln();
        }
        for local in &self.current {
            in_use[*local as usize] = 1.0;
        }
        now
    }

    /// Whether a state that was read has tables of equal lengths and finite numbers.
    pub(super) fn is_sound(&self, n: usize) -> bool {
        let lengths = [self.last_step.len(), self.last_at.len(), self.uses.len()];
        lengths == [n; 3]
            && self.last_step.iter().all(|s| *s <= self.steps)
            && self.current.iter().all(|l| (*l as usize) < n)
            && self.recency.is_sound(n)
            && self.by_commands.iter().chain(&self.by_seconds).all(|f| f.is_sound(n))
            && self.contexts.len() == CONTEXTS.len()
            && self.contexts.iter().all(|t| t.is_sound(n))
            && self.renewal_commands.is_sound(n)
            && self.renewal_seconds.is_sound(n)
    }
}

/// A command as a part of contexts.
fn hash_of(used: &[u32]) -> u64 {
    used.iter().fold(mix(0, 1), |h, local| mix(h, u64::from(*local)))
}
