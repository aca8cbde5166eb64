//! The plan of a run: its length, its use, and its faults.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the manager is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// A few clients with pauses, few faults
    Steady,
    /// Many clients at once, then idle time
    Burst,
    /// Every component as likely as any other, in too little memory
    Thrash,
    /// One fault after another
    Faults,
    /// All of these by turns, with SIGKILL of the manager, full disks and memory pressure
    Mixed,
}

/// A leak planted on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Leak {
    /// 1 MiB a minute
    Bytes,
    /// One a minute
    Descriptors,
    /// One a minute
    Tasks,
    /// One a minute
    Children,
}

/// One part of a day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shift {
    /// How many of the clients work.
    pub(crate) clients: usize,
    /// Their pauses, milliseconds.
    pub(crate) pause_ms: (u64, u64),
    /// The exponent of popularity: 0 = all alike.
    pub(crate) zipf: f64,
    /// Mean time between faults of components and configuration; none = none.
    pub(crate) fault_every: Option<Duration>,
}

const STEADY: Shift = Shift {
    clients: 4,
    pause_ms: (20, 200),
    zipf: 1.2,
    fault_every: Some(Duration::from_secs(15)),
};
const BURST: Shift = Shift { clients: CLIENTS, pause_ms: (1, 10), zipf: 1.0, ..STEADY };
const THRASH: Shift = Shift { clients: 8, pause_ms: (1, 40), zipf: 0.0, ..STEADY };
const FAULTS: Shift = Shift {
    clients: 6,
    pause_ms: (5, 60),
    zipf: 0.8,
    fault_every: Some(Duration::from_millis(700)),
};

/// Clients in all.
pub(crate) const CLIENTS: usize = 12;

impl Profile {
    /// The part of the day at a share of it in 0..1.
    pub(crate) fn shift(self, day: f64) -> Shift {
        match self {
            Self::Steady => STEADY,
            // Half of the time idle.
            Self::Burst if (day * 8.0).fract() < 0.5 => BURST,
            Self::Burst => Shift { clients: 0, ..BURST },
            Self::Thrash => THRASH,
            Self::Faults => FAULTS,
            Self::Mixed => match (day * 4.0) as u32 {
                0 => STEADY,
                1 => BURST,
                2 => FAULTS,
                _ => THRASH,
            },
        }
    }

    /// Whether the manager itself is killed, stopped for seconds, and denied its disk.
    pub(crate) fn hits_the_manager(self) -> bool {
        matches!(self, Self::Faults | Self::Mixed)
    }
}

/// Times that follow from the length of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Times {
    /// Between samples.
    pub(crate) sample: Duration,
    /// From one night to the next.
    pub(crate) day: Duration,
    /// The behaviour of a new manager in this time is not judged.
    pub(crate) warm_up: Duration,
    /// Before: batches of reported use beyond those that fill the usage history.
    pub(crate) settle_batches: usize,
    /// Between kills of the manager.
    pub(crate) kill_every: Duration,
}

/// Below this a run is sampled every second.
const SHORT: Duration = Duration::from_secs(30 * 60);

impl Times {
    pub(crate) fn of(total: Duration, sample: Option<Duration>) -> Self {
        let short = total < SHORT;
        Self {
            sample: sample.unwrap_or(Duration::from_secs(if short { 1 } else { 60 })),
            day: Duration::from_secs(if short { 10 } else { 60 }),
            warm_up: (total / 6).min(Duration::from_secs(300)),
            settle_batches: if short { 0 } else { 200 },
            kill_every: if short { total } else { SHORT },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_day_has_every_shift_and_a_burst_has_idle_time() {
        let day = |p: Profile| (0..100).map(|i| p.shift(f64::from(i) / 100.0)).collect::<Vec<_>>();
        for shift in [STEADY, BURST, FAULTS, THRASH] {
            assert!(day(Profile::Mixed).contains(&shift), "{shift:?}");
        }
        assert!(day(Profile::Burst).iter().any(|s| s.clients == 0));
        assert!(day(Profile::Mixed).iter().all(|s| s.clients > 0 && s.clients <= CLIENTS));
    }

    #[test]
    fn short_runs_are_sampled_every_second_and_long_ones_every_minute() {
        let minutes = |m: u64| Times::of(Duration::from_secs(60 * m), None).sample.as_secs();
        assert_eq!((minutes(3), minutes(29), minutes(30), minutes(1_440)), (1, 1, 60, 60));
        assert_eq!(Times::of(SHORT, Some(Duration::from_secs(7))).sample.as_secs(), 7);
    }
}
