//! The process table from `ps`, for systems without `/proc` (macOS). Type-checked only so far.

use std::process::Command;

use majordomo_core::ByteSize;

use super::entry::{Entry, StartTime};

fn output(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).env("LC_ALL", "C").output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

const COLUMNS: &str = "pid=,ppid=,pgid=,state=,rss=,lstart=";

/// Every process.
pub(crate) fn scan() -> Vec<Entry> {
    let text = output("ps", &["-A", "-o", COLUMNS]).unwrap_or_default();
    text.lines().filter_map(parse_entry).collect()
}

/// One process; none when it is gone.
pub(crate) fn entry(pid: i32) -> Option<Entry> {
    parse_entry(output("ps", &["-o", COLUMNS, "-p", &pid.to_string()])?.lines().next()?)
}

/// The system does not list them.
pub(crate) fn children(_pid: i32) -> Option<Vec<i32>> {
    None
}

fn parse_entry(line: &str) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace();
    let mut number = || fields.next()?.parse::<i32>().ok();
    let (pid, ppid, pgid) = (number()?, number()?, number()?);
    let zombie = fields.next()?.starts_with('Z');
    let resident = ByteSize::kib(fields.next()?.parse().ok()?);
    let start = StartTime::new(&fields.collect::<Vec<_>>().join("_"))?;
    Some(Entry { pid, ppid, pgid, zombie, kernel: false, start, resident })
}

/// The leader's start to the second, its blanks made `_`. The shell form of the guard builds the same
/// word with `tr -s ' ' '_'`.
pub(crate) fn start_time(pid: i32) -> Option<StartTime> {
    entry(pid).map(|e| e.start)
}

/// Whether a process has a handler for a signal: not reported by this system.
pub(crate) fn handles(_pid: i32, _signal: i32) -> Option<bool> {
    None
}

/// A word that differs between any two boots of the machine.
pub(crate) fn boot_id() -> Option<String> {
    output("sysctl", &["-n", "kern.bootsessionuuid"]).map(|t| t.trim().to_owned())
}

/// Other processes' environments are not shown: no process is known to have the variable.
pub(crate) fn variable(_pid: i32, _name: &str) -> Option<Option<String>> {
    Some(None)
}

/// Children that leave their process group are found by their parents only.
pub(crate) fn tagged(_variable: &str, _prefix: &str) -> Vec<i32> {
    Vec::new()
}
