//! Services that run elsewhere: woken, probed and put to sleep, and never started or stopped.
//!
//! Knows nothing of states or leases. Everything that waits has a deadline.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ComponentId, Endpoint, LoadStage};
use majordomo_registry::{ExternalSpec, ReadySpec, ServiceRequest};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::cancel::next_order;
use crate::load_clock::LoadClock;
use crate::logs::{LogBuffer, LogStream};
use crate::polling::Pauses;
use crate::process::http::{self, RequestError};

/// A service that does not get ready has so long of its load's deadline to be put to sleep again, at most a part of it.
const SLEEP_DEADLINE: Duration = Duration::from_secs(5);
const SLEEP_SHARE: u32 = 5;

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
    /// Notified when an answer to `sleep` is not waited for any longer.
    hurry: Notify,
}

/// The time that a load usually takes, and where its stages are recorded.
pub(crate) struct Course {
    pub(crate) usual: Option<Duration>,
    pub(crate) clock: Arc<LoadClock>,
}

/// How far a load has come.
#[derive(Debug, Default)]
struct Progress {
    /// Why it is not ready.
    why: String,
    /// `wake` was sent, or is being sent.
    may_be_awake: bool,
}

impl Service {
    /// Wakes a service, and waits until it is ready. A time span sent to `cancel` ends that. A service that may be awake then is put to
    /// sleep again. All that takes at most `deadline`, or the time span that was sent.
    pub(crate) async fn load(
        component: &ComponentId,
        spec: ExternalSpec,
        deadline: Duration,
        logs: Arc<LogBuffer>,
        course: Course,
        mut cancel: watch::Receiver<Option<Duration>>,
    ) -> Result<Self, ExternalError> {
        let for_sleep = match (&spec.wake, &spec.sleep) {
            (Some(_), Some(_)) => SLEEP_DEADLINE.min(deadline / SLEEP_SHARE),
            _ => Duration::ZERO,
        };
        let service = Self { spec, logs, hurry: Notify::new() };
        let deadline = deadline - for_sleep;
        let (until, mut progress) = (Instant::now() + deadline, Progress::default());
        let outcome = tokio::select! {
            biased;
            order = next_order(&mut cancel) => Err((ExternalError::Cancelled, order)),
            got = timeout_at(until, service.get_ready(&course, &mut progress)) => match got {
                Ok(got) => got.map_err(|error| (error, for_sleep)),
                Err(_) => Err((ExternalError::NeverReady {
                    url: service.spec.url.to_string(),
                    deadline,
                    why: std::mem::take(&mut progress.why),
                }, for_sleep)),
            },
        };
        match outcome {
            Ok(()) => {
                service.log(&format!("ready at {}", service.spec.url));
                Ok(service)
            }
            Err((error, within)) => {
                if progress.may_be_awake {
                    service.sleep_again(within, &mut cancel).await;
                }
                tracing::debug!(%component, %error, "service not ready");
                Err(error)
            }
        }
    }

    /// Puts a service to sleep that did not get ready. An order to `cancel` shortens its time.
    async fn sleep_again(&self, within: Duration, cancel: &mut watch::Receiver<Option<Duration>>) {
        let hurry = async {
            let mut until = Instant::now() + within;
            loop {
                tokio::select! {
                    grace = next_order(cancel) => until = until.min(Instant::now() + grace),
                    () = sleep_until(until) => break self.hurry(),
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            // A failure is logged.
            _ = self.sleep(within) => {}
            () = hurry => {}
        }
    }

    async fn get_ready(
        &self,
        course: &Course,
        progress: &mut Progress,
    ) -> Result<(), ExternalError> {
        let why = &mut progress.why;
        let pauses = Pauses::begin(course.usual);
        if let Some(wake) = &self.spec.wake {
            *why = format!("no answer to {wake}");
            loop {
                progress.may_be_awake = true;
                match self.request(wake).await {
                    Ok(()) => break,
                    Err((true, why)) => {
                        let (wake, url) = (wake.clone(), self.spec.url.to_string());
                        return Err(ExternalError::Wake { wake, url, why });
                    }
                    // It may be starting: it has until the deadline.
                    Err((false, last)) => *why = last,
                }
                progress.may_be_awake = false;
                pauses.pause().await;
            }
            course.clock.reached(LoadStage::Wake);
        }
        "no answer to its probe".clone_into(why);
        while let Err(last) = self.probe().await {
            *why = last;
            pauses.pause().await;
        }
        course.clock.reached(LoadStage::Ready);
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

    /// Wakes it after [`Self::sleep`], where it has a request for that. The caller bounds the time, and probes.
    pub(crate) async fn wake(&self) -> Result<(), String> {
        let Some(request) = &self.spec.wake else { return Ok(()) };
        self.request(request).await.map_err(|(_, why)| format!("{request}: {why}"))
    }

    /// Puts it to sleep, where it has a request for that, within this time and until [`Self::hurry`]; a failure is logged.
    pub(crate) async fn sleep(&self, within: Duration) -> Result<(), String> {
        let Some(request) = &self.spec.sleep else { return Ok(()) };
        let since = Instant::now();
        let outcome = tokio::select! {
            biased;
            outcome = timeout(within, self.request(request)) => outcome.ok(),
            () = self.hurry.notified() => None,
        };
        let outcome = match outcome {
            Some(Ok(())) => {
                self.log(&format!("{request} was answered; it sleeps"));
                return Ok(());
            }
            Some(Err((_, why))) => why,
            None => format!("no answer within {:.1?}", since.elapsed()),
        };
        tracing::warn!(url = %self.spec.url, %request, why = outcome, "a service was not put to sleep");
        self.log(&format!("{request} failed: {outcome}; it may still use its memory"));
        Err(format!("{request}: {outcome}"))
    }

    /// Ends a [`Self::sleep`] without its answer, also one that begins later.
    pub(crate) fn hurry(&self) {
        self.hurry.notify_one();
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
