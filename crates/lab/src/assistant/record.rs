//! The results of days, as they are written and read again: one line for each command, one for each
//! sample, a summary.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::figures::Figures;
use super::played::Played;
use super::policy::Policy;
use super::ram::Ram;
use super::rungs::Rungs;
use super::sampler::Sample;
use super::used::Used;
use super::warm::WarmAnswers;
use crate::short::Condition;

/// Counts from the events of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Loads that began.
    pub(super) loads: u64,
    /// Components that were chosen to make room.
    pub(super) evictions: u64,
    /// Preloads that began.
    pub(super) preloads: u64,
    pub(super) hits: u64,
    pub(super) late: u64,
    pub(super) wasted: u64,
    /// Events that were lost.
    pub(super) missed: u64,
}

/// The identity of a day: all policies of a seed play the same one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Day {
    pub(super) seed: u64,
    /// Where its steps are from, in words.
    pub(super) source: String,
    /// Whether the steps are generated, not recorded.
    pub(super) is_generated: bool,
    pub(super) n_history: usize,
    /// Those of them, the last ones, that are played before the figures begin.
    pub(super) n_warm_up: usize,
    /// The component of each item of the trace that has another name.
    pub(super) items: BTreeMap<String, String>,
    /// Uses of the trace that are of no component.
    pub(super) n_left_out: usize,
    /// Pauses that are longer than the idle timeout in the trace.
    pub(super) n_long_pauses: usize,
}

/// Facts about a run that is not in the figures.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Aside {
    pub(super) n_commands: usize,
    pub(super) n_real: usize,
    pub(super) n_orphans: usize,
}

impl Aside {
    pub(super) fn of(run: &Run) -> Self {
        let Figures { n_commands, n_real, .. } = run.figures;
        Self { n_commands, n_real, n_orphans: run.orphans.len() }
    }
}

/// One policy on one day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) day: Day,
    pub(super) policy: Policy,
    /// The budget in bytes, where one binds.
    pub(super) budget: Option<u64>,
    /// Which policy it was on that day, from 0.
    pub(super) position: usize,
    /// The machine's load average before and after.
    pub(super) load_average: [f64; 2],
    /// Processors that other programs kept busy just before; none if that was not looked at.
    pub(super) busy_before: Option<f64>,
    pub(super) seconds: f64,
    /// Mean proportional set size of components over time, and its peak, in bytes.
    pub(super) mean: f64,
    pub(super) peak: u64,
    pub(super) manager_mean: f64,
    pub(super) manager_peak: u64,
    pub(super) guard_mean: f64,
    pub(super) used: Used,
    pub(super) tally: Tally,
    #[serde(default)]
    pub(super) rungs: Rungs,
    /// Where a memory group counts.
    #[serde(default)]
    pub(super) ram: Option<Ram>,
    /// Preloads whose victim was requested soon, as the manager counts them; none where no preload
    /// ended.
    pub(super) harm: Option<f64>,
    /// Uses before the figures that were refused.
    pub(super) n_warm_up_refused: usize,
    /// Unloads of the idle timeout that the server refused.
    pub(super) n_unloads_refused: usize,
    /// Processes of components that outlived the server.
    pub(super) orphans: Vec<String>,
    pub(super) n_samples: usize,
    /// CPU seconds that sampling took.
    pub(super) sampling_s: f64,
    /// Budgets that were tried for an equal mean, each with the mean that it gave.
    pub(super) tried: Vec<(u64, f64)>,
    /// The runs at those budgets that are not this one.
    pub(super) aside: Vec<Aside>,
    pub(super) figures: Figures,
    /// In a file of their own.
    #[serde(skip)]
    pub(super) commands: Vec<Played>,
}

/// The memory and the waits of a component when everything is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Proportional set size after one answer, in bytes.
    pub(super) pss: u64,
    /// From the request to the lease, with everything that it needs loaded already; none if it is
    /// always loaded or was not asked.
    pub(super) load_ms: Option<f64>,
    pub(super) first_answer_ms: Option<f64>,
}

/// Everything but the commands and the samples.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Summary {
    pub(super) date: String,
    pub(super) machine: String,
    /// The words of the command line, to repeat it.
    pub(super) command: Vec<String>,
    pub(super) folder: String,
    pub(super) components: BTreeMap<String, Measured>,
    /// Components that a day cannot use, and why.
    pub(super) unused: Vec<String>,
    /// The component of each label of the commands that has another name.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) commands_per_day: usize,
    pub(super) n_taught: usize,
    /// Rows of the commands that no day uses.
    pub(super) n_rows_left_out: usize,
    pub(super) compress: f64,
    pub(super) longest_pause_s: f64,
    /// On the clock of the trace.
    pub(super) idle_timeout_s: f64,
    /// The mean pause before a command of a day, as it was played.
    pub(super) mean_pause_s: f64,
    pub(super) sample_ms: f64,
    pub(super) was_interrupted: bool,
    /// How memory was made short, if it was.
    #[serde(default)]
    pub(super) condition: Option<Condition>,
    /// The times of warm answers, where they were measured.
    #[serde(default)]
    pub(super) warm: Option<WarmAnswers>,
    /// From the begin of the calibration to the end of the last run.
    pub(super) took_s: f64,
    pub(super) runs: Vec<Run>,
}

impl Summary {
    /// The sum of all components, each after one answer.
    pub(super) fn all_loaded(&self) -> u64 {
        self.components.values().map(|m| m.pss).sum()
    }

    /// A setting in which another measurement differs, so that its days cannot be pooled with these; none where it differs in none.
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        let short = |of: fn(&Condition) -> f64| {
            [self, other].map(|summary| summary.condition.as_ref().map(of))
        };
        let [own_swap, swap] = [self, other].map(|s| s.condition.as_ref().map(|c| c.swap));
        let [own_share, share] = [self, other].map(|summary| {
            let budget = summary.condition.as_ref().map(|c| c.budget as f64);
            budget.map(|budget| (100.0 * budget / summary.all_loaded().max(1) as f64).round())
        });
        let [own_rest, rest] = short(|c| c.settle_s);
        let pauses = |s: &Self| (s.compress, s.longest_pause_s);
        let differences = [
            (own_swap != swap, "the swap"),
            (own_share != share, "the budget"),
            (own_rest != rest, "the rest before the first command"),
            (pauses(self) != pauses(other), "the pauses"),
            (self.commands_per_day != other.commands_per_day, "the commands of a day"),
        ];
        differences.into_iter().find(|(differs, _)| *differs).map(|(_, what)| what)
    }

    /// The time that the measurement took, in words.
    pub(super) fn took(&self) -> String {
        majordomo::count((self.took_s / 60.0).round().max(1.0) as usize, "minute").to_string()
    }
}

/// A command with its day, as a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PlayedLine {
    pub(super) seed: u64,
    pub(super) policy: Policy,
    #[serde(flatten)]
    pub(super) played: Played,
}

/// A sample with its day, as a line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct SampleLine {
    pub(super) seed: u64,
    pub(super) policy: Policy,
    #[serde(flatten)]
    pub(super) sample: Sample,
}

/// Writes values as lines of JSON.
pub(super) fn write_lines<T: Serialize>(
    path: &Path,
    lines: impl Iterator<Item = T>,
) -> anyhow::Result<()> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(&line)?);
        text.push('\n');
    }
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Reads lines of JSON; a missing file has none.
pub(super) fn read_lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    text.lines()
        .enumerate()
        .map(|(i, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("{}:{} cannot be read", path.display(), i + 1))
        })
        .collect()
}
