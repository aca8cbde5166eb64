//! Starts the trampoline in its own session or process group and keeps it from being lost.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions};

use super::Exit;
use super::prepare::Prepared;
use crate::children;
use crate::guard::Trampoline;
use crate::proctable::{self, ProcessGroup};

/// A leader that has not been reaped, so that its number, and that of its process group, means it alone.
/// Dropping kills the process group and reaps the leader.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) child: Child,
    pub(super) process_group: ProcessGroup,
    /// The mark that all its descendants inherit.
    pub(super) mark: String,
    /// The trampoline's command lines, to distinguish it from the program.
    pub(super) trampoline: CommandLines,
    reaped: bool,
}

/// The command lines of a trampoline in the process table: its words, and the rest of them when it opens its session by
/// another program.
#[derive(Clone, Debug)]
pub(super) struct CommandLines(
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "the process table of Linux alone has command lines")
    )]
    [Vec<u8>; 2],
);

/// Blocks until the trampoline runs. Its process group may take a moment longer: see [`Leader::until_it_leads`].
pub(super) fn spawn(prepared: &Prepared, trampoline: &Trampoline) -> io::Result<Leader> {
    let mut command = Command::new(&trampoline.argv[0]);
    command
        .args(&trampoline.argv[1..])
        .args(&prepared.argv)
        .env_clear()
        .envs(&prepared.env)
        .current_dir(&prepared.cwd)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if !trampoline.opens_session {
        command.process_group(0);
    }
    let mut child = children::spawn(&mut command)?;
    let pgid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let Some(start) = proctable::start_time(pgid) else {
        // Its standard input is closed with it, so it ends by itself; this only hastens that.
        let _ = child.kill();
        let _ = child.wait();
        children::forget(pgid);
        return Err(io::Error::other("the system does not report when it started"));
    };
    let line = |words: &[OsString]| {
        let words = words.iter().chain(&prepared.argv);
        words.flat_map(|w| [w.as_encoded_bytes(), b"\0"].concat()).collect()
    };
    Ok(Leader {
        child,
        process_group: ProcessGroup { pgid, start },
        mark: prepared.mark.clone(),
        trampoline: CommandLines([line(&trampoline.argv), line(&trampoline.argv[1..])]),
        reaped: false,
    })
}

impl Leader {
    /// Waits until it leads its process group, so that signals to that reach it, or has ended. Cancel safe.
    pub(super) async fn until_it_leads(&self) {
        let Some(pid) = Pid::from_raw(self.process_group.pgid) else { return };
        while rustix::process::getpgid(Some(pid)).is_ok_and(|process_group| process_group != pid)
            && self.ended().is_none()
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// How the leader ended, when it has; it stays a zombie, so its number stays taken.
    pub(super) fn ended(&self) -> Option<Exit> {
        let pid = Pid::from_raw(self.process_group.pgid)?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::Pid(pid), options) {
            Ok(None) | Err(rustix::io::Errno::INTR) => None,
            Ok(Some(status)) => Some(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Unknown,
            }),
            // Other code in this program reaped it.
            Err(_) => Some(Exit::Unknown),
        }
    }

    pub(super) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Kills the rest of the process group, then reaps the leader, which has ended. From here on the number of the process
    /// group may mean another one as soon as it has no members.
    pub(super) fn reap(&mut self) {
        if self.reaped {
            return;
        }
        self.process_group.kill();
        // It may not have made its process group yet.
        let _ = self.child.kill();
        // Returns at once, or as soon as SIGKILL has done its work.
        let _ = self.child.wait();
        self.reaped = true;
        children::forget(self.process_group.pgid);
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.reap();
    }
}

/// Whether the trampoline has become the program; where that cannot be seen, always.
#[cfg(target_os = "linux")]
pub(super) fn has_become_the_program(pid: i32, trampoline: &CommandLines) -> bool {
    // Unreadable or empty: it has ended, which shows elsewhere.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !trampoline.0.contains(&line))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn has_become_the_program(_pid: i32, _trampoline: &CommandLines) -> bool {
    true
}
