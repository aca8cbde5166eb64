//! Exact readings of the members of one component.

use majordomo_core::ByteSize;
use majordomo_memory::{Shares, SourceError, is_same_memory, process_peak, process_shares};

use super::figure::{Figure, Footprint, LoadFootprint};
use crate::proctable::{Entry, Members, StartTime};

/// A change by less than this asks for no exact look; above 16 times as much, by less than a sixteenth.
const SLACK: ByteSize = ByteSize::mib(1);
/// Members are read one after the other, so several are read again until two readings agree, at most so often.
const READINGS: usize = 6;

/// An exact look at the members that were just found, with those it ended with.
///
/// A member may start, end or become another program while the others are read, and what they share with it then counts
/// twice or not at all. So a reading counts when the members stayed the same meanwhile, and of several members when
/// two such readings agree; else the middle one.
pub(super) fn measure(members: &Members, mut found: Vec<Entry>) -> Option<(Footprint, Vec<Entry>)> {
    let (mut settled, mut unsettled) = (Vec::new(), Vec::new());
    for _ in 0..READINGS {
        let reading = read(members, &found);
        let after = members.find_known();
        let is_settled = identities(&after) == identities(&found);
        found = after;
        let Some(reading) = reading else {
            if found.is_empty() {
                return None;
            }
            continue;
        };
        if !is_settled {
            unsettled.push(reading);
            continue;
        }
        if reading.members == 1
            || settled.iter().any(|s: &Footprint| is_about(s.exact, reading.exact))
        {
            return Some((reading, found));
        }
        settled.push(reading);
    }
    let mut readings = if settled.is_empty() { unsettled } else { settled };
    readings.sort_by_key(|reading| reading.exact);
    readings.get(readings.len() / 2).map(|middle| (*middle, found))
}

/// One reading of each; none when all are gone.
fn read(members: &Members, found: &[Entry]) -> Option<Footprint> {
    let mut sum = Footprint { own: Some(ByteSize::ZERO), ..Footprint::default() };
    let mut unreadable: Option<ByteSize> = None;
    for entry in found {
        let [pid, parent] = [entry.pid, entry.ppid].map(|pid| u32::try_from(pid).unwrap_or(0));
        // Asked first: memory that is not the same any more does not become so again.
        if found.iter().any(|e| e.pid == entry.ppid) && is_same_memory(pid, parent) {
            sum.members += 1;
            continue;
        }
        match process_shares(pid) {
            Ok(Shares { mapped, swapped, own }) => {
                sum.exact += mapped + swapped;
                sum.own = sum.own.zip(own).map(|(sum, own)| sum + own);
                sum.swapped += swapped;
            }
            Err(error) if is_gone(&error) => continue,
            Err(_) => unreadable = unreadable.max(Some(entry.resident)),
        }
        sum.resident += entry.resident;
        sum.members += 1;
    }
    if let Some(largest) = unreadable {
        sum.own = None;
        let usage = members.cgroup().and_then(|cgroup| cgroup.working_set().ok());
        sum.figure = if usage.is_some() { Figure::Cgroup } else { Figure::Largest };
        // Usage counts no bytes in swap.
        sum.swapped = if usage.is_some() { ByteSize::ZERO } else { sum.swapped };
        sum.exact = usage.unwrap_or(sum.exact + largest);
    }
    (sum.members > 0).then_some(sum)
}

/// Whether a process could not be read because it has ended.
fn is_gone(error: &SourceError) -> bool {
    let no_such_process = rustix::io::Errno::SRCH.raw_os_error();
    match error {
        SourceError::Io { error, .. } => {
            error.kind() == std::io::ErrorKind::NotFound
                || error.raw_os_error() == Some(no_such_process)
        }
        // The memory of a zombie is an empty text.
        SourceError::Malformed { text, .. } => text.is_empty(),
        _ => false,
    }
}

/// The same by the members that are known. Blocks.
pub(crate) fn of_known(members: &Members) -> Option<Footprint> {
    Some(measure(members, members.find_known())?.0)
}

/// The memory of a component now that its load has ended, and its peak: that of its cgroup where that has a limit, else the
/// largest of `sampled`, of now, and of the peaks of single members (each page of one process counts once, so that is
/// never too large; a sum over several would be). Blocks.
pub(crate) fn after_load(members: &Members, sampled: Option<ByteSize>) -> Option<LoadFootprint> {
    let (footprint, found) = measure(members, members.find())?;
    let Footprint { exact, resident, own, .. } = footprint;
    // Without a limit a cgroup may have had file cache of any size.
    let limited = members.cgroup().filter(|c| c.own_limit().is_ok_and(|limit| limit.is_some()));
    let of_cgroup = limited.and_then(|c| c.peak_working_set().ok().flatten());
    let peak = of_cgroup.or_else(|| {
        let peak = |e: &Entry| process_peak(u32::try_from(e.pid).ok()?);
        let highest = found.iter().filter_map(peak).max()?;
        // Pages that a single process shares are shared with processes of other components.
        let of_others = if footprint.members == 1 { resident - exact } else { ByteSize::ZERO };
        Some(highest - of_others)
    });
    let peak = peak.max(sampled).unwrap_or_default().max(exact);
    Some(LoadFootprint { exact, peak, own })
}

pub(super) fn identities(found: &[Entry]) -> Vec<(i32, StartTime)> {
    let mut all: Vec<_> = found.iter().map(|e| (e.pid, e.start.clone())).collect();
    all.sort_by_key(|(pid, _)| *pid);
    all
}

pub(super) fn is_about(a: ByteSize, b: ByteSize) -> bool {
    a.0.abs_diff(b.0) <= (a.min(b).0 / 16).max(SLACK.0)
}
