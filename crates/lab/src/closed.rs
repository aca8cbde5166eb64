//! `majordomo-lab closed`: users who wait for each answer, with the components of a configuration, as a table.
//!
//! Knows the command line and the output; the closed loop is `majordomo-sim`'s. Each user of each trace is run with
//! several orders of the components, since which of them is used most decides most.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use majordomo::read_config;
use majordomo_core::{ByteSize, Config, EventKind, PolicyKind};
use majordomo_sim::replay::{
    ClosedEvent, ClosedLoop, ClosedShape, ClosedTally, RungTable, Trace, replay_closed,
};

/// Arguments of `closed`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Traces: user TAB unix seconds TAB item [TAB command], sorted by user and time, no header; gzip allowed
    #[arg(required = true)]
    traces: Vec<PathBuf>,
    /// Components, with their sizes, load times, dependencies and priorities
    #[arg(long)]
    config: PathBuf,
    /// The budget as a share of all components' sizes
    #[arg(long, default_value_t = 0.4)]
    share: f64,
    /// Recorded pauses are divided by this
    #[arg(long, default_value_t = 15.0)]
    compress: f64,
    /// No pause is longer, in seconds
    #[arg(long, default_value_t = 8.0)]
    longest_pause: f64,
    /// How long a command uses its component, in milliseconds
    #[arg(long, default_value_t = 300)]
    usage_ms: u64,
    /// Commands of each user that only teach
    #[arg(long, default_value_t = 400)]
    history: usize,
    /// Commands of each user that are measured
    #[arg(long, default_value_t = 300)]
    commands: usize,
    /// Orders of the components for each user
    #[arg(long, default_value_t = 6)]
    orders: u64,
    /// Users of each trace, at most, spread over it
    #[arg(long, default_value_t = 6)]
    users: usize,
    /// Idle timeout of the row `idle`, which has no budget, in seconds
    #[arg(long, default_value_t = 20.0)]
    idle: f64,
    /// Add rows with rungs, by the published table or by that of a file
    #[arg(long, value_name = "TABLE", num_args = 0..=1, require_equals = true)]
    rungs: Option<Option<PathBuf>>,
    /// Print each change of state, with its cause, of the rows with rungs
    #[arg(long, requires = "rungs")]
    states: bool,
}

/// A row of the table: its name, and the settings that it runs with.
struct Row {
    name: &'static str,
    policy: PolicyKind,
    preloads: bool,
    idle: bool,
    rungs: bool,
}

const ROWS: [Row; 8] = [
    Row { name: "lru", policy: PolicyKind::Lru, preloads: false, idle: false, rungs: false },
    Row { name: "idle", policy: PolicyKind::Lru, preloads: false, idle: true, rungs: false },
    Row { name: "gdsf", policy: PolicyKind::Gdsf, preloads: false, idle: false, rungs: false },
    Row { name: "vrank", policy: PolicyKind::Vrank, preloads: true, idle: false, rungs: false },
    Row {
        name: "vrank-wait",
        policy: PolicyKind::VrankWait,
        preloads: true,
        idle: false,
        rungs: false,
    },
    Row {
        name: "no-preloads",
        policy: PolicyKind::VrankWait,
        preloads: false,
        idle: false,
        rungs: false,
    },
    Row { name: "lru rungs", policy: PolicyKind::Lru, preloads: false, idle: false, rungs: true },
    Row {
        name: "vrank rungs",
        policy: PolicyKind::Vrank,
        preloads: true,
        idle: false,
        rungs: true,
    },
];

fn loops(args: &Args) -> anyhow::Result<Vec<ClosedLoop>> {
    let loaded = read_config(&args.config, majordomo::memory_limit())?;
    let specs: Vec<_> = loaded.specs.iter().map(|s| s.as_ref().clone()).collect();
    let usage = Duration::from_millis(args.usage_ms);
    let mut loops = Vec::new();
    for path in &args.traces {
        let mut trace = Trace::open(path)?;
        trace.keep_every((trace.users.len() / args.users.max(1)).max(1));
        for user in &trace.users {
            for order in 0..args.orders {
                let shape = ClosedShape {
                    compress: args.compress,
                    longest_pause: Duration::from_secs_f64(args.longest_pause),
                    commands: [args.history, args.commands],
                    order,
                };
                loops.extend(ClosedLoop::of_user(user, &specs, usage, &shape));
            }
        }
    }
    if loops.is_empty() {
        bail!(
            "no user has {} commands; lower --history or --commands",
            args.history + args.commands
        );
    }
    Ok(loops)
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if !(args.compress > 0.0 && args.share > 0.0 && args.longest_pause >= 0.0 && args.idle > 0.0) {
        bail!("--compress, --share and --idle are above 0, and --longest-pause is at least 0");
    }
    let table = match &args.rungs {
        None => None,
        Some(None) => Some(RungTable::published()),
        Some(Some(path)) => Some(RungTable::open(path)?),
    };
    let loops = loops(args)?;
    let total: u64 = loops[0].specs.iter().map(|s| s.memory.bytes()).sum();
    println!(
        "{:<12} {:>8} {:>6} {:>6} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9}",
        "policy",
        "mean ms",
        "ratio",
        "worst",
        "waited %",
        "p50 ms",
        "p95 ms",
        "loads",
        "parks",
        "wakes",
        "preload",
        "wasted",
        "harmful",
        "refused",
        "booked MB"
    );
    let mut lru = Vec::new();
    let rows = ROWS.into_iter().filter(|row| table.is_some() || !row.rungs);
    for row in rows {
        let mut config = Config::default();
        config.memory.policy = row.policy;
        config.memory.estimate_margin = 1.0;
        config.speculation.enabled = row.preloads;
        let budget = if row.idle { total } else { (total as f64 * args.share) as u64 };
        let mut sum = ClosedTally::default();
        let mut ratios = Vec::new();
        for (i, given) in loops.iter().enumerate() {
            let mut given = given.clone();
            let idle = row.idle.then(|| Duration::from_secs_f64(args.idle));
            given.specs.iter_mut().for_each(|s| s.idle_timeout = idle);
            let mut on_event = |event: &ClosedEvent<'_>| {
                if args.states && row.rungs {
                    print_state(event);
                }
            };
            let rungs = table.as_ref().filter(|_| row.rungs);
            let budget = ByteSize(budget);
            let tally = replay_closed(&given, config.clone(), budget, rungs, &mut on_event)
                .context("the configuration's components cannot be run")?;
            if lru.len() == i {
                lru.push(tally.mean_ms());
            }
            ratios.push(if lru[i] > 0.0 { tally.mean_ms() / lru[i] } else { 1.0 });
            sum.add(&tally);
        }
        let n = sum.waits.len() as f64;
        println!(
            "{:<12} {:>8.0} {:>6.3} {:>6.2} {:>8.1} {:>7.0} {:>7.0} {:>7.3} {:>7.3} {:>7.3} {:>7.3} {:>7.3} {:>7.3} {:>7} {:>9.0}",
            row.name,
            sum.mean_ms(),
            ratios.iter().sum::<f64>() / ratios.len() as f64,
            ratios.iter().copied().fold(0.0, f64::max),
            100.0 * sum.waited(),
            sum.percentile_ms(0.5),
            sum.percentile_ms(0.95),
            sum.loads as f64 / n,
            sum.parks as f64 / n,
            sum.wakes as f64 / n,
            sum.preloads as f64 / n,
            sum.wasted as f64 / n,
            sum.harmful as f64 / n,
            sum.refused,
            sum.booked_mb()
        );
    }
    Ok(())
}

fn print_state(event: &ClosedEvent<'_>) {
    let shown = matches!(
        event.kind,
        EventKind::State { .. }
            | EventKind::Observed { .. }
            | EventKind::Granted { .. }
            | EventKind::Overdraft { .. }
            | EventKind::Victim { .. }
    );
    if shown {
        let (at, booked) = (event.at.0 as f64 / 1e6, event.booked.as_mib_f64());
        let text = event.kind.text(&|key| event.catalog.id(key).to_string());
        println!("{at:9.3} {booked:5.0} MiB  {text}");
    }
}
