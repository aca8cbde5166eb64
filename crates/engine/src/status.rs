//! The engine's part of the status.

use majordomo_core::{
    ByteSize, ComponentKey, ComponentParking, ComponentState, ComponentStatus, DeclaredMemory,
    MemoryStatus, Moment, PoolStatus, Priority, Status, StatusValue,
};

use majordomo_memory::Need;

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
            if spec.is_none() && e.state() == ComponentState::UNLOADED {
                continue;
            }
            let spec = spec.or(e.spec());
            status.components.push(ComponentStatus {
                id: self.catalog().id(key).clone(),
                state: e.state(),
                since: e.since(),
                priority: spec.map_or(Priority::Low, |s| s.priority),
                pool: self.catalog().pools()[self.catalog().pool(key)].name.clone(),
                pinned: e.is_pinned(spec),
                speculative: e.is_unrequested(),
                stale: e.restart().is_outdated(),
                booked: self.scheduler.budget().booked_for(key),
                apart: self.memory_apart(key),
                measured: self.scheduler.budget().measured_for(key),
                load_peak: e.figures().learned().load_peak(),
                working_peak: e.figures().learned().working_peak(),
                load_need: self.scheduler.needs(key).load,
                settled_need: self.scheduler.needs(key).settled,
                shared: ByteSize::ZERO,
                estimate: spec.map(|s| s.memory).unwrap_or_default(),
                limit: spec.and_then(|s| s.memory_limit),
                leases: 0,
                uses: e.n_uses(),
                loads: e.n_loads(),
                failures: e.failures().n_total(),
                last_use: e.last_use(),
                load_time: e.figures().load_time(),
                load_stages: Vec::new(),
                probe_failing: e.probes().failing().cloned(),
                cause: e.cause().map(ToString::to_string).unwrap_or_default(),
                retry_at: e.next_attempt(),
                retry_on_demand: e.is_tried_on_demand(),
                pid: None,
                endpoint: None,
                parking: ComponentParking {
                    swapped: match e.state().is_parked() {
                        true => self.scheduler.budget().bookings(key).of(Need::SWAP),
                        false => ByteSize::ZERO,
                    },
                    ..ComponentParking::default()
                },
            });
        }
        let engine = vec![
            ("policy".to_owned(), StatusValue::Text(self.policy.name().to_owned())),
            (
                "transactions".to_owned(),
                StatusValue::Count(self.scheduler.transactions().count() as u64),
            ),
        ];
        status.sections.insert("engine".to_owned(), engine);
        self.forecast_sections(now, &mut status);
        status
    }

    /// Declared bytes of a component in pools besides its own, and whether they are booked.
    fn memory_apart(&self, key: ComponentKey) -> Vec<DeclaredMemory> {
        let booked = self.scheduler.budget().apart(key);
        let one = |pool: usize| DeclaredMemory {
            pool: self.catalog().pools()[pool].name.clone(),
            declared: self.scheduler.declared_apart(key).of(pool),
            booked: booked.of(pool),
        };
        let mut pools = self.scheduler.declared_apart(key);
        pools.add_all(&booked);
        pools.iter().map(|(pool, _)| one(pool)).collect()
    }

    /// Adds preloads, learned figures, and how eviction compares with LRU.
    fn forecast_sections(&self, now: Moment, status: &mut Status) {
        let name = |k| self.catalog().id(k).as_str();
        let mut preloader = self.hints.preloader().section();
        if let Some(c) = self.hints.contention(now) {
            let rest = StatusValue::Time(c.until.since(now));
            preloader.push(("only beside what queued demands need, for".to_owned(), rest));
        }
        for (key, a) in self.hints.preloader().accounts() {
            let mut line =
                |what: &str, value| preloader.push((format!("{}: {what}", name(key)), value));
            line("started", StatusValue::Count(a.started));
            line("hits", StatusValue::Count(a.hits));
            line("late", StatusValue::Count(a.late));
            line("wasted", StatusValue::Count(a.wasted));
            line("harmful", StatusValue::Count(a.harmful));
            let mib_seconds = a.wasted_byte_seconds / f64::from(1u32 << 20);
            line("wasted MiB-seconds", StatusValue::Number(mib_seconds));
        }
        let model = self.forecaster.model();
        let mut sequence =
            vec![("commands learned from".to_owned(), StatusValue::Count(model.n_observed()))];
        for (key, p) in model.likeliest(5) {
            sequence.push((format!("next: {}", name(key)), StatusValue::Number(p.get().into())));
        }
        let trimmed = self.idleness.trimmed().len() as u64;
        sequence.push(("trimmed while idle".to_owned(), StatusValue::Count(trimmed)));
        let files = self.read_ahead.section(self.config().read_ahead.floor);
        status.sections.insert("read_ahead".to_owned(), files);
        for (part, lines) in
            [("preloader", preloader), ("sequence", sequence), ("policy", self.policy.section())]
        {
            if !lines.is_empty() {
                status.sections.insert(part.to_owned(), lines);
            }
        }
    }

    fn memory_status(&self) -> MemoryStatus {
        let pools = self.catalog().pools().iter().enumerate().map(|(i, p)| PoolStatus {
            name: p.name.clone(),
            budget: p.budget,
            booked: self.scheduler.budget().booked_in(i),
            declared: p.declared,
        });
        let (external, unreturned) = self.scheduler.budget().taken();
        MemoryStatus {
            budget: self.scheduler.budget().total(),
            booked: self.scheduler.budget().booked(),
            claimed: self.scheduler.budget().claimed(),
            overdraft: self.scheduler.budget().overdraft(),
            overdraft_by_kind: self.scheduler.budget().overdraft_by_kind(),
            external,
            unreturned,
            pressure: Some(self.scheduler.pressure()),
            pools: pools.collect(),
            ..MemoryStatus::default()
        }
    }
}
