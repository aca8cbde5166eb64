//! The request to a program to end, in the way that its configuration declares, before TERM.
//!
//! The supervisor bounds its time and decides what follows. Invariant: dropping the future of a request kills the process group of
//! its command.

use std::sync::{Arc, OnceLock};

use majordomo_core::Loopback;
use majordomo_registry::{StopSignal, StopSpec};
use rustix::process::{Pid, Signal};

use super::command::Commands;
use super::http::{self, RequestError};
use super::{Endpoint, ready};

/// The request to one incarnation.
#[derive(Debug)]
pub(super) struct StopRequest {
    how: StopSpec,
    commands: Commands,
    endpoint: Endpoint,
    ready_at: Arc<OnceLock<Loopback>>,
}

impl StopRequest {
    /// The request that a program declares, if it does. `ready_at` is set when the program was asked at an address and was ready.
    pub(super) fn new(
        how: Option<&StopSpec>,
        commands: &Commands,
        endpoint: &Endpoint,
        ready_at: &Arc<OnceLock<Loopback>>,
    ) -> Option<Self> {
        let (commands, endpoint) = (commands.clone(), endpoint.clone());
        Some(Self { how: how?.clone(), commands, endpoint, ready_at: Arc::clone(ready_at) })
    }

    /// Sends the request to the program whose first process has this number. An error says in words why it failed.
    pub(super) async fn send(self, pid: i32) -> Result<(), String> {
        match &self.how {
            StopSpec::Command(_) => self.commands.run("stop").await,
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
        let endpoint = &self.endpoint;
        let ready_at = self.ready_at.get();
        let mut outcome = Err("it has no address".to_owned());
        for host in ready::places(endpoint).filter(|host| ready_at.is_none_or(|at| at == host)) {
            let endpoint = Endpoint { host, ..endpoint.clone() };
            match http::request(&endpoint, "POST", path).await {
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
