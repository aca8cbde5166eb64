//! `majordomo-lab park-cycles`: real programs are parked and woken a thousand times, and nothing may be lost.
//!
//! A server of the product has six programs and room for about half of them, so each demand parks another one: a server with
//! connections that stay open, one with children, one with locked memory, programs that are no servers. Every answer is
//! checked against the memory that it must come from. Where the machine offers no paging there is nothing to measure: the
//! command says so, unless it is asked to go on with loads and unloads.

mod configuration;
mod connection;
mod deaths;
mod driver;
mod growth;
pub(crate) mod subject;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::assistant::interrupt::Interrupt;
use crate::assistant::processes::Processes;
use crate::assistant::rungs::{Rungs, median};
use crate::assistant::server::{Place, Server, TemporaryFile};
use deaths::Seen;
use driver::{Driver, Tally};
use growth::{Growth, Levels, growth};

/// Arguments of `park-cycles`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Parks and wakes to make
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    cycles: u64,
    /// Memory that each program answers from, MiB
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(4..=1_024))]
    mib: u16,
    /// The seed of order and questions
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The program to measure (default: `majordomo` beside this program)
    #[arg(long, value_name = "PROGRAM")]
    majordomo: Option<PathBuf>,
    /// Only print whether programs are parked here, or why not
    #[arg(long)]
    offered: bool,
    /// Go on where nothing is parked: programs are unloaded and loaded instead
    #[arg(long)]
    two_state: bool,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The server knows by then whether the machine offers paging.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// So many demands for each park and wake are enough; where there are more, components are hardly parked.
const DEMANDS: u64 = 12;
/// Looks at memory and descriptors in a run.
const LOOKS: u64 = 40;
/// Falls through to an unload may be this share of the cycles.
const FALLS: f64 = 0.02;
/// Falls of a short run: programs of which nothing can be freed fall twice and are then left alone.
const FALLS_AT_LEAST: u64 = 8;

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
struct Outcome {
    /// How programs are paged out; none where they are not.
    means: Option<String>,
    cycles: u64,
    asked_cycles: u64,
    loads: u64,
    rungs: Rungs,
    of_components: BTreeMap<String, Rungs>,
    falls: Vec<String>,
    deaths: Vec<String>,
    tally: Tally,
    growth: Vec<Growth>,
    looks: Vec<Levels>,
    orphans: Vec<String>,
}

impl Outcome {
    /// Everything that is wrong, in words.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.cycles < self.asked_cycles {
            faults.push(format!(
                "only {} of {} cycles within {DEMANDS} demands for each",
                self.cycles, self.asked_cycles
            ));
        }
        if self.tally.n_violations > 0 {
            faults.push(format!(
                "{} requests were lost or answered wrong: {}",
                self.tally.n_violations,
                self.tally.violations.join("; ")
            ));
        }
        if !self.deaths.is_empty() {
            faults.push(format!("{} deaths: {}", self.deaths.len(), self.deaths.join("; ")));
        }
        let most = ((FALLS * self.asked_cycles as f64) as u64).max(FALLS_AT_LEAST);
        if self.rungs.falls > most {
            faults.push(format!("{} steps fell through to an unload", self.rungs.falls));
        }
        let unloads = self.rungs.falls + self.loads;
        if self.tally.cut > unloads {
            faults.push(format!(
                "{} requests over open connections were cut by {unloads} unloads at most",
                self.tally.cut
            ));
        }
        faults.extend(self.growth.iter().map(ToString::to_string));
        if !self.orphans.is_empty() {
            faults.push(format!("still running: {}", self.orphans.join(", ")));
        }
        faults
    }

    fn print(&self) {
        let Rungs { parks, wakes, falls, given_up, .. } = &self.rungs;
        println!(
            "{}: {parks} parks, {wakes} wakes, {falls} fell through, {given_up} given up, {} loads",
            self.means.as_deref().unwrap_or("nothing is parked here"),
            self.loads
        );
        if let Some(wake) = median(&self.rungs.wake_ms) {
            let freed = self.rungs.freed_share().map_or(0.0, |share| 100.0 * share);
            println!(
                "median wake {wake:.1} ms, median park {:.1} ms; {freed:.1} % of the bytes booked as freed were freed",
                median(&self.rungs.park_ms).unwrap_or(0.0)
            );
        }
        for (name, rungs) in &self.of_components {
            let freed = rungs.freed_share().map_or(0.0, |share| 100.0 * share);
            println!(
                "  {name}: {} parks, {freed:.0} % of the bytes booked, {} MiB each; {} fell through",
                rungs.parks,
                (rungs.freed / rungs.parks.max(1)) >> 20,
                rungs.falls
            );
        }
        println!(
            "{} requests, {} of them over open connections to parked programs; {} without a lease were cut by an unload",
            self.tally.requests, self.tally.to_parked, self.tally.cut
        );
        for look in self.looks.iter().step_by((self.looks.len() / 8).max(1)) {
            println!(
                "  after {:>6} cycles: manager {} KiB, {} descriptors, {} threads; {} processes, {} MiB, {} MiB in swap",
                look.n_cycles,
                look.manager >> 10,
                look.descriptors,
                look.threads,
                look.processes,
                look.components >> 20,
                look.swapped >> 20
            );
        }
        for fall in self.falls.iter().take(5) {
            println!("  fell through: {fall}");
        }
    }
}

/// A folder of its own for configuration, state and socket, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("majordomo-cycles-{}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(Self(dir))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind in the system's temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(cycles(args));
    runtime.shutdown_background();
    result
}

async fn cycles(args: &Args) -> anyhow::Result<ExitCode> {
    let program = match &args.majordomo {
        Some(named) => named.clone(),
        None => std::env::current_exe()?.with_file_name("majordomo"),
    };
    let folder = Folder::new()?;
    let interrupt = Interrupt::listen()?;
    let server = start(&program, &folder.0, usize::from(args.mib)).await?;
    let offered = tokio::select! {
        offered = offered(&server) => offered,
        () = interrupt.raised() => Err(anyhow::anyhow!("interrupted")),
    };
    let ran = match offered {
        Ok(offered) if args.offered => {
            match &offered {
                Ok(means) => println!("offered: {means}"),
                Err(why) => println!("not offered: {why}"),
            }
            Ok(None)
        }
        Ok(Err(why)) if !args.two_state => Err(anyhow::anyhow!(
            "programs are not parked here: {why}; --two-state unloads and loads them instead"
        )),
        Ok(offered) => drive(args, &server, offered.ok(), &interrupt).await.map(Some),
        Err(error) => Err(error),
    };
    let mut processes = Processes::new(server.pid);
    processes.memory();
    server.stop().await;
    let Some(mut outcome) = ran? else { return Ok(ExitCode::SUCCESS) };
    outcome.orphans = processes.orphans().await;
    outcome.print();
    if let Some(file) = &args.out {
        std::fs::write(file, serde_json::to_vec_pretty(&outcome)?)
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    if interrupt.is_raised() {
        return Ok(ExitCode::from(130));
    }
    let faults = outcome.faults();
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    println!("no request was lost, no program died, nothing grew");
    Ok(ExitCode::SUCCESS)
}

async fn start(program: &Path, folder: &Path, mib: usize) -> anyhow::Result<Server> {
    let file = TemporaryFile(folder.join("cycles.toml"));
    std::fs::write(&file.0, configuration::text(&std::env::current_exe()?, mib))?;
    let (state, socket, log) =
        (folder.join("state"), folder.join("api.sock"), folder.join("server.log"));
    let place = Place { program, state: &state, socket: &socket, log: &log, members: None };
    Server::start(place, file).await
}

/// How programs are paged out on this machine, or why they are not; a server that parks nothing says nothing.
async fn offered(server: &Server) -> anyhow::Result<Result<String, String>> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let status: serde_json::Value = serde_json::from_slice(&server.client.raw_status().await?)?;
        let parking = &status["memory"]["parking"];
        if parking.is_null() {
            return Ok(Err("this server parks no programs".to_owned()));
        }
        let text = |key: &str| parking[key].as_str().map(str::to_owned);
        if let Some(means) = text("means") {
            return Ok(Ok(means));
        }
        if let Some(why) = text("why_not") {
            return Ok(Err(why));
        }
        ensure!(tokio::time::Instant::now() < end, "not known within {PATIENCE:?}: {parking}");
        tokio::time::sleep(LOOK).await;
    }
}

async fn drive(
    args: &Args,
    server: &Server,
    means: Option<String>,
    interrupt: &Interrupt,
) -> anyhow::Result<Outcome> {
    let follower = deaths::follow(server.address.clone()).await?;
    let client = majordomo_server::Client::new(server.address.clone());
    let mut driver = Driver::new(client, usize::from(args.mib), args.seed);
    let mut processes = Processes::new(server.pid);
    let mut looks: Vec<Levels> = Vec::new();
    let n_cycles = |seen: &Seen| match means {
        Some(_) => seen.rungs.parks.min(seen.rungs.wakes),
        // The first load of each component replaces none.
        None => seen.loads.saturating_sub(configuration::SUBJECTS.len() as u64),
    };
    for _ in 0..DEMANDS * args.cycles + DEMANDS {
        let done = n_cycles(&follower.seen());
        if done * LOOKS >= looks.len() as u64 * args.cycles {
            looks.push(Levels::measure(server.pid, &mut processes, done));
            eprintln!("{done} of {} cycles", args.cycles);
        }
        if done >= args.cycles {
            break;
        }
        tokio::select! {
            step = driver.step() => step?,
            () = interrupt.raised() => break,
        }
    }
    let seen = follower.seen();
    ensure!(seen.missed == 0, "{} events were missed", seen.missed);
    Ok(Outcome {
        cycles: n_cycles(&seen),
        means: means.clone(),
        asked_cycles: args.cycles,
        loads: seen.loads,
        rungs: seen.rungs.clone(),
        of_components: seen.of_components.clone(),
        falls: seen.falls.clone(),
        deaths: seen.deaths.clone(),
        tally: driver.tally,
        growth: growth(&looks),
        looks,
        orphans: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            means: Some("by advice".to_owned()),
            cycles: 20,
            asked_cycles: 20,
            loads: 6,
            rungs: Rungs::default(),
            of_components: BTreeMap::new(),
            falls: Vec::new(),
            deaths: Vec::new(),
            tally: Tally::default(),
            growth: Vec::new(),
            looks: Vec::new(),
            orphans: Vec::new(),
        }
    }

    #[test]
    fn anything_lost_dead_grown_or_left_is_a_fault() {
        assert!(outcome().faults().is_empty());
        let mut bad = outcome();
        bad.cycles = 19;
        bad.tally.n_violations = 1;
        bad.deaths.push("lines exited".to_owned());
        bad.rungs.falls = 9;
        bad.growth.push(Growth { name: "threads of the manager", from: 1, to: 99 });
        bad.orphans.push("lines (7)".to_owned());
        assert_eq!(bad.faults().len(), 6, "{:?}", bad.faults());
        assert!(bad.faults()[0].contains("only 19 of 20"));
    }
}
