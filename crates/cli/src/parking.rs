//! Whether this machine parks programs in swap: in `check`, and in `memory` without a server.

use std::sync::Arc;

use majordomo::{ComponentSpec, Config, ParkingStatus, Priority, count, try_parking};

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
