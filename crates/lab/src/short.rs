//! Memory that is really short: the condition under which policies are compared that differ in the memory they hold.
//!
//! A memory group with a limit is the machine: the server, its components, their page cache and swap cache, and the
//! kernel's memory for them fit into the budget and a stated margin. So page cache and swap cache do not linger for one side
//! and not for the other, and the manager's thresholds of pressure are those of such a machine. `hog` adds a locked hog that
//! holds the rest of the machine's memory, so that nothing outside the group helps either; a hog without the group would put
//! every policy under pressure, since thresholds follow the size of the machine.

mod args;
pub(crate) mod files;
mod group;
mod hog;
mod swap;
mod turned_on;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::ensure;
use majordomo::ByteSize;
use majordomo_core::PressureProfile;
use majordomo_memory::pressure_thresholds;
use serde::{Deserialize, Serialize};

pub(crate) use args::{ShortArgs, Shortage};
pub(crate) use group::{GroupUsage, MemoryGroup};
pub(crate) use swap::{Swap, SwapKind, Zram, written};

use hog::Hog;
use turned_on::TurnedOn;

/// The share of its memory that the product's default budget takes: a limit without a stated margin is the machine whose default
/// budget the given one is.
const DEFAULT_BUDGET: f64 = 0.6;
/// A level of pressure is left only with this much more than its threshold.
const CLEARANCE: f64 = 1.125;
/// The manager and its guard, which the margin holds too.
const MANAGER: ByteSize = ByteSize::mib(32);
/// Beside a hog so much is left for the rest of the machine.
const REST: ByteSize = ByteSize::mib(320);

/// The condition of a measurement, as its report states it; sizes in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Condition {
    pub(crate) budget: u64,
    pub(crate) margin: u64,
    /// Locked by the hog; none without one.
    pub(crate) hog: Option<u64>,
    /// Of it, given back since because the machine needed it.
    pub(crate) gave: u64,
    pub(crate) swap: SwapKind,
    /// The machine's swap, in words.
    pub(crate) swap_areas: String,
    /// The memory of everything loaded and used once, as the group counts it.
    pub(crate) all_loaded: u64,
    /// Seconds of rest between the start of a server and its first command.
    pub(crate) settle_s: f64,
    /// Whether the manager sees memory pressure when the budget is full.
    pub(crate) is_pressed: bool,
}

impl Condition {
    /// As the begin of a sentence.
    pub(crate) fn sentence(&self) -> String {
        self.to_string().replacen("memory", "Memory", 1)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "memory is short: server, components and page cache have {} and {} beside it; {}",
            ByteSize(self.budget),
            ByteSize(self.margin),
            self.swap_areas
        )?;
        match self.hog {
            Some(held) => write!(f, "; a hog locks {} of the rest of the machine", ByteSize(held)),
            None => Ok(()),
        }
    }
}

/// The margin that a budget has by default: the rest of the machine whose default budget it is.
fn default_margin(budget: ByteSize) -> ByteSize {
    budget.scaled(1.0 / DEFAULT_BUDGET - 1.0)
}

/// Whether a manager that fills its budget sees a level of pressure above LOW.
fn is_pressed(budget: ByteSize, margin: ByteSize) -> bool {
    let medium = pressure_thresholds(PressureProfile::Share, budget + margin)[0];
    margin - MANAGER < medium.scaled(CLEARANCE)
}

/// Memory that is short as long as this value lives.
#[derive(Debug)]
pub(crate) struct ShortMemory {
    args: ShortArgs,
    group: Arc<MemoryGroup>,
    hog: Option<Hog>,
    turned_on: Option<TurnedOn>,
    /// The files of components, whose page cache is dropped before each run.
    files: BTreeSet<PathBuf>,
}

impl ShortMemory {
    /// Checks the stated swap, or turns it on with a file in `folder`, and makes the group, without a limit at first.
    pub(crate) async fn start(args: &ShortArgs, folder: &Path) -> anyhow::Result<Option<Self>> {
        if args.short_memory.is_none() {
            return Ok(None);
        }
        let group = Arc::new(MemoryGroup::create()?);
        let mut turned_on = None;
        if let (Some(kind), Some(size)) = (args.swap, args.turn_swap_on) {
            turned_on = Some(TurnedOn::start(kind, size, &folder.join("swap")).await?);
        }
        let out = Self { args: args.clone(), group, hog: None, turned_on, files: BTreeSet::new() };
        let checked = args.swap.map_or(Ok(()), |kind| Swap::of_this_machine().check(kind));
        match checked {
            Ok(()) => Ok(Some(out)),
            Err(error) => {
                out.end().await?;
                Err(error)
            }
        }
    }

    pub(crate) fn group(&self) -> &Arc<MemoryGroup> {
        &self.group
    }

    /// Remembers the files of components: those in their folder, and those that their processes have mapped now.
    pub(crate) fn record_files(&mut self, folder: &Path, pids: impl IntoIterator<Item = i32>) {
        self.files = files::mapped(pids);
        self.files.extend(files::below(folder));
    }

    /// Makes memory short for a budget; `all_loaded` is the memory of everything, as the group counts it.
    pub(crate) async fn press(
        &mut self,
        budget: ByteSize,
        all_loaded: u64,
    ) -> anyhow::Result<Condition> {
        let margin = self.args.margin.unwrap_or_else(|| default_margin(budget));
        let limit = budget + margin;
        self.clear();
        self.group.limit(limit)?;
        let machine = majordomo::memory_limit().unwrap_or(limit);
        ensure!(
            machine >= limit + REST,
            "budget and margin need {limit} and the rest of the machine {REST}, and there are {machine}"
        );
        if self.args.short_memory == Some(Shortage::Hog) {
            self.hog = Some(Hog::start(limit + REST).await?);
        }
        let swap = Swap::of_this_machine();
        Ok(Condition {
            budget: budget.bytes(),
            margin: margin.bytes(),
            hog: self.hog.as_ref().map(|hog| hog.held().bytes()),
            gave: 0,
            swap: swap.kind(),
            swap_areas: swap.to_string(),
            all_loaded,
            settle_s: self.args.settle().as_secs_f64(),
            is_pressed: is_pressed(budget, margin),
        })
    }

    /// Before each run: nothing of an earlier one is in the page cache, wherever that was charged.
    pub(crate) fn clear(&self) {
        files::drop_cached(&self.files);
        self.group.empty();
    }

    /// Memory that the hog gave back.
    pub(crate) fn gave(&self) -> u64 {
        self.hog.as_ref().map_or(0, |hog| hog.gave().bytes())
    }

    /// Ends the hog, and turns swap off that was turned on.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        drop(self.hog);
        match self.turned_on {
            Some(turned_on) => turned_on.end().await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_margin_makes_the_budget_the_default_one_and_shows_no_pressure() {
        let budget = ByteSize::mib(600);
        let margin = default_margin(budget);
        assert_eq!(margin.bytes() >> 20, 400);
        for mib in [300, 600, 1_200, 4_000] {
            assert!(!is_pressed(ByteSize::mib(mib), default_margin(ByteSize::mib(mib))), "{mib}");
        }
        assert!(is_pressed(budget, ByteSize::mib(200)));
    }
}
