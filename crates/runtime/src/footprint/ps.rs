//! Footprints from `ps` (resident) and `top` (physical footprint), for macOS. Type-checked only so far.

use std::collections::BTreeMap;
use std::process::Command;

use majordomo_core::ByteSize;

use super::{Detail, Footprint, Member};
use crate::proctable::Group;

fn output(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).env("LC_ALL", "C").output();
    out.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
}

/// Calls `found(pgid, pid, member)` for every living process of a group that is `wanted`.
pub(super) fn each_member(
    detail: Detail,
    mut found: impl FnMut(i32, i32, Member),
    wanted: impl Fn(i32) -> bool,
) {
    let exact = physical_footprints(detail);
    for line in output("ps", &["-A", "-o", "pid=,pgid=,state=,rss="]).lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [pid, pgid, state, kib] = words.as_slice() else { continue };
        let (Ok(pid), Ok(pgid), Ok(kib)) = (pid.parse::<i32>(), pgid.parse(), kib.parse()) else {
            continue;
        };
        if wanted(pgid) && !state.starts_with('Z') {
            let (resident, exact) = (ByteSize::kib(kib), exact.get(&pid).copied());
            found(pgid, pid, Member { resident, exact, peak: None });
        }
    }
}

/// A group by its known members: one run of `ps` for them.
pub(super) fn of_members(group: &Group, pids: &mut Vec<i32>) -> Option<Footprint> {
    let list: Vec<_> = pids.iter().map(ToString::to_string).collect();
    pids.clear();
    let mut footprint = Footprint::default();
    for line in output("ps", &["-o", "pid=,pgid=,state=,rss=", "-p", &list.join(",")]).lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [pid, pgid, state, kib] = words.as_slice() else { continue };
        let (Ok(pid), Ok(pgid), Ok(kib)) = (pid.parse::<i32>(), pgid.parse::<i32>(), kib.parse())
        else {
            continue;
        };
        if pgid == group.pgid && !state.starts_with('Z') {
            pids.push(pid);
            footprint.add(Member { resident: ByteSize::kib(kib), exact: None, peak: None });
        }
    }
    (footprint.members > 0 && group.is_ours()).then_some(footprint)
}

/// This process.
pub(super) fn own(detail: Detail) -> Option<Member> {
    let pid = std::process::id();
    let kib = output("ps", &["-o", "rss=", "-p", &pid.to_string()]).trim().parse().ok()?;
    let exact = physical_footprints(detail).get(&i32::try_from(pid).ok()?).copied();
    Some(Member { resident: ByteSize::kib(kib), exact, peak: None })
}

/// `top`'s column MEM is the physical footprint that `proc_pid_rusage` gives.
fn physical_footprints(detail: Detail) -> BTreeMap<i32, ByteSize> {
    if detail == Detail::Quick {
        return BTreeMap::new();
    }
    let text = output("top", &["-l", "1", "-stats", "pid,mem"]);
    text.lines().filter_map(parse_top).collect()
}

/// A line such as `  431  29M+`.
fn parse_top(line: &str) -> Option<(i32, ByteSize)> {
    let (pid, mem) = line.trim().split_once(char::is_whitespace)?;
    let mem = mem.trim().trim_end_matches(['+', '-']);
    Some((pid.trim_end_matches('*').parse().ok()?, mem.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_top() {
        assert_eq!(parse_top("431    29M+ "), Some((431, ByteSize::mib(29))));
        assert_eq!(parse_top("7* 1024B"), Some((7, ByteSize(1024))));
        assert_eq!(parse_top("PID MEM"), None);
        assert_eq!(parse_top(""), None);
    }
}
