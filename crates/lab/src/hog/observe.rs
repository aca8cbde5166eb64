//! One run, seen from outside the group: starts the processes, samples the group, reports the result.
//!
//! Invariant: when a run ends, well or badly, nothing of it is left: the manager ends with its standard input, its guard
//! takes the components along, and the hog ends by itself.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use majordomo_core::{ByteSize, PressureProfile};
use majordomo_memory::{LimitChoice, MemoryCgroup, ProcessLimit, pressure_thresholds};

use super::{Args, Design, ms};

/// The group is looked at this often.
const LOOK: Duration = Duration::from_millis(1);
/// A manager that does not come up or end by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// The result of one run.
#[derive(Debug)]
pub(crate) struct Run {
    /// Processes that the kernel killed in the group.
    pub(crate) killed: u64,
    /// From the moment that usage left HIGH's rest to the word of the first unload.
    pub(crate) to_first_unload: Option<Duration>,
    /// The least that was available.
    pub(crate) least_available: ByteSize,
    /// Whether the hog got all its memory.
    hog_held: bool,
    n_unloads: usize,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.killed > 0 { "KILLED" } else { "lived" };
        write!(f, "{verdict}, {} unloads", self.n_unloads)?;
        if let Some(wait) = self.to_first_unload {
            write!(f, ", the first {:.0} ms after HIGH was crossed", ms(wait))?;
        }
        write!(f, "; at least {} left", self.least_available)?;
        f.write_str(if self.hog_held { "" } else { "; the hog did not get its memory" })
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement of time is what this command is for")]
fn now() -> Instant {
    Instant::now()
}

/// A child in the group.
struct Member {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<(Instant, String)>,
}

impl Member {
    /// Starts this program in a role, puts it into the group, and lets it begin.
    fn start(role: &str, args: &Args, limit: &ProcessLimit) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["hog", "--inside", role])
            .args(["--limit", &args.limit.to_string(), "--idle", &args.idle.to_string()])
            .args(["--rate", &args.rate.to_string(), "--to", &args.to.to_string()])
            .args(["--hold", &args.hold.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take();
        let out = child.stdout.take().context("no standard output")?;
        let (tx, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if tx.send((now(), line)).is_err() {
                    return;
                }
            }
        });
        limit.enter(child.id())?;
        if let Some(pipe) = &mut stdin {
            pipe.write_all(b"go\n")?;
        }
        Ok(Self { child, stdin, lines })
    }

    fn expect(&self, word: &str) -> anyhow::Result<()> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok((_, line)) if line == word => Ok(()),
            Ok((_, line)) => bail!("{word:?} was expected, {line:?} came"),
            Err(_) => bail!("no {word:?} within {PATIENCE:?}"),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let until = now() + PATIENCE / 4;
        while matches!(self.child.try_wait(), Ok(None)) && now() < until {
            let _ = self.lines.recv_timeout(Duration::from_millis(20));
        }
        // Only a process that hangs is still there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run(args: &Args, choice: &LimitChoice, design: Design) -> anyhow::Result<Run> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let n = RUNS.fetch_add(1, Ordering::Relaxed);
    let size = ByteSize::mib(args.limit);
    let limit = choice.limit(&format!("hog-{}-{n}", std::process::id()), size)?;
    let group = limit.cgroup().context("a cgroup was chosen")?.clone();
    let kills_before = group.events()?.oom_kill;
    let high = pressure_thresholds(PressureProfile::Share, size)[1];

    let manager = Member::start(design.role(), args, &limit)?;
    manager.expect("ready")?;
    let mut hog = Member::start("hog", args, &limit)?;
    let mut crossed = None;
    let mut least = size;
    let status = loop {
        let available = available(&group, size)?;
        least = least.min(available);
        if crossed.is_none() && available < high {
            crossed = Some(now());
        }
        if let Some(status) = hog.child.try_wait()? {
            break status;
        }
        // The wait between two looks; the hog says one word, which ends nothing.
        if let Err(RecvTimeoutError::Disconnected) = hog.lines.recv_timeout(LOOK) {
            break hog.child.wait()?;
        }
    };
    let killed = group.events()?.oom_kill - kills_before;
    let mut unloads = Vec::new();
    while let Ok((at, line)) = manager.lines.try_recv() {
        if line == "unload" {
            unloads.push(at);
        }
    }
    drop(manager);
    drop(hog);
    let first =
        unloads.first().zip(crossed).map(|(at, crossed)| at.saturating_duration_since(crossed));
    Ok(Run {
        killed,
        to_first_unload: first,
        least_available: least,
        hog_held: status.success(),
        n_unloads: unloads.len(),
    })
}

fn available(group: &MemoryCgroup, limit: ByteSize) -> anyhow::Result<ByteSize> {
    Ok(limit - group.working_set()?)
}
