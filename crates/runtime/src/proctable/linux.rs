//! The process table from `/proc`.

use std::fs;

use majordomo_core::ByteSize;

use super::entry::{Entry, StartTime};

/// `PF_KTHREAD` of the kernel's `sched.h`: a thread of the kernel, which has no environment.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Every process that can be read.
pub(crate) fn scan() -> Vec<Entry> {
    pids().filter_map(entry).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let dir = fs::read_dir("/proc").into_iter().flatten();
    dir.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
}

/// One process; none when it is gone.
pub(crate) fn entry(pid: i32) -> Option<Entry> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(pid, &stat, rustix::param::page_size() as u64)
}

/// A process with more threads than this may have children that [`children`] does not return.
const THREADS_LOOKED_AT: usize = 512;

/// The processes that `pid` has started or adopted and not yet reaped; none where the kernel does not list them.
pub(crate) fn children(pid: i32) -> Option<Vec<i32>> {
    // Each thread has its own list.
    let mut threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let lists = threads.by_ref().flatten().take(THREADS_LOOKED_AT);
    let mut children = None;
    for text in lists.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok()) {
        let pids = text.split_ascii_whitespace().filter_map(|word| word.parse::<i32>().ok());
        children.get_or_insert_with(Vec::new).extend(pids);
    }
    children
}

// The second field is the program's name in parentheses and may itself contain blanks and parentheses;
// what follows the last one is fields 3 (state) and on.
fn after_name(stat: &str) -> Option<&str> {
    stat.rsplit_once(')').map(|(_, rest)| rest)
}

fn parse_stat(pid: i32, stat: &str, page: u64) -> Option<Entry> {
    let fields: Vec<&str> = after_name(stat)?.split_ascii_whitespace().collect();
    // Numbered as in proc(5), where the state is field 3.
    let field = |number: usize| fields.get(number - 3).copied();
    let flags: u64 = field(9)?.parse().ok()?;
    let pages: u64 = field(24)?.parse().ok()?;
    Some(Entry {
        pid,
        ppid: field(4)?.parse().ok()?,
        pgid: field(5)?.parse().ok()?,
        zombie: matches!(field(3)?, "Z" | "X" | "x"),
        kernel: flags & KERNEL_THREAD != 0,
        start: StartTime::new(field(22)?)?,
        resident: ByteSize(pages.saturating_mul(page)),
    })
}

/// Field 22 of `/proc/PID/stat`: clock ticks since boot. A zombie still has it.
pub(crate) fn start_time(pid: i32) -> Option<StartTime> {
    entry(pid).map(|e| e.start)
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

/// The environment that a process was started with, as far as it can be read: that of other users cannot. None also
/// for a process that is about to become another program, whose environment is empty for a moment.
fn environment(pid: i32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ")).ok().filter(|env| !env.is_empty())
}

/// The value of a variable in the environment that a process was started with. The outer none: it cannot be read now.
pub(crate) fn variable(pid: i32, name: &str) -> Option<Option<String>> {
    let env = environment(pid)?;
    let value = env.split(|b| *b == 0).find_map(|var| {
        var.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(String::from_utf8_lossy)
    });
    Some(value.map(std::borrow::Cow::into_owned))
}

/// Living processes whose environment, as they were started with it, has `variable` with a value that
/// starts with `prefix`. Only those of the own user can be read.
pub(crate) fn tagged(name: &str, prefix: &str) -> Vec<i32> {
    let has_tag =
        |pid: &i32| variable(*pid, name).flatten().is_some_and(|value| value.starts_with(prefix));
    pids().filter(has_tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_with_odd_names() {
        const REST: &str =
            "0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 2469888 222 18446744073709551615";
        let check = |start: &str, want: Option<(i32, i32, bool)>| {
            let stat = format!("{start} {REST}");
            let got = parse_stat(7, &stat, 4096).map(|e| (e.ppid, e.pgid, e.zombie));
            assert_eq!(got, want, "{stat}");
        };
        check("7 (sleep) S 1 5 5", Some((1, 5, false)));
        check("7 (a) b) (c) Z 3 9 9", Some((3, 9, true)));
        check("7 (x", None);
        check("", None);
        assert_eq!(parse_stat(7, "7 (a) S 1 5 5 0", 4096), None);
    }

    #[test]
    fn figures_of_a_stat_line() {
        let line = |flags| {
            format!(
                "7 (a b) S 1 5 5 0 -1 {flags} 1 0 0 0 0 0 0 0 20 0 1 0 12345 2469888 222 184467"
            )
        };
        let entry = parse_stat(7, &line(4_194_560), 4096).unwrap();
        assert_eq!((entry.start.to_string().as_str(), entry.resident.0), ("12345", 222 * 4096));
        assert!(!entry.kernel);
        assert!(parse_stat(7, &line(2_129_984), 4096).unwrap().kernel);
    }

    #[test]
    fn finds_itself() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(scan().iter().any(|e| e.pid == me && !e.zombie && !e.kernel));
        assert!(start_time(me).is_some());
        assert_eq!(start_time(0), None);
        assert_eq!((handles(me, 9), handles(0, 9)), (Some(false), None));
        assert!(boot_id().is_some_and(|b| b.len() == 36));
        assert_eq!(variable(me, "MAJORDOMO_NO_SUCH_VARIABLE"), Some(None));
        assert_eq!(variable(0, "PATH"), None);
    }
}
