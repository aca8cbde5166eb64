//! The actions of the outside world on a simulated manager, drawn from a seed before the run starts.
//!
//! A script does not depend on the engine's answers, so any part of it can be left out and the rest run
//! again, which makes a failing seed reducible. Components are named by number, since keys change
//! when a process restarts.

mod episode;
mod faults;
mod rungs;

use std::time::Duration;

use majordomo_core::{HintSource, HintTier, Moment, PressureLevel, Priority};

pub(crate) use faults::RUNG_FAULTS;
pub use faults::{LoadFault, ParkFault, StopFault, WakeFault};

/// A command of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Verb {
    Load,
    Unload,
    UnloadForce,
    Pin,
    Unpin,
    Trim,
    Park,
}

/// One action from outside.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum Action {
    /// A client requests components.
    Demand {
        components: Vec<usize>,
        priority: Option<Priority>,
        deadline: Option<Duration>,
        /// The client releases its leases after this long.
        hold: Duration,
        /// The client abandons an unanswered demand after this long.
        patience: Option<Duration>,
        /// The client keeps its leases although they are revoked.
        stubborn: bool,
        /// The client asks the engine even where a lease could be acquired without it.
        direct: bool,
        /// Nothing blocks the demand: it must be granted or refused with a reason, not reach its deadline.
        calm: bool,
    },
    /// Clients that hold leases on a component in turn, each acquiring its own before the previous one is released.
    Overlap {
        component: usize,
        /// Interval between two clients.
        every: Duration,
        n_clients: u32,
    },
    Hint {
        component: usize,
        /// Probability of its use, in percent.
        percent: u8,
        tier: HintTier,
        source: HintSource,
    },
    /// The use of a command is reported.
    Observed {
        /// The components used.
        components: Vec<usize>,
        /// The component that the text predicts next, and its probability in percent.
        next: Option<(usize, u8)>,
    },
    /// The wall clock is set to this many seconds.
    WallClock(i64),
    /// Whether the processor is busy from now on.
    Busy(bool),
    /// Whether the machine runs on battery from now on.
    Battery(bool),
    /// The learned sequence of uses is forgotten.
    Forget,
    /// The pressure level changes.
    Pressure(PressureLevel),
    /// A component uses this many percent of its usual memory from now on.
    Grow { component: usize, percent: u32 },
    /// A component requests a reservation that is larger by this many percent of its usual memory.
    More { component: usize, percent: u32 },
    /// Memory is measured, in percent of the budget.
    Measure {
        /// Memory of other programs.
        external: u8,
        /// Memory freed and not returned to the system.
        unreturned: u8,
    },
    /// An operator's command.
    Operator {
        component: usize,
        verb: Verb,
        /// The operator abandons an unanswered command after this long.
        patience: Option<Duration>,
    },
    /// A component's next load has a fault.
    LoadFault(usize, LoadFault),
    /// A component's next unload has a fault.
    StopFault(usize, StopFault),
    /// A component's next park has a fault.
    ParkFault(usize, ParkFault),
    /// A component's next wake has a fault.
    WakeFault(usize, WakeFault),
    /// Parked components may have this many percent of the budget in swap.
    SwapRoom(u8),
    /// Rungs are on offer, or none is.
    Offered(bool),
    /// Parks may write this many percent of the budget to swap from now on, or as much as fits.
    Writes(Option<u8>),
    /// A component exits by itself, if it is up or parked.
    Crash(usize),
    /// A component's next probes fail.
    Sick { component: usize, n_probes: u8 },
    /// The configuration changes, as drawn from this number.
    Configure(u64),
    /// The machine sleeps.
    Suspend(Duration),
    /// The process gets no processor time: everything due is late.
    Stall(Duration),
    /// So many in a thousand of the engine's calls to cells race with clients.
    Races(u16),
    /// The manager shuts down; then a new process starts.
    Shutdown {
        deadline: Duration,
        /// A second shutdown is requested after this long.
        again: Option<Duration>,
    },
    /// Faults end: pressure falls, other programs return memory, clients release their leases, nothing hangs.
    Calm,
    /// Enough time has passed since [`Action::Calm`]: no demand may be waiting.
    Quiet,
}

/// The script of a seed's day.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the name of the other field says it")]
pub struct Script {
    /// The seed, which also draws the world's reactions to the engine, such as the duration of a load.
    pub seed: u64,
    /// Number of components of the catalog.
    pub n_components: usize,
    /// In order of time.
    pub actions: Vec<(Moment, Action)>,
    pub end: Moment,
    /// Preloading is on or off all day, whatever the configurations say.
    pub preloading: Option<bool>,
    /// Rungs are offered: components may be parked.
    pub rungs: bool,
}

impl Script {
    /// The same script with only the first actions, up to a moment.
    #[must_use]
    pub fn until(&self, end: Moment) -> Self {
        let actions = self.actions.iter().filter(|a| a.0 <= end).cloned().collect();
        Self { actions, end, ..self.clone() }
    }

    /// The same script with other actions.
    #[must_use]
    pub fn with(&self, actions: Vec<(Moment, Action)>) -> Self {
        let Self { seed, n_components, end, preloading, rungs, .. } = *self;
        Self { seed, n_components, actions, end, preloading, rungs }
    }
}
