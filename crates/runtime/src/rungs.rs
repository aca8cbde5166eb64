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
use majordomo_paging::Urgency;
use tokio::time::{sleep, timeout};

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
        urgency: Urgency,
        within: Duration,
    ) -> impl Future<Output = Result<ParkReport, String>> + Send + use<> {
        let paged = self.paged.clone();
        async move {
            let step = async {
                match to {
                    Rung::Asleep => asleep::park(&subject).await,
                    Rung::Paged => paged.park(&subject, urgency.clone(), within).await,
                    Rung::Gone => Err("an unload is no park".to_owned()),
                }
            };
            end_within(step, &urgency, within).await.unwrap_or_else(|| Err(late(within, "")))
        }
    }

    /// Makes a parked component usable again, which a demand waits for or not. Dropping the future ends the step.
    pub(crate) fn wake(
        &self,
        subject: Subject,
        from: Rung,
        is_awaited: bool,
        urgency: Urgency,
        within: Duration,
    ) -> impl Future<Output = Result<WakeReport, String>> + Send + use<> {
        let paged = self.paged.clone();
        async move {
            let mut why = String::new();
            let step = async {
                let report = match from {
                    Rung::Asleep => asleep::wake(&subject).await,
                    Rung::Paged => paged.wake(&subject, is_awaited, urgency.clone(), within).await,
                    Rung::Gone => Err("nothing is left to be woken".to_owned()),
                }?;
                until_healthy(&subject, &mut why).await;
                Ok(report)
            };
            let ended = end_within(step, &urgency, within).await;
            ended.unwrap_or_else(|| Err(late(within, &why)))
        }
    }
}

/// Runs a step to its end; none when its time is over before. On a busy processor one in the background makes no headway, so
/// that it becomes urgent when half of its time is over.
async fn end_within<T>(
    step: impl Future<Output = T>,
    urgency: &Urgency,
    within: Duration,
) -> Option<T> {
    let step = timeout(within, step);
    tokio::pin!(step);
    let ended = tokio::select! {
        ended = &mut step => ended,
        () = sleep(within / 2) => {
            urgency.hasten();
            step.await
        }
    };
    ended.ok()
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn step_in_the_background_is_urgent_when_half_of_its_time_is_over() {
        let nice = || getpriority_process(None).ok();
        let within = Duration::from_secs(10);
        // Where this process may not raise priorities, nothing is slowed down.
        let (usual, slowed) = (nice(), Urgency::background().run(nice));
        for (seconds, want) in [(4, Some(slowed)), (6, Some(usual)), (11, None)] {
            let urgency = Urgency::background();
            let step = async {
                sleep(Duration::from_secs(seconds)).await;
                urgency.run(nice)
            };
            assert_eq!(end_within(step, &urgency, within).await, want, "{seconds} s");
        }
    }
}
