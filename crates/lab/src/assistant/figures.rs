//! Figures of waits: means, quantiles and shares of one day, spreads over days, and ratios with
//! their uncertainty.

use majordomo_sim::Rng;
use serde::{Deserialize, Serialize};

use super::played::Played;

/// Samples of a bootstrap.
const RESAMPLES: usize = 4_000;
/// Successive commands that a bootstrap draws together, since each begins with what the one before
/// loaded.
const BLOCK: usize = 10;
/// The share of an interval that is left out on each side.
const TAIL: f64 = 0.05;

/// The figures of one policy on one day; times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) n_commands: usize,
    /// Commands with a refusal.
    pub(super) n_refused: usize,
    /// Commands whose needed component was leased in the end.
    pub(super) n_served: usize,
    /// Commands whose text no earlier command had.
    pub(super) n_new: usize,
    /// Those of them for which exactly the needed component was chosen.
    pub(super) n_exact: usize,
    /// Commands with a real answer.
    pub(super) n_real: usize,
    /// Commands with a noticed wait.
    pub(super) n_waited: usize,
    pub(super) mean_ms: f64,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    /// The mean part of a wait before its first load began.
    pub(super) before_load_ms: f64,
    pub(super) answer_ms: f64,
    /// From the command to its answer: wait and answer.
    pub(super) to_answer_ms: f64,
}

impl Figures {
    /// Times are those of served commands: a refusal takes no time, so it would make waits short.
    pub(super) fn new(commands: &[Played]) -> Self {
        let count = |of: &dyn Fn(&Played) -> bool| commands.iter().filter(|c| of(c)).count();
        let times = |of: &dyn Fn(&Played) -> f64| -> Vec<f64> {
            commands.iter().filter(|c| c.is_served).map(of).collect()
        };
        let mut waits = times(&|c| c.wait_ms);
        waits.sort_by(f64::total_cmp);
        Self {
            n_commands: commands.len(),
            n_refused: count(&|c| c.refusal.is_some()),
            n_served: count(&|c| c.is_served),
            n_new: count(&|c| !c.is_repeat),
            n_exact: count(&|c| !c.is_repeat && c.is_exact()),
            n_real: count(&|c| c.is_real),
            n_waited: count(&Played::waited),
            mean_ms: mean(&waits),
            p50_ms: quantile(&waits, 0.5),
            p95_ms: quantile(&waits, 0.95),
            p99_ms: quantile(&waits, 0.99),
            before_load_ms: mean(&times(&|c| c.before_load_ms)),
            answer_ms: mean(&times(&|c| c.answer_ms)),
            to_answer_ms: mean(&times(&Played::to_answer_ms)),
        }
    }

    /// The share of new texts for which exactly the needed component was chosen, in 0..=1.
    pub(super) fn exact_share(&self) -> f64 {
        self.n_exact as f64 / self.n_new.max(1) as f64
    }

    /// A share of the commands, in 0..=1.
    pub(super) fn share(&self, n: usize) -> f64 {
        n as f64 / self.n_commands.max(1) as f64
    }
}

/// The mean; 0 of nothing.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The smallest value that a share of the sorted values does not exceed; 0 of nothing.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

/// A figure over days.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spread {
    pub(super) mean: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    pub(super) fn new(values: &[f64]) -> Self {
        let least = values.iter().copied().min_by(f64::total_cmp).unwrap_or(0.0);
        let most = values.iter().copied().max_by(f64::total_cmp).unwrap_or(0.0);
        Self { mean: mean(values), least, most }
    }
}

/// The figure of each side for some pairs of times.
type FiguresOf<'a> = &'a dyn Fn(&[(f64, f64)]) -> (f64, f64);

/// A ratio of two mean times, or of two quantiles, over the same commands, with a 90 % interval: a bootstrap that draws
/// days, and in each blocks of successive commands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio {
    pub(super) value: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Ratio {
    /// Of pairs of times for the same commands, by day; none without pairs, or where nothing takes
    /// time in the second.
    pub(super) fn new(days: &[Vec<(f64, f64)>]) -> Option<Self> {
        Self::of(days, &|pairs| {
            let add = |sum: (f64, f64), pair: &(f64, f64)| (sum.0 + pair.0, sum.1 + pair.1);
            pairs.iter().fold((0.0, 0.0), add)
        })
    }

    /// The same of a quantile of all days together instead of the mean.
    pub(super) fn of_quantiles(days: &[Vec<(f64, f64)>], share: f64) -> Option<Self> {
        Self::of(days, &|pairs| {
            let side = |of: fn(&(f64, f64)) -> f64| {
                let mut times: Vec<f64> = pairs.iter().map(of).collect();
                times.sort_unstable_by(f64::total_cmp);
                quantile(&times, share)
            };
            (side(|pair| pair.0), side(|pair| pair.1))
        })
    }

    fn of(days: &[Vec<(f64, f64)>], figures: FiguresOf<'_>) -> Option<Self> {
        let of = |pairs: &[(f64, f64)]| {
            let (first, second) = figures(pairs);
            (second > 0.0).then(|| first / second)
        };
        let value = of(&days.concat())?;
        let days: Vec<&Vec<(f64, f64)>> = days.iter().filter(|day| !day.is_empty()).collect();
        let mut rng = Rng::new(&[0xb007, days.len() as u64]);
        let mut drawn: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let mut pairs = Vec::new();
                for _ in 0..days.len() {
                    let day = *rng.pick(&days);
                    let blocks = (0..day.len()).step_by(BLOCK).map(|at| BLOCK.min(day.len() - at));
                    for length in blocks {
                        let from = rng.below(day.len());
                        // A block at the end continues at the begin, so that each command is drawn
                        // alike.
                        pairs.extend(day.iter().cycle().skip(from).take(length));
                    }
                }
                of(&pairs)
            })
            .collect();
        drawn.sort_by(f64::total_cmp);
        let (least, most) = (quantile(&drawn, TAIL), quantile(&drawn, 1.0 - TAIL));
        Some(Self { value, least, most })
    }

    /// Whether the first is larger beyond noise.
    pub(super) fn is_worse(&self) -> bool {
        self.least > 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        let check = |share, want| assert_eq!(quantile(&sorted, share), want, "{share}");
        check(0.0, 1.0);
        check(0.5, 2.0);
        check(0.51, 3.0);
        check(1.0, 4.0);
        assert_eq!((quantile(&[], 0.5), mean(&[])), (0.0, 0.0));
    }

    #[test]
    fn a_day_is_summed_up_by_its_commands() {
        let played = |wait_ms, chosen: &[&str], real| Played {
            component: "a".to_owned(),
            chosen: chosen.iter().map(|c| (*c).to_owned()).collect(),
            wait_ms,
            answer_ms: 10.0,
            is_real: real,
            is_served: true,
            refusal: (!real).then(|| "too_large".to_owned()),
            ..Played::default()
        };
        let mut commands = [
            played(0.0, &["a"], true),
            played(30.0, &["a", "b"], true),
            played(90.0, &["b"], true),
            played(40.0, &[], false),
        ];
        let f = Figures::new(&commands);
        assert_eq!((f.n_commands, f.n_refused, f.n_real, f.n_waited), (4, 1, 3, 2));
        assert_eq!((f.n_exact, f.mean_ms, f.p50_ms), (1, 40.0, 30.0));
        assert_eq!(f.share(f.n_waited), 0.5);
        assert_eq!((f.answer_ms, f.to_answer_ms), (10.0, 50.0));
        assert_eq!(f.exact_share(), 0.25);
        let repeated = Played { is_repeat: true, ..commands[0].clone() };
        let with_repeats = [commands.to_vec(), vec![repeated; 9]].concat();
        let f = Figures::new(&with_repeats);
        assert_eq!((f.n_commands, f.n_new, f.exact_share()), (13, 4, 0.25));
        commands[0].is_served = false;
        let f = Figures::new(&commands);
        assert_eq!((f.n_served, f.p50_ms, f.to_answer_ms), (3, 40.0, 190.0 / 3.0));
        let spread = Spread::new(&[3.0, 1.0, 2.0]);
        assert_eq!(spread, Spread { mean: 2.0, least: 1.0, most: 3.0 });
    }

    #[test]
    fn a_ratio_is_worse_only_beyond_its_interval() {
        let pairs = |a: f64| -> Vec<Vec<(f64, f64)>> {
            vec![(0..60).map(|i| (a * f64::from(i % 7), f64::from(i % 7))).collect()]
        };
        let twice = Ratio::new(&pairs(2.0)).unwrap();
        assert!((twice.value - 2.0).abs() < 1e-9 && twice.is_worse());
        let one_outlier: Vec<(f64, f64)> =
            (0..60).map(|i| (if i == 0 { 100.0 } else { 1.0 }, 2.0)).collect();
        let noisy = Ratio::new(&[one_outlier]).unwrap();
        assert!(noisy.value > 1.0 && !noisy.is_worse(), "{noisy:?}");
        assert_eq!(Ratio::new(&[vec![(1.0, 0.0)], vec![]]), None);
        assert_eq!(Ratio::new(&[]), None);
    }

    #[test]
    fn a_ratio_of_quantiles_follows_the_tail_and_not_the_mean() {
        let day: Vec<(f64, f64)> =
            (0..200).map(|i| (if i % 10 == 0 { 900.0 } else { 1.0 }, 300.0)).collect();
        let days = [day];
        let of = |share| Ratio::of_quantiles(&days, share).unwrap();
        assert!((of(0.95).value - 3.0).abs() < 1e-9 && of(0.95).is_worse());
        assert!(of(0.5).value < 0.01 && of(0.5).most < 0.01);
        assert_eq!(Ratio::of_quantiles(&[], 0.5), None);
    }

    #[test]
    fn an_interval_is_wider_where_days_differ_or_neighbours_are_alike() {
        let width = |days: &[Vec<(f64, f64)>]| {
            let ratio = Ratio::new(days).unwrap();
            ratio.most - ratio.least
        };
        let day = |of: &dyn Fn(usize) -> bool| -> Vec<(f64, f64)> {
            (0..100).map(|i| (if of(i) { 3.0 } else { 1.0 }, 2.0)).collect()
        };
        let (alternating, in_runs) = (day(&|i| i % 2 == 0), day(&|i| i / 10 % 2 == 0));
        assert!(width(&[in_runs]) > 3.0 * width(std::slice::from_ref(&alternating)));
        let alike = [alternating.clone(), alternating];
        let different = [day(&|_| true), day(&|_| false)];
        assert!(width(&alike) < 0.2 && width(&different) > 0.9);
    }
}
