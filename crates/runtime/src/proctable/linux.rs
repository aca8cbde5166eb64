//! The process table from `/proc`.

use std::fs;

use super::{Entry, StartTime};

/// Every process that can be read.
pub(crate) fn scan() -> Vec<Entry> {
    pids().filter_map(entry).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let dir = fs::read_dir("/proc").into_iter().flatten();
    dir.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
}

fn entry(pid: i32) -> Option<Entry> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_entry(pid, &stat)
}

// The second field is the program's name in parentheses and may itself contain blanks and parentheses;
// what follows the last one is fields 3 (state) and on.
fn after_name(stat: &str) -> Option<&str> {
    stat.rsplit_once(')').map(|(_, rest)| rest)
}

fn parse_entry(pid: i32, stat: &str) -> Option<Entry> {
    let mut fields = after_name(stat)?.split_ascii_whitespace();
    let state = fields.next()?;
    let ppid = fields.next()?.parse().ok()?;
    let pgid = fields.next()?.parse().ok()?;
    Some(Entry { pid, ppid, pgid, zombie: matches!(state, "Z" | "X" | "x") })
}

/// A process as its `stat` tells it.
pub(crate) struct Stat {
    pub(crate) entry: Entry,
    /// Field 22.
    pub(crate) start: StartTime,
    /// Field 24.
    pub(crate) resident_pages: u64,
}

pub(crate) fn parse_stat(pid: i32, stat: &str) -> Option<Stat> {
    let entry = parse_entry(pid, stat)?;
    let mut from_22 = after_name(stat)?.split_ascii_whitespace().skip(22 - 3);
    let start = StartTime::new(from_22.next()?)?;
    let resident_pages = from_22.nth(1)?.parse().ok()?;
    Some(Stat { entry, start, resident_pages })
}

/// Field 22 of `/proc/PID/stat`: clock ticks since boot. A zombie still has it.
pub(crate) fn start_time(pid: i32) -> Option<StartTime> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    StartTime::new(after_name(&stat)?.split_ascii_whitespace().nth(22 - 3)?)
}

/// Whether a process has a handler for a signal; none when it cannot be read.
pub(crate) fn handles(pid: i32, signal: i32) -> Option<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:"))?;
    let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
    Some(caught >> (signal - 1) & 1 == 1)
}

/// A word that differs between any two boots of the machine.
pub(crate) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Living processes whose environment, as they were started with it, has `variable` with a value that
/// starts with `prefix`. Only those of the own user can be read.
pub(crate) fn tagged(variable: &str, prefix: &str) -> Vec<i32> {
    let wanted = format!("{variable}={prefix}");
    let has_tag = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|env| env.split(|b| *b == 0).any(|var| var.starts_with(wanted.as_bytes())))
    };
    pids().filter(has_tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_with_odd_names() {
        let check = |stat: &str, want: Option<(i32, i32, bool)>| {
            let got = parse_entry(7, stat).map(|e| (e.ppid, e.pgid, e.zombie));
            assert_eq!(got, want, "{stat}");
        };
        check("7 (sleep) S 1 5 5 0 -1", Some((1, 5, false)));
        check("7 (a) b) (c) Z 3 9 9 0 -1", Some((3, 9, true)));
        check("7 (x", None);
        check("", None);
    }

    #[test]
    fn figures_of_a_stat_line() {
        let line = "7 (a b) S 1 5 5 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 2469888 222 18446744073709551615";
        let stat = parse_stat(7, line).unwrap();
        assert_eq!(
            (stat.entry.pgid, stat.start.to_string().as_str(), stat.resident_pages),
            (5, "12345", 222)
        );
        assert!(parse_stat(7, "7 (a) S 1 5 5 0").is_none());
    }

    #[test]
    fn finds_itself() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(scan().iter().any(|e| e.pid == me && !e.zombie));
        assert!(start_time(me).is_some());
        assert_eq!(start_time(0), None);
        assert_eq!((handles(me, 9), handles(0, 9)), (Some(false), None));
        assert!(boot_id().is_some_and(|b| b.len() == 36));
    }
}
