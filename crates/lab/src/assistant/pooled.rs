//! Waits of all days together, with first uses and without, and their ratios to LRU's.

use super::figures::{Ratio, Spread, mean, quantile};
use super::goals::{self, Time};
use super::played::Played;
use super::policy::Policy;
use super::record::Summary;

/// Which commands are counted; the same of every policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    All,
    /// Without the first use of each component.
    Warm,
}

impl Part {
    pub(super) const EVERY: [Self; 2] = [Self::All, Self::Warm];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::All => "all, first uses counted",
            Self::Warm => "warm, without first uses",
        }
    }

    fn has(self, played: &Played) -> bool {
        self == Self::All || !played.is_first_use
    }
}

/// A figure of waits: their mean, or a quantile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Statistic {
    Mean,
    Quantile(f64),
}

impl Statistic {
    pub(super) const EVERY: [(&'static str, Self); 4] = [
        ("mean", Self::Mean),
        ("p50", Self::Quantile(0.5)),
        ("p95", Self::Quantile(0.95)),
        ("p99", Self::Quantile(0.99)),
    ];

    fn of(self, waits: &[f64]) -> f64 {
        match self {
            Self::Mean => mean(waits),
            Self::Quantile(share) => {
                let mut sorted = waits.to_vec();
                sorted.sort_unstable_by(f64::total_cmp);
                quantile(&sorted, share)
            }
        }
    }
}

/// The waits of a policy by day, in milliseconds; a command that was not served has none.
pub(super) fn waits(summary: &Summary, policy: Policy, part: Part, time: Time) -> Vec<Vec<f64>> {
    let of = |run: &super::record::Run| {
        let counted = run.commands.iter().filter(|c| c.is_served && part.has(c));
        counted.map(time).collect()
    };
    goals::of(summary, policy).map(of).collect()
}

/// A figure over the waits of all days together, with the least and the most of a day; none where nothing was played.
pub(super) fn pooled(
    summary: &Summary,
    policy: Policy,
    part: Part,
    time: Time,
    statistic: Statistic,
) -> Option<Spread> {
    let days = waits(summary, policy, part, time);
    let all = days.concat();
    let each: Vec<f64> =
        days.iter().filter(|day| !day.is_empty()).map(|day| statistic.of(day)).collect();
    (!all.is_empty()).then(|| Spread { mean: statistic.of(&all), ..Spread::new(&each) })
}

/// The ratio of a figure to LRU's, over the commands that both served.
pub(super) fn ratio(
    summary: &Summary,
    policy: Policy,
    part: Part,
    time: Time,
    statistic: Statistic,
) -> Option<Ratio> {
    let has = |played: &Played| part.has(played);
    let pairs = goals::pairs_of(summary, policy, Policy::Lru, None, time, &has);
    match statistic {
        Statistic::Mean => Ratio::new(&pairs),
        Statistic::Quantile(share) => Ratio::of_quantiles(&pairs, share),
    }
}

#[cfg(test)]
mod tests {
    use super::super::goals::testing::{run, summary};
    use super::*;

    #[test]
    fn first_uses_count_in_one_part_alone_and_days_are_pooled() {
        let day = |policy, seed, first: f64, rest: f64| {
            let mut run = run(policy, seed, &[first, rest, rest, rest]);
            run.commands[0].is_first_use = true;
            run
        };
        let summary = summary(vec![
            day(Policy::Lru, 1, 900.0, 100.0),
            day(Policy::Lru, 2, 900.0, 300.0),
            day(Policy::Product, 1, 900.0, 50.0),
            day(Policy::Product, 2, 900.0, 50.0),
        ]);
        let wait = goals::wait;
        let lru = |part, statistic| pooled(&summary, Policy::Lru, part, wait, statistic).unwrap();
        assert_eq!(lru(Part::All, Statistic::Mean).mean, 375.0);
        let warm = lru(Part::Warm, Statistic::Mean);
        assert_eq!((warm.mean, warm.least, warm.most), (200.0, 100.0, 300.0));
        assert_eq!(lru(Part::All, Statistic::Quantile(0.99)).mean, 900.0);
        let ratio = |part, statistic| ratio(&summary, Policy::Product, part, wait, statistic);
        assert_eq!(ratio(Part::Warm, Statistic::Mean).unwrap().value, 0.25);
        assert_eq!(ratio(Part::All, Statistic::Quantile(0.99)).unwrap().value, 1.0);
        assert_eq!(ratio(Part::All, Statistic::Mean).unwrap().value, 0.7);
        assert_eq!(pooled(&summary, Policy::Idle, Part::All, wait, Statistic::Mean), None);
    }
}
