//! Services that run elsewhere: woken, probed and put to sleep, and never started or stopped.
//!
//! Knows nothing of states or leases. Everything that waits has a deadline.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ComponentId, Endpoint};
use majordomo_registry::{ExternalSpec, ReadySpec, ServiceRequest};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::logs::{LogBuffer, LogStream};
use crate::process::http::{self, RequestError};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A service whose load has failed has so long to be put to sleep again.
const SLEEP_DEADLINE: Duration = Duration::from_secs(5);

/// Why a service was not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExternalError {
    #[error("{wake} at {url} failed: {why}")]
    Wake { wake: ServiceRequest, url: String, why: String },
    #[error(
        "the service at {url} was not ready within {deadline:?}: {why}; raise load_deadline, or start the service"
    )]
    NeverReady { url: String, deadline: Duration, why: String },
    #[error("its load was cancelled")]
    Cancelled,
}

/// A service that was ready when it was loaded.
#[derive(Debug)]
pub(crate) struct Service {
    spec: ExternalSpec,
    logs: Arc<LogBuffer>,
}

impl Service {
    /// Wakes a service, and waits until it is ready, at most `deadline`. A time span sent to `cancel` ends that; a service that was
    /// woken then, or that does not get ready, is put to sleep again.
    pub(crate) async fn load(
        component: &ComponentId,
        spec: ExternalSpec,
        deadline: Duration,
        logs: Arc<LogBuffer>,
        mut cancel: watch::Receiver<Option<Duration>>,
    ) -> Result<Self, ExternalError> {
        let service = Self { spec, logs };
        let (until, mut why) = (Instant::now() + deadline, String::new());
        let outcome = tokio::select! {
            biased;
            order = cancelled(&mut cancel) => Err((ExternalError::Cancelled, order)),
            got = timeout_at(until, service.get_ready(&mut why)) => match got {
                Ok(got) => got.map_err(|error| (error, SLEEP_DEADLINE)),
                Err(_) => Err((ExternalError::NeverReady {
                    url: service.spec.url.to_string(),
                    deadline,
                    why: std::mem::take(&mut why),
                }, SLEEP_DEADLINE)),
            },
        };
        match outcome {
            Ok(()) => {
                service.log(&format!("ready at {}", service.spec.url));
                Ok(service)
            }
            Err((error, within)) => {
                if service.spec.wake.is_some() && !matches!(error, ExternalError::Wake { .. }) {
                    service.sleep(within).await;
                }
                tracing::debug!(%component, %error, "service not ready");
                Err(error)
            }
        }
    }

    async fn get_ready(&self, why: &mut String) -> Result<(), ExternalError> {
        let mut pause = FIRST_PAUSE;
        if let Some(wake) = &self.spec.wake {
            loop {
                match self.request(wake).await {
                    Ok(()) => break,
                    Err((true, why)) => {
                        let (wake, url) = (wake.clone(), self.spec.url.to_string());
                        return Err(ExternalError::Wake { wake, url, why });
                    }
                    // It may be starting: it has until the deadline.
                    Err((false, last)) => *why = last,
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        let mut pause = FIRST_PAUSE;
        while let Err(last) = self.probe().await {
            *why = last;
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    /// An error has the reason, and whether the service may act on the request.
    async fn request(&self, request: &ServiceRequest) -> Result<(), (bool, String)> {
        match http::request_to(&self.spec.url, request.method(), request.path()).await {
            Ok(200..300) => Ok(()),
            Ok(status) => Err((true, format!("it answered {status} instead of 2xx"))),
            Err(why) => Err((why.was_sent(), why.to_string())),
        }
    }

    /// Asks it once whether it works. Takes at most the probe's timeout. Cancel safe.
    pub(crate) async fn probe(&self) -> Result<(), String> {
        let (url, probe) = (&self.spec.url, &self.spec.probe);
        let asked = async {
            match &probe.how {
                ReadySpec::Http(path) => match http::request_to(url, "GET", path).await {
                    Ok(200) => Ok(()),
                    Ok(status) => Err(format!("it answered {status} instead of 200")),
                    Err(why) => Err(why.to_string()),
                },
                _ => match http::connect_to(url).await {
                    Ok(_) => Ok(()),
                    Err(error) => Err(RequestError::NoConnection(error).to_string()),
                },
            }
        };
        let late = |_| Err(format!("no answer within {:?}", probe.timeout));
        timeout(probe.timeout, asked).await.unwrap_or_else(late)
    }

    /// Puts it to sleep, where it has a request for that, within this time; a failure is logged.
    pub(crate) async fn sleep(&self, within: Duration) {
        let Some(request) = &self.spec.sleep else { return };
        let outcome = match timeout(within, self.request(request)).await {
            Ok(Ok(())) => return self.log(&format!("{request} was answered; it sleeps")),
            Ok(Err((_, why))) => why,
            Err(_) => format!("no answer within {within:?}"),
        };
        tracing::warn!(url = %self.spec.url, %request, why = outcome, "a service was not put to sleep");
        self.log(&format!("{request} failed: {outcome}; it may still use its memory"));
    }

    fn log(&self, text: &str) {
        self.logs.push(LogStream::Manager, text);
    }

    /// Where clients and dependents find it.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let url = self.spec.url.to_string();
        Endpoint { elsewhere: Some(url.into()), ..Endpoint::default() }
    }
}

/// The time span with which a load is cancelled. Never ends once there is no sender.
async fn cancelled(cancel: &mut watch::Receiver<Option<Duration>>) -> Duration {
    let order = cancel.wait_for(Option::is_some).await.ok().and_then(|order| *order);
    match order {
        Some(within) => within,
        None => std::future::pending().await,
    }
}
