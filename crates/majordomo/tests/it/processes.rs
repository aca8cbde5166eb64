//! The table of processes: processes with a mark in their environment, and signals to them.

use std::process::{Command, Stdio};

/// The variable that carries a test's mark.
pub(crate) const MARK: &str = "MAJORDOMO_TEST_MARK";

/// The processes, zombies left out, whose environment sets `variable` to `value`.
pub(crate) fn marked(variable: &str, value: &str) -> Vec<i32> {
    let setting = format!("{variable}={value}");
    environments()
        .into_iter()
        .filter(|(_, words)| words.contains(&setting))
        .map(|(pid, _)| pid)
        .collect()
}

/// Every process with the words of its environment; those of others may be missing.
#[cfg(target_os = "linux")]
fn environments() -> Vec<(i32, Vec<String>)> {
    let own = std::fs::read_dir("/proc").unwrap().flatten();
    own.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        // The environment of a zombie is empty; a process that has just ended has none.
        let bytes = std::fs::read(entry.path().join("environ")).ok()?;
        let words = bytes.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned());
        Some((pid, words.collect()))
    })
    .collect()
}

#[cfg(not(target_os = "linux"))]
fn environments() -> Vec<(i32, Vec<String>)> {
    let out = Command::new("ps").args(["-axEww", "-o", "pid=,stat=,command="]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let pid = words.next()?.parse().ok()?;
            let zombie = words.next()?.starts_with('Z');
            (!zombie).then(|| (pid, words.map(str::to_owned).collect()))
        })
        .collect()
}

/// The processes that run this file. On systems other than Linux none are found.
pub(crate) fn running(program: &std::path::Path) -> Vec<i32> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    all.flatten()
        .filter(|entry| std::fs::read_link(entry.path().join("exe")).is_ok_and(|p| p == program))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Sends a signal by its name; false if the process does not exist.
pub(crate) fn signal(pid: i32, name: &str) -> bool {
    let words = ["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()];
    let status = Command::new("/bin/sh").args(words).stderr(Stdio::null()).status();
    status.unwrap().success()
}
