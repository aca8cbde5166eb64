//! Footprints from `/proc`: `statm` for the quick look, `smaps_rollup` for the exact one.

use std::fs;

use majordomo_core::ByteSize;

use super::{Detail, Footprint, Member};
use crate::proctable::{self, Group};

/// Calls `found(pgid, pid, member)` for every living process of a group that is `wanted`.
pub(super) fn each_member(
    detail: Detail,
    mut found: impl FnMut(i32, i32, Member),
    wanted: impl Fn(i32) -> bool,
) {
    let page = rustix::param::page_size() as u64;
    for entry in proctable::scan().iter().filter(|e| !e.zombie && wanted(e.pgid)) {
        if let Some(member) = measure(&entry.pid.to_string(), page, detail) {
            found(entry.pgid, entry.pid, member);
        }
    }
}

/// A group by its known members and their children: one read for each, and one for its children. None when it is
/// gone, or its number means another group now. Members that are gone leave `pids`.
pub(super) fn of_members(group: &Group, pids: &mut Vec<i32>) -> Option<Footprint> {
    let page = rustix::param::page_size() as u64;
    let mut footprint = Footprint::default();
    let mut at = 0;
    while let Some(&pid) = pids.get(at) {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        match proctable::parse_stat(pid, &stat) {
            Some(found) if found.entry.pgid == group.pgid && !found.entry.zombie => {
                if pid == group.pgid && found.start != group.start {
                    return None;
                }
                let resident = ByteSize(found.resident_pages.saturating_mul(page));
                footprint.add(Member { resident, exact: None, peak: None });
                at += 1;
            }
            // A leader that has ended keeps the number of its group as long as that has members.
            _ => {
                pids.swap_remove(at);
                continue;
            }
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.unwrap_or_default().split_ascii_whitespace() {
            if let Ok(child) = child.parse()
                && !pids.contains(&child)
            {
                pids.push(child);
            }
        }
    }
    (footprint.members > 0).then_some(footprint)
}

/// This process.
pub(super) fn own(detail: Detail) -> Option<Member> {
    measure("self", rustix::param::page_size() as u64, detail)
}

fn measure(pid: &str, page: u64, detail: Detail) -> Option<Member> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let resident = parse_statm(&statm, page)?;
    let exact = match detail {
        Detail::Quick => None,
        Detail::Exact | Detail::Transition => {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
            rollup.ok().and_then(|text| parse_rollup(&text))
        }
    };
    let peak = match detail {
        Detail::Quick | Detail::Exact => None,
        Detail::Transition => {
            let status = fs::read_to_string(format!("/proc/{pid}/status"));
            status.ok().and_then(|text| kib_after(&text, "VmHWM:"))
        }
    };
    Some(Member { resident, exact, peak })
}

/// The second field: resident pages.
fn parse_statm(text: &str, page: u64) -> Option<ByteSize> {
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(ByteSize(pages.checked_mul(page)?))
}

fn parse_rollup(text: &str) -> Option<ByteSize> {
    kib_after(text, "Pss:")
}

fn kib_after(text: &str, key: &str) -> Option<ByteSize> {
    let value = text.lines().find_map(|l| l.strip_prefix(key))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(ByteSize(kib.checked_mul(1024)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_kernel() {
        assert_eq!(parse_statm("1234 56 7 8 0 9 0\n", 4096), Some(ByteSize(56 * 4096)));
        assert_eq!(parse_statm("1234", 4096), None);
        assert_eq!(parse_statm("1 99999999999999999999", 4096), None);
        let rollup = "55-7f ---p 00000000 00:00 0  [rollup]\nRss:    884 kB\nPss:     123 kB\nPss_Anon: 9 kB\n";
        assert_eq!(parse_rollup(rollup), Some(ByteSize::kib(123)));
        assert_eq!(parse_rollup("Rss: 1 kB\n"), None);
    }
}
