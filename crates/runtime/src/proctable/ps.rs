//! The process table from `ps`, for systems without `/proc` (macOS). Type-checked only so far.

use std::process::Command;

use super::{Entry, StartTime};

fn output(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).env("LC_ALL", "C").output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Every process.
pub(crate) fn scan() -> Vec<Entry> {
    let text = output("ps", &["-A", "-o", "pid=,ppid=,pgid=,state="]).unwrap_or_default();
    text.lines().filter_map(parse_entry).collect()
}

fn parse_entry(line: &str) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace();
    let mut number = || fields.next()?.parse::<i32>().ok();
    let (pid, ppid, pgid) = (number()?, number()?, number()?);
    Some(Entry { pid, ppid, pgid, zombie: fields.next()?.starts_with('Z') })
}

/// The leader's start to the second, its blanks made `_`. The shell form of the guard builds the same
/// word with `tr -s ' ' '_'`.
pub(crate) fn start_time(pid: i32) -> Option<StartTime> {
    let text = output("ps", &["-o", "lstart=", "-p", &pid.to_string()])?;
    StartTime::new(&text.split_ascii_whitespace().collect::<Vec<_>>().join("_"))
}

/// Whether a process has a handler for a signal: not told here.
pub(crate) fn handles(_pid: i32, _signal: i32) -> Option<bool> {
    None
}

/// A word that differs between any two boots of the machine.
pub(crate) fn boot_id() -> Option<String> {
    output("sysctl", &["-n", "kern.bootsessionuuid"]).map(|t| t.trim().to_owned())
}

/// Children that leave their group are out of scope here: other processes' environments are not shown.
pub(crate) fn tagged(_variable: &str, _prefix: &str) -> Vec<i32> {
    Vec::new()
}
