//! The request to a program to end, in the way that its configuration declares, before TERM.
//!
//! The supervisor bounds its time and decides what follows. Invariant: dropping the future of a request kills the process group of
//! its command.

use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use majordomo_core::Loopback;
use majordomo_registry::{StdinMode, StopSignal, StopSpec};
use rustix::process::{Pid, Signal};
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::http::{self, Method, RequestError};
use super::prepare::Prepared;
use super::spawn::{self, Leader};
use super::{Endpoint, Exit, ready};
use crate::guard::{Announced, GO, Guard};
use crate::logs::{LogBuffer, LogStream, pump};

/// The end of a command is looked for this often even without a signal.
const LOOK: Duration = Duration::from_secs(1);

/// The request to one incarnation.
#[derive(Debug)]
pub(super) struct StopRequest {
    how: StopSpec,
    prepared: Prepared,
    ready_at: Arc<OnceLock<Loopback>>,
    guard: Guard,
    logs: Arc<LogBuffer>,
}

impl StopRequest {
    /// The request that a program declares, if it does. `ready_at` is set when the program was asked at an address and was ready.
    pub(super) fn new(
        how: Option<&StopSpec>,
        prepared: &Prepared,
        ready_at: &Arc<OnceLock<Loopback>>,
        guard: &Guard,
        logs: &Arc<LogBuffer>,
    ) -> Option<Self> {
        let mut prepared = prepared.clone();
        if let Some(command) = prepared.stop.take() {
            prepared.argv = command;
        }
        let (ready_at, guard, logs) = (Arc::clone(ready_at), guard.clone(), Arc::clone(logs));
        Some(Self { how: how?.clone(), prepared, ready_at, guard, logs })
    }

    /// Sends the request to the program whose first process has this number. An error says in words why it failed.
    pub(super) async fn send(self, pid: i32) -> Result<(), String> {
        match &self.how {
            StopSpec::Command(_) => self.run().await.map_err(|why| format!("its command {why}")),
            StopSpec::Http(path) => {
                self.post(path).await.map_err(|why| format!("POST {path}: {why}"))
            }
            StopSpec::Signal(signal) => {
                send_signal(pid, *signal).map_err(|why| format!("SIG{}: {why}", signal.name()))
            }
            _ => Err("this version does not know the way".to_owned()),
        }
    }

    /// Posts at the loopback address at which the program was ready; where that is not known, at the first that takes the request: at the
    /// other one another program may listen.
    async fn post(&self, path: &str) -> Result<(), String> {
        let endpoint = &self.prepared.endpoint;
        let ready_at = self.ready_at.get();
        let mut outcome = Err("it has no address".to_owned());
        for host in ready::places(endpoint).filter(|host| ready_at.is_none_or(|at| at == host)) {
            let endpoint = Endpoint { host, ..endpoint.clone() };
            match http::request(&endpoint, Method::Post, path).await {
                // Many servers close their connections first when they shut down.
                Ok(200..300) | Err(RequestError::NoAnswer | RequestError::Unread(_)) => {
                    return Ok(());
                }
                Ok(status) => return Err(format!("it answered {status} instead of 2xx")),
                Err(why) if why.was_sent() => return Err(why.to_string()),
                Err(why) => outcome = Err(why.to_string()),
            }
        }
        outcome
    }

    async fn run(self) -> Result<(), String> {
        let not_started = |why: std::io::Error| format!("could not be started: {why}");
        let mut ended = signal(SignalKind::child()).map_err(not_started)?;
        let (prepared, guard) = (self.prepared, self.guard.clone());
        let started = tokio::task::spawn_blocking(move || {
            spawn::spawn(&prepared, &guard.trampoline(StdinMode::Empty))
        });
        let leader = started.await.map_err(std::io::Error::other).flatten().map_err(not_started)?;
        let mut command = Command(Some((leader, None)));
        let Command(Some((leader, announced))) = &mut command else {
            return Err("is gone".to_owned());
        };
        leader.until_it_leads().await;
        let list = self.guard.announce(leader.process_group.clone()).await;
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

fn send_signal(pid: i32, signal: StopSignal) -> Result<(), String> {
    let number = match signal {
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Hup => Signal::HUP,
        StopSignal::Usr1 => Signal::USR1,
        StopSignal::Usr2 => Signal::USR2,
        StopSignal::Winch => Signal::WINCH,
    };
    let pid = Pid::from_raw(pid).ok_or("it has no process number")?;
    rustix::process::kill_process(pid, number).map_err(|error| error.to_string())?;
    // A stopped process only receives it when it continues.
    rustix::process::kill_process(pid, Signal::CONT).map_err(|error| error.to_string())
}
