//! The manager: from a command's text to leases on what it needs.

mod learning;
mod operator;
mod reload;

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use majordomo_core::{
    BudgetSetting, ByteSize, ComponentId, ComponentKey, Config, EventRecord, HintSource, HintTier,
    Moment, Refusal, StateStore, Status, WallSeconds,
};
use majordomo_registry::{ComponentSpec, PoolSpec};
use majordomo_runtime::clock::wall_now;
use majordomo_runtime::{
    AcquireOptions, Acquired, AnyLease, Ask, Follower, Host, Lease, OldLeases, Party, Tagged,
    UsageSummary,
};

use crate::builder::{Builder, StateDir};
use crate::error::StateError;
use crate::exchange::exchange;
use crate::handle::{Handle, typed};
use crate::intents::{Intents, Spoken, cut};
use crate::outcome::{LeftOut, Outcome};
use crate::plan::Plan;
use crate::state::Remembered;

/// What a manager was made from, to make it again.
#[derive(Debug)]
pub(crate) struct Origin {
    pub file: Option<PathBuf>,
    /// Where relative paths count from, when that is not the file's own folder.
    pub folder: Option<PathBuf>,
    pub extra: (Vec<Arc<ComponentSpec>>, Vec<PoolSpec>),
    pub budget: Option<BudgetSetting>,
    pub limit: ByteSize,
}

#[derive(Debug)]
struct Inner {
    host: Host,
    intents: Intents,
    config: ArcSwap<Config>,
    origin: Origin,
    state_dir: PathBuf,
    /// What is remembered, as long as the shell has it open.
    store: Weak<dyn StateStore>,
    /// Closed when the state directory is not used any more and a temporary one is removed.
    state_released: tokio::sync::watch::Receiver<()>,
    /// One reload at a time: each builds on the catalog before it.
    reloading: tokio::sync::Mutex<()>,
}

/// Keeps components loaded. Clones are handles on the same one; when the last is dropped everything is shut
/// down in the background, and the guard process stands behind that.
#[derive(Clone, Debug)]
pub struct Manager {
    inner: Arc<Inner>,
}

impl Manager {
    /// A builder with documented defaults and no components.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(
        host: Host,
        intents: Intents,
        config: Config,
        origin: Origin,
        state: StateDir,
    ) -> Self {
        let (state_dir, store) = (state.path.clone(), state.store.clone());
        let (finished, ended) = (host.finished(), intents.ended());
        let (released, state_released) = tokio::sync::watch::channel(());
        tokio::spawn(async move {
            finished.await;
            ended.await;
            // A temporary folder goes, and a lock is given up, when nothing uses them any more.
            drop(state);
            drop(released);
        });
        Self {
            inner: Arc::new(Inner {
                host,
                intents,
                config: ArcSwap::from_pointee(config),
                origin,
                state_dir,
                store,
                state_released,
                reloading: tokio::sync::Mutex::default(),
            }),
        }
    }

    fn host(&self) -> &Host {
        &self.inner.host
    }

    /// Decides which components a command needs and leases them, loading what is missing. What cannot be had beside
    /// the more confident ones is left out ([`Outcome::left_out`]). A refusal is part of the outcome; so are
    /// components that were not sure enough to be loaded.
    pub async fn handle(&self, text: &str) -> Outcome {
        self.handle_with(text, AcquireOptions::default()).await
    }

    /// The same with options.
    pub async fn handle_with(&self, text: &str, options: AcquireOptions) -> Outcome {
        self.handle_as(text, options, None).await
    }

    /// The same for a party that may hold leases already: a command for which only those are in the way is refused
    /// at once.
    pub async fn handle_as(
        &self,
        text: &str,
        options: AcquireOptions,
        party: Option<Party>,
    ) -> Outcome {
        let host = self.host();
        let intents = &self.inner.intents;
        let needs = intents.needs(text);
        let needed = needs.needed;
        let keys: Vec<_> = needed.iter().map(|n| n.key).collect();
        let since = host.clock().now();
        let command = host.begun(keys.clone());
        // In the order of confidence: what does not fit beside the more confident ones is left out.
        let client = party.as_ref().and_then(|party| party.tag.clone());
        let ask = Ask { options, party, partial: true, old: None };
        let (acquired, refusal) = match host.acquire(&keys, ask).await {
            Ok(acquired) => (acquired, None),
            Err(refusal) => (Acquired::default(), Some(refusal)),
        };
        let Acquired { leases, left_out, ready } = acquired;
        let ready_at_once =
            needed.iter().filter(|n| ready.contains(&n.key)).map(|n| n.id.clone()).collect();
        let mut follows = needs.follows;
        follows.retain(|(key, _)| !keys.contains(key));
        for (key, confidence) in &follows {
            // A full lane is counted in the status.
            let _ = host.hint(HintTier::Delayed, *key, *confidence, HintSource::Trigger);
        }
        let waited = host.clock().now().since(since);
        tracing::debug!(
            needed = needed.len(),
            waited_us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX),
            refused = refusal.is_some(),
            "command"
        );
        Outcome {
            host: host.clone(),
            teacher: intents.teacher(client).map(|teacher| (teacher, Spoken(cut(text).into()))),
            decision: needs.decision,
            version: needs.version,
            needed,
            candidates: needs.candidates,
            ready_at_once,
            leases,
            left_out: left_out.into_iter().map(|(id, refusal)| LeftOut { id, refusal }).collect(),
            waited,
            refusal,
            follows,
            command,
            reported: false,
            assumed: false.into(),
        }
    }

    /// Tells which components a command really used, over what its leases say; none is an answer too. It is
    /// learned soon after; the outcome keeps its leases. When it is reported again, the text is
    /// learned again, and its use counts as first reported.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`] for a name that does not exist; nothing is told then.
    pub fn feedback(&self, outcome: &mut Outcome, used: &[&str]) -> Result<(), Refusal> {
        outcome.report(self.keys(used)?);
        Ok(())
    }

    fn keys(&self, names: &[&str]) -> Result<Vec<ComponentKey>, Refusal> {
        names.iter().map(|n| self.host().key(n)).collect()
    }

    /// A lease on a component as a `T` if it is ready and is one; loads nothing, asks nobody.
    #[must_use]
    #[inline]
    pub fn try_acquire<T: 'static>(&self, name: &str) -> Option<Lease<T>> {
        self.host().try_acquire_named(name)?.typed().ok()
    }

    /// A lease on a component as a `T`; loads it if need be.
    ///
    /// # Errors
    /// The [`Refusal`] that says why not; [`Refusal::WrongType`] when it is no `T`.
    pub async fn acquire<T: 'static>(&self, name: &str) -> Result<Lease<T>, Refusal> {
        if let Some(lease) = self.host().try_acquire_named(name) {
            return typed(lease);
        }
        let mut leases = self.acquire_all(&[name], AcquireOptions::default()).await?;
        typed(leases.pop().ok_or(Refusal::Abandoned)?)
    }

    /// Leases on a set of components, all or none, in the order of the names with repeats left out.
    ///
    /// # Errors
    /// The [`Refusal`] that says why not.
    pub async fn acquire_all(
        &self,
        names: &[&str],
        options: AcquireOptions,
    ) -> Result<Vec<AnyLease>, Refusal> {
        let keys = self.keys(names)?;
        self.host().acquire_all(&keys, options).await
    }

    /// The same for a party that may hold leases already: a demand for which only those are in the way is refused at
    /// once ([`Refusal::OwnLeases`]).
    ///
    /// # Errors
    /// The [`Refusal`] that says why not.
    pub async fn acquire_all_as(
        &self,
        names: &[&str],
        options: AcquireOptions,
        party: Party,
    ) -> Result<Vec<AnyLease>, Refusal> {
        let keys = self.keys(names)?;
        let ask = Ask { options, party: Some(party), ..Ask::default() };
        Ok(self.host().acquire(&keys, ask).await?.leases)
    }

    /// Exchanges leases for leases on other components, all or none. The old ones are given up when the demand for the
    /// new ones is admitted, so that it may have their place, and otherwise when it is granted. After a refusal
    /// `leases` has what it had, unless the refusal came after the admission (a load that failed); then it is empty.
    /// Dropping the future leaves the old leases in `leases`, too.
    ///
    /// # Errors
    /// The [`Refusal`] that says why not.
    pub async fn exchange(
        &self,
        leases: &mut Vec<AnyLease>,
        names: &[&str],
        options: AcquireOptions,
    ) -> Result<(), Refusal> {
        let keys = self.keys(names)?;
        exchange(self.host(), leases, &keys, options).await
    }

    /// The same for leases that are shared while the demand waits, by a party that may hold others: what is not given
    /// up is taken back with [`OldLeases::take_back`].
    ///
    /// # Errors
    /// The [`Refusal`] that says why not.
    pub async fn exchange_as(
        &self,
        old: Arc<OldLeases>,
        names: &[&str],
        options: AcquireOptions,
        party: Option<Party>,
    ) -> Result<Vec<AnyLease>, Refusal> {
        let keys = self.keys(names)?;
        let ask = Ask { options, party, partial: false, old: Some(old) };
        Ok(self.host().acquire(&keys, ask).await?.leases)
    }

    /// Names who holds leases: those who have to wait for them, or are refused because of them, are told. To be
    /// kept beside the leases; dropping it takes the name away.
    #[must_use]
    pub fn tag(&self, leases: &[AnyLease], tag: &str) -> Tagged {
        self.host().tag(leases.iter().map(|l| l.id().clone()).collect(), tag)
    }

    /// The same for a party of which more is known than its tag.
    #[must_use]
    pub fn tag_as(&self, leases: &[AnyLease], tag: &str, party: Party) -> Tagged {
        self.host().tag_as(leases.iter().map(|l| l.id().clone()).collect(), tag, party)
    }

    /// A cached way to one component, for callers that ask often.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`].
    pub fn handle_of<T: 'static>(&self, name: &str) -> Result<Handle<T>, Refusal> {
        let key = self.host().key(name)?;
        let id = self.host().catalog().id(key).clone();
        let cached = self.host().cached(key).ok_or(Refusal::Removed { component: id.clone() })?;
        Ok(Handle { host: self.host().clone(), key, name: id, cached })
    }

    /// What a command would meet with now, changing nothing.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`].
    pub async fn plan(&self, text: &str) -> Result<Plan, Refusal> {
        let needs = self.inner.intents.needs(text);
        let keys: Vec<_> = needs.needed.iter().map(|n| n.key).collect();
        let plan = self.host().plan_partial(&keys).await?;
        Ok(Plan {
            decision: needs.decision,
            model_version: needs.version,
            needed: needs.needed,
            candidates: needs.candidates,
            ..Plan::new(plan, &self.host().catalog())
        })
    }

    /// What a demand for components would meet with now, changing nothing.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`] or [`Refusal::ShuttingDown`].
    pub async fn plan_for(&self, names: &[&str]) -> Result<Plan, Refusal> {
        let keys = self.keys(names)?;
        let plan = self.host().plan(&keys).await?;
        Ok(Plan::new(plan, &self.host().catalog()))
    }

    /// A picture of the whole; while nothing happens the same one for 50 ms.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] when the manager has ended.
    pub async fn status(&self) -> Result<Arc<Status>, Refusal> {
        self.host().status().await.ok_or(Refusal::ShuttingDown)
    }

    /// What is known of use: how much was learned, what is kept, what is likeliest next.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] when the manager has ended.
    pub async fn usage(&self) -> Result<UsageSummary, Refusal> {
        self.host().usage_summary().await.ok_or(Refusal::ShuttingDown)
    }

    /// The usage history as a trace that `majordomo replay` reads: user, unix seconds and component, separated by
    /// tabs, a line for each component that a command used. Bounded to the last 16384 commands; empty without a
    /// state directory.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] when the manager has ended.
    pub async fn export_usage(&self) -> Result<String, Refusal> {
        self.host().usage_export().await.ok_or(Refusal::ShuttingDown)
    }

    /// Forgets the usage history and what was learned from it, in memory and on disk.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] when the manager has ended.
    pub async fn forget_usage(&self) -> Result<(), Refusal> {
        self.host().usage_forget().await.ok_or(Refusal::ShuttingDown)
    }

    /// Follows what happens, from record number `from`, or from now on.
    #[must_use]
    pub fn events(&self, from: Option<u64>) -> Follower {
        self.host().events().follow(from)
    }

    /// The last records about a component, oldest first, with the causes of its states.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`].
    pub fn why(&self, name: &str) -> Result<Vec<EventRecord>, Refusal> {
        Ok(self.host().events().history(self.host().key(name)?))
    }

    /// What is remembered over restarts; nothing without a state directory.
    ///
    /// # Errors
    /// A [`StateError`].
    pub async fn remembered(&self) -> Result<Remembered, StateError> {
        let Some(store) = self.inner.store.upgrade() else { return Ok(Remembered::default()) };
        let read = tokio::task::spawn_blocking(move || crate::state::read(&*store));
        read.await.map_err(|_| StateError::ShuttingDown)?.map_err(StateError::Store)
    }

    /// Forgets what was measured of a component, also in the state directory: its next load goes by the estimate.
    /// Says how many figures there were; without a name, of all components.
    ///
    /// # Errors
    /// A [`StateError`].
    pub async fn forget_figures(&self, name: Option<&str>) -> Result<usize, StateError> {
        let keys = match name {
            Some(name) => vec![self.host().key(name)?],
            None => self.host().catalog().keys().collect(),
        };
        self.host().forget(keys).await.ok_or(StateError::ShuttingDown)?.map_err(StateError::Store)
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.inner.config.load_full()
    }

    /// The wall clock at a moment, as seconds since 1970; right to a second while the wall clock is not set.
    #[must_use]
    pub fn wall_at(&self, moment: Moment) -> WallSeconds {
        let ago = self.now().since(moment).as_secs();
        WallSeconds(wall_now().0.saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX)))
    }

    /// The time of the clock that all [`Moment`]s are of.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.host().clock().now()
    }

    /// The name of a key in events; none for a key of another manager.
    #[must_use]
    pub fn name_of(&self, key: ComponentKey) -> Option<ComponentId> {
        let catalog = self.host().catalog();
        (key.index() < catalog.len()).then(|| catalog.id(key).clone())
    }

    /// The specifications in force, by key order.
    #[must_use]
    pub fn components(&self) -> Vec<Arc<ComponentSpec>> {
        let catalog = self.host().catalog();
        catalog.keys().filter_map(|k| catalog.spec(k).cloned()).collect()
    }

    /// Where state, sockets and components' folders live.
    #[must_use]
    pub fn state_dir(&self) -> &std::path::Path {
        &self.inner.state_dir
    }

    /// Stops everything within `deadline` (none = the configured one) and waits for it; a second call
    /// hastens. Returns the components that could not be stopped.
    pub async fn shutdown(&self, deadline: Option<Duration>) -> Vec<ComponentId> {
        // The configured one of now: a reload may have changed it.
        let deadline = deadline.unwrap_or_else(|| self.config().deadlines.shutdown);
        let stuck = self.host().shutdown(Some(deadline)).await.to_vec();
        // Its outcomes have been told by now. Without a retrain it takes one write.
        self.inner.intents.stop();
        self.inner.intents.ended().await;
        // It carries no message; it ends when the folder is gone.
        drop(self.inner.state_released.clone().changed().await);
        stuck
    }
}
