//! Asks a program to give back memory, in the way that its configuration declares.
//!
//! Invariant: a signal is sent only to a process that handles it, where the system reports that: by default most
//! signals end a process.

use std::time::Duration;

use majordomo_registry::{TrimSignal, TrimSpec};
use rustix::process::{Pid, Signal};
use tokio::time::timeout;

use super::http;
use super::{ProcessError, RunningProcess};
use crate::logs::LogStream;
use crate::proctable;

/// A call that takes longer has failed.
const TRIM_TIMEOUT: Duration = Duration::from_secs(10);

impl RunningProcess {
    /// Asks it to give back memory. Takes at most ten seconds; a failure is in its log too. Cancel safe.
    ///
    /// # Errors
    /// [`ProcessError::Trim`] with the reason; also when no way is declared.
    pub async fn trim(&self) -> Result<(), ProcessError> {
        let (how, result) = match &self.spec.trim {
            None => ("trim".to_owned(), Err("no way is declared".to_owned())),
            Some(TrimSpec::Signal(signal)) => {
                (format!("SIG{}", signal.name()), self.signal(*signal))
            }
            Some(TrimSpec::Http(path)) => (format!("POST {path}"), self.post(path).await),
            Some(_) => ("trim".to_owned(), Err("this version does not know the way".to_owned())),
        };
        result.map_err(|why| {
            let error = ProcessError::Trim { component: self.component.clone(), how, why };
            self.logs.push(LogStream::Manager, &error.to_string());
            error
        })
    }

    async fn post(&self, path: &str) -> Result<(), String> {
        match timeout(TRIM_TIMEOUT, http::request(&self.endpoint, "POST", path)).await {
            Ok(Ok(200..300)) => Ok(()),
            Ok(Ok(status)) => Err(format!("it answered {status} instead of 2xx")),
            Ok(Err(why)) => Err(why.to_string()),
            Err(_) => Err(format!("no answer within {TRIM_TIMEOUT:?}")),
        }
    }

    /// Sends a signal that the program handles.
    pub(super) fn signal(&self, signal: TrimSignal) -> Result<(), String> {
        let number = match signal {
            TrimSignal::Hup => Signal::HUP,
            TrimSignal::Usr1 => Signal::USR1,
            TrimSignal::Usr2 => Signal::USR2,
            TrimSignal::Winch => Signal::WINCH,
        };
        // While it has not been reaped its number is its own.
        if let Some(exit) = self.exited() {
            return Err(format!("it {exit}"));
        }
        if proctable::handles(self.process_group().pgid, number.as_raw()) == Some(false) {
            return Err("the program does not handle it; nothing was sent".to_owned());
        }
        let pid = Pid::from_raw(self.process_group().pgid).ok_or("it has no process number")?;
        rustix::process::kill_process(pid, number).map_err(|e| e.to_string())
    }
}
