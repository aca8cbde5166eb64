//! Rungs in a day: faults of parks and wakes, changes of what is offered, and operators that meet a step under way.
//!
//! Adds to the actions of a day and changes none of them.

use std::time::Duration;

use majordomo_core::Moment;

use super::{Action, LoadFault, ParkFault, Script, Verb, WakeFault};
use crate::rng::Rng;

impl Script {
    /// The same day with rungs on offer, and with faults of parks and wakes among its actions.
    #[must_use]
    pub fn with_rungs(mut self) -> Self {
        let mut rng = Rng::new(&[self.seed, 6]);
        let mut actions = Vec::new();
        for (at, action) in self.actions {
            let component = match &action {
                Action::Demand { components, calm: false, .. } => components.first().copied(),
                _ => None,
            };
            if let Action::Shutdown { deadline, .. } = &action
                && rng.chance(0.5)
            {
                stalled_shutdown(&mut rng, self.n_components, at, *deadline, &mut actions);
            }
            actions.push((at, action));
            let Some(c) = component else { continue };
            if rng.chance(0.3) {
                actions.push((at, fault(&mut rng, c)));
            } else if rng.chance(0.004) {
                actions.push((at, Action::SwapRoom(rng.below(120) as u8)));
            } else if rng.chance(0.004) {
                let percent = rng.chance(0.5).then(|| rng.below(150) as u8);
                actions.push((at, Action::Writes(percent)));
            } else if rng.chance(0.002) {
                actions.push((at, Action::Offered(false)));
                actions.push((at + rng.millis(100, 120_000), Action::Offered(true)));
            } else if rng.chance(0.03) {
                let at = at + rng.millis(1, 5_000);
                park(&mut rng, c, at, &mut actions);
            }
        }
        actions.sort_by_key(|(at, _)| *at);
        actions.retain(|(at, _)| *at < self.end);
        (self.actions, self.rungs) = (actions, true);
        self
    }
}

fn operator(rng: &mut Rng, component: usize, verb: Verb) -> Action {
    let patience = rng.chance(0.2).then(|| rng.millis(1, 5_000));
    Action::Operator { component, verb, patience }
}

/// An operator parks a component. Another command may meet the park, the parked component or the wake that a demand begins.
fn park(rng: &mut Rng, c: usize, at: Moment, actions: &mut Vec<(Moment, Action)>) {
    actions.push((at, operator(rng, c, Verb::Park)));
    if rng.chance(0.6) {
        let demand = Action::Demand {
            components: vec![c],
            priority: None,
            deadline: None,
            hold: rng.millis(1, 4_000),
            patience: rng.chance(0.2).then(|| rng.millis(1, 2_000)),
            stubborn: false,
            direct: true,
            calm: false,
        };
        actions.push((at + rng.millis(20, 2_500), demand));
    }
    if !rng.chance(0.6) {
        return;
    }
    let verb = *rng.pick(&[
        Verb::Load,
        Verb::Unload,
        Verb::UnloadForce,
        Verb::Pin,
        Verb::Unpin,
        Verb::Trim,
        Verb::Park,
    ]);
    let at = at + rng.millis(1, 3_000);
    actions.push((at, operator(rng, c, verb)));
    if verb == Verb::Pin {
        // A pinned component is never parked.
        let unpin = operator(rng, c, Verb::Unpin);
        actions.push((at + Duration::from_secs(rng.between(1, 20)), unpin));
    }
}

/// The process gets no time from a shutdown to its end, while components are loaded, parked and woken.
fn stalled_shutdown(
    rng: &mut Rng,
    n: usize,
    at: Moment,
    deadline: Duration,
    actions: &mut Vec<(Moment, Action)>,
) {
    for _ in 0..3 {
        let c = rng.below(n);
        actions.push((at, Action::LoadFault(c, *rng.pick(&[LoadFault::Fails, LoadFault::Slow]))));
        actions.push((at, operator(rng, c, Verb::Load)));
        let c = rng.below(n);
        actions.push((at, operator(rng, c, Verb::Park)));
    }
    actions.push((at + rng.millis(1, 50), Action::Stall(deadline + rng.millis(1, 1_000))));
}

fn fault(rng: &mut Rng, c: usize) -> Action {
    match rng.below(11) {
        0 => Action::ParkFault(c, ParkFault::Fails),
        1 => Action::ParkFault(c, ParkFault::SwapFull),
        2 => Action::ParkFault(c, ParkFault::Hangs),
        3 => Action::ParkFault(c, ParkFault::FreesHalf),
        4 => Action::ParkFault(c, ParkFault::FreesNothing),
        5 | 6 => Action::ParkFault(c, ParkFault::Dies),
        7 => Action::WakeFault(c, WakeFault::Fails),
        8 => Action::WakeFault(c, WakeFault::Hangs),
        9 => Action::WakeFault(c, WakeFault::PagesDropped),
        _ => Action::WakeFault(c, WakeFault::Dies),
    }
}
