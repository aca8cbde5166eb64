//! A hog that holds all but a stated part of the machine's memory, locked, so that nothing of it can be swapped out.
//!
//! It never makes the machine unusable: it looks at the available memory before each step, rests or gives memory back while
//! programs stall for memory, is the first that the kernel ends when memory runs out, and ends with its standard input,
//! so not later than the process that started it. Each change is a line on standard output: `held BYTES`, `gave BYTES`.

use std::io::{Read as _, Write as _};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::Context;
use majordomo_core::ByteSize;

/// Arguments of `locked-hog`.
#[derive(clap::Args)]
pub(crate) struct LockedArgs {
    /// So much of the machine's memory stays available when the hog has grown
    #[arg(long)]
    leave: ByteSize,
    /// At most so much is held, even if more is available
    #[arg(long)]
    at_most: Option<ByteSize>,
}

/// The hog grows and gives back by so much.
const STEP: ByteSize = ByteSize::mib(64);
/// The hog gives memory back while less is available than this, whatever it was asked to leave.
const FLOOR: ByteSize = ByteSize::mib(160);
/// It does not grow while all programs stalled for memory in this share of the last ten seconds, in percent.
const REST: f64 = 10.0;
/// It gives memory back while they stall in this share.
const STALLED: f64 = 40.0;
/// The time between two looks at a machine that must calm down, and at one where everything is held.
const LOOK: Duration = Duration::from_millis(250);

/// The memory of the machine at one look.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Look {
    available: ByteSize,
    /// The share of the last ten seconds in which all programs stalled for memory, in percent.
    stalled: f64,
}

impl Look {
    /// Reads the texts of `/proc/meminfo` and `/proc/pressure/memory`; the latter is missing on some systems.
    fn new(meminfo: &str, pressure: &str) -> Option<Self> {
        let available = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
        let kib: u64 = available.split_whitespace().next()?.parse().ok()?;
        let full = pressure.lines().find_map(|l| l.strip_prefix("full avg10="));
        let stalled = full.and_then(|l| l.split_whitespace().next()?.parse().ok());
        Some(Self { available: ByteSize(kib << 10), stalled: stalled.unwrap_or(0.0) })
    }

    fn of_this_machine() -> anyhow::Result<Self> {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self::new(&text("/proc/meminfo"), &text("/proc/pressure/memory"))
            .context("/proc/meminfo states no available memory")
    }
}

/// The next change of a hog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Grow(ByteSize),
    GiveBack,
    /// The machine must calm down first.
    Rest,
    /// Everything is held that was asked for.
    Hold,
}

/// The next step of a hog. Once it holds everything it never grows again: the rest belongs to the programs beside it.
fn next(look: Look, held: ByteSize, args: &LockedArgs, has_grown: bool) -> Step {
    if look.available < FLOOR || look.stalled >= STALLED {
        return if held > ByteSize::ZERO { Step::GiveBack } else { Step::Hold };
    }
    if has_grown {
        return Step::Hold;
    }
    let room = look.available - args.leave.max(FLOOR);
    let more = args.at_most.map_or(room, |most| room.min(most - held)).min(STEP);
    // Less than a mebibyte is noise of the machine's own counters.
    match more < ByteSize::mib(1) {
        true => Step::Hold,
        false if look.stalled >= REST => Step::Rest,
        false => Step::Grow(more),
    }
}

fn say(word: &str, bytes: ByteSize) {
    let mut out = std::io::stdout().lock();
    // Without a reader the end of standard input follows.
    let _ = writeln!(out, "{word} {}", bytes.bytes()).and_then(|()| out.flush());
}

/// A channel that ends with standard input.
fn until_eof() -> Receiver<()> {
    let (open, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(open);
    });
    ended
}

/// Locks all memory of this process, also what it will have.
#[cfg(target_os = "linux")]
pub(crate) fn lock_all() -> anyhow::Result<()> {
    use rustix::mm::{MlockAllFlags, mlockall};
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)
        .context("memory cannot be locked; run as root, or raise `ulimit -l`")
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn lock_all() -> anyhow::Result<()> {
    anyhow::bail!("memory is locked on Linux alone")
}

/// Holds memory until standard input ends.
pub(crate) fn run(args: &LockedArgs) -> anyhow::Result<()> {
    let ended = until_eof();
    std::fs::write("/proc/self/oom_score_adj", "1000")
        .context("the kernel cannot be asked to end the hog first")?;
    lock_all()?;
    let mut memory: Vec<Vec<u8>> = Vec::new();
    let held = |memory: &[Vec<u8>]| ByteSize(memory.iter().map(|part| part.len() as u64).sum());
    let mut has_grown = false;
    loop {
        let mut rest = LOOK;
        match next(Look::of_this_machine()?, held(&memory), args, has_grown) {
            Step::Grow(more) => {
                let mut part = vec![0u8; usize::try_from(more.bytes())?];
                // Locked memory is there at once; a byte in each page also keeps it apart from the others.
                part.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
                memory.push(std::hint::black_box(part));
                rest = Duration::ZERO;
            }
            Step::GiveBack => {
                if let Some(part) = memory.pop() {
                    say("gave", ByteSize(part.len() as u64));
                }
            }
            Step::Hold if !has_grown => {
                has_grown = true;
                say("held", held(&memory));
            }
            Step::Rest | Step::Hold => {}
        }
        if ended.recv_timeout(rest) == Err(RecvTimeoutError::Disconnected) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(mib: u64, stalled: f64) -> Look {
        Look { available: ByteSize::mib(mib), stalled }
    }

    fn args(leave: u64, at_most: Option<u64>) -> LockedArgs {
        LockedArgs { leave: ByteSize::mib(leave), at_most: at_most.map(ByteSize::mib) }
    }

    #[test]
    fn locked_hog_grows_until_the_stated_memory_is_left() {
        let step = |mib, held| next(look(mib, 0.0), ByteSize::mib(held), &args(900, None), false);
        assert_eq!(step(9_000, 0), Step::Grow(STEP));
        assert_eq!(step(930, 7_000), Step::Grow(ByteSize::mib(30)));
        assert_eq!(step(900, 7_000), Step::Hold);
        let bounded = |held| next(look(9_000, 0.0), ByteSize::mib(held), &args(0, Some(70)), false);
        assert_eq!((bounded(64), bounded(70)), (Step::Grow(ByteSize::mib(6)), Step::Hold));
        // The floor is left, whatever was asked for.
        assert_eq!(next(look(160, 0.0), STEP, &args(0, None), false), Step::Hold);
    }

    #[test]
    fn locked_hog_gives_memory_back_on_a_machine_that_stalls() {
        let step = |mib, stalled, held, grown| {
            next(look(mib, stalled), ByteSize::mib(held), &args(500, None), grown)
        };
        assert_eq!(step(9_000, 12.0, 64, false), Step::Rest);
        assert_eq!(step(9_000, 41.0, 64, false), Step::GiveBack);
        assert_eq!(step(159, 0.0, 64, true), Step::GiveBack);
        assert_eq!(step(159, 0.0, 0, true), Step::Hold);
        // The rest belongs to the programs beside it.
        assert_eq!(step(9_000, 0.0, 64, true), Step::Hold);
    }

    #[test]
    fn memory_and_stalls_are_read_by_their_names() {
        let meminfo = "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\n";
        let pressure = "some avg10=5.00 avg60=0\nfull avg10=1.50 avg60=0.00 avg300=0.00 total=9\n";
        assert_eq!(Look::new(meminfo, pressure), Some(look(2, 1.5)));
        assert_eq!(Look::new(meminfo, ""), Some(look(2, 0.0)));
        assert_eq!(Look::new("", pressure), None);
    }
}
