//! The ways into the shell, and what is shared with callers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use majordomo_core::{CommandId, ComponentKey, Confidence, Config, HintSource, HintTier, WaiterId};
use majordomo_engine::Input;
use majordomo_lease::Tick;
use majordomo_registry::Catalog;

use super::slots::Published;
use crate::clock::{Clock, CoarseTick};
use crate::events::EventLog;
use crate::message::{Control, ControlSender, Demand, DemandError};
use crate::notices::Notices;
use crate::tags::Tags;

/// Observations are dropped while so many control messages wait.
const MAX_OBSERVED: usize = 4096;

/// A hint in its lane.
type HintMessage = (ComponentKey, Confidence, HintSource);

/// The ways into the shell, and what callers share with it.
pub(crate) struct Lanes {
    control: ControlSender,
    demands: flume::Sender<Demand>,
    demands_rx: flume::Receiver<Demand>,
    hints: [flume::Sender<HintMessage>; 3],
    hints_rx: [flume::Receiver<HintMessage>; 3],
    hints_dropped: AtomicU64,
    next_waiter: AtomicU64,
    next_command: AtomicU64,
    capacity: usize,
    pub(crate) notices: Arc<Notices>,
    /// Names and slots.
    pub published: ArcSwap<Published>,
    /// Followed by callers, written by the shell.
    pub events: Arc<EventLog>,
    /// The tags of holders.
    pub(crate) tags: Arc<Tags>,
    pub(crate) clock: Clock,
    pub(crate) tick: Arc<Tick>,
    _coarse: CoarseTick,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl Lanes {
    pub(super) fn new(
        clock: Clock,
        config: &Config,
        catalog: &Arc<Catalog>,
        notices: Arc<Notices>,
    ) -> std::io::Result<Self> {
        let coarse = CoarseTick::start(clock)?;
        // Bounded by construction: each message belongs to a load, an unload, a waiter or an operator's call.
        let (tx, control_rx) = flume::unbounded();
        let capacity = config.queue.capacity.max(1);
        let (demands, demands_rx) = flume::bounded(capacity);
        let lane = || flume::bounded(config.speculation.queue.max(1));
        let ((h0, r0), (h1, r1), (h2, r2)) = (lane(), lane(), lane());
        Ok(Self {
            control: ControlSender {
                tx,
                rx: control_rx,
                notices: Arc::clone(&notices),
                closed: Arc::default(),
            },
            demands,
            demands_rx,
            hints: [h0, h1, h2],
            hints_rx: [r0, r1, r2],
            hints_dropped: AtomicU64::new(0),
            next_waiter: AtomicU64::new(0),
            next_command: AtomicU64::new(0),
            capacity,
            notices,
            published: ArcSwap::from_pointee(Published::new(
                Arc::clone(catalog),
                Vec::new(),
                Vec::new(),
            )),
            events: Arc::default(),
            tags: Arc::default(),
            clock,
            tick: coarse.tick(),
            _coarse: coarse,
        })
    }

    pub(crate) fn control(&self) -> ControlSender {
        self.control.clone()
    }

    pub(super) fn next_control(&self) -> Option<Control> {
        self.control.rx.try_recv().ok()
    }

    pub(super) fn next_demand(&self) -> Option<Demand> {
        self.demands_rx.try_recv().ok()
    }

    /// The next hint, the most urgent first.
    pub(super) fn next_hint(&self) -> Option<Input> {
        HintTier::ALL.into_iter().zip(&self.hints_rx).find_map(|(tier, rx)| {
            let (key, confidence, source) = rx.try_recv().ok()?;
            Some(Input::Hint { key, confidence, tier, source })
        })
    }

    pub(super) async fn woken(&self) {
        self.notices.woken().await;
    }

    /// Reports the components that a command is about to use.
    pub(crate) fn begun(&self, uses: Vec<ComponentKey>) -> CommandId {
        // A number apart from all others: nothing is ordered by it.
        let command = CommandId(self.next_command.fetch_add(1, Ordering::Relaxed));
        self.habit(Input::Begun { command, uses });
        command
    }

    /// Reports the end of a command that teaches nothing.
    pub(crate) fn ended(&self, command: CommandId) {
        self.habit(Input::Ended { command });
    }

    /// Reports the components that a command used.
    pub(crate) fn observed(
        &self,
        command: Option<CommandId>,
        used: Vec<ComponentKey>,
        text_scores: Vec<(ComponentKey, Confidence)>,
    ) {
        self.habit(Input::Observed { command, used, text_scores });
    }

    /// Dropped when the lane is flooded, since it is only a habit's trace.
    fn habit(&self, input: Input) {
        if self.control.rx.len() < MAX_OBSERVED {
            self.control.send(Control::Engine(Box::new(input)));
        }
    }

    /// The number of a new waiter.
    pub(crate) fn new_waiter(&self) -> WaiterId {
        WaiterId(self.next_waiter.fetch_add(1, Ordering::Relaxed))
    }

    /// How many demands may wait.
    #[must_use]
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn demand(&self, demand: Demand) -> Result<(), DemandError> {
        match self.demands.try_send(demand) {
            Ok(()) => {
                self.notices.wake();
                if self.control.closed.load(Ordering::SeqCst) {
                    drop(self.demands_rx.drain());
                    return Err(DemandError::Closed);
                }
                Ok(())
            }
            Err(flume::TrySendError::Full(_)) => Err(DemandError::Full),
            Err(flume::TrySendError::Disconnected(_)) => Err(DemandError::Closed),
        }
    }

    /// Closes the lanes, so that no waiter waits for ever, now or later. Dropping a message drops the sender of its
    /// answer. Sequentially consistent with the checks after sending: either the sender sees the
    /// mark, or its message is seen here.
    pub(super) fn close(&self) {
        self.control.closed.store(true, Ordering::SeqCst);
        drop(self.control.rx.drain());
        drop(self.demands_rx.drain());
    }

    /// Puts a hint in; false when its lane is full.
    pub(crate) fn hint(
        &self,
        tier: HintTier,
        key: ComponentKey,
        confidence: Confidence,
        source: HintSource,
    ) -> bool {
        let sent = self.hints[tier as usize].try_send((key, confidence, source)).is_ok();
        if sent {
            self.notices.wake();
        } else {
            self.hints_dropped.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// Hints that found their lane full.
    #[must_use]
    pub(crate) fn hints_dropped(&self) -> u64 {
        self.hints_dropped.load(Ordering::Relaxed)
    }
}
