//! The shell as callers see it: acquire, hint, operate, look.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    CommandId, ComponentId, ComponentKey, Confidence, Config, HintSource, HintTier, LeftOut,
    Priority, Refusal, Status, WaiterId,
};
use majordomo_engine::{OperatorAction, Plan};
use majordomo_registry::{Catalog, CatalogError, ComponentSpec, PoolSpec};
use tokio::sync::{oneshot, watch};

use crate::cached::CachedIncarnation;
use crate::clock::Clock;
use crate::events::EventLog;
use crate::exchange::OldLeases;
use crate::lease::AnyLease;
use crate::loader::{Factory, loading_here};
use crate::logs::LogBuffer;
use crate::message::{Control, Demand, DemandError, Reply, Waiting};
use crate::recent;
use crate::shell::{Lanes, Shell, ShellParts};
use crate::tags::{Party, Tagged};
use crate::usage::UsageSummary;

/// Priority, deadline and caller of a demand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcquireOptions {
    /// Its priority in the queue; none = the highest of its components.
    pub priority: Option<Priority>,
    /// How long it may wait; none = the configured deadline.
    pub deadline: Option<Duration>,
    /// The caller, which may hold leases already: a demand that only the caller's own leases block is refused at once
    /// ([`Refusal::OwnLeases`]).
    pub party: Option<Party>,
}

impl AcquireOptions {
    /// Options of a demand that may wait this long.
    #[must_use]
    pub fn within(deadline: Duration) -> Self {
        Self::default().deadline(Some(deadline))
    }

    /// Sets [`Self::priority`].
    #[must_use]
    pub fn priority(mut self, priority: impl Into<Option<Priority>>) -> Self {
        self.priority = priority.into();
        self
    }

    /// Sets [`Self::deadline`].
    #[must_use]
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// Sets [`Self::party`].
    #[must_use]
    pub fn party(mut self, party: impl Into<Option<Party>>) -> Self {
        self.party = party.into();
        self
    }
}

/// The terms of a demand besides its components.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// How it should be treated.
    pub options: AcquireOptions,
    /// It may be granted in part: its components are in the order of confidence, and those that do not fit are left out.
    pub partial: bool,
    /// Leases that are given up when it is admitted, and not if it is refused.
    pub old: Option<Arc<OldLeases>>,
}

/// The grant of a demand.
#[derive(Debug, Default)]
pub struct Acquired {
    /// The leases, in the order of the components asked for.
    pub leases: Vec<AnyLease>,
    /// The components that were left out of a demand that may be granted in part, and why.
    pub left_out: Vec<(ComponentId, Refusal)>,
    /// The components asked for that were ready when it came.
    pub ready: Vec<ComponentKey>,
}

/// A running shell. Clones share it; dropping the last that keeps it running begins a shutdown.
#[derive(Clone)]
pub struct Host {
    lanes: Arc<Lanes>,
    finished: watch::Receiver<Option<Arc<[ComponentId]>>>,
    /// None for a clone that does not keep the shell running.
    keep_running: Option<Arc<KeepRunning>>,
}

/// Begins a shutdown when it is dropped.
struct KeepRunning(Arc<Lanes>);

impl Drop for KeepRunning {
    fn drop(&mut self) {
        self.0.control().send(Control::Shutdown(None));
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keeps_running = self.keep_running.is_some();
        f.debug_struct("Host").field("keeps_running", &keeps_running).finish_non_exhaustive()
    }
}

/// A wait that abandons its demand when it is dropped before its answer.
struct Wait<'a> {
    lanes: &'a Lanes,
    waiter: WaiterId,
    answer: Option<oneshot::Receiver<Reply>>,
}

impl Wait<'_> {
    async fn answer(&mut self) -> Reply {
        let Some(answer) = &mut self.answer else { return Err(Refusal::ShuttingDown) };
        let reply = answer.await;
        self.answer = None;
        reply.unwrap_or(Err(Refusal::ShuttingDown))
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        // The receiver is dropped first: the shell then finds it closed when it takes the demand after its abandonment.
        if self.answer.take().is_some() {
            self.lanes.control().send(Control::Abandon(self.waiter));
        }
    }
}

impl Host {
    /// Starts the shell on the current tokio runtime (which needs time and, for processes, I/O).
    ///
    /// # Errors
    /// When the system gives no thread for the coarse clock.
    pub fn start(parts: ShellParts) -> std::io::Result<Self> {
        let (finish, ended_with) = oneshot::channel();
        let lanes = Shell::start(parts, finish)?;
        let (set, finished) = watch::channel(None);
        tokio::spawn(async move {
            let stuck = ended_with.await.unwrap_or_default();
            set.send_replace(Some(Arc::from(stuck)));
        });
        let keep_running = Some(Arc::new(KeepRunning(Arc::clone(&lanes))));
        Ok(Self { lanes, finished, keep_running })
    }

    fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// A clone that does not keep the shell running: after the shutdown all of its requests are refused.
    #[must_use]
    pub fn guest(&self) -> Self {
        Self { keep_running: None, ..self.clone() }
    }

    /// The catalog in force.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.lanes().published.load().catalog)
    }

    /// The clock that all moments are of.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.lanes().clock
    }

    /// The key of a component's name.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`], with the nearest name there is.
    pub fn key(&self, name: &str) -> Result<ComponentKey, Refusal> {
        let published = self.lanes().published.load();
        published.key(name).ok_or_else(|| Refusal::UnknownComponent {
            name: name.to_owned(),
            did_you_mean: published.catalog.nearest(name).cloned(),
        })
    }

    /// A lease if the component is ready, without asking the engine.
    #[must_use]
    #[inline]
    pub fn try_acquire(&self, key: ComponentKey) -> Option<AnyLease> {
        Some(AnyLease { raw: recent::acquire(&self.lanes, key)? })
    }

    /// The same by name.
    #[must_use]
    #[inline]
    pub fn try_acquire_named(&self, name: &str) -> Option<AnyLease> {
        Some(AnyLease { raw: recent::acquire_named(&self.lanes, name)? })
    }

    /// Whether a component is ready and open to newcomers, without leasing it.
    #[must_use]
    pub fn is_ready(&self, key: ComponentKey) -> bool {
        let published = self.lanes().published.load();
        let current = published.slot(key).and_then(|slot| slot.current());
        current.is_some_and(|i| !i.gate().is_closed())
    }

    /// A cached way to one component as a `T`.
    #[must_use]
    pub fn cached<T: 'static>(&self, key: ComponentKey) -> Option<CachedIncarnation<T>> {
        self.lanes().published.load().slot(key)?;
        Some(CachedIncarnation::new(Arc::clone(&self.lanes), key))
    }

    /// Leases on a set, all or none, in the order of `keys` with repeats left out; loads what is missing.
    /// Dropping the future gives up the wait, not a load that others wait for.
    ///
    /// # Errors
    /// The [`Refusal`] that says why not.
    pub async fn acquire_all(
        &self,
        keys: &[ComponentKey],
        options: AcquireOptions,
    ) -> Result<Vec<AnyLease>, Refusal> {
        Ok(self.acquire(keys, Ask { options, ..Ask::default() }).await?.leases)
    }

    /// The same, for what a demand may ask for besides.
    ///
    /// # Errors
    /// The [`Refusal`] that says why not.
    pub async fn acquire(&self, keys: &[ComponentKey], ask: Ask) -> Result<Acquired, Refusal> {
        if let Some(loading) = loading_here() {
            return Err(Refusal::ReentrantAcquire { loading });
        }
        let mut requested: Vec<ComponentKey> = Vec::with_capacity(keys.len());
        for key in keys {
            if !requested.contains(key) {
                requested.push(*key);
            }
        }
        // All ready: no round through the engine. Else the leases taken are dropped again.
        let leases: Vec<_> = requested.iter().filter_map(|k| self.try_acquire(*k)).collect();
        let ready = leases.iter().map(AnyLease::key).collect();
        if leases.len() == requested.len() {
            return Ok(Acquired { leases, left_out: Vec::new(), ready });
        }
        drop(leases);
        let lanes = self.lanes();
        let waiter = lanes.new_waiter();
        let (reply, answer) = oneshot::channel();
        let demand = Demand {
            waiter,
            keys: requested.clone(),
            priority: ask.options.priority,
            deadline: ask.options.deadline,
            partial: ask.partial,
            waiting: Waiting { reply, party: ask.options.party, old: ask.old },
        };
        match lanes.demand(demand) {
            Ok(()) => {}
            Err(DemandError::Full) => {
                return Err(Refusal::Overloaded { capacity: lanes.capacity() });
            }
            Err(DemandError::Closed) => return Err(Refusal::ShuttingDown),
        }
        let granted = Wait { lanes, waiter, answer: Some(answer) }.answer().await?;
        let mut leases: Vec<_> = granted.leases.into_iter().map(|raw| AnyLease { raw }).collect();
        leases.sort_by_key(|l| requested.iter().position(|k| *k == l.key()));
        let catalog = self.catalog();
        let named = |l: LeftOut| (catalog.id(l.component).clone(), l.refusal);
        let left_out = granted.left_out.into_iter().map(named).collect();
        Ok(Acquired { leases, left_out, ready })
    }

    /// Names who holds leases on components, for those who have to wait for them, until the answer is dropped.
    #[must_use]
    pub fn tag(&self, components: Vec<ComponentId>, tag: &str) -> Tagged {
        let party = Party { tag: Some(tag.into()), ..Party::default() };
        self.tag_as(components, tag, party)
    }

    /// The same for a party of which more is known than its tag.
    #[must_use]
    pub fn tag_as(&self, components: Vec<ComponentId>, tag: &str, party: Party) -> Tagged {
        self.lanes().tags.add(components, tag, party)
    }

    /// Carries out an operator's wish and waits until it is done.
    ///
    /// # Errors
    /// The [`Refusal`] that says why not.
    pub async fn operate(&self, key: ComponentKey, action: OperatorAction) -> Result<(), Refusal> {
        if let Some(loading) = loading_here() {
            return Err(Refusal::ReentrantAcquire { loading });
        }
        let lanes = self.lanes();
        let waiter = lanes.new_waiter();
        let (reply, answer) = oneshot::channel();
        lanes.control().send(Control::Operator { waiter, key, action, reply });
        Wait { lanes, waiter, answer: Some(answer) }.answer().await.map(drop)
    }

    /// Hints that a component is likely to be needed; false when the lane is full.
    #[must_use]
    pub fn hint(
        &self,
        tier: HintTier,
        key: ComponentKey,
        confidence: Confidence,
        source: HintSource,
    ) -> bool {
        self.lanes().hint(tier, key, confidence, source)
    }

    /// Reports the components that a command is about to use, before it asks for them: evictions for it, and preloads while
    /// it is at work, take them into account. [`observed`](Self::observed) or [`ended`](Self::ended) reports its end.
    /// When thousands of such messages wait already, this one is dropped.
    pub fn begun(&self, uses: Vec<ComponentKey>) -> CommandId {
        self.lanes().begun(uses)
    }

    /// Reports the end of a command that teaches nothing: it was refused, or used no component.
    pub fn ended(&self, command: CommandId) {
        self.lanes().ended(command);
    }

    /// Reports the components that a command really used, and the scores that its text gives for the next command; `command`
    /// is the id from [`begun`](Self::begun), if that was called. When thousands of such messages wait already, this one
    /// is dropped.
    pub fn observed(
        &self,
        command: Option<CommandId>,
        used: Vec<ComponentKey>,
        text_scores: Vec<(ComponentKey, Confidence)>,
    ) {
        self.lanes().observed(command, used, text_scores);
    }

    /// The status of the manager; while no input comes, the same one for 50 ms. None when the shell has ended.
    pub async fn status(&self) -> Option<Arc<Status>> {
        let (reply, answer) = oneshot::channel();
        self.lanes().control().send(Control::Status(reply));
        answer.await.ok()
    }

    /// A summary of the usage history. None when the shell has ended.
    pub async fn usage_summary(&self) -> Option<UsageSummary> {
        let (reply, answer) = oneshot::channel();
        self.lanes().control().send(Control::UsageSummary(reply));
        answer.await.ok()
    }

    /// The usage history in the format of traces: user, unix seconds and component, separated by tabs. None when
    /// the shell has ended.
    pub async fn usage_export(&self) -> Option<String> {
        let (reply, answer) = oneshot::channel();
        self.lanes().control().send(Control::UsageExport(reply));
        answer.await.ok()
    }

    /// Forgets the usage history and what was learned from it. None when the shell has ended.
    pub async fn usage_forget(&self) -> Option<()> {
        let (reply, answer) = oneshot::channel();
        self.lanes().control().send(Control::UsageForget(reply));
        answer.await.ok()
    }

    /// The plan for a demand, as it would be made now.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] when the shell has ended.
    pub async fn plan(&self, keys: &[ComponentKey]) -> Result<Plan, Refusal> {
        self.plan_for(keys, false).await
    }

    /// The plan for a command's demand, which may be granted in part: `order` is that of confidence.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] when the shell has ended.
    pub async fn plan_partial(&self, order: &[ComponentKey]) -> Result<Plan, Refusal> {
        self.plan_for(order, true).await
    }

    async fn plan_for(&self, keys: &[ComponentKey], partial: bool) -> Result<Plan, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.lanes().control().send(Control::Plan { keys: keys.to_vec(), partial, reply });
        answer.await.map_err(|_| Refusal::ShuttingDown)
    }

    /// Forgets what was measured of components, and says how many figures the store had of them. None when the
    /// shell has ended.
    ///
    /// # Errors
    /// When the store cannot be written; what runs has forgotten them all the same.
    pub async fn forget(
        &self,
        keys: Vec<ComponentKey>,
    ) -> Option<Result<usize, majordomo_core::StoreError>> {
        let (reply, answer) = oneshot::channel();
        self.lanes().control().send(Control::Forget { keys, reply });
        answer.await.ok()
    }

    /// Replaces components and settings.
    ///
    /// # Errors
    /// When the specifications make no catalog; nothing is changed then. None when the shell has ended.
    pub async fn configure(
        &self,
        specs: Vec<ComponentSpec>,
        pools: Vec<PoolSpec>,
        config: Config,
        budget: majordomo_core::ByteSize,
        factories: Option<BTreeMap<String, Factory>>,
    ) -> Option<Result<(), CatalogError>> {
        let (reply, answer) = oneshot::channel();
        let config = Box::new(config);
        let message = Control::Configure { specs, pools, config, budget, factories, reply };
        self.lanes().control().send(message);
        answer.await.ok()
    }

    /// The record of what happened.
    #[must_use]
    pub fn events(&self) -> &Arc<EventLog> {
        &self.lanes().events
    }

    /// The log of a component's output.
    #[must_use]
    pub fn logs(&self, key: ComponentKey) -> Option<Arc<LogBuffer>> {
        self.lanes().published.load().logs.get(key.index()).cloned()
    }

    /// Stops everything within `deadline` (none = the configured one) and waits for it; a second call hastens.
    /// Returns the components that could not be stopped.
    pub async fn shutdown(&self, deadline: Option<Duration>) -> Arc<[ComponentId]> {
        self.lanes().control().send(Control::Shutdown(deadline));
        self.finished().await
    }

    /// Waits until everything is down, and gives the components that could not be stopped. Does not keep the
    /// shell alive.
    pub fn finished(&self) -> impl Future<Output = Arc<[ComponentId]>> + Send + 'static {
        let mut finished = self.finished.clone();
        async move {
            let done = finished.wait_for(Option::is_some).await;
            done.ok().and_then(|d| d.clone()).unwrap_or_default()
        }
    }
}
