//! The governor: moves the floor of confidence so that waste stays within its budget.
//!
//! Two integral controllers on the logarithm of the floor, one over the count and one over the memory of wasted
//! preloads; the higher floor applies. Every observation lowers the floor a little; every wasted preload, and every
//! preload whose victim is demanded before it is, raises it, so that the rate of wasted ones, and of harmful ones by their
//! weight, settles at the budget. A harmful preload that is evicted without a use counts as both. Invariant: the floor
//! stays within its range.

use std::time::Duration;

use majordomo_core::{ByteSize, Confidence, Moment, SpeculationConfig};

/// The waste that preloads may cause, and the bounds of the floor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WasteBudget {
    /// Wasted preloads for each observation, in `0.0..=1.0`.
    pub per_observation: f64,
    /// Bytes that wasted preloads may hold, averaged over time; unbounded without a value.
    pub mean_bytes: Option<ByteSize>,
    /// The lowest floor, and the first.
    pub lowest_floor: Confidence,
    /// The floor that no waste exceeds.
    pub highest_floor: Confidence,
}

/// The floor rises from the setting's value up to 0.8, or stays when the setting is higher.
impl From<&SpeculationConfig> for WasteBudget {
    fn from(config: &SpeculationConfig) -> Self {
        Self {
            per_observation: config.waste,
            mean_bytes: config.waste_memory,
            lowest_floor: config.floor,
            highest_floor: config.floor.max(Confidence::saturating(HIGHEST_FLOOR)),
        }
    }
}

/// The budget of the default settings.
impl Default for WasteBudget {
    fn default() -> Self {
        Self::from(&SpeculationConfig::default())
    }
}

/// The highest floor, unless the setting is higher.
const HIGHEST_FLOOR: f32 = 0.8;
/// The usual step of the floor's logarithm: about a tenth.
const STEP: f64 = 0.1;
/// Time over which the memory of wasted preloads is averaged.
const SPAN: Duration = Duration::from_secs(600);

/// The floor, moved by observations and by waste.
#[derive(Clone, Debug)]
pub struct Governor {
    budget: WasteBudget,
    /// Logarithm of the highest floor.
    top: f64,
    /// Logarithm of the lowest floor.
    least: f64,
    /// Step of the floor's logarithm for one wasted preload.
    step: f64,
    /// Logarithm of the floor by counts.
    by_count: f64,
    /// Logarithm of the floor by bytes.
    by_bytes: f64,
    last: Option<Moment>,
}

impl Governor {
    /// A governor at its lowest floor.
    #[must_use]
    pub fn new(budget: WasteBudget) -> Self {
        Self::with_top(budget, log(budget.highest_floor))
    }

    /// A governor that may raise its floor above certainty: for hints whose source states its own confidence.
    #[must_use]
    pub fn for_claims(budget: WasteBudget) -> Self {
        Self::with_top(budget, STEP)
    }

    /// The same for hints whose confidence is a probability weighted by a load time: the floor has further to rise, so
    /// its steps are twice as long, and it may sink to half the setting while there is less waste than allowed.
    #[must_use]
    pub fn for_weighted(budget: WasteBudget) -> Self {
        let least = log(budget.lowest_floor) - std::f64::consts::LN_2;
        Self { step: 2.0 * STEP, least, by_bytes: least, ..Self::with_top(budget, 2.0 * STEP) }
    }

    fn with_top(budget: WasteBudget, top: f64) -> Self {
        let least = log(budget.lowest_floor);
        Self { budget, top, least, step: STEP, by_count: least, by_bytes: least, last: None }
    }

    fn range(&self) -> [f64; 2] {
        [self.least, self.top.max(self.least)]
    }

    fn keep_in_range(&mut self) {
        let [low, high] = self.range();
        self.by_count = self.by_count.clamp(low, high);
        self.by_bytes = self.by_bytes.clamp(low, high);
    }

    /// Hints below this confidence are not loaded.
    #[must_use]
    pub fn floor(&self) -> Confidence {
        Confidence::saturating(self.by_count.max(self.by_bytes).exp() as f32)
    }

    /// Whether a hint of this confidence is loaded.
    #[must_use]
    pub fn admits(&self, confidence: Confidence) -> bool {
        self.by_count.max(self.by_bytes) <= 0.0 && confidence >= self.floor()
    }

    /// Records the observation of a command: the floor sinks by the waste that the budget allows.
    pub fn observed(&mut self, now: Moment) {
        self.by_count -= self.step * self.budget.per_observation;
        if let Some(last) = self.last.replace(now) {
            let share = now.since(last).as_secs_f64() / SPAN.as_secs_f64();
            self.by_bytes -= STEP * share.min(1.0);
        }
        self.keep_in_range();
    }

    /// Records that a preload harmed: the floor rises as for `weight` wasted ones.
    pub fn harmed(&mut self, weight: f64) {
        self.by_count += self.step * weight;
        self.keep_in_range();
    }

    /// Records a preload that was wasted after holding this many byte-seconds: the floor rises.
    pub fn wasted(&mut self, byte_seconds: f64) {
        self.wasted_partial(1.0, byte_seconds);
    }

    /// The same for a preload that cost this share of a load.
    pub fn wasted_partial(&mut self, share: f64, byte_seconds: f64) {
        self.by_count += self.step * share;
        if let Some(mean) = self.budget.mean_bytes {
            let allowed = mean.bytes() as f64 * SPAN.as_secs_f64();
            self.by_bytes += STEP * (byte_seconds / allowed.max(1.0)).min(10.0);
        }
        self.keep_in_range();
    }
}

fn log(confidence: Confidence) -> f64 {
    f64::from(confidence.get()).max(1e-6).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Preloads at floor f are wasted at a rate of 0.3 · (1 − f).
    #[test]
    fn waste_settles_at_the_budget() {
        let budget = WasteBudget { per_observation: 0.1, ..WasteBudget::default() };
        let mut governor = Governor::new(budget);
        let (mut debt, mut wasted) = (0.0, 0);
        let n = 20_000;
        for i in 0..n {
            governor.observed(Moment(i));
            debt += 0.3 * (1.0 - f64::from(governor.floor().get()));
            if debt >= 1.0 {
                debt -= 1.0;
                wasted += 1;
                governor.wasted(0.0);
            }
        }
        let rate = f64::from(wasted) / n as f64;
        assert!((rate - 0.1).abs() < 0.005, "{rate}");
    }

    #[test]
    fn waste_of_a_source_that_states_certainty_settles_at_the_budget() {
        let mut governor = Governor::for_claims(WasteBudget::default());
        let mut wasted = 0;
        for i in 0..10_000 {
            governor.observed(Moment(i));
            // A source that is always certain and never right.
            if governor.admits(Confidence::ONE) {
                wasted += 1;
                governor.wasted(0.0);
            }
        }
        assert!((750..=850).contains(&wasted), "{wasted}");
    }

    #[test]
    fn floor_of_weighted_confidences_sinks_to_half_the_setting_without_waste() {
        let budget = WasteBudget::default();
        let mut governor = Governor::for_weighted(budget);
        assert_eq!(governor.floor(), budget.lowest_floor);
        for i in 0..1000 {
            governor.observed(Moment(i));
        }
        let (floor, half) = (governor.floor().get(), budget.lowest_floor.get() / 2.0);
        assert!((floor - half).abs() < 1e-6, "{floor}");
    }

    #[test]
    fn memory_of_wasted_preloads_raises_the_floor_and_time_lowers_it() {
        let budget = WasteBudget {
            per_observation: 1.0,
            mean_bytes: Some(ByteSize::mib(10)),
            ..WasteBudget::default()
        };
        let mut governor = Governor::new(budget);
        for _ in 0..200 {
            governor.wasted(ByteSize::gib(10).bytes() as f64 * 600.0);
        }
        assert_eq!(governor.floor(), budget.highest_floor);
        for hour in 0..100 {
            governor.observed(Moment(hour * 3_600_000_000));
        }
        assert_eq!(governor.floor(), budget.lowest_floor);
    }
}
