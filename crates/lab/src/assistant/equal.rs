//! Budgets that follow from what was measured: the one at which a policy has a given mean memory,
//! found by one run or two from a known one, and the one that is tight for a few components.

use std::collections::{BTreeMap, BTreeSet};

use super::folder::Folder;
use super::record::Measured;

/// A mean memory within this share of the target is equal.
pub(super) const TOLERANCE: f64 = 0.05;
/// The smallest budget has this much more than the largest set needs, so that estimates fit with
/// their margin.
const SPARE: f64 = 1.3;
/// The margin of estimates by default, which a component that loads must have.
const MARGIN: f64 = 1.2;
/// Runs for a target: the first and two corrections.
const TRIES: usize = 3;
/// Budget over mean memory where no run is known.
const RATIO: f64 = 1.2;
/// Budgets that differ by less are one, in bytes.
const STEP: u64 = 1 << 20;

/// A run that was made: its budget and its mean memory, in bytes.
pub(super) type Tried = (u64, f64);

/// The smallest and the largest budget that make sense, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) least: u64,
    pub(super) most: u64,
}

impl Bounds {
    /// From the largest component with everything that it needs beside what is always loaded, to
    /// everything.
    pub(super) fn new(folder: &Folder, measured: &BTreeMap<String, Measured>) -> Self {
        let need = |name: &String| {
            let declared = folder.specs.iter().find(|s| s.id.as_str() == name.as_str());
            let declared = declared.map_or(0, |s| s.memory.bytes());
            measured.get(name).map_or(0, |m| m.pss).max(declared)
        };
        let sum = |names: &BTreeSet<String>| names.iter().map(need).sum::<u64>();
        let all: BTreeSet<String> = folder.specs.iter().map(|s| s.id.to_string()).collect();
        let core = || all.iter().filter(|name| folder.is_core(name)).cloned();
        let set = |name: &String| -> BTreeSet<String> {
            folder.closure(name).into_iter().chain(core()).collect()
        };
        let largest = all.iter().map(|name| sum(&set(name))).max().unwrap_or(0);
        let spare = |bytes: u64| (SPARE * bytes as f64) as u64;
        Self { least: spare(largest), most: spare(sum(&all)) }
    }
}

/// A budget of the largest component, with everything that it needs, beside the smallest one, with
/// the margin of estimates: none is refused, and where there are three, one displaces another.
pub(super) fn tight(folder: &Folder, measured: &BTreeMap<String, Measured>) -> u64 {
    let sets = measured.keys().map(|name| folder.closure(name));
    let sets: Vec<u64> =
        sets.map(|set| set.iter().filter_map(|name| Some(measured.get(name)?.pss)).sum()).collect();
    tight_for(&sets)
}

fn tight_for(sets: &[u64]) -> u64 {
    let (largest, smallest) = (sets.iter().max(), sets.iter().min());
    (MARGIN * (largest.unwrap_or(&0) + smallest.unwrap_or(&0)) as f64) as u64
}

fn distance(mean: f64, target: f64) -> f64 {
    (mean / target - 1.0).abs()
}

/// The run whose mean is the closest to the target: of those with no more memory, if there are
/// such.
pub(super) fn closest(target: f64, tried: &[Tried]) -> Option<usize> {
    let has_more = |i: usize| tried[i].1 > target * (1.0 + TOLERANCE);
    let by = |i: usize| distance(tried[i].1, target);
    (0..tried.len()).min_by(|a, b| has_more(*a).cmp(&has_more(*b)).then(by(*a).total_cmp(&by(*b))))
}

/// The budget to try next for a target mean; none if the target is met, if enough was tried, or if
/// no other budget would come closer. `own` is a run of the same day with another budget.
pub(super) fn next_budget(
    target: f64,
    own: Option<Tried>,
    tried: &[Tried],
    bounds: Bounds,
) -> Option<u64> {
    let is_met = tried.iter().any(|(_, mean)| distance(*mean, target) <= TOLERANCE);
    if is_met || tried.len() >= TRIES {
        return None;
    }
    let known: Vec<Tried> = own.into_iter().chain(tried.iter().copied()).collect();
    let by_mean = |a: &&Tried, b: &&Tried| a.1.total_cmp(&b.1);
    let below = known.iter().filter(|t| t.1 < target).max_by(by_mean);
    let above = known.iter().filter(|t| t.1 > target).min_by(by_mean);
    let estimate = match (below, above, known.last()) {
        (Some((low, low_mean)), Some((high, high_mean)), _) if low < high => {
            let (low, high) = (*low as f64, *high as f64);
            low + (target - low_mean) / (high_mean - low_mean) * (high - low)
        }
        (_, _, Some((budget, mean))) => *budget as f64 * target / mean.max(1.0),
        (_, _, None) => target * RATIO,
    };
    let budget = (estimate as u64).max(bounds.least).min(bounds.most);
    tried.iter().all(|(other, _)| other.abs_diff(budget) >= STEP).then_some(budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const BOUNDS: Bounds = Bounds { least: 200 * MIB, most: 2_000 * MIB };

    fn mean(mib: u64) -> f64 {
        (mib * MIB) as f64
    }

    fn next(target: u64, own: Option<(u64, u64)>, tried: &[(u64, u64)]) -> Option<u64> {
        let run = |(budget, m): (u64, u64)| (budget * MIB, mean(m));
        let tried: Vec<Tried> = tried.iter().copied().map(run).collect();
        next_budget(mean(target), own.map(run), &tried, BOUNDS).map(|budget| budget / MIB)
    }

    #[test]
    fn a_budget_follows_the_mean_of_the_runs_before() {
        assert_eq!(next(400, None, &[]), Some(480));
        // Proportional after one run, between both after two that enclose the target.
        assert_eq!(next(400, Some((600, 300)), &[]), Some(800));
        assert_eq!(next(400, None, &[(600, 300)]), Some(800));
        assert_eq!(next(400, Some((600, 300)), &[(800, 500)]), Some(700));
        assert_eq!(next(400, Some((800, 500)), &[(600, 300)]), Some(700));
        assert_eq!(next(400, Some((600, 300)), &[(800, 350)]), Some(914));
        // More memory with a smaller budget is noise.
        assert_eq!(next(400, Some((600, 300)), &[(550, 500)]), Some(440));
    }

    #[test]
    fn the_search_ends_at_the_target_at_a_bound_and_after_three_runs() {
        assert_eq!(next(400, Some((600, 300)), &[(700, 415)]), None);
        assert_eq!(next(400, None, &[(600, 300), (800, 600)]), Some(666));
        assert_eq!(next(400, None, &[(600, 300), (800, 600), (666, 450)]), None);
        // No smaller budget is allowed: the mean stays what it is.
        assert_eq!(next(100, None, &[]), Some(200));
        assert_eq!(next(100, None, &[(200, 180)]), None);
        assert_eq!(next(9_000, None, &[]), Some(2_000));
    }

    #[test]
    fn a_tight_budget_has_room_for_the_largest_and_not_for_all() {
        let sets = [14 * MIB, 125 * MIB, 31 * MIB];
        let budget = tight_for(&sets) as f64;
        assert!(budget > MARGIN * 125.0 * MIB as f64 && budget < sets.iter().sum::<u64>() as f64);
        assert_eq!(tight_for(&[]), 0);
    }

    #[test]
    fn the_closest_run_is_kept() {
        let tried = [(600 * MIB, mean(300)), (700 * MIB, mean(390)), (800 * MIB, mean(500))];
        assert_eq!(closest(mean(400), &tried), Some(1));
        // One with more memory only if every one has more.
        assert_eq!(closest(mean(370), &tried[..2]), Some(0));
        assert_eq!(closest(mean(390), &tried[1..]), Some(0));
        assert_eq!(closest(mean(200), &tried), Some(0));
        assert_eq!(closest(mean(400), &[]), None);
    }
}
