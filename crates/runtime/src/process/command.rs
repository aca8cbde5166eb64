//! The command of a request to a program: run beside the program, in its environment, and ended with its request.
//!
//! The sender of the request bounds its time. Invariant: dropping the future of a run kills the process group of the command.

use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use majordomo_registry::StdinMode;
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::Exit;
use super::prepare::Prepared;
use super::spawn::{self, Leader};
use crate::guard::{Announced, GO, Guard};
use crate::logs::{LogBuffer, LogStream, pump};

/// The end of a command is looked for this often even without a signal.
const LOOK: Duration = Duration::from_secs(1);

/// The commands of the requests to one incarnation, ready to be run.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    prepared: Arc<Prepared>,
    guard: Guard,
    logs: Arc<LogBuffer>,
}

impl Commands {
    pub(super) fn new(prepared: &Prepared, guard: &Guard, logs: &Arc<LogBuffer>) -> Self {
        Self { prepared: Arc::new(prepared.clone()), guard: guard.clone(), logs: Arc::clone(logs) }
    }

    /// Runs the command of the request with this key until it ends. An error says in words why it failed.
    pub(super) async fn run(&self, key: &str) -> Result<(), String> {
        let argv = self.prepared.requests.get(key).cloned().unwrap_or_default();
        self.run_words(argv).await.map_err(|why| format!("its command {why}"))
    }

    async fn run_words(&self, argv: Vec<OsString>) -> Result<(), String> {
        let not_started = |why: std::io::Error| format!("could not be started: {why}");
        let mut ended = signal(SignalKind::child()).map_err(not_started)?;
        let prepared = Prepared { argv, ..(*self.prepared).clone() };
        let guard = self.guard.clone();
        let started = tokio::task::spawn_blocking(move || {
            spawn::spawn(&prepared, &guard.trampoline(StdinMode::Empty))
        });
        let leader = started.await.map_err(std::io::Error::other).flatten().map_err(not_started)?;
        let mut command = Command(Some((leader, None)));
        let Command(Some((leader, announced))) = &mut command else {
            return Err("is gone".to_owned());
        };
        leader.until_it_leads().await;
        let list = self.guard.announce(leader.process_group.clone(), None).await;
        *announced = Some(list.map_err(|error| format!("was not started, because {error}"))?);
        let pumps = pumps(leader, &self.logs).map_err(not_started)?;
        if let Some(mut word) = leader.take_stdin() {
            // Three bytes into an empty pipe never block; a trampoline that has ended is seen below.
            let _ = word.write_all(GO);
        }
        let exit = loop {
            if let Some(exit) = leader.ended() {
                break exit;
            }
            tokio::select! {
                _ = ended.recv() => {}
                () = sleep(LOOK) => {}
            }
        };
        leader.reap();
        // Off the guard's list; it does not block any more.
        drop(command.0.take());
        for pump in pumps {
            // Children of it that hold its output write on into the log.
            let _ = tokio::time::timeout(LOOK, pump).await;
        }
        if exit == Exit::Code(0) { Ok(()) } else { Err(exit.to_string()) }
    }
}

/// The command of a request, with its place on the guard's list. Dropping it kills the process group. The wait for its end, which
/// a command in the kernel can prolong, is left to a thread that may block, and the list has the process group until then.
struct Command(Option<(Leader, Option<Announced>)>);

impl Drop for Command {
    fn drop(&mut self) {
        // Fields are dropped in their order.
        let Some(command) = self.0.take() else { return };
        command.0.process_group.kill();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(command))),
            Err(_) => drop(command),
        }
    }
}

fn pumps(
    leader: &mut Leader,
    logs: &Arc<LogBuffer>,
) -> std::io::Result<Vec<tokio::task::JoinHandle<()>>> {
    let out = leader.child.stdout.take().map(|p| pipe::Receiver::from_owned_fd(p.into()));
    let err = leader.child.stderr.take().map(|p| pipe::Receiver::from_owned_fd(p.into()));
    let mut pumps = Vec::new();
    for (pipe, stream) in [(out, LogStream::Stdout), (err, LogStream::Stderr)] {
        if let Some(pipe) = pipe.transpose()? {
            pumps.push(tokio::spawn(pump(pipe, Arc::clone(logs), stream, None, None, None)));
        }
    }
    Ok(pumps)
}
