//! Standard output and standard error: the only place of this program that writes to them.
//!
//! Owns what becomes of a write that fails. Invariant: after the first failed write to standard output nothing more is
//! written there, [`ended`] resolves, and [`exit`] decides the exit code: a reader that has closed the pipe is no
//! error, any other failure is.

use std::io::{ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::process::ExitCode;
use std::sync::LazyLock;

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::watch;

use crate::exit::Exit;

/// How standard output came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// Its reader has closed it.
    Closed,
    /// It cannot be written.
    Failed(String),
}

static END: LazyLock<watch::Sender<Option<End>>> = LazyLock::new(watch::Sender::default);

fn end(end: End) {
    // The first reason counts.
    END.send_if_modified(|now| {
        let is_first = now.is_none();
        now.get_or_insert(end);
        is_first
    });
}

/// Writes to standard output, unless it has ended.
pub(super) fn write(text: &str) {
    if END.borrow().is_some() {
        return;
    }
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        end(match error.kind() {
            ErrorKind::BrokenPipe => End::Closed,
            _ => End::Failed(error.to_string()),
        });
    }
}

/// Writes to standard error. An error of the write itself is dropped: there is no other place to report it.
pub(super) fn write_error(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether standard error is a terminal.
pub(crate) fn error_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// How wide the terminal is, if standard output or standard error is one.
pub(crate) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout())
        .or_else(|_| rustix::termios::tcgetwinsize(std::io::stderr()));
    size.ok().map(|s| usize::from(s.ws_col)).filter(|n| *n > 0)
}

/// How high the terminal is, if standard output is one.
pub(crate) fn height() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|n| *n > 0)
}

/// Resolves when standard output has ended: at a failed write, or when the reader of a pipe closes it, also while
/// nothing is written.
pub(crate) async fn ended() {
    static WATCHED: LazyLock<()> = LazyLock::new(watch_reader);
    LazyLock::force(&WATCHED);
    // The sender is never dropped.
    drop(END.subscribe().wait_for(Option::is_some).await);
}

/// Waits on a thread of its own for the end of the pipe's reader; a file or a terminal has none.
fn watch_reader() {
    let Ok(fd) = std::io::stdout().as_fd().try_clone_to_owned() else { return };
    let file = std::fs::File::from(fd);
    let Ok(kind) = file.metadata().map(|m| m.file_type()) else { return };
    if !kind.is_fifo() && !kind.is_socket() {
        return;
    }
    // The thread ends with the process. Without it, only a write finds the reader gone.
    let _ = std::thread::Builder::new().name("reader-watch".into()).spawn(move || {
        loop {
            // Errors and hang-up are reported without being asked for.
            let mut fds = [PollFd::new(&file, PollFlags::empty())];
            match poll(&mut fds, None) {
                Ok(_) if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => {
                    return end(End::Closed);
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    });
}

/// The exit code of a command that ended with `code`: a failure when its output could not be written.
pub(crate) fn exit(code: ExitCode) -> ExitCode {
    match END.borrow().clone() {
        Some(End::Failed(why)) => {
            super::error(&format!("standard output cannot be written: {why}"));
            Exit::Failure.into()
        }
        Some(End::Closed) | None => code,
    }
}
