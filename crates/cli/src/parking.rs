//! Words about parks: whether this machine parks programs in swap, and what a component's parks were.

use std::sync::Arc;
use std::time::Duration;

use majordomo::{ComponentSpec, Config, Manager, ParkingStatus, Priority, count, try_parking};
use majordomo_server::wire::Parks;
use tokio::time::{sleep, timeout};

use crate::print;

/// A manager has so long to find out what its machine offers, and is asked again after each pause.
const TRIAL: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// How many components of a configuration may be parked in swap.
pub(crate) fn n_parkable(specs: &[Arc<ComponentSpec>], config: &Config) -> usize {
    let park = config.parking.park;
    let may_park = |spec: &&Arc<ComponentSpec>| {
        spec.program().is_some() && spec.priority != Priority::Core && spec.may_park(park)
    };
    specs.iter().filter(may_park).count()
}

/// The offer of this machine, by a trial of about a second where it has swap. Without a component that may be parked there is
/// none to make.
pub(crate) fn offer(n_parkable: usize) -> ParkingStatus {
    let mut status = ParkingStatus::default();
    if n_parkable == 0 {
        status.why_not = Some("no component is a program that may be parked".to_owned());
        return status;
    }
    match try_parking() {
        Ok(means) => status.means = Some(means),
        Err(why) => status.why_not = Some(why),
    }
    status
}

/// The offer to the components of a manager, as a sentence. The manager finds it out within about a second of its start.
pub(crate) async fn sentence(manager: &Manager) -> String {
    let trial = async {
        loop {
            let parking = manager.status().await.ok()?.memory.parking.clone();
            match (parking.means, parking.why_not) {
                (Some(means), _) => {
                    break Some(format!("Idle components are parked in swap ({means})."));
                }
                (None, Some(why)) => {
                    break Some(format!(
                        "Idle components are unloaded, and never parked in swap: {why}"
                    ));
                }
                (None, None) => sleep(PAUSE).await,
            }
        }
    };
    let known = timeout(TRIAL, trial).await.ok().flatten();
    known.unwrap_or_else(|| "Whether components can be parked in swap is not known yet.".to_owned())
}

/// The offer in one line.
pub(crate) fn line(status: &ParkingStatus, n_parkable: usize) -> String {
    match (&status.means, &status.why_not) {
        (Some(means), _) => {
            format!("{} may be parked in swap, by {means}", count(n_parkable, "component"))
        }
        (None, Some(why)) => format!("none is parked in swap: {why}"),
        (None, None) => "not known yet".to_owned(),
    }
}

/// The parks of a component; none where it had none.
fn steps(parks: &Parks) -> Option<String> {
    let median = parks.wake_median_ms.map_or_else(String::new, |ms| {
        format!(" in {} (median)", print::time(Duration::from_secs_f64(ms.max(0.0) / 1e3)))
    });
    let steps = format!("parked {}, woken {}{median}", times(parks.parks), times(parks.wakes));
    (parks.parks > 0).then(|| format!("{} in swap; {steps}", parks.swapped))
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

/// The line of a component about parks; none where there is nothing to report.
pub(crate) fn of_component(parks: &Parks) -> Option<String> {
    let why_not = parks.why_not.as_ref().map(|why| format!("not parked: {why}"));
    steps(parks).or(why_not)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_a_component_has_its_steps_or_the_reason_against_them() {
        let mut parks = Parks::default();
        assert_eq!(of_component(&parks), None);
        parks.why_not = Some("it is CORE".to_owned());
        assert_eq!(of_component(&parks).as_deref(), Some("not parked: it is CORE"));
        let parks = Parks {
            swapped: majordomo::ByteSize::mib(3),
            parks: 2,
            wakes: 1,
            wake_median_ms: Some(130.0),
            ..Parks::default()
        };
        let want = "3 MiB in swap; parked 2 times, woken once in 130 ms (median)";
        assert_eq!(of_component(&parks).as_deref(), Some(want));
    }
}
