//! The hidden modes of a binary: `__guard` and `__exec`.
//!
//! They run before anything else of the binary does: no logging, no configuration, no terminal.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use majordomo_core::quoted_path;
use tokio::signal::unix::{SignalKind, signal};

use super::protocol::{GO, HELLO, LEAVE};
use crate::proctable::{self, ProcessGroup, StartTime, TAG_VARIABLE};

/// The first argument that makes a binary the guard.
pub const GUARD_ARG: &str = "__guard";
/// The first argument that makes a binary a trampoline.
pub const EXEC_ARG: &str = "__exec";
pub(super) const EMPTY: &str = "empty";
pub(super) const HOLD: &str = "hold";

/// The first descriptor that is not standard input, output or error.
const FIRST_STRAY: i32 = 3;

/// As `sh` has it: what could not be run, and what does not exist.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;
/// The manager went away before it said "go".
const NO_WORD: u8 = 125;

/// How often the guard tries to remove a cgroup, whose processes it has just killed, and the pause before it tries again.
const CGROUP_TRIES: u32 = 10;
const CGROUP_PAUSE: Duration = Duration::from_millis(100);

/// Runs a hidden mode when the arguments (without the program's name) ask for one; else gives `None` at
/// once. The first thing `main` of a binary with [`super::GuardForm::Hidden`] does.
#[must_use]
pub fn hidden_main(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.into_iter();
    let mode = args.next()?;
    if mode == GUARD_ARG {
        Some(guard_main(args.next().map(PathBuf::from)))
    } else if mode == EXEC_ARG {
        Some(exec_main(args))
    } else {
        None
    }
}

/// Opens a session, waits for the word, then becomes the program; returns only when that fails.
fn exec_main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let mode = args.next().unwrap_or_default();
    let (Some(_), Some(program)) = (args.next().filter(|dashes| dashes == "--"), args.next())
    else {
        eprintln!(
            "usage: {EXEC_ARG} {EMPTY}|{HOLD} -- PROGRAM [ARGUMENT]...; it is run by the manager only"
        );
        return ExitCode::from(NO_WORD);
    };
    // Refused to the leader of a process group only, which this is not. Without a session of its own the program would
    // keep the manager's terminal.
    if let Err(error) = rustix::process::setsid() {
        let _ = writeln!(std::io::stderr(), "majordomo: no session for {program:?}: {error}");
        return ExitCode::from(NO_WORD);
    }
    if !read_word() {
        return ExitCode::from(NO_WORD);
    }
    let mut command = Command::new(&program);
    command.args(args);
    if mode == OsStr::new(EMPTY) {
        command.stdin(Stdio::null());
    }
    // The process that started the manager may have left it open files, sockets and pipes; the program gets none.
    close_fds::set_fds_cloexec(FIRST_STRAY, &[]);
    let error = command.exec();
    // On a full disk only the exit code is left.
    let program = quoted_path(Path::new(&program));
    let _ = writeln!(std::io::stderr(), "majordomo: {program} could not be run: {error}");
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    ExitCode::from(if missing { NOT_FOUND } else { CANNOT_RUN })
}

/// Reads exactly the word and not a byte more: with `hold` the rest belongs to the program.
fn read_word() -> bool {
    let mut word = [0; GO.len()];
    let mut have = 0;
    while have < word.len() {
        match rustix::io::read(rustix::stdio::stdin(), &mut word[have..]) {
            Ok(n) if n > 0 => have += n,
            Err(rustix::io::Errno::INTR) => {}
            _ => return false,
        }
    }
    word == GO
}

fn guard_main(temporary: Option<PathBuf>) -> ExitCode {
    // It fails for the leader of a process group, which has what matters already: a process group of its own.
    let _ = rustix::process::setsid();
    let _ = std::env::set_current_dir("/");
    // A registered handler takes the place of the deadly default; its signals are not read.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("majordomo guard: {e}");
            return ExitCode::FAILURE;
        }
    };
    let entered = runtime.enter();
    let ignored =
        [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    drop(entered);
    if let Some(Err(e)) = ignored.iter().find(|s| s.is_err()) {
        eprintln!("majordomo guard: {e}");
        return ExitCode::FAILURE;
    }
    let mut book = Book { temporary, ..Book::default() };
    let mut out = std::io::stdout().lock();
    let mut say = |text: &str| writeln!(out, "{text}").and_then(|()| out.flush());
    // When the manager has ended there is no reader; the end of input follows.
    let _ = say(HELLO);
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if let Some(answer) = book.take(&line) {
            let _ = say(&answer);
        }
    }
    book.kill_all();
    if let Some(dir) = &book.temporary {
        // There is no process left to report an error to.
        let _ = std::fs::remove_dir_all(dir);
    }
    runtime.block_on(book.remove_cgroups());
    ExitCode::SUCCESS
}

/// The guard's list.
#[derive(Default)]
struct Book {
    process_groups: BTreeMap<i32, ProcessGroup>,
    /// The cgroups of those that have one, by process group.
    cgroups: BTreeMap<i32, PathBuf>,
    session: Option<String>,
    /// The temporary folder of a manager that died.
    temporary: Option<PathBuf>,
}

impl Book {
    /// One line of the protocol; what it cannot read it ignores, which leaves it without the answer.
    fn take(&mut self, line: &str) -> Option<String> {
        let mut words = line.split_ascii_whitespace();
        match (words.next()?, words.next()?, words.next()) {
            ("add", pgid, Some(start)) => {
                let pgid = pgid.parse().ok().filter(|id| *id > 1)?;
                let start = StartTime::new(start)?;
                self.process_groups.insert(pgid, ProcessGroup { pgid, start });
                match words.next() {
                    Some(cgroup) => self.cgroups.insert(pgid, cgroup.into()),
                    None => self.cgroups.remove(&pgid),
                };
                Some(format!("ok {pgid}"))
            }
            ("del", pgid, None) => {
                let pgid = pgid.parse().ok()?;
                self.process_groups.remove(&pgid);
                self.cgroups.remove(&pgid);
                None
            }
            _ if line == LEAVE.trim_end() => {
                self.temporary = None;
                None
            }
            ("session", session, None) => {
                self.session = Some(session.to_owned());
                None
            }
            _ => None,
        }
    }

    fn kill_all(&self) {
        for process_group in self.process_groups.values().filter(|g| g.is_ours()) {
            process_group.kill();
        }
        if let Some(session) = &self.session {
            kill_tagged(&format!("{session}/"));
        }
    }

    /// Removes the cgroups of what was killed, as soon as they are empty. One that is not for about a second stays: the next
    /// manager removes it.
    async fn remove_cgroups(&mut self) {
        for _ in 0..CGROUP_TRIES {
            self.cgroups.retain(|_, dir| std::fs::remove_dir(&*dir).is_err() && dir.exists());
            if self.cgroups.is_empty() {
                return;
            }
            tokio::time::sleep(CGROUP_PAUSE).await;
        }
    }
}

/// Kills every process whose tag starts with `prefix`: children that left their process group. Again and again
/// while there are new ones, a bounded number of times.
pub(super) fn kill_tagged(prefix: &str) -> usize {
    let mut killed = 0;
    for _ in 0..16 {
        let found: Vec<i32> = proctable::tagged(TAG_VARIABLE, prefix);
        if found.is_empty() {
            break;
        }
        for pid in found {
            killed += usize::from(proctable::signal_process(pid, rustix::process::Signal::KILL));
        }
    }
    killed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_takes_what_it_can_read() {
        let mut book = Book::default();
        let mut check = |line: &str, answer: Option<&str>, process_groups: usize| {
            assert_eq!(book.take(line).as_deref(), answer, "{line}");
            assert_eq!(book.process_groups.len(), process_groups, "{line}");
        };
        check("add 77 123", Some("ok 77"), 1);
        check("add 78 Mon_Nov_23", Some("ok 78"), 2);
        check("add 78 Mon_Nov_23 /a/cgroup", Some("ok 78"), 2);
        check("add 1 5", None, 2);
        check("add -9 5", None, 2);
        check("add x 5", None, 2);
        check("add 9", None, 2);
        check("", None, 2);
        check("del 77", None, 1);
        check("del 77", None, 1);
        check("session 1-2", None, 1);
        assert_eq!(book.cgroups.get(&78), Some(&PathBuf::from("/a/cgroup")));
        assert_eq!(book.take("del 78"), None);
        assert!(book.cgroups.is_empty());
    }

    #[test]
    fn other_arguments_are_not_for_us() {
        assert!(hidden_main(["demo".into()]).is_none());
        assert!(hidden_main([]).is_none());
    }
}
