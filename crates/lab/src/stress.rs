//! `majordomo-lab stress`: a real soak, or with `--simulated` seeds of simulated days, with `--load` rising load, with
//! `--kills` a manager killed at many moments.
//!
//! Knows the command line, and of the simulated days the output; they live in `majordomo-sim`, the soak in `soak`.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use majordomo_sim::stress::{self, Counts, Coverage, Failure, Script};
use tokio::signal::unix::{SignalKind, signal};

use crate::soak::{self, Ended, Leak, Options, Profile, kills};
use crate::{load, paired};

/// Arguments of `stress`.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes:\n  0    every check passed\n  1    a check failed, or an error\n  130  interrupted (Ctrl-C) before any check failed; the report so far is written"
)]
pub(crate) struct Args {
    /// Length of the soak in real time, hours (default: 24, or the planned time with --resume)
    #[arg(long, conflicts_with = "minutes")]
    hours: Option<f64>,
    /// Length of the soak in real time, minutes
    #[arg(long)]
    minutes: Option<f64>,
    /// How the manager is used in the soak
    #[arg(long, value_enum, default_value_t = Profile::Mixed)]
    profile: Profile,
    /// Continues the soak of a folder
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Folder of the soak's report and of the remains of kills (default: a new folder in target/stress)
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Time between samples of the soak; by default 1m, and 1s below 30 minutes
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    sample: Option<Duration>,
    /// Plants leaks, to see that they are found
    #[arg(long, value_enum, value_delimiter = ',', hide = true)]
    plant: Vec<Leak>,
    /// Puts the socket API under rising load instead, until p99 breaks --p99-ms
    #[arg(long, conflicts_with = "simulated")]
    load: bool,
    /// The bound of p99 under load, milliseconds
    #[arg(long, default_value_t = 50, value_name = "MS")]
    p99_ms: u64,
    /// How long each rate lasts under load
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = parse_time)]
    step: Duration,
    /// Kills managers so many times instead, each at a random moment, and looks at what is left
    #[arg(long, value_name = "N", conflicts_with_all = ["simulated", "load", "resume"])]
    kills: Option<u32>,
    /// Managers that are killed at once
    #[arg(long, default_value_t = 4, value_name = "N")]
    jobs: u32,
    /// Simulates days of this length instead: 24h, 90m, 600s
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    simulated: Option<Duration>,
    /// Components may be parked, with faults of parks and wakes; in a soak programs where the machine has swap for that, which
    /// the report says
    #[arg(long, conflicts_with_all = ["paired", "load", "kills", "resume"])]
    rungs: bool,
    /// Runs each simulated seed with preloading and without it, and compares the waits of demands; a p99 is steady
    /// from ten days a seed on (--simulated 240h), of a single day it is chance
    #[arg(long, requires = "simulated", conflicts_with = "trace")]
    paired: bool,
    /// How many seeds are simulated
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// The seed, of simulated days the first
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Components of the simulated catalog
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(4..=90))]
    components: u64,
    /// Runs that reducing a failing simulated seed may take
    #[arg(long, default_value_t = 2_000)]
    max_reduction_runs: usize,
    /// Prints every simulated input and effect
    #[arg(long)]
    trace: bool,
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no time; write a number and h, m or s, such as 24h");
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let number: u64 = number.parse().map_err(|_| bad())?;
    let seconds = match unit {
        "h" => number.checked_mul(3_600),
        "m" => number.checked_mul(60),
        "s" => Some(number),
        _ => None,
    };
    let seconds = seconds.filter(|s| (1..=3_600 * 24 * 366).contains(s)).ok_or_else(bad)?;
    Ok(Duration::from_secs(seconds))
}

/// The exit code of an interrupted run, as in shells: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs the command. 0: all held; an error, 1: something did not; 130: it was interrupted, and nothing had failed.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.load {
        let bound = Duration::from_millis(args.p99_ms);
        return Ok(code(load::run(&load::Options { bound, step: args.step })?));
    }
    if let Some(times) = args.kills {
        let (jobs, seed) = (args.jobs, args.seed);
        let options = kills::Options { times, jobs, seed, out: args.out.clone() };
        return Ok(code(kills::run(&options)?));
    }
    simulated_or_real(args)
}

fn code(to_its_end: bool) -> ExitCode {
    if to_its_end { ExitCode::SUCCESS } else { ExitCode::from(INTERRUPTED) }
}

fn simulated_or_real(args: &Args) -> anyhow::Result<ExitCode> {
    match args.simulated {
        Some(day) if args.paired => paired::run(&paired::Options {
            day,
            first_seed: args.seed,
            n_seeds: args.seeds,
            n_components: usize::try_from(args.components).context("too many components")?,
        })
        .map(|()| ExitCode::SUCCESS),
        Some(day) => simulate(args, day),
        None => real(args),
    }
}

fn real(args: &Args) -> anyhow::Result<ExitCode> {
    let seconds = args.minutes.map(|m| m * 60.0).or(args.hours.map(|h| h * 3_600.0));
    if let Some(seconds) = seconds
        && !(30.0..=3_600.0 * 24.0 * 366.0).contains(&seconds)
    {
        bail!("a soak takes 30 seconds (--minutes 0.5) to a year, not {seconds} s");
    }
    let ended = soak::run(&Options {
        total: seconds.map(Duration::from_secs_f64),
        profile: args.profile,
        seed: args.seed,
        resume: args.resume.clone(),
        out: args.out.clone(),
        sample: args.sample,
        plant: args.plant.clone(),
        rungs: args.rungs,
    })?;
    match ended {
        Ended::Passed => Ok(ExitCode::SUCCESS),
        Ended::Interrupted => Ok(ExitCode::from(INTERRUPTED)),
        Ended::Failed => bail!("the soak failed; the report says why"),
    }
}

/// True after the first interrupt; from now on only the second one ends the program at once.
fn interrupted() -> anyhow::Result<impl Fn() -> bool> {
    let (send, received) = std::sync::mpsc::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            // Without the signal there is nothing to report.
            let Ok(mut interrupts) = signal(SignalKind::interrupt()) else { return };
            interrupts.recv().await;
            let _ = send.send(());
            interrupts.recv().await;
            std::process::exit(i32::from(INTERRUPTED));
        });
    });
    Ok(move || received.try_recv().is_ok())
}

fn simulate(args: &Args, day: Duration) -> anyhow::Result<ExitCode> {
    if args.seeds == 0 {
        bail!("--seeds 0 runs nothing; give at least 1");
    }
    let n_components = usize::try_from(args.components).context("too many components")?;
    let mut counts = Counts::default();
    let mut coverage = Coverage::default();
    let mut failed = Vec::new();
    let mut took = Duration::ZERO;
    let shown = std::io::stderr().is_terminal();
    // A panic of the engine is a finding of the simulator, reported with its seed; the hook would print it thousands of
    // times while the seed is reduced.
    std::panic::set_hook(Box::new(|_| {}));
    let (interrupted, mut n_run) = (interrupted()?, 0);
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        if interrupted() {
            break;
        }
        n_run += 1;
        if shown {
            eprint!("\r\x1b[Kseed {seed}, {} failed", failed.len());
        }
        let script = Script::seeded(seed, n_components, day);
        let script = if args.rungs { script.with_rungs() } else { script };
        let (outcome, time) = timed(|| stress::run(&script, args.trace));
        took += time;
        counts.add(&outcome.counts);
        coverage.add(&outcome.coverage);
        if let Some(trace) = &outcome.trace {
            std::io::stdout().write_all(trace.as_bytes()).context("the trace cannot be written")?;
        }
        if let Some(failure) = outcome.failure {
            if shown {
                eprint!("\r\x1b[K");
            }
            print!("{}", failing_seed(args, day, seed, &script, &failure));
            if failed.is_empty() && args.max_reduction_runs > 0 {
                print!("{}", reduced(args, &script, &failure));
            }
            failed.push(seed);
        }
    }
    let _ = std::panic::take_hook();
    if shown {
        eprint!("\r\x1b[K");
    }
    print!("{}", report(args, day, n_run, &counts, &coverage, took));
    let (missed, surprising) = (coverage.missed(args.rungs), coverage.surprising(args.rungs));
    if !failed.is_empty() {
        bail!("{} of {n_run} seeds broke an invariant: {failed:?}", failed.len());
    }
    if !surprising.is_empty() {
        bail!("pairs that the table declares unreachable were met: {surprising:?}");
    }
    if n_run < args.seeds {
        println!(
            "interrupted after {n_run} of {} seeds; the rest: --seed {} --seeds {}",
            args.seeds,
            args.seed + n_run,
            args.seeds - n_run
        );
        return Ok(ExitCode::from(INTERRUPTED));
    }
    // A few short days cannot meet everything.
    if args.seeds * day.as_secs() >= 50 * 24 * 3_600 {
        if !missed.is_empty() {
            bail!("pairs that the table declares reachable were never met: {missed:?}");
        }
        let faults: Vec<_> = counts.missed_rung_faults().filter(|_| args.rungs).collect();
        if !faults.is_empty() {
            bail!("faults of rungs that never happened: {faults:?}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::disallowed_methods, reason = "the rate is printed; nothing is decided by it")]
fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = run();
    (result, start.elapsed())
}

/// A failing seed: how to replay it, and the shortest prefix that fails.
fn failing_seed(
    args: &Args,
    day: Duration,
    seed: u64,
    script: &Script,
    failure: &Failure,
) -> String {
    let mut text = format!(
        "seed {seed}: {} at {} in {}\n  replay: cargo xtask stress --simulated {}s --seeds 1 --seed {seed} --components {}{}\n",
        failure.broken,
        failure.at,
        failure.input,
        day.as_secs(),
        args.components,
        if args.rungs { " --rungs" } else { "" },
    );
    let prefix = script.until(failure.at);
    let _ = writeln!(
        text,
        "  shortest failing prefix: {} of {} actions, --simulated {}s",
        prefix.actions.len(),
        script.actions.len(),
        failure.at.0.div_ceil(1_000_000)
    );
    text
}

/// The few actions that make it fail, and what happened in their run.
fn reduced(args: &Args, script: &Script, failure: &Failure) -> String {
    let mut text = String::new();
    let shrunk = stress::shrink(script, failure, args.max_reduction_runs);
    let _ = writeln!(
        text,
        "  reduced to {} actions in {} runs: {}",
        shrunk.script.actions.len(),
        shrunk.n_runs,
        shrunk.failure.broken
    );
    for (at, action) in &shrunk.script.actions {
        let _ = writeln!(text, "    {at} {action:?}");
    }
    let trace = stress::run(&shrunk.script, true).trace.unwrap_or_default();
    let lines: Vec<_> = trace.lines().collect();
    let _ = writeln!(text, "  inputs (>) and effects (<) of the reduced run, the last 120:");
    for line in &lines[lines.len().saturating_sub(120)..] {
        let _ = writeln!(text, "    {line}");
    }
    text
}

fn report(
    args: &Args,
    day: Duration,
    n_run: u64,
    counts: &Counts,
    coverage: &Coverage,
    took: Duration,
) -> String {
    let n = counts.n_inputs();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} seeds of {} s with {} components: {n} inputs in {:.1} s, {:.0} a second on one core (and {} ticks, not counted)",
        n_run,
        day.as_secs(),
        args.components,
        took.as_secs_f64(),
        n as f64 / took.as_secs_f64().max(1e-9),
        counts.n_ticks,
    );
    let mix: Vec<_> = counts
        .by_name
        .iter()
        .map(|(name, m)| format!("{name} {:.2} %", *m as f64 * 100.0 / n.max(1) as f64))
        .collect();
    let _ = writeln!(text, "inputs: {}", mix.join(", "));
    let answers: Vec<_> = counts.answers.iter().map(|(name, m)| format!("{name} {m}")).collect();
    let _ = writeln!(text, "answers: {}", answers.join(", "));
    if args.rungs {
        let faults: Vec<_> =
            counts.rung_faults.iter().map(|(name, m)| format!("{name} {m}")).collect();
        let _ = writeln!(text, "faults of parks and wakes: {}", faults.join(", "));
    }
    let _ = writeln!(text, "digest of all effects: {}", counts.digest);
    let _ = write!(text, "{:<22}", "input \\ state");
    for state in stress::STATES {
        let _ = write!(text, " {state:>11}");
    }
    text.push('\n');
    for input in stress::INPUTS {
        let _ = write!(text, "{input:<22}");
        for state in stress::STATES {
            let met = coverage.pairs().find(|p| p.0 == state && p.1 == input).map_or(0, |p| p.2);
            let cell = match (met, stress::unreachable(state, input, args.rungs)) {
                (0, Some(_)) => "-".to_owned(),
                (0, None) => "MISSED".to_owned(),
                (n, Some(_)) => format!("{n}!"),
                (n, None) => n.to_string(),
            };
            let _ = write!(text, " {cell:>11}");
        }
        text.push('\n');
    }
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    let n_pairs = stress::STATES.len() * stress::INPUTS.len();
    let mut n_unreachable = 0;
    for (state, input, _) in coverage.pairs() {
        if let Some(why) = stress::unreachable(state, input, args.rungs) {
            n_unreachable += 1;
            match reasons.iter_mut().find(|r| r.0 == why) {
                Some(r) => r.1.push(format!("{input} while {state}")),
                None => reasons.push((why, vec![format!("{input} while {state}")])),
            }
        }
    }
    let n_missed = coverage.missed(args.rungs).len();
    let _ = writeln!(
        text,
        "pairs of state and input: {} of {} reachable ones met; {n_unreachable} are unreachable:",
        n_pairs - n_unreachable - n_missed,
        n_pairs - n_unreachable,
    );
    for (why, pairs) in reasons {
        let _ = writeln!(text, "  {why}: {}", pairs.join(", "));
    }
    text
}
