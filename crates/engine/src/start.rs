//! Loads that no demand asks for: at the start, after a change of the configuration, and restarts.

use std::time::Duration;

use majordomo_core::{ComponentKey, Moment, Priority};
use majordomo_lifecycle::{Origin, Request, Step};

use crate::Engine;

impl Engine {
    /// CORE components, then those that are not lazy; each in a transaction of its own, so that one that
    /// fails does not hold up the others.
    pub(crate) fn start(&mut self, step: &mut Step<'_>) {
        let mut eager: Vec<_> = self
            .catalog()
            .keys()
            .filter_map(|k| self.catalog().spec(k).map(|s| (k, s.priority, s.lazy_init)))
            .filter(|(_, priority, lazy)| *priority == Priority::Core || !lazy)
            .map(|(k, priority, _)| (priority, self.catalog().rank(k), k))
            .collect();
        eager.sort_unstable();
        for (_, _, key) in eager {
            self.submit_alone(key, Origin::Startup, step.now);
        }
    }

    pub(crate) fn restart_due(&mut self, step: &mut Step<'_>) {
        if self.ending.is_some() {
            return;
        }
        for key in self.scheduler.take_due_restarts(step.now) {
            self.submit_alone(key, Origin::Restart, step.now);
        }
    }

    /// Enters a component into the queue that no demand asked for, with its own priority.
    pub(crate) fn submit_alone(&mut self, key: ComponentKey, origin: Origin, now: Moment) {
        let Some(spec) = self.catalog().spec(key) else { return };
        let (priority, deadline) = (spec.priority, now + self.patience(key));
        self.scheduler.submit(Request::whole(origin, vec![key], priority, deadline), now);
    }

    /// How long a load without a waiter may take in all: every load of its closure one after the other,
    /// and a demand's time in the queue.
    pub(crate) fn patience(&self, key: majordomo_core::ComponentKey) -> Duration {
        let closure = self.catalog().closure(&[key]);
        let loads: Duration = closure.iter().map(|k| self.scheduler.load_deadline(*k)).sum();
        self.config().deadlines.demand + loads
    }
}
