//! Growth over cycles: memory, descriptors and threads of the manager, processes and swap of its components.
//!
//! The first quarter warms up; then the first quarter after it is compared with the last one. The figures of components rise and
//! fall with each park, so their peaks are compared; those of the manager do not, so their medians are.

use std::fmt;

use serde::Serialize;

use crate::assistant::processes::Processes;

/// The figures at one moment; sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Levels {
    /// Parks and wakes so far.
    pub(super) n_cycles: u64,
    /// Proportional set size of the manager.
    pub(super) manager: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
    /// Processes of components.
    pub(super) processes: u64,
    /// Proportional size of what components have in swap.
    pub(super) swapped: u64,
    /// Proportional size of components, with what they have in swap.
    pub(super) components: u64,
}

impl Levels {
    pub(super) fn measure(server: u32, processes: &mut Processes, n_cycles: u64) -> Self {
        let memory = processes.memory();
        let count = |folder: &str| {
            let path = format!("/proc/{server}/{folder}");
            std::fs::read_dir(path).map_or(0, |all| all.count() as u64)
        };
        Self {
            n_cycles,
            manager: memory.manager,
            descriptors: count("fd"),
            threads: count("task"),
            processes: processes.survivors().len() as u64,
            swapped: memory.swapped,
            components: memory.sum(),
        }
    }
}

/// A figure that must not grow.
struct Rule {
    name: &'static str,
    of: fn(&Levels) -> u64,
    /// Whether peaks are compared instead of medians.
    is_peak: bool,
    /// The last figure may be this share more than the first, and so much beside it.
    share: f64,
    more: u64,
}

const fn rule(name: &'static str, of: fn(&Levels) -> u64, share: f64, more: u64) -> Rule {
    Rule { name, of, is_peak: false, share, more }
}

const RULES: [Rule; 6] = [
    // The allocator and learned figures settle within some hundred cycles.
    rule("memory of the manager", |l| l.manager, 0.15, 4 << 20),
    rule("descriptors of the manager", |l| l.descriptors, 0.0, 8),
    // Those for calls that block are as many as ever ran at a time, which a busy machine makes more.
    rule("threads of the manager", |l| l.threads, 0.0, 32),
    Rule { is_peak: true, ..rule("processes of components", |l| l.processes, 0.0, 4) },
    Rule { is_peak: true, ..rule("swap of components", |l| l.swapped, 0.25, 32 << 20) },
    Rule { is_peak: true, ..rule("memory of components", |l| l.components, 0.25, 32 << 20) },
];

/// Growth shows in no fewer looks.
const LEAST_LOOKS: usize = 32;

/// A figure that grew.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Growth {
    pub(super) name: &'static str,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} grew from {} to {}", self.name, self.from, self.to)
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// The figures that grew; none of a run so short that it has few looks.
pub(super) fn growth(looks: &[Levels]) -> Vec<Growth> {
    if looks.len() < LEAST_LOOKS {
        return Vec::new();
    }
    let quarter = looks.len() / 4;
    let (first, last) = (&looks[quarter..2 * quarter], &looks[looks.len() - quarter..]);
    let grown = RULES.iter().filter_map(|rule| {
        let of = |part: &[Levels]| {
            let values = part.iter().map(rule.of);
            if rule.is_peak { values.max().unwrap_or(0) } else { median(values.collect()) }
        };
        let (from, to) = (of(first), of(last));
        let most = from as f64 * (1.0 + rule.share) + rule.more as f64;
        (to as f64 > most).then_some(Growth { name: rule.name, from, to })
    });
    grown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(of: impl Fn(u64) -> Levels) -> Vec<Levels> {
        (0..40).map(of).collect()
    }

    #[test]
    fn slow_growth_of_a_figure_is_found_and_a_peak_is_none() {
        let level = Levels { manager: 20 << 20, descriptors: 30, threads: 9, ..Levels::default() };
        assert_eq!(growth(&looks(|_| level)), []);
        let leaks = looks(|i| Levels { descriptors: 30 + i, ..level });
        let found = growth(&leaks);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "descriptors of the manager grew from 45 to 65");
        let peak = looks(|i| Levels { descriptors: if i == 38 { 900 } else { 30 }, ..level });
        assert_eq!(growth(&peak), []);
        // The first quarter warms up.
        let warms_up = looks(|i| Levels { manager: (i.min(10) + 1) << 24, ..level });
        assert_eq!(growth(&warms_up), []);
        assert_eq!(growth(&leaks[..LEAST_LOOKS - 1]), []);
        let swings = looks(|i| Levels { swapped: (i % 3) << 26, ..level });
        assert_eq!(growth(&swings), []);
        let swells = looks(|i| Levels { swapped: (i % 3) << (22 + i / 5), ..level });
        assert_eq!(growth(&swells)[0].name, "swap of components");
    }
}
