//! The engine's part of the status.

use majordomo_core::{
    ByteSize, ComponentState, ComponentStatus, MemoryStatus, Moment, PoolStatus, Priority, Status,
    StatusValue,
};

use crate::Engine;

impl Engine {
    /// Components and memory at `now`; leases and process data are the shell's to add.
    #[must_use]
    pub fn status(&self, now: Moment) -> Status {
        let mut status = Status {
            at: now,
            memory: self.memory_status(),
            waiting: self.scheduler.n_waiting(),
            shutting_down: self.is_shutting_down(),
            ..Status::default()
        };
        for (key, e) in self.scheduler.entries() {
            let spec = self.catalog().spec(key);
            if spec.is_none() && e.state == ComponentState::Unloaded {
                continue;
            }
            let spec = spec.or(e.spec.as_ref());
            status.components.push(ComponentStatus {
                id: self.catalog().id(key).clone(),
                state: e.state,
                since: e.since,
                priority: spec.map_or(Priority::Low, |s| s.priority),
                pool: self.catalog().pools()[self.catalog().pool(key)].name.clone(),
                pinned: e.is_pinned(spec),
                speculative: e.speculative,
                stale: e.stale,
                booked: self.budget.booked_for(key),
                measured: self.budget.measured_for(key),
                peak: e.peak,
                shared: ByteSize::ZERO,
                estimate: spec.map(|s| s.memory).unwrap_or_default(),
                limit: spec.and_then(|s| s.memory_limit),
                leases: 0,
                uses: e.uses,
                loads: e.loads,
                failures: e.failures,
                last_use: e.last_use,
                load_time: e.load_time,
                cause: e.cause.as_ref().map(ToString::to_string).unwrap_or_default(),
            });
        }
        let engine = vec![
            ("policy".to_owned(), StatusValue::Text(self.policy.name().to_owned())),
            ("hints_waiting".to_owned(), StatusValue::Count(self.hints.len() as u64)),
            (
                "transactions".to_owned(),
                StatusValue::Count(self.scheduler.transactions().count() as u64),
            ),
        ];
        status.sections.insert("engine".to_owned(), engine);
        status
    }

    fn memory_status(&self) -> MemoryStatus {
        let pools = self.catalog().pools().iter().enumerate().map(|(i, p)| PoolStatus {
            name: p.name.clone(),
            budget: p.budget,
            booked: self.budget.booked_in(i),
            declared: p.declared,
        });
        let (external, unreturned) = self.budget.taken();
        MemoryStatus {
            budget: self.budget.total(),
            booked: self.budget.booked(),
            claimed: self.budget.claimed(),
            overdraft: self.budget.overdraft(),
            overdraft_by_kind: self.budget.overdraft_by_kind(),
            external,
            unreturned,
            pressure: Some(self.pressure),
            pools: pools.collect(),
            ..MemoryStatus::default()
        }
    }
}
