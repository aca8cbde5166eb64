//! `majordomo-lab hog`: does a process die when a program in the same cgroup takes memory fast?
//!
//! A group with a limit holds a manager, idle components that it loaded, and a hog that grows at a set rate, holds,
//! and ends by itself. Beside the product two controls run: the predecessor's design as it was (the machine's available
//! memory every two seconds against absolute thresholds, action on a change of level only), and the same polling
//! given the group's own figures and the product's thresholds. Nothing outside the group is touched.

mod inside;
mod locked;
mod observe;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use majordomo_core::ByteSize;
use majordomo_memory::{LimitChoice, choose_limits};

pub(crate) use locked::{LockedArgs, lock_all, run as locked};
use observe::Run;

/// Arguments of `hog`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs of the product
    #[arg(long, default_value_t = 10)]
    runs: u32,
    /// Runs of each control
    #[arg(long, default_value_t = 3)]
    control_runs: u32,
    /// The group's limit, in MiB
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(256..=16_384))]
    limit: u64,
    /// Idle components in all, in MiB
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(60..=16_384))]
    idle: u64,
    /// The hog's growth, in MiB a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=4_096))]
    rate: u64,
    /// How far the hog grows, in MiB
    #[arg(long, default_value_t = 700, value_parser = clap::value_parser!(u64).range(1..=16_384))]
    to: u64,
    /// How long it holds then, in seconds
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=60))]
    hold: u64,
    /// The role of this process in a run
    #[arg(long, hide = true)]
    inside: Option<inside::Role>,
}

/// The watcher of memory in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Design {
    Product,
    PollsMachine,
    PollsCgroup,
}

impl Design {
    const ALL: [Self; 3] = [Self::Product, Self::PollsMachine, Self::PollsCgroup];

    const fn name(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::PollsMachine => "predecessor: polls the machine every 2 s",
            Self::PollsCgroup => "control: the same, with its cgroup known",
        }
    }

    const fn role(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::PollsMachine => "polls-machine",
            Self::PollsCgroup => "polls-group",
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(role) = args.inside {
        return inside::run(role, args);
    }
    ensure!(
        args.idle + args.to > args.limit,
        "idle components of {} MiB and a hog of {} MiB fit into {} MiB: nothing would happen",
        args.idle,
        args.to,
        args.limit
    );
    ensure!(
        args.to < args.limit,
        "a hog of {} MiB does not fit into {} MiB by itself",
        args.to,
        args.limit
    );
    let choice = choose_limits(std::path::Path::new("/"));
    let LimitChoice::Cgroup(group) = &choice else {
        bail!("a cgroup with a limit is needed, and none can be made here: {choice}");
    };
    println!(
        "{} below {}: limit {} MiB, {} MiB of idle components, a hog of {} MiB/s up to {} MiB",
        group.version(),
        group.dir().display(),
        args.limit,
        args.idle,
        args.rate,
        args.to
    );
    let mut all_lived = true;
    for design in Design::ALL {
        let n = if design == Design::Product { args.runs } else { args.control_runs };
        let mut runs = Vec::new();
        for i in 0..n {
            let run = observe::run(args, &choice, design)
                .with_context(|| format!("run {i} of {}", design.name()))?;
            println!("  {:<42} run {:>2}: {run}", design.name(), i + 1);
            runs.push(run);
        }
        all_lived &= design != Design::Product || runs.iter().all(|r| r.killed == 0);
        summary(design, &runs);
    }
    ensure!(all_lived, "the product let the kernel kill");
    Ok(())
}

fn summary(design: Design, runs: &[Run]) {
    if runs.is_empty() {
        return;
    }
    let killed = runs.iter().filter(|r| r.killed > 0).count();
    let mut waits: Vec<Duration> = runs.iter().filter_map(|r| r.to_first_unload).collect();
    waits.sort_unstable();
    let wait = match (waits.get(waits.len() / 2), waits.last()) {
        (Some(median), Some(worst)) => {
            format!(
                "first unload {:.0} ms (median), {:.0} ms (worst) after HIGH was crossed",
                ms(*median),
                ms(*worst)
            )
        }
        _ => "never unloaded anything".to_owned(),
    };
    let least = runs.iter().map(|r| r.least_available).min().unwrap_or(ByteSize::ZERO);
    println!(
        "{}: {} of {} runs without an OOM kill; {wait}; at least {least} left",
        design.name(),
        runs.len() - killed,
        runs.len()
    );
}

pub(crate) fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}
