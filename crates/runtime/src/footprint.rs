//! How much memory components that are processes use.
//!
//! A figure that leaves this file is *exact*: pages that members share count once (see [`Figure`]). Resident sizes
//! count them for each member, so they are only ever a hint that an exact look is due. Knows nothing of budgets.
//! Everything here reads files or runs a tool, so it belongs on a blocking thread.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::ByteSize;
use majordomo_memory::{Measure, SourceError, is_same_memory, process_footprint, process_peak};

use crate::clock::Clock;
use crate::process::RunningProcess;
use crate::proctable::{self, Entry, Members, StartTime};

/// One look of a [`Sampler`] in so many goes through the whole process table.
const WHOLE_EVERY: u32 = 10;
/// An exact figure is renewed after this even if no quick look asks for it: processes of other components can end
/// with which a component shared pages.
const EXACT_PERIOD: Duration = Duration::from_secs(30);
/// Exact looks may take one part in so many of the time, all components together: the kernel walks all page tables,
/// which are milliseconds for gibibytes.
const SHARE_OF_TIME: u32 = 20;
/// That much time for exact looks can be saved up.
const MOST_SAVED: Duration = Duration::from_millis(500);
/// A change by less than this asks for no exact look; above 16 times as much, by less than a sixteenth.
const SLACK: ByteSize = ByteSize::mib(1);
/// Members are read one after the other, so several are read again until two readings agree, at most so often.
const READINGS: usize = 6;

/// Where an exact figure comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Figure {
    /// The sum of the members' proportional set sizes with swap (Linux), or of their physical footprints (macOS).
    #[default]
    Proportional,
    /// The usage of the component's own cgroup less inactive file cache, where a member cannot be read.
    Cgroup,
    /// The same as `Proportional`, but of the members that cannot be read only the one with the largest resident
    /// size, since they may share all of it: never too large for that.
    Largest,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proportional => "its processes' own account",
            Self::Cgroup => "from its cgroup",
            Self::Largest => "only the largest of the processes that cannot be read",
        })
    }
}

/// What a component uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes, each page of memory counted once.
    pub exact: ByteSize,
    /// Where that comes from.
    pub figure: Figure,
    /// The sum of the members' resident sizes at the same time.
    pub resident: ByteSize,
    /// Living members.
    pub members: u32,
}

/// What a load took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadFootprint {
    /// Exact bytes now.
    pub exact: ByteSize,
    /// The most so far.
    pub peak: ByteSize,
}

/// Measures the same components again and again, for a small part of what an exact look costs: a quick look at
/// each, an exact one at those where it found a change, the last exact figure for the others.
#[derive(Debug)]
pub struct Sampler {
    clock: Clock,
    looks: u32,
    last: BTreeMap<Arc<str>, Last>,
    allowance: Allowance,
}

impl Default for Sampler {
    fn default() -> Self {
        let allowance = Allowance { left: 0, as_of: Duration::ZERO };
        Self { clock: Clock::start(), looks: 0, last: BTreeMap::new(), allowance }
    }
}

impl Sampler {
    /// What components use, in the order of `processes`; none for one that has no living member. All of them were
    /// started by one loader. A member that no known one has started may be missing for nine looks. Blocks.
    #[must_use]
    pub fn look(&mut self, processes: &[&RunningProcess]) -> Vec<Option<Footprint>> {
        let all: Vec<&Members> = processes.iter().map(|p| &**p.members()).collect();
        self.last.retain(|mark, _| all.iter().any(|m| m.mark() == mark));
        let Some(first) = all.first() else { return Vec::new() };
        let is_whole = self.looks.is_multiple_of(WHOLE_EVERY)
            || all.iter().any(|m| !self.last.contains_key(m.mark()));
        self.looks = self.looks.wrapping_add(1);
        let table = first.table();
        let mut found = if is_whole { table.look_at_all() } else { table.look_at_known(None) };
        let now = self.clock.elapsed();
        let mut due = Vec::new();
        for members in &all {
            let found = found.remove(members.mark()).unwrap_or_default();
            if found.is_empty() {
                self.last.remove(members.mark());
                continue;
            }
            let last = self.last.get(members.mark());
            if last.is_none_or(|last| last.is_outdated_by(&found, now)) {
                due.push((last.map(|l| l.at), *members, found));
            }
        }
        // New ones first: there is no figure to repeat. Then the oldest figure.
        due.sort_by_key(|(at, ..)| *at);
        self.allowance.save_until(now);
        for (at, members, found) in due {
            if at.is_some() && !self.allowance.is_left() {
                break;
            }
            let before = self.clock.elapsed();
            let last = measure(members, found).map(|f| Last::new(f, self.clock.elapsed()));
            self.allowance.spend(self.clock.elapsed().saturating_sub(before));
            match last {
                Some(last) => self.last.insert(Arc::clone(members.mark()), last),
                None => self.last.remove(members.mark()),
            };
        }
        all.iter().map(|m| self.last.get(m.mark()).map(|last| last.footprint)).collect()
    }
}

/// Time that is left for exact looks.
#[derive(Debug)]
struct Allowance {
    /// Microseconds; less than 0 after a look that took longer than was left.
    left: i64,
    as_of: Duration,
}

impl Allowance {
    fn save_until(&mut self, now: Duration) {
        let saved = micros(now.saturating_sub(self.as_of) / SHARE_OF_TIME);
        self.left = self.left.saturating_add(saved).min(micros(MOST_SAVED));
        self.as_of = now;
    }

    fn is_left(&self) -> bool {
        self.left > 0
    }

    fn spend(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(micros(time));
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// The last exact look at a component.
#[derive(Debug)]
struct Last {
    at: Duration,
    footprint: Footprint,
    members: Vec<(i32, StartTime)>,
}

impl Last {
    fn new((footprint, found): (Footprint, Vec<Entry>), at: Duration) -> Self {
        Self { at, footprint, members: identities(&found) }
    }

    /// Whether a quick look that found these members asks for an exact one.
    fn is_outdated_by(&self, found: &[Entry], now: Duration) -> bool {
        let before = self.footprint;
        let resident: ByteSize = found.iter().map(|e| e.resident).sum();
        // Writing to a page that members share takes memory, but changes no resident size.
        let may_unshare = before.members > 1 && !is_about(before.resident, before.exact);
        may_unshare
            || !is_about(resident, before.resident)
            || identities(found) != self.members
            || now.saturating_sub(self.at) >= EXACT_PERIOD
    }
}

fn identities(found: &[Entry]) -> Vec<(i32, StartTime)> {
    let mut all: Vec<_> = found.iter().map(|e| (e.pid, e.start.clone())).collect();
    all.sort_by_key(|(pid, _)| *pid);
    all
}

fn is_about(a: ByteSize, b: ByteSize) -> bool {
    a.0.abs_diff(b.0) <= (a.min(b).0 / 16).max(SLACK.0)
}

/// An exact look at the members that were just found, with those it ended with.
///
/// A member may start, end or become another program while the others are read, and what they share with it then counts
/// twice or not at all. So a reading counts when the members stayed the same meanwhile, and of several members when
/// two such readings agree; else the middle one.
fn measure(members: &Members, mut found: Vec<Entry>) -> Option<(Footprint, Vec<Entry>)> {
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
    let mut sum = Footprint::default();
    let mut unreadable: Option<ByteSize> = None;
    for entry in found {
        let [pid, parent] = [entry.pid, entry.ppid].map(|pid| u32::try_from(pid).unwrap_or(0));
        // Asked first: memory that is not the same any more does not become so again.
        if found.iter().any(|e| e.pid == entry.ppid) && is_same_memory(pid, parent) {
            sum.members += 1;
            continue;
        }
        match process_footprint(pid, Measure::Proportional) {
            Ok(bytes) => sum.exact += bytes,
            Err(error) if is_gone(&error) => continue,
            Err(_) => unreadable = unreadable.max(Some(entry.resident)),
        }
        sum.resident += entry.resident;
        sum.members += 1;
    }
    if let Some(largest) = unreadable {
        let usage = members.cgroup().and_then(|cgroup| cgroup.working_set().ok());
        sum.figure = if usage.is_some() { Figure::Cgroup } else { Figure::Largest };
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

/// What a component uses now; none when it has no living member. Blocks.
#[must_use]
pub fn exact(process: &RunningProcess) -> Option<Footprint> {
    let members = process.members();
    Some(measure(members, members.find())?.0)
}

/// The same by the members that are known. Blocks.
pub(crate) fn of_known(members: &Members) -> Option<Footprint> {
    Some(measure(members, members.find_known())?.0)
}

/// What a component uses now that its load has ended, and the most it used: the peak of its cgroup where it has one,
/// else the largest of `sampled`, of now, and of what any one member had at most (each page of one process counts once,
/// so that is never too large; a sum over several would be). Blocks.
pub(crate) fn after_load(members: &Members, sampled: Option<ByteSize>) -> Option<LoadFootprint> {
    let (footprint, found) = measure(members, members.find())?;
    let Footprint { exact, resident, .. } = footprint;
    let of_cgroup = members.cgroup().and_then(|c| c.peak_working_set().ok().flatten());
    let peak = of_cgroup.or_else(|| {
        let peak = |e: &Entry| process_peak(u32::try_from(e.pid).ok()?);
        let highest = found.iter().filter_map(peak).max()?;
        // What a single process shares, it shares with others than its own.
        let of_others = if footprint.members == 1 { resident - exact } else { ByteSize::ZERO };
        Some(highest - of_others)
    });
    let peak = peak.max(sampled).unwrap_or_default().max(exact);
    Some(LoadFootprint { exact, peak })
}

/// The resident size of this very process. Blocks.
#[must_use]
pub fn own() -> ByteSize {
    let pid = i32::try_from(std::process::id()).ok();
    pid.and_then(proctable::entry).map(|entry| entry.resident).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: i32, start: &str, mib: u64) -> Entry {
        let start = StartTime::new(start).unwrap();
        let resident = ByteSize::mib(mib);
        Entry { pid, ppid: 1, pgid: 7, zombie: false, kernel: false, start, resident }
    }

    #[test]
    fn exact_look_is_due_when_size_or_members_changed_or_shared_pages_may_have_been_copied() {
        let check =
            |what: &str, exact: u64, before: &[Entry], now: &[Entry], seconds: u64, want| {
                let resident = before.iter().map(|e| e.resident).sum();
                let members = u32::try_from(before.len()).unwrap();
                let exact = ByteSize::mib(exact);
                let footprint = Footprint { exact, resident, members, ..Footprint::default() };
                let last = Last::new((footprint, before.to_vec()), Duration::from_secs(100));
                let is_due = last.is_outdated_by(now, Duration::from_secs(100 + seconds));
                assert_eq!(is_due, want, "{what}");
            };
        let one = |mib| [entry(7, "1", mib)];
        check("nothing changed", 160, &one(160), &one(160), 29, false);
        check("a sixteenth more", 160, &one(160), &one(170), 1, false);
        check("more than that", 160, &one(160), &one(171), 1, true);
        check("less", 160, &one(160), &one(149), 1, true);
        check("a small one by a little", 4, &one(4), &one(5), 1, false);
        check("a small one by much", 4, &one(4), &one(6), 1, true);
        check("long ago", 160, &one(160), &one(160), 30, true);
        check("the number of another process", 160, &one(160), &[entry(7, "2", 160)], 1, true);
        check("shared with others only", 80, &one(160), &one(160), 1, false);
        let two = [entry(7, "1", 80), entry(8, "1", 80)];
        check("one more member", 160, &one(160), &two, 1, true);
        check("members share nothing", 158, &two, &two, 1, false);
        check("in another order", 158, &two, &[two[1].clone(), two[0].clone()], 1, false);
        check("members share pages", 80, &two, &two, 1, true);
    }

    #[test]
    fn exact_looks_take_a_twentieth_of_the_time_at_most() {
        let mut allowance = Allowance { left: 0, as_of: Duration::ZERO };
        assert!(!allowance.is_left());
        let mut spent = Duration::ZERO;
        for second in 1..=1000 {
            allowance.save_until(Duration::from_secs(second));
            if allowance.is_left() {
                let look = Duration::from_millis(400);
                allowance.spend(look);
                spent += look;
            }
        }
        assert_eq!(spent, Duration::from_secs(50));
    }
}
