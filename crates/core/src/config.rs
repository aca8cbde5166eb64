//! Every setting of the manager, each declared once.
//!
//! See `settings.rs` for what an entry states. `docs/configuration.md` is generated from the same entries.

mod choices;

use std::time::Duration;

use crate::settings::{sections, settings};
use crate::{ByteSize, Confidence, PressureLevel, Priority, Setting, SettingValue};

pub use self::choices::{
    BudgetSetting, BudgetSettingError, IdleTrimWhen, ParkChoice, PolicyKind, PressureProfile,
};

/// The longest time that another process's lease lasts without renewal.
pub const LEASE_TTL_MAX: Duration = Duration::from_secs(600);

sections! {
    /// All settings of the manager.
    pub struct Config {
        memory: MemoryConfig,
        deadlines: DeadlineConfig,
        back_off: BackOffConfig,
        quarantine: QuarantineConfig,
        queue: QueueConfig,
        loads: LoadConfig,
        speculation: SpeculationConfig,
        read_ahead: ReadAheadConfig,
        idle: IdleConfig,
        parking: ParkingConfig,
        triggers: TriggerConfig,
        intents: IntentConfig,
        state: StateConfig,
        server: ServerConfig,
    }
}

impl Config {
    /// The value of a setting; [`SettingValue::Unset`] for one that is none of these.
    #[must_use]
    pub fn get(&self, setting: &Setting) -> SettingValue {
        let section = self.section(setting.section);
        section.and_then(|section| section.get(setting.name)).unwrap_or(SettingValue::Unset)
    }

    /// Gives a setting a value. False when there is no such setting, or its type cannot hold the value; ranges are
    /// checked by [`Self::problems`].
    pub fn set(&mut self, setting: &Setting, value: &SettingValue) -> bool {
        let section = self.section_mut(setting.section);
        section.is_some_and(|section| section.set(setting.name, value))
    }
}

settings! {
    /// Budget, booking and memory pressure.
    pub struct MemoryConfig: memory in [manager] {
        /// Memory for all components: a size, or a share of the effective limit (the smaller of the machine's memory
        /// and the own cgroup's limit).
        budget: BudgetSetting = 60 percent, range 0.1 percent ..= 100 percent;
        /// A component's declared memory is multiplied by this until it has been measured.
        estimate_margin: f64 = 1.2, range 1.0 ..= 4.0;
        /// A component that became ready for a demand is not evicted within this time. With 0 a demand waits for no idle
        /// component, unless demands of several clients load components in each other's place.
        min_residency: Duration = 0 s, range 0 s ..= 30 days;
        /// The order of eviction: by the waiting that a component is expected to save (`vrank-wait`), by its expected uses
        /// whatever their load takes (`vrank`), least recently used first (`lru`), or greedy-dual-size-frequency (`gdsf`).
        policy: PolicyKind = VrankWait;
        /// How available memory becomes a pressure level: by share of the effective limit, or by the predecessor's 4,
        /// 2, 1 and 0.5 GiB.
        pressure_profile: PressureProfile = Share;
        /// A pressure level falls only after memory has met the lower level for this long.
        pressure_dwell: Duration = 10 s, range 0 s ..= 30 days;
        /// At this pressure and above, components are asked to trim their memory.
        trim_at: PressureLevel = Medium;
        /// At this pressure and above, idle LOW components are unloaded.
        unload_low_at: PressureLevel = High;
        /// At this pressure and above, idle MEDIUM components are unloaded too.
        unload_medium_at: PressureLevel = Critical;
        /// At this pressure and above, every component that is not CORE, pinned or leased is unloaded, and loads are
        /// refused.
        refuse_loads_at: PressureLevel = Emergency;
        /// First wait between rounds of freeing memory that freed nothing; doubles up to 30 s.
        relief_back_off: Duration = 1 s, range 1 ms ..= 30 days;
        /// A component above its own limit has this long to trim before its `over_limit` policy is applied.
        over_limit_grace: Duration = 5 s, range 1 ms ..= 30 days;
        /// Memory for the snapshots of unloaded components, which their next load reads.
        cold_store: ByteSize = 64 MiB, range 4 KiB ..= 16 TiB;
    }
}

settings! {
    /// Deadlines of demands, loads, stops and shutdown.
    pub struct DeadlineConfig: deadlines in [manager] {
        /// A demand is answered within this time.
        demand: Duration = 30 s, range 1 ms ..= 30 days, key demand_deadline;
        /// A load ends within this time, unless the component has its own deadline.
        load: Duration = 60 s, range 1 ms ..= 30 days, key load_deadline;
        /// A component stops within this time, unless it has its own deadline; then it is killed.
        stop: Duration = 5 s, range 1 ms ..= 30 days, key stop_deadline;
        /// Shutdown of the manager ends within this time.
        shutdown: Duration = 10 s, range 1 ms ..= 30 days, key shutdown_deadline;
    }
}

settings! {
    /// Back-off after failures: `base · 2^n`, at most `max`.
    pub struct BackOffConfig: back_off in [manager] {
        /// Wait after a component's first failure; doubles with each further one.
        base: Duration = 1 s, range 1 ms ..= 30 days, at_most max, key back_off;
        /// The longest wait after failures.
        max: Duration = 5 min, range 1 ms ..= 30 days, key back_off_max;
    }
}

settings! {
    /// Quarantine of a component after many failures.
    pub struct QuarantineConfig: quarantine in [manager] {
        /// This many failures within `quarantine_window` put a component in quarantine.
        failures: u32 = 5 failures, range 1 ..= 32, key quarantine_failures;
        /// Failures are counted over this time.
        window: Duration = 10 min, range 1 ms ..= 30 days, key quarantine_window;
        /// Quarantine ends after this time.
        duration: Duration = 15 min, range 1 ms ..= 30 days, key quarantine_duration;
    }
}

settings! {
    /// The queue of demands.
    pub struct QueueConfig: queue in [manager] {
        /// The longest queue; further demands are refused as overloaded.
        capacity: usize = 1024 demands, range 1 ..= 1048576, key queue_capacity, read_at start;
        /// A waiting demand rises one priority each time this passes.
        ageing: Duration = 5 s, range 1 ms ..= 30 days, key queue_ageing;
        /// A waiting demand rises no higher than this priority.
        ageing_ceiling: Priority = High, key queue_ageing_ceiling;
        /// The first demand in the queue may be overtaken this many times ...
        max_overtakes: u32 = 8 times, range 0 ..= 1048576;
        /// ... and for this long.
        overtake_for: Duration = 2 s, range 0 s ..= 30 days;
        /// A component whose leases the first demand waits for refuses new leases after this time.
        drain_after: Duration = 2 s, range 0 s ..= 30 days;
    }
}

settings! {
    /// Concurrent loads.
    pub struct LoadConfig: loads in [manager] {
        /// Loads at a time. Without a value: as many as the machine has processors, at least 2, and all but one of them
        /// reserved for demands.
        max_concurrent: Option<usize> = none, range 1 ..= 64, key max_concurrent_loads;
        /// Of these, the loads reserved for demands.
        kept_for_demands: usize = 1 loads, range 0 ..= 64, at_most max_concurrent, key loads_kept_for_demands;
    }
}

impl LoadConfig {
    /// The lanes where neither a setting nor the machine says more.
    const FEWEST: usize = 2;

    /// How many loads may run at a time; at least 1.
    #[must_use]
    pub const fn lanes(&self) -> usize {
        match self.max_concurrent {
            None => Self::FEWEST,
            Some(0) => 1,
            Some(lanes) => lanes,
        }
    }

    /// Gives a machine of so many processors a lane for each, unless the setting has a value. One of them is for preloads: only
    /// demands gain by loads side by side.
    pub fn fit_to(&mut self, n_processors: usize) {
        if self.max_concurrent.is_none() {
            let lanes = n_processors.max(Self::FEWEST);
            self.max_concurrent = Some(lanes);
            self.kept_for_demands = self.kept_for_demands.max(lanes - 1);
        }
    }

    /// How many of these may be preloads.
    #[must_use]
    pub const fn preload_lanes(&self) -> usize {
        self.lanes().saturating_sub(self.kept_for_demands)
    }
}

settings! {
    /// Preloading.
    pub struct SpeculationConfig: speculation in [manager] {
        /// Whether components are preloaded.
        enabled: bool = true, key speculation;
        /// Predictions below this probability are ignored; with `vrank-wait` it is weighted by load times. Wasted preloads
        /// raise the floor; with `vrank-wait` it may sink to half while there are few.
        floor: Confidence = 0.12, key speculation_floor;
        /// The longest queue of predictions, for each tier.
        queue: usize = 64 predictions, range 1 ..= 4096, key speculation_queue, read_at start;
        /// A prediction waits this long before its component is preloaded.
        delay: Duration = 100 ms, range 0 s ..= 1 days, key speculation_delay;
        /// A prediction that has waited longer is dropped.
        patience: Duration = 60 s, range 1 ms ..= 1 days, key speculation_patience;
        /// A preloaded component that is not requested within this time counts as wasted.
        expiry: Duration = 1 days, range 1 ms ..= 30 days, key speculation_expiry;
        /// Predictions taken from one command, the likeliest first.
        per_command: usize = 3 predictions, range 0 ..= 64, key speculation_per_command;
        /// Wasted preloads allowed for each command, on average; each harm counts as up to four.
        waste: f64 = 0.08, range 0.0 ..= 1.0, key speculation_waste;
        /// Memory that wasted preloads may hold, averaged over time; without a value there is no bound.
        waste_memory: Option<ByteSize> = none, range 4 KiB ..= 16 TiB, key speculation_waste_memory;
    }
}

settings! {
    /// Reading files of components into the system's cache before their loads need them. Nothing is booked for that, and
    /// cached files are never dropped.
    pub struct ReadAheadConfig: read_ahead in [manager] {
        /// Whether files are read ahead.
        enabled: bool = true, key read_ahead;
        /// Files of unloaded components are read ahead from this probability of the next use on; it rises while more
        /// reads are wasted than useful.
        floor: Confidence = 0.1, key read_ahead_floor;
        /// Bytes that are read ahead each second, at most; files of a demanded load are not bounded.
        bandwidth: ByteSize = 64 MiB, range 64 KiB ..= 16 TiB, key read_ahead_bandwidth;
    }
}

settings! {
    /// Giving memory back while no component is used.
    pub struct IdleConfig: idle in [manager] {
        /// When idle memory is given back: `never`, on battery or under memory pressure (`pressed`), or `always`.
        /// Unloaded components are preloaded again before their next predicted use.
        trim: IdleTrimWhen = Pressed, key idle_trim;
        /// The manager is idle when no component has been used for this long.
        after: Duration = 60 min, range 1 ms ..= 30 days, key idle_trim_after;
        /// Share of the budget that stays loaded while idle, the most valuable components first.
        keep_share: f64 = 0.1, range 0.0 ..= 1.0, key idle_keep_share;
    }
}

settings! {
    /// Parked components: their processes run on while their memory is in swap.
    pub struct ParkingConfig: parking in [manager] {
        /// Whether components are parked: `auto` where the machine offers a rung for them (`majordomo check` says
        /// which), or `never`. A component may state its own.
        park: ParkChoice = Auto;
        /// Swap that parked components may take, all together: a size, or a share of the swap that other programs leave.
        swap_budget: BudgetSetting = 50 percent, range 0.1 percent ..= 100 percent;
        /// Bytes that may be written to a swap disk within 24 hours before nothing more is parked there. Everything that the
        /// machine writes to swap counts. Compressed memory (zram) has no such bound.
        swap_writes_per_day: ByteSize = 32 GiB, range 4 KiB ..= 16 TiB;
    }
}

settings! {
    /// From command text to components.
    pub struct TriggerConfig: triggers in [manager] {
        /// A command needs a component when its keywords reach this confidence, as long as nothing has been learned
        /// about that component.
        threshold: Confidence = 0.5, key trigger_threshold;
    }
}

settings! {
    /// Learning which components a text needs.
    pub struct IntentConfig: intents in [intents] {
        /// Whether learned models answer; without them keywords answer alone.
        enabled: bool = true;
        /// Whether the manager learns from the components that commands really used.
        learn: bool = true;
        /// Whether learning starts from the shipped table of public command text.
        prior: bool = true, read_at start;
        /// The confidence that a learned answer needs before anything is loaded; below it, the command is unsure. The
        /// odds of the learned thresholds are multiplied by the odds of this value: 0.5 leaves them unchanged, a
        /// higher value asks the user more often.
        min_confidence: Confidence = 0.5;
        /// Where a command needs one of several exclusive components, the likeliest must exceed the next by this much.
        min_gap: Confidence = 0.0;
        /// New outcomes after which the model is retrained, in the background.
        retrain_every: usize = 100 outcomes, range 1 ..= 100000;
        /// The shortest time between two retrains; nine times the duration of the last one where that is longer, so
        /// that retrains use at most a tenth of one processor. `0s` removes both limits. Forgetting a text retrains at
        /// once.
        retrain_pause: Duration = 5 s, range 0 s ..= 24 h;
        /// Outcomes kept for learning.
        max_outcomes: usize = 10000 outcomes, range 1 ..= 100000, read_at start;
        /// Whether answers name the parts of the text that support them, which costs about ten microseconds for each
        /// command.
        evidence: bool = true;
    }
}

settings! {
    /// The state directory.
    pub struct StateConfig: state in [manager] {
        /// Learned data is collected for this long before it is written to the state directory; a crash loses no more.
        write_after: Duration = 10 s, range 1 s ..= 1 h, key write_state_after;
    }
}

settings! {
    /// The socket API: limits, and leases of other processes.
    pub struct ServerConfig: server in [server] {
        /// Connections at a time to the Unix socket, and as many over TCP; each kind takes at most a third of the open
        /// files that the system allows. When all are in use, the longest idle one is closed.
        max_connections: usize = 512 connections, range 1 ..= 65536;
        /// The largest body of a request.
        max_body: ByteSize = 1 MiB, range 4 KiB ..= 16 TiB;
        /// A request's head is read within this time.
        header_time: Duration = 5 s, range 1 ms ..= 30 days;
        /// A request's body is read within this time.
        body_time: Duration = 10 s, range 1 ms ..= 30 days;
        /// A request is answered within this time, except streams, demands and loads; the latter two have their own
        /// deadlines.
        request_time: Duration = 2 min, range 1 ms ..= 30 days;
        /// A connection without a request or a lease is closed after this time.
        idle_time: Duration = 5 min, range 1 ms ..= 30 days;
        /// A client that reads nothing of its answer is disconnected after this time.
        stall_time: Duration = 30 s, range 1 ms ..= 30 days;
        /// Subscribers to events and logs at a time.
        max_streams: usize = 256 streams, range 1 ..= 65536;
        /// Components leased by other processes at a time; every component of a lease counts.
        max_leases: usize = 16384 leases, range 1 ..= 1048576;
        /// The duration of a lease that states none.
        lease_ttl: Duration = 60 s, range 1 ms ..= [LEASE_TTL_MAX];
        /// The server warns about leases older than this.
        max_lease_age: Duration = 60 min, range 1 ms ..= 30 days;
        /// Whether leases older than `max_lease_age` are ended.
        end_old_leases: bool = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Domain, Section};
    use std::collections::BTreeSet;

    /// Values just outside a range, and those that lie in no range.
    fn outside(domain: &Domain) -> Vec<SettingValue> {
        let before = |value: Duration| value.checked_sub(Duration::from_nanos(1));
        match domain {
            Domain::Bool | Domain::Word(_) => vec![],
            Domain::Count { min, max } => {
                let values = [min.checked_sub(1), max.checked_add(1)];
                values.into_iter().flatten().map(SettingValue::Count).collect()
            }
            Domain::Number { min, max } => {
                let values = [min - 0.01, max + 0.01, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
                values.map(SettingValue::Number).into()
            }
            Domain::Duration { min, max } => {
                let values = [before(*min), Some(*max + Duration::from_nanos(1))];
                values.into_iter().flatten().map(SettingValue::Duration).collect()
            }
            Domain::Size { min, max } => {
                vec![SettingValue::Size(*min - ByteSize(1)), SettingValue::Size(*max + ByteSize(1))]
            }
            Domain::Budget { min, max } => {
                let shares = [min / 2.0, max + 0.01, f64::NAN, f64::INFINITY];
                let shares = shares.map(BudgetSetting::Share);
                let sizes = [ByteSize::ZERO, ByteSize(u64::MAX)].map(BudgetSetting::Bytes);
                shares.into_iter().chain(sizes).map(SettingValue::Budget).collect()
            }
        }
    }

    #[test]
    fn every_default_lies_in_its_range() {
        assert_eq!(Config::default().problems(), []);
    }

    #[test]
    fn every_value_outside_its_range_is_a_problem_of_that_setting() {
        let mut n_checked = 0;
        for setting in Config::settings() {
            for value in outside(&setting.domain) {
                let mut config = Config::default();
                if !config.set(setting, &value) {
                    continue; // The type cannot hold it.
                }
                let found = config.problems();
                let paths: Vec<_> = found.iter().map(|p| p.setting.path).collect();
                assert!(paths.contains(&setting.path), "{} = {value}: {paths:?}", setting.path);
                n_checked += 1;
            }
        }
        assert!(n_checked > 80, "{n_checked}");
    }

    #[test]
    fn clamped_values_are_allowed_and_allowed_values_stay() {
        let mut config = Config::default();
        for setting in Config::settings() {
            for value in outside(&setting.domain) {
                config.set(setting, &value);
                let section = config.section_mut(setting.section).unwrap();
                section.clamp();
                assert_eq!(section.problems(), [], "{} = {value}", setting.path);
            }
        }
        let mut speculation = SpeculationConfig { queue: 2, ..SpeculationConfig::default() };
        let before = speculation.clone();
        speculation.clamp();
        assert_eq!(speculation, before);
    }

    #[test]
    fn machine_has_a_load_lane_for_each_processor_unless_the_setting_has_a_value() {
        let lanes = |max_concurrent, n_processors| {
            let mut loads = LoadConfig { max_concurrent, ..LoadConfig::default() };
            loads.fit_to(n_processors);
            (loads.lanes(), loads.preload_lanes())
        };
        assert_eq!(lanes(None, 1), (2, 1));
        assert_eq!(lanes(None, 8), (8, 1));
        assert_eq!(lanes(Some(4), 8), (4, 3));
        assert_eq!(LoadConfig::default().lanes(), 2);
    }

    #[test]
    fn all_problems_are_reported_with_path_value_and_range() {
        let mut config = Config::default();
        config.memory.estimate_margin = f64::NAN;
        config.back_off.base = Duration::from_secs(3600);
        config.loads = LoadConfig { max_concurrent: Some(0), kept_for_demands: 1 };
        config.speculation.waste_memory = Some(ByteSize::ZERO);
        config.server.lease_ttl = Duration::ZERO;
        let problems: Vec<_> = config.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "memory.estimate_margin is NaN; it must lie within 1 and 4",
                "back_off.base is 1h, more than back_off.max, which is 5min",
                "loads.max_concurrent is 0; it must lie within 1 and 64",
                "loads.kept_for_demands is 1, more than loads.max_concurrent, which is 0",
                "speculation.waste_memory is 0 B; it must lie within 4 KiB and 16 TiB",
                "server.lease_ttl is 0s; it must lie within 1ms and 10min",
            ]
        );
    }

    #[test]
    fn sections_are_found_by_the_name_that_they_declare() {
        let mut config = Config::default();
        for setting in Config::settings() {
            let section = config.section(setting.section).expect(setting.section);
            assert!(section.declarations().contains(setting), "{}", setting.path);
            let value = config.get(setting);
            assert!(config.set(setting, &value), "{}", setting.path);
        }
        assert_eq!(config, Config::default());
        assert!(config.section("nothing").is_none());
        assert!(!config.queue.set("capacity", &SettingValue::Bool(true)), "of another type");
        assert!(!config.queue.set("nothing", &SettingValue::Count(1)));
    }

    #[test]
    fn names_and_keys_are_unique_and_bounds_exist() {
        let paths: BTreeSet<_> = Config::settings().map(|s| s.path).collect();
        let keys: BTreeSet<_> = Config::settings().map(|s| (s.table, s.key)).collect();
        assert_eq!(paths.len(), Config::settings().count());
        assert_eq!(keys.len(), paths.len());
        for setting in Config::settings() {
            let bound = setting.at_most.map(|bound| format!("{}.{bound}", setting.section));
            assert!(bound.is_none_or(|bound| paths.contains(&*bound)), "{}", setting.path);
        }
    }
}
