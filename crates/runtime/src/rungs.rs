//! Rungs between loaded and gone: which components are offered which, and the ways there and back.
//!
//! One file for each rung. Knows no state and no budget: the engine decides, the shell starts the steps. Invariant: a step
//! ends within its time, and a wake that succeeded was answered by the component's probe, where it has one.

pub(crate) mod asleep;
pub(crate) mod paged;
mod subject;

pub(crate) use subject::{Body, Subject};

use std::future::Future;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, Rung, WallSeconds};
use majordomo_engine::{Engine, Offers, ParkReport, WakeReport};
use tokio::time::timeout;

use crate::polling::Pauses;
use asleep::Asleep;
use paged::Paged;

/// Wakes that may run at a time, where the paged rung does not know better.
const WAKE_LANES: usize = 4;

/// The sources of rungs.
#[derive(Debug, Default)]
pub(crate) struct Rungs {
    pub(crate) asleep: Asleep,
    pub(crate) paged: Paged,
}

impl Rungs {
    /// The rungs on offer now.
    pub(crate) fn offers(
        &self,
        engine: &Engine,
        now: WallSeconds,
        lacks_cgroup: impl Fn(ComponentKey) -> bool,
    ) -> Offers {
        let (catalog, scheduler) = (engine.catalog(), engine.scheduler());
        let config = &engine.config().parking;
        let mut rungs = self.asleep.offers(catalog, |key| scheduler.load_time(key));
        rungs.retain(|o| catalog.spec(o.key).is_some_and(|spec| spec.may_park(config.park)));
        let bytes = |key| {
            let learned = scheduler.entry(key).figures().learned().ready();
            learned.or(catalog.spec(key).map(|spec| spec.memory)).unwrap_or_default()
        };
        let paged = self.paged.offers(catalog, config, now, bytes, lacks_cgroup);
        let may_write = self.paged.may_write(config, now);
        let swap = if paged.is_empty() { ByteSize::ZERO } else { self.paged.room(config) };
        rungs.extend(paged);
        let wake_lanes = self.paged.wake_lanes().unwrap_or(WAKE_LANES);
        Offers { swap, may_write, wake_lanes, rungs }
    }

    /// Takes a component to a rung and measures what it holds there. Dropping the future ends the step.
    pub(crate) fn park(
        &self,
        subject: Subject,
        to: Rung,
        within: Duration,
    ) -> impl Future<Output = Result<ParkReport, String>> + Send + use<> {
        let paged = self.paged.clone();
        async move {
            let step = async {
                match to {
                    Rung::Asleep => asleep::park(&subject).await,
                    Rung::Paged => paged.park(&subject, within).await,
                    Rung::Gone => Err("an unload is no park".to_owned()),
                }
            };
            timeout(within, step).await.unwrap_or_else(|_| Err(late(within, "")))
        }
    }

    /// Makes a parked component usable again, which a demand waits for or not. Dropping the future ends the step.
    pub(crate) fn wake(
        &self,
        subject: Subject,
        from: Rung,
        is_awaited: bool,
        within: Duration,
    ) -> impl Future<Output = Result<WakeReport, String>> + Send + use<> {
        let paged = self.paged.clone();
        async move {
            let mut why = String::new();
            let step = async {
                let report = match from {
                    Rung::Asleep => asleep::wake(&subject).await,
                    Rung::Paged => paged.wake(&subject, is_awaited, within).await,
                    Rung::Gone => Err("nothing is left to be woken".to_owned()),
                }?;
                until_healthy(&subject, &mut why).await;
                Ok(report)
            };
            timeout(within, step).await.unwrap_or_else(|_| Err(late(within, &why)))
        }
    }
}

fn late(within: Duration, why: &str) -> String {
    let colon = if why.is_empty() { "" } else { ": " };
    format!("it took longer than {} ms{colon}{why}", within.as_millis())
}

/// Probes a component until it answers well; at once, where no probe is configured.
async fn until_healthy(subject: &Subject, why: &mut String) {
    let pauses = Pauses::begin(None);
    while let Err(error) = subject.probe().await {
        *why = error;
        pauses.pause().await;
    }
}
