//! The sequence model: predicts from past uses which components are used next, and which again soon.
//!
//! Owns the learned state of one user: experts (each a probability for every component), their mixture,
//! and the head for the probability of reuse within [`REUSE_HORIZON`] commands. Does not know
//! texts, what is loaded, or a clock: the time of a command is an argument. Learns online, in
//! O(components) per command, from what was *used*. Invariants: probabilities are in `0..=1`; memory is
//! bounded by the number of components; the same observations give the same numbers.

mod context;
mod experts;
mod frequency;
mod mixture;
mod recency;
mod renewal;
mod reuse;
mod state;

pub use reuse::REUSE_HORIZON;
pub use state::SequenceStateError;

use majordomo_core::{ComponentKey, Confidence, Value, Values, WallSeconds};
use serde::{Deserialize, Serialize};

use experts::{EXPERT_NAMES, Experts};
use mixture::Mixture;
use reuse::ReuseHead;

/// Learning rate of the share of first uses and of the size of commands.
const DRIFT: f32 = 0.02;

/// The opinion of one expert on a component, for `why`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the name of the other field says it")]
pub struct ExpertOpinion {
    pub expert: &'static str,
    /// The expert's own probability that the component is next.
    pub probability: f32,
    /// The expert's weight in the mixture; may be negative.
    pub weight: f32,
}

/// The online model of one user's use of components.
///
/// Inside, components have local numbers in the order of their first use, so that learned state does not depend
/// on the keys of a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SequenceModel {
    /// Key of each local number; none for a component that is unknown to this process.
    #[serde(skip)]
    keys: Vec<Option<ComponentKey>>,
    /// Local number of each key.
    #[serde(skip)]
    locals: Vec<Option<u32>>,
    /// Components that were removed from the catalog and not used since.
    #[serde(skip)]
    retired: Vec<bool>,
    experts: Experts,
    mixture: Mixture,
    reuse: ReuseHead,
    /// Recent share of uses that were first uses.
    novelty: Novelty,
    /// Recent number of components per command.
    set_size: SetSize,
    #[serde(skip)]
    scratch: Scratch,
}

/// The tables of a forecast, for [`SequenceModel::opinions_of`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    scratch: Scratch,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Novelty(f32);

impl Default for Novelty {
    fn default() -> Self {
        Self(0.5)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct SetSize(f32);

impl Default for SetSize {
    fn default() -> Self {
        Self(1.0)
    }
}

/// The tables of the latest prediction, by local number.
#[derive(Clone, Debug, Default, PartialEq)]
struct Scratch {
    /// Log-probabilities, one row an expert.
    features: Vec<f32>,
    /// The mixture over known components; sums to 1.
    mixed: Vec<f32>,
    next: Vec<f32>,
    reuse: Vec<f32>,
    used: Vec<u32>,
}

impl SequenceModel {
    /// A model without observations.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Recent share of uses that were first uses.
    #[must_use]
    pub fn novelty(&self) -> f32 {
        self.novelty.0
    }

    /// Number of commands observed.
    #[must_use]
    pub fn n_observed(&self) -> u64 {
        self.experts.steps()
    }

    /// Learns that a command used these components at a time, and updates the prediction.
    ///
    /// Repeats in `used` count once; an empty command changes nothing. A time before the last one counts
    /// as the same time. Runs in O(components used so far).
    pub fn observe(&mut self, used: &[ComponentKey], at: WallSeconds) {
        if used.is_empty() {
            return;
        }
        let n_known = self.keys.len();
        let mut locals = std::mem::take(&mut self.scratch.used);
        locals.clear();
        locals.extend(used.iter().map(|key| self.local(*key)));
        locals.sort_unstable();
        locals.dedup();

        let known = locals.partition_point(|l| (*l as usize) < n_known);
        self.mixture.learn(&self.scratch.features, &self.scratch.mixed, &locals[..known]);
        let n_novel = (locals.len() - known) as f32;
        self.novelty.0 += DRIFT * (n_novel / locals.len() as f32 - self.novelty.0);
        self.set_size.0 += DRIFT * (locals.len() as f32 - self.set_size.0);
        self.experts.learn(&locals, at, self.keys.len());
        self.reuse.learn(&locals, self.experts.steps());
        self.scratch.used = locals;
        self.predict();
    }

    /// The local number of a key; a new one at the first use.
    fn local(&mut self, key: ComponentKey) -> u32 {
        if self.locals.len() <= key.index() {
            self.locals.resize(key.index() + 1, None);
        }
        let local = *self.locals[key.index()].get_or_insert_with(|| {
            self.keys.push(Some(key));
            self.retired.push(false);
            (self.keys.len() - 1) as u32
        });
        self.retired[local as usize] = false;
        local
    }

    /// Computes the tables that [`refresh`](Self::refresh) returns.
    fn predict(&mut self) {
        let n = self.keys.len();
        let s = &mut self.scratch;
        let now = self.experts.predict(n, &mut s.features);
        self.mixture.predict(&s.features, &self.retired, &mut s.mixed);
        self.reuse.predict(&now, &self.experts, &s.features, &s.mixed, &mut s.reuse);
        self.finish_tables();
    }

    /// Computes the returned tables from the mixture.
    fn finish_tables(&mut self) {
        let s = &mut self.scratch;
        // A first use cannot be predicted; a command that uses m components has m chances.
        let scale = (1.0 - self.novelty.0) * self.set_size.0;
        s.next.clear();
        s.next.extend(s.mixed.iter().map(|p| (p * scale).min(1.0)));
        for (reuse, retired) in s.reuse.iter_mut().zip(&self.retired) {
            if *retired {
                *reuse = 0.0;
            }
        }
    }

    /// Writes the values that [`refresh`](Self::refresh) would write after a command had used these components at a
    /// time, and learns nothing: for a command that has begun. Components without an earlier use are left out; without
    /// any other component, the current values are written. Runs in O(components used so far).
    pub fn forecast(
        &mut self,
        used: &[ComponentKey],
        at: WallSeconds,
        values: &mut Values,
    ) -> Forecast {
        let local = |key: &ComponentKey| self.locals.get(key.index()).copied().flatten();
        let mut locals: Vec<_> = used.iter().filter_map(local).collect();
        locals.sort_unstable();
        locals.dedup();
        if locals.is_empty() {
            self.refresh(values);
            return Forecast { scratch: self.scratch.clone() };
        }
        let kept = std::mem::take(&mut self.scratch);
        let n = self.keys.len();
        let Self { experts, mixture, reuse, retired, scratch: s, .. } = self;
        experts.imagine(&locals, at, |then| {
            let now = then.predict(n, &mut s.features);
            mixture.predict(&s.features, retired, &mut s.mixed);
            reuse.forecast(&now, then, &s.features, &s.mixed, &mut s.reuse);
        });
        self.finish_tables();
        self.refresh(values);
        Forecast { scratch: std::mem::replace(&mut self.scratch, kept) }
    }

    /// Writes P(next) and P(used again within [`REUSE_HORIZON`]) of every component into the table.
    pub fn refresh(&self, values: &mut Values) {
        values.refresh(self.locals.iter().map(|local| self.value_of(*local)));
    }

    /// The values of one component; zeros when it was never used or is retired.
    #[must_use]
    pub fn value(&self, key: ComponentKey) -> Value {
        self.value_of(self.locals.get(key.index()).copied().flatten())
    }

    fn value_of(&self, local: Option<u32>) -> Value {
        let at = |table: &[f32]| {
            let p = local.and_then(|l| table.get(l as usize)).copied().unwrap_or(0.0);
            Confidence::saturating(p)
        };
        Value { next: at(&self.scratch.next), reuse: at(&self.scratch.reuse) }
    }

    /// The components most likely to be next, at most `n`, likeliest first.
    #[must_use]
    pub fn likeliest(&self, n: usize) -> Vec<(ComponentKey, Confidence)> {
        let known = self.keys.iter().zip(&self.scratch.next);
        let mut all: Vec<_> = known
            .filter_map(|(key, p)| Some(((*key)?, Confidence::saturating(*p))))
            .filter(|(_, p)| p.get() > 0.0)
            .collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(n);
        all
    }

    /// The opinion of each expert on a component after the last command, the most influential first.
    #[must_use]
    pub fn opinions(&self, key: ComponentKey) -> Vec<ExpertOpinion> {
        self.opinions_in(&self.scratch, key)
    }

    /// The opinion of each expert on a component in a forecast of this model, the most influential first.
    #[must_use]
    pub fn opinions_of(&self, forecast: &Forecast, key: ComponentKey) -> Vec<ExpertOpinion> {
        self.opinions_in(&forecast.scratch, key)
    }

    fn opinions_in(&self, scratch: &Scratch, key: ComponentKey) -> Vec<ExpertOpinion> {
        let (Some(local), n) =
            (self.locals.get(key.index()).copied().flatten(), scratch.mixed.len())
        else {
            return Vec::new();
        };
        let weights = self.mixture.weights().iter().zip(EXPERT_NAMES).enumerate();
        let mut all: Vec<_> = weights
            .filter_map(|(row, (weight, expert))| {
                let log = scratch.features.get(row * n + local as usize)?;
                Some((log, ExpertOpinion { expert, probability: log.exp(), weight: *weight }))
            })
            .collect();
        let influence = |(log, o): &(&f32, ExpertOpinion)| (o.weight * *log).abs();
        all.sort_by(|a, b| influence(b).total_cmp(&influence(a)));
        all.into_iter().map(|(_, opinion)| opinion).collect()
    }

    /// Retires a component that was removed from the catalog: it is neither predicted nor forgotten until its next use.
    pub fn retire(&mut self, key: ComponentKey) {
        if let Some(local) = self.locals.get(key.index()).copied().flatten() {
            self.retired[local as usize] = true;
            self.predict();
        }
    }
}
