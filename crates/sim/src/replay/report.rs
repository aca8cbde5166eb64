//! Figures of a replay: counted per user, summed per trace, averaged over traces.

use std::fmt;
use std::str::FromStr;

use majordomo_core::{BudgetSetting, ByteSize, quoted_start};
use serde::Serialize;

/// The memory of all loaded components. Written as a size like the setting `budget` (`8GiB`), as `mb:M`, or as `slots:K`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// A number of items; every size counts 1.
    Slots(u32),
    /// Megabytes (10^6 bytes).
    Megabytes(f64),
}

/// A text that is not a budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// The text has no known form.
    #[error(
        "{} is not a budget; write a size such as 8GiB, mb:M (M above 0) or slots:K (K from 1 to 1000000)",
        quoted_start(.0)
    )]
    Malformed(String),
    /// A share, as the setting `budget` may be.
    #[error("{} is a share of a machine's memory, which a replay does not have; write a size such as 8GiB", quoted_start(.0))]
    Share(String),
}

impl Budget {
    /// The budgets in their order, each once: a repeated budget would repeat its figures.
    #[must_use]
    pub fn distinct(budgets: &[Self]) -> Vec<Self> {
        let mut distinct = Vec::new();
        for budget in budgets {
            if !distinct.contains(budget) {
                distinct.push(*budget);
            }
        }
        distinct
    }
}

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let bad = || BudgetError::Malformed(text.to_owned());
        let Some((unit, number)) = text.split_once(':') else {
            return match text.parse() {
                Ok(BudgetSetting::Bytes(size)) if ByteSize::SETTING.contains(&size) => {
                    Ok(Self::Megabytes(size.bytes() as f64 / 1e6))
                }
                Ok(BudgetSetting::Share(_)) => Err(BudgetError::Share(text.to_owned())),
                _ => Err(bad()),
            };
        };
        match unit {
            "slots" => match number.parse() {
                Ok(k) if (1..=1_000_000).contains(&k) => Ok(Self::Slots(k)),
                _ => Err(bad()),
            },
            "mb" => match number.parse::<f64>() {
                Ok(m) if m > 0.0 && m <= 1e9 => Ok(Self::Megabytes(m)),
                _ => Err(bad()),
            },
            _ => Err(bad()),
        }
    }
}

/// Megabytes that were given in binary units, as they were given; none for whole megabytes.
fn binary(megabytes: f64) -> Option<String> {
    let bytes = (megabytes * 1e6).round();
    let units = [("GiB", f64::from(1 << 30)), ("MiB", f64::from(1 << 20)), ("KiB", 1024.0)];
    let of = |unit: f64| (bytes % unit == 0.0).then_some(bytes / unit);
    let (number, unit) =
        units.iter().find_map(|(name, unit)| of(*unit).map(|number| (number, name)))?;
    (bytes % 1e6 != 0.0).then(|| format!("{number}{unit}"))
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slots(k) => write!(f, "slots:{k}"),
            Self::Megabytes(m) => match binary(*m) {
                Some(size) => f.write_str(&size),
                None => write!(f, "mb:{m}"),
            },
        }
    }
}

/// Counts of one replay; the counts of several users can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct Tally {
    pub events: u64,
    pub users: u64,
    /// Events whose item was resident and ready.
    pub hits: u64,
    /// Sum of waits, in microseconds.
    pub wait_us: u64,
    /// Preloads started.
    pub preloads: u64,
    /// Preloads evicted, or left at the end, before their first use.
    pub wasted: u64,
    /// Megabytes (slots) loaded, on demand and by preloads.
    pub loaded: f64,
    /// Integral of the resident megabytes (slots) over wall time, in seconds.
    pub resident_seconds: f64,
    /// Wall time from the first to the last event, in seconds.
    pub seconds: f64,
    /// Items parked.
    pub parks: u64,
    /// Parked items woken, for an event or speculatively.
    pub wakes: u64,
    /// Megabytes (slots) written to swap.
    pub swapped: f64,
    /// Events before which the policy had ranked the items.
    pub ranked: u64,
    /// Of these, events whose item was ranked first.
    pub top1: u64,
    /// Of these, events whose item was among the first three.
    pub top3: u64,
    /// Of these, events whose item was among the first five.
    pub top5: u64,
    /// Sum of reciprocal ranks.
    pub reciprocal: f64,
}

impl Tally {
    /// Adds another replay's counts.
    pub fn add(&mut self, o: &Self) {
        self.events += o.events;
        self.users += o.users;
        self.hits += o.hits;
        self.wait_us += o.wait_us;
        self.preloads += o.preloads;
        self.wasted += o.wasted;
        self.loaded += o.loaded;
        self.resident_seconds += o.resident_seconds;
        self.seconds += o.seconds;
        self.parks += o.parks;
        self.wakes += o.wakes;
        self.swapped += o.swapped;
        self.ranked += o.ranked;
        self.top1 += o.top1;
        self.top3 += o.top3;
        self.top5 += o.top5;
        self.reciprocal += o.reciprocal;
    }

    /// Counts a prediction by the rank of the item that was used: 0 is the first, `None` is not ranked.
    pub fn predicted(&mut self, rank: Option<usize>) {
        self.ranked += 1;
        if let Some(rank) = rank {
            self.top1 += u64::from(rank < 1);
            self.top3 += u64::from(rank < 3);
            self.top5 += u64::from(rank < 5);
            self.reciprocal += 1.0 / (rank + 1) as f64;
        }
    }
}

/// The end of the policy's name in rows of replays with rungs.
pub(super) const WITH_RUNGS: &str = "+rungs";

/// One row of figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub struct Report {
    pub policy: String,
    /// The budget, as [`Budget`] writes it.
    pub budget: String,
    /// The trace, or `mean`.
    pub trace: String,
    /// Only in rows for one user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub events: u64,
    pub users: u64,
    /// Share of hits, in percent.
    pub hit_pct: f64,
    /// Mean wait per event, in ms.
    pub wait_ms_mean: f64,
    pub preloads_per_event: f64,
    pub wasted_per_event: f64,
    /// Share of preloads that were wasted.
    pub waste_share: f64,
    /// Mean resident megabytes (slots) over wall time.
    pub resident_mb_mean: f64,
    /// Megabytes (slots) loaded per event.
    pub loaded_mb_per_event: f64,
    /// Only in rows of replays with rungs, as the next two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parks_per_event: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wakes_per_event: Option<f64>,
    /// Megabytes (slots) written to swap per event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swapped_mb_per_event: Option<f64>,
    /// Share of events whose item was ranked first; `None` when the policy predicts nothing.
    pub hr1: Option<f64>,
    /// Share of events whose item was among the first three.
    pub hr3: Option<f64>,
    /// Share of events whose item was among the first five.
    pub hr5: Option<f64>,
    /// Mean reciprocal rank.
    pub mrr: Option<f64>,
}

impl Report {
    /// The mean resident memory with its unit, or the mean number of resident components of a budget of slots.
    #[must_use]
    pub fn resident(&self) -> String {
        let unit = match self.budget.parse() {
            Ok(Budget::Slots(_)) => "slots",
            _ => "MB",
        };
        format!("{:.1} {unit}", self.resident_mb_mean)
    }

    /// Computes the figures of one trace or user.
    #[must_use]
    pub fn new(policy: &str, budget: Budget, trace: &str, user: Option<&str>, t: &Tally) -> Self {
        let per = |x: f64, n: f64| if n > 0.0 { x / n } else { 0.0 };
        let n = t.events as f64;
        let ranked = |x: f64| (t.ranked > 0).then(|| x / t.ranked as f64);
        let of_rungs = |x: f64| policy.ends_with(WITH_RUNGS).then(|| per(x, n));
        Self {
            policy: policy.to_owned(),
            budget: budget.to_string(),
            trace: trace.to_owned(),
            user: user.map(str::to_owned),
            events: t.events,
            users: t.users,
            hit_pct: 100.0 * per(t.hits as f64, n),
            wait_ms_mean: per(t.wait_us as f64 / 1e3, n),
            preloads_per_event: per(t.preloads as f64, n),
            wasted_per_event: per(t.wasted as f64, n),
            waste_share: per(t.wasted as f64, t.preloads as f64),
            resident_mb_mean: per(t.resident_seconds, t.seconds),
            loaded_mb_per_event: per(t.loaded, n),
            parks_per_event: of_rungs(t.parks as f64),
            wakes_per_event: of_rungs(t.wakes as f64),
            swapped_mb_per_event: of_rungs(t.swapped),
            hr1: ranked(t.top1 as f64),
            hr3: ranked(t.top3 as f64),
            hr5: ranked(t.top5 as f64),
            mrr: ranked(t.reciprocal),
        }
    }

    /// The unweighted mean over traces of one policy and budget; `None` for no rows.
    #[must_use]
    pub fn mean(rows: &[Self]) -> Option<Self> {
        let first = rows.first()?;
        let n = rows.len() as f64;
        let mean = |f: fn(&Self) -> f64| rows.iter().map(f).sum::<f64>() / n;
        let mean_known = |f: fn(&Self) -> Option<f64>| {
            rows.iter().map(f).sum::<Option<f64>>().map(|sum| sum / n)
        };
        Some(Self {
            policy: first.policy.clone(),
            budget: first.budget.clone(),
            trace: "mean".to_owned(),
            user: None,
            events: rows.iter().map(|r| r.events).sum(),
            users: rows.iter().map(|r| r.users).sum(),
            hit_pct: mean(|r| r.hit_pct),
            wait_ms_mean: mean(|r| r.wait_ms_mean),
            preloads_per_event: mean(|r| r.preloads_per_event),
            wasted_per_event: mean(|r| r.wasted_per_event),
            waste_share: mean(|r| r.waste_share),
            resident_mb_mean: mean(|r| r.resident_mb_mean),
            loaded_mb_per_event: mean(|r| r.loaded_mb_per_event),
            parks_per_event: mean_known(|r| r.parks_per_event),
            wakes_per_event: mean_known(|r| r.wakes_per_event),
            swapped_mb_per_event: mean_known(|r| r.swapped_mb_per_event),
            hr1: mean_known(|r| r.hr1),
            hr3: mean_known(|r| r.hr3),
            hr5: mean_known(|r| r.hr5),
            mrr: mean_known(|r| r.mrr),
        })
    }
}
