//! Rows of `[manager]`: every setting of [`majordomo_core::Config`].

use std::time::Duration;

use majordomo_core::{
    Confidence, Config, IdleTrimWhen, PolicyKind, PressureLevel, PressureProfile, Priority,
};

use super::{Key, Kind, LONGEST, MS, key};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// `[manager]`.
pub(crate) const MANAGER: &[Key<Config>] = &[
    key!(
        "budget",
        "\"60%\"",
        "Memory for all components: a size, or a share of the effective limit (the smaller of the machine and the own group).",
        Kind::Budget(|c, v| c.memory.budget = v)
    ),
    key!(
        "estimate_margin",
        "1.2",
        "A component's declared memory is multiplied by this until it has been measured.",
        Kind::Number(1.0, 4.0, |c, v| c.memory.estimate_margin = v)
    ),
    key!(
        "min_residency",
        "\"2s\"",
        "A component that became ready is not unloaded for another within this time.",
        Kind::Duration(Duration::ZERO, LONGEST, |c, v| c.memory.min_residency = v)
    ),
    key!(
        "policy",
        "\"vrank\"",
        "Which components go first when memory is needed: by predicted use (`vrank`), by predicted use times load time (`vrank-wait`), the least recently used (`lru`), or greedy-dual-size-frequency (`gdsf`).",
        Kind::Word(&["vrank", "vrank-wait", "lru", "gdsf"], |c, i| {
            c.memory.policy =
                [PolicyKind::Vrank, PolicyKind::VrankWait, PolicyKind::Lru, PolicyKind::Gdsf][i];
        })
    ),
    key!(
        "pressure_profile",
        "\"share\"",
        "How available memory becomes a pressure level: by share of the effective limit, or the predecessor's 4, 2, 1 and 0.5 GiB.",
        Kind::Word(&["share", "legacy"], |c, i| {
            c.memory.pressure_profile = [PressureProfile::Share, PressureProfile::Legacy][i];
        })
    ),
    key!(
        "pressure_dwell",
        "\"10s\"",
        "A pressure level has fallen when it was lower for this long.",
        Kind::Duration(Duration::ZERO, LONGEST, |c, v| c.memory.pressure_dwell = v)
    ),
    key!(
        "trim_at",
        "\"MEDIUM\"",
        "From this pressure on components are asked to give back what they can spare.",
        Kind::Word(PressureLevel::WORDS, |c, i| c.memory.trim_at = PressureLevel::ALL[i])
    ),
    key!(
        "unload_low_at",
        "\"HIGH\"",
        "From this pressure on idle LOW components are unloaded.",
        Kind::Word(PressureLevel::WORDS, |c, i| c.memory.unload_low_at = PressureLevel::ALL[i])
    ),
    key!(
        "unload_medium_at",
        "\"CRITICAL\"",
        "From this pressure on idle MEDIUM components are unloaded too.",
        Kind::Word(PressureLevel::WORDS, |c, i| c.memory.unload_medium_at = PressureLevel::ALL[i])
    ),
    key!(
        "refuse_loads_at",
        "\"EMERGENCY\"",
        "From this pressure on everything not CORE, pinned or leased is unloaded and loads are refused.",
        Kind::Word(PressureLevel::WORDS, |c, i| c.memory.refuse_loads_at = PressureLevel::ALL[i])
    ),
    key!(
        "relief_back_off",
        "\"1s\"",
        "First wait between rounds of freeing memory that freed nothing; doubles up to 30 s.",
        Kind::Duration(MS, LONGEST, |c, v| c.memory.relief_back_off = v)
    ),
    key!(
        "over_limit_grace",
        "\"5s\"",
        "A component over its own limit that was asked to trim has this long before `over_limit` is followed.",
        Kind::Duration(MS, LONGEST, |c, v| c.memory.over_limit_grace = v)
    ),
    key!(
        "cold_store",
        "\"64MiB\"",
        "Snapshots of unloaded components, kept for their next load, take at most so much.",
        Kind::Size(|c, v| c.memory.cold_store = v)
    ),
    key!(
        "demand_deadline",
        "\"30s\"",
        "A demand is answered within this time.",
        Kind::Duration(MS, LONGEST, |c, v| c.deadlines.demand = v)
    ),
    key!(
        "load_deadline",
        "\"60s\"",
        "A load ends within this time, unless the component says otherwise.",
        Kind::Duration(MS, LONGEST, |c, v| c.deadlines.load = v)
    ),
    key!(
        "stop_deadline",
        "\"5s\"",
        "A component stops within this time, unless it says otherwise; then it is killed.",
        Kind::Duration(MS, LONGEST, |c, v| c.deadlines.stop = v)
    ),
    key!(
        "shutdown_deadline",
        "\"10s\"",
        "Shutdown of the whole ends within this time.",
        Kind::Duration(MS, LONGEST, |c, v| c.deadlines.shutdown = v)
    ),
    key!(
        "back_off",
        "\"1s\"",
        "Wait after a component's first failure; doubles with each further one.",
        Kind::Duration(MS, LONGEST, |c, v| c.back_off.base = v)
    ),
    key!(
        "back_off_max",
        "\"5min\"",
        "The longest wait after failures.",
        Kind::Duration(MS, LONGEST, |c, v| c.back_off.max = v)
    ),
    key!(
        "quarantine_failures",
        "5",
        "This many failures within `quarantine_window` close a component.",
        Kind::Count(1, 32, |c, v| c.quarantine.failures = v as u32)
    ),
    key!(
        "quarantine_window",
        "\"10min\"",
        "The time within which failures are counted.",
        Kind::Duration(MS, LONGEST, |c, v| c.quarantine.window = v)
    ),
    key!(
        "quarantine_duration",
        "\"15min\"",
        "A closed component may be tried again after this time.",
        Kind::Duration(MS, LONGEST, |c, v| c.quarantine.duration = v)
    ),
    key!(
        "queue_capacity",
        "1024",
        "Demands that may wait; more are refused. Read at start.",
        Kind::Count(1, 1 << 20, |c, v| c.queue.capacity = v as usize)
    ),
    key!(
        "queue_ageing",
        "\"5s\"",
        "A waiting demand rises one priority each time this passes.",
        Kind::Duration(MS, LONGEST, |c, v| c.queue.ageing = v)
    ),
    key!(
        "queue_ageing_ceiling",
        "\"HIGH\"",
        "A waiting demand rises no higher than this.",
        Kind::Word(Priority::WORDS, |c, i| c.queue.ageing_ceiling = Priority::ALL[i])
    ),
    key!(
        "max_overtakes",
        "8",
        "The first demand in the queue may be overtaken this often ...",
        Kind::Count(0, 1 << 20, |c, v| c.queue.max_overtakes = v as u32)
    ),
    key!(
        "overtake_for",
        "\"2s\"",
        "... and for this long.",
        Kind::Duration(Duration::ZERO, LONGEST, |c, v| c.queue.overtake_for = v)
    ),
    key!(
        "drain_after",
        "\"2s\"",
        "A component whose leases the first demand waits for takes no new ones after this time.",
        Kind::Duration(Duration::ZERO, LONGEST, |c, v| c.queue.drain_after = v)
    ),
    key!(
        "max_concurrent_loads",
        "2",
        "Loads at a time.",
        Kind::Count(1, 64, |c, v| c.loads.max_concurrent = v as usize)
    ),
    key!(
        "loads_kept_for_demands",
        "1",
        "Of these, kept for loads that somebody waits for; at most `max_concurrent_loads`.",
        Kind::Count(0, 64, |c, v| c.loads.kept_for_demands = v as usize)
    ),
    key!(
        "speculation",
        "true",
        "Whether anything is loaded before it is asked for.",
        Kind::Bool(|c, v| c.speculation.enabled = v)
    ),
    key!(
        "speculation_floor",
        "0.12",
        "Predictions less likely than this are ignored; too much waste raises the floor.",
        Kind::Number(0.0, 1.0, |c, v| c.speculation.floor = Confidence::saturating(v as f32))
    ),
    key!(
        "speculation_queue",
        "64",
        "Predictions that may wait, a tier. Read at start.",
        Kind::Count(1, 4096, |c, v| c.speculation.queue = v as usize)
    ),
    key!(
        "speculation_delay",
        "\"100ms\"",
        "A prediction waits this long before anything is loaded for it.",
        Kind::Duration(Duration::ZERO, DAY, |c, v| c.speculation.delay = v)
    ),
    key!(
        "speculation_patience",
        "\"60s\"",
        "A prediction that waited longer is dropped.",
        Kind::Duration(MS, DAY, |c, v| c.speculation.patience = v)
    ),
    key!(
        "speculation_expiry",
        "\"24h\"",
        "What was loaded ahead and nobody asked for in this time counts as wasted.",
        Kind::Duration(MS, MONTH, |c, v| c.speculation.expiry = v)
    ),
    key!(
        "speculation_per_command",
        "3",
        "Predictions taken from one command, the likeliest first.",
        Kind::Count(0, 64, |c, v| c.speculation.per_command = v as usize)
    ),
    key!(
        "speculation_waste",
        "0.08",
        "Loads ahead that may be wasted per command, on the average.",
        Kind::Number(0.0, 1.0, |c, v| c.speculation.waste = v)
    ),
    key!(
        "speculation_waste_memory",
        "",
        "Memory that wasted loads ahead may hold, on the average over time; no bound unless given.",
        Kind::Size(|c, v| c.speculation.waste_memory = Some(v))
    ),
    key!(
        "idle_trim",
        "\"pressed\"",
        "When idle memory is given back: `never`, on battery or under memory pressure (`pressed`), or `always`. It is loaded again ahead of its next use.",
        Kind::Word(&["never", "pressed", "always"], |c, i| {
            c.idle.trim = [IdleTrimWhen::Never, IdleTrimWhen::Pressed, IdleTrimWhen::Always][i];
        })
    ),
    key!(
        "idle_trim_after",
        "\"60min\"",
        "Nothing used for this long is idle.",
        Kind::Duration(MS, LONGEST, |c, v| c.idle.after = v)
    ),
    key!(
        "idle_keep_share",
        "0.1",
        "Share of the budget that stays loaded all the same, the most valuable first.",
        Kind::Number(0.0, 1.0, |c, v| c.idle.keep_share = v)
    ),
    key!(
        "trigger_threshold",
        "0.5",
        "A component that nothing is learned about is needed for a command when its keywords reach this.",
        Kind::Number(0.0, 1.0, |c, v| c.triggers.threshold = Confidence::saturating(v as f32))
    ),
    key!(
        "write_state_after",
        "\"10s\"",
        "What was learned is gathered for this long before it is written to the state directory; a crash loses no more.",
        Kind::Duration(SECOND, HOUR, |c, v| c.state.write_after = v)
    ),
];
