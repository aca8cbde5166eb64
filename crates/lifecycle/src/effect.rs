//! Effects of the engine, and the step that collects them.

use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, EventKind, EventRecord, IncarnationId, LeftOut,
    Moment, Refusal, Rung, StepId, WaiterId,
};
use majordomo_memory::{Learned, LearnedRung};

use crate::Cells;

/// Something learned that should survive a restart.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "a key needs no comment")]
pub struct Persisted {
    pub key: ComponentKey,
    /// Its learned memory figures.
    pub learned: Learned,
    /// Its learned load time.
    pub load_time: Option<Duration>,
}

/// Measured figures of a component at a rung, which should survive a restart.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the types say it")]
pub struct PersistedRung {
    pub key: ComponentKey,
    pub rung: Rung,
    pub learned: LearnedRung,
}

/// One action of the shell. The order matters.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "an incarnation's id, a key and a waiter need no comment")]
pub enum Effect {
    /// Run the loader. Exactly one `LoadFinished` or, after a `CancelLoad`, one `UnloadFinished` follows.
    StartLoad {
        id: IncarnationId,
        /// When the engine will give up on it.
        deadline: Duration,
    },
    /// Stop a running load and take down what it made. `UnloadFinished` follows, even if the load had just
    /// finished.
    CancelLoad {
        id: IncarnationId,
        /// Ask politely for this long, then by force.
        grace: Duration,
    },
    /// Take an instance down. `UnloadFinished` follows.
    StartUnload {
        id: IncarnationId,
        /// Ask politely for this long, then by force.
        grace: Duration,
        /// Its state is kept in the cold store.
        hibernate: bool,
    },
    /// Free the memory of an instance that runs on. `Parked` follows, unless its unload is started before.
    StartPark {
        id: IncarnationId,
        /// Repeated by the report.
        step: StepId,
        /// The rung where it will be.
        to: Rung,
        /// When the engine will give up on it.
        deadline: Duration,
    },
    /// Make a parked instance usable again. `Woken` follows when it has answered its probe, where it has one, unless its
    /// unload is started before.
    StartWake {
        id: IncarnationId,
        /// Repeated by the report.
        step: StepId,
        /// The rung where it is.
        from: Rung,
        /// When the engine will give up on it.
        deadline: Duration,
    },
    /// End an unload or cancellation by force now.
    Kill { id: IncarnationId },
    /// Ask a component to give back what it can spare.
    Trim { id: IncarnationId },
    /// An incarnation may use so many bytes from now on; answers one request to grow, granted or not.
    SetGrant {
        id: IncarnationId,
        /// Its grant now.
        bytes: ByteSize,
    },
    /// Ask a component whether it still works; a health report follows.
    Probe { id: IncarnationId },
    /// Hand a waiter its leases, which are in the cells already.
    Grant {
        waiter: WaiterId,
        /// The components leased, each once.
        keys: Vec<ComponentKey>,
        /// Components that were left out so that the others could be had.
        left_out: Vec<LeftOut>,
    },
    /// Answer a waiter without leases (an operator): its request is done.
    Done { waiter: WaiterId },
    /// Answer a waiter: it gets no leases, for this reason.
    Refuse { waiter: WaiterId, refusal: Refusal },
    /// Publish the names and slots of the current catalog.
    Publish,
    /// Keep a record.
    Record(EventRecord),
    /// Bring the files of a component into the system's cache.
    ReadAhead {
        key: ComponentKey,
        /// No demand waits for it: the read is bounded, and ends with [`Self::StopReadAhead`].
        speculative: bool,
    },
    /// End all speculative reads.
    StopReadAhead,
    /// Store something learned, soon.
    Persist(Persisted),
    /// Store the figures of a rung, soon.
    PersistRung(PersistedRung),
    /// Add the components that a command used, one or more, to the history of use.
    PersistUse {
        /// These, sorted.
        used: Vec<ComponentKey>,
    },
    /// The sequence model learned something: store it, soon.
    PersistSequence,
    /// Everything is down.
    ShutdownDone {
        /// But for these.
        stuck: Vec<ComponentKey>,
    },
}

/// A component moved to another state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the key and the cause need no comment")]
pub struct Transition {
    pub key: ComponentKey,
    /// Its state before.
    pub from: ComponentState,
    /// Its state now.
    pub to: ComponentState,
    pub cause: Cause,
}

/// The handling of one input: its time, the cells, and where effects and records are collected.
#[expect(missing_docs, reason = "the cells need no comment")]
pub struct Step<'a> {
    /// The time of the input.
    pub now: Moment,
    pub cells: &'a mut dyn Cells,
    effects: Vec<Effect>,
    transitions: Vec<Transition>,
    seq: u64,
}

impl<'a> Step<'a> {
    /// Begins with no effects, numbering records from `seq`.
    pub fn new(now: Moment, cells: &'a mut dyn Cells, seq: u64) -> Self {
        Self { now, cells, effects: Vec::new(), transitions: Vec::new(), seq }
    }

    /// Adds an effect.
    pub fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Adds a transition.
    pub(crate) fn moved(&mut self, transition: Transition) {
        self.transitions.push(transition);
    }

    /// The transitions since this was last asked, in order.
    #[must_use]
    pub fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// Adds a record.
    pub fn record(&mut self, kind: EventKind) {
        self.effects.push(Effect::Record(EventRecord::new(self.seq, self.now, kind)));
        self.seq += 1;
    }

    /// The effects, and the number of the next record.
    #[must_use]
    pub fn end(self) -> (Vec<Effect>, u64) {
        (self.effects, self.seq)
    }
}
