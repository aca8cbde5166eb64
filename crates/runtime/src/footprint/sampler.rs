//! Repeated measuring of many components at a small part of the cost of exact readings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::ByteSize;

use super::figure::Footprint;
use super::reading::{identities, is_about, measure};
use crate::clock::Clock;
use crate::process::RunningProcess;
use crate::proctable::{Entry, Members, StartTime};

/// One look of a [`Sampler`] in so many reads the whole process table.
const WHOLE_EVERY: u32 = 10;
/// An exact figure is renewed after this even if no quick look asks for it: processes of other components can end
/// with which a component shared pages.
const EXACT_PERIOD: Duration = Duration::from_secs(30);
/// Exact looks may take one part in so many of the time, all components together: the kernel walks all page tables,
/// which are milliseconds for gibibytes.
const SHARE_OF_TIME: u32 = 20;
/// That much time for exact looks can be saved up.
const MOST_SAVED: Duration = Duration::from_millis(500);
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
    /// The memory of components, in the order of `processes`; none for one that has no living member. All of them were
    /// started by one loader. A member that no known one has started may be missing for nine looks. Blocks.
    #[must_use]
    pub fn look(&mut self, processes: &[&RunningProcess]) -> Vec<Option<Footprint>> {
        let all: Vec<&Members> = processes.iter().map(|p| &**p.members()).collect();
        // A figure from before a park or a wake says nothing any more.
        self.last.retain(|mark, last| {
            let of = processes.iter().find(|p| p.members().mark() == mark);
            of.is_some_and(|p| p.stepping().turns() == last.turns)
        });
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
            let of = processes.iter().find(|p| p.members().mark() == members.mark());
            let turns = of.map_or(0, |p| p.stepping().turns());
            let last = measure(members, found).map(|f| Last::new(f, self.clock.elapsed(), turns));
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
    /// The steps of the component when it began.
    turns: u64,
}

impl Last {
    fn new((footprint, found): (Footprint, Vec<Entry>), at: Duration, turns: u64) -> Self {
        Self { at, footprint, members: identities(&found), turns }
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

/// The memory of a component now; none when it has no living member. Blocks.
#[must_use]
pub fn exact(process: &RunningProcess) -> Option<Footprint> {
    let members = process.members();
    Some(measure(members, members.find())?.0)
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
                let last = Last::new((footprint, before.to_vec()), Duration::from_secs(100), 0);
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
