//! Asks a program to sleep or to wake, in the way that its configuration declares.
//!
//! A step is done when the request is answered; a signal has no answer, so its sender looks for its effect.

use majordomo_registry::{StepRequest, StepSpec};
use tokio::time::timeout;

use super::RunningProcess;
use super::http;
use crate::logs::LogStream;

impl RunningProcess {
    /// Asks it to sleep. Dropping the future ends the request.
    pub(crate) async fn sleep(&self) -> Result<(), String> {
        self.step("sleep", self.spec.sleep.as_deref()).await
    }

    /// Asks it to wake. Dropping the future ends the request.
    pub(crate) async fn wake(&self) -> Result<(), String> {
        self.step("wake", self.spec.wake.as_deref()).await
    }

    /// The request to sleep, where it has no answer.
    pub(crate) fn sleeps_without_answer(&self) -> Option<&StepSpec> {
        self.spec.sleep.as_deref().filter(|step| matches!(step.how, StepRequest::Signal(_)))
    }

    async fn step(&self, key: &str, step: Option<&StepSpec>) -> Result<(), String> {
        let Some(StepSpec { how, timeout: limit }) = step else {
            return Err(format!("no {key} is declared"));
        };
        let asked = async {
            match how {
                StepRequest::Command(_) => self.commands.run(key).await,
                StepRequest::Http(request) => {
                    let answer = http::request(&self.endpoint, request.method(), request.path());
                    match answer.await {
                        Ok(200..300) => Ok(()),
                        Ok(status) => {
                            Err(format!("{request} was answered {status} instead of 2xx"))
                        }
                        Err(why) => Err(format!("{request}: {why}")),
                    }
                }
                StepRequest::Signal(signal) => {
                    self.signal(*signal).map_err(|why| format!("SIG{}: {why}", signal.name()))
                }
                _ => Err("this version does not know the way".to_owned()),
            }
        };
        let late = |_| Err(format!("no answer within {limit:?}"));
        let outcome = timeout(*limit, asked).await.unwrap_or_else(late);
        match &outcome {
            Ok(()) => self.logs.push(LogStream::Manager, &format!("{key} was requested")),
            Err(why) => self.logs.push(LogStream::Manager, &format!("{key} failed: {why}")),
        }
        outcome
    }
}
