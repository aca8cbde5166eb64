//! Arms the wake-ups of the Linux kernel: PSI triggers, v1 usage thresholds, v2 `memory.events`.
//!
//! Each that cannot be had is named with the reason; none is required.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use majordomo_core::{ByteSize, PressureLevel};
use rustix::event::{EventfdFlags, eventfd};

use super::config::WatchConfig;
use super::means::WatchMeans;
use super::signal::{Kind, Signal};
use crate::cgroup::{CgroupVersion, MemoryCgroup};

/// A stall that wakes: the word, the percentage of the window, and the level that it hints at. The same shares
/// as the averages' hints, felt within one window instead of after ten seconds.
const TRIGGERS: [(&str, u32, PressureLevel); 2] =
    [("some", 10, PressureLevel::Medium), ("full", 10, PressureLevel::High)];

/// Windows to try, in seconds: one, and two, which the kernel grants to every process (since Linux 6.5).
const WINDOWS: [u32; 2] = [1, 2];

/// The text that arms a trigger: `some 100000 1000000`.
fn trigger(word: &str, percent: u32, window: u32) -> String {
    format!("{word} {} {}", window * percent * 10_000, window * 1_000_000)
}

pub(super) fn arm(config: &WatchConfig) -> (Vec<Signal>, Vec<WatchMeans>) {
    let mut signals = Vec::new();
    let mut means = Vec::new();
    let machine = config.root.join("proc/pressure/memory");
    means.push(arm_stalls(&machine, false, &mut signals));
    if let Some((cgroup, thresholds)) = &config.cgroup {
        match cgroup.version() {
            CgroupVersion::V1 => means.push(arm_usage(cgroup, *thresholds, &mut signals)),
            CgroupVersion::V2 => {
                means.push(arm_stalls(&cgroup.dir().join("memory.pressure"), true, &mut signals));
                means.push(arm_events(cgroup, &mut signals));
            }
        }
    }
    (signals, means)
}

/// The triggers of one PSI file, all with the shortest window that the kernel grants.
fn arm_stalls(path: &Path, own_cgroup: bool, signals: &mut Vec<Signal>) -> WatchMeans {
    let mut refusal = None;
    for window in WINDOWS {
        let armed: io::Result<Vec<Signal>> = TRIGGERS
            .iter()
            .map(|&(word, percent, hint)| {
                let mut file = OpenOptions::new().read(true).write(true).open(path)?;
                // The kernel takes the last byte for the end of the text, whatever it is.
                file.write_all(format!("{}\0", trigger(word, percent, window)).as_bytes())?;
                Ok(Signal { fd: OwnedFd::from(file), kind: Kind::Stall { own_cgroup, hint } })
            })
            .collect();
        match armed {
            Ok(armed) => {
                signals.extend(armed);
                let window = Duration::from_secs(u64::from(window));
                return WatchMeans::Stalls { own_cgroup, window };
            }
            Err(error) => refusal = Some(error),
        }
    }
    missing("PSI trigger", path, refusal)
}

/// Usage at which each level's rest of available bytes is left, at this cgroup and every limited one above.
fn arm_usage(
    cgroup: &MemoryCgroup,
    thresholds: [ByteSize; 4],
    signals: &mut Vec<Signal>,
) -> WatchMeans {
    let mut count = 0;
    let mut refusal = None;
    for cgroup in cgroup.ancestry() {
        let Ok(Some(limit)) = cgroup.own_limit() else { continue };
        for rest in thresholds.into_iter().filter(|rest| *rest < limit) {
            match usage_threshold(&cgroup, limit - rest) {
                Ok(signal) => {
                    signals.push(signal);
                    count += 1;
                }
                Err(error) => refusal = Some(error),
            }
        }
    }
    if count > 0 || refusal.is_none() {
        return WatchMeans::UsageThresholds { count };
    }
    missing("usage threshold", cgroup.dir(), refusal)
}

fn usage_threshold(cgroup: &MemoryCgroup, threshold: ByteSize) -> io::Result<Signal> {
    let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let usage = File::open(cgroup.dir().join("memory.usage_in_bytes"))?;
    let order = format!("{} {} {}", counter.as_raw_fd(), usage.as_raw_fd(), threshold.bytes());
    let control = cgroup.dir().join("cgroup.event_control");
    OpenOptions::new().write(true).open(control)?.write_all(order.as_bytes())?;
    Ok(Signal { fd: counter, kind: Kind::Usage { threshold } })
}

fn arm_events(cgroup: &MemoryCgroup, signals: &mut Vec<Signal>) -> WatchMeans {
    let path = cgroup.own_events_file();
    let armed = || {
        let mut file = File::open(&path)?;
        // Changes count from this reading on.
        file.read_to_string(&mut String::new())?;
        let last = cgroup.own_events().map_err(io::Error::other)?;
        let kind = Kind::Events { cgroup: cgroup.clone(), last };
        Ok(Signal { fd: OwnedFd::from(file), kind })
    };
    match armed() {
        Ok(signal) => {
            signals.push(signal);
            WatchMeans::CgroupEvents
        }
        Err(error) => missing("memory.events", &path, Some(error)),
    }
}

fn missing(kind: &str, path: &Path, error: Option<io::Error>) -> WatchMeans {
    let why = error.map_or_else(|| "refused".to_owned(), |e| e.to_string());
    WatchMeans::Missing { what: format!("{kind} at {}: {why}", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_in_the_kernels_words() {
        assert_eq!(trigger("some", 10, 1), "some 100000 1000000");
        assert_eq!(trigger("full", 10, 2), "full 200000 2000000");
    }
}
