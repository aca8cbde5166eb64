//! The running manager: its life, its settings, and the views on its parts.

mod acquire;
mod call;
mod command;
mod components;
mod declared;
mod intents;
mod operator;
mod reload;
mod usage;

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use majordomo_core::{
    BudgetSetting, ByteSize, ComponentId, ComponentKey, Confidence, Config, HintSource, HintTier,
    Moment, Refusal, StateStore, Status, WallSeconds,
};
use majordomo_registry::ComponentSpec;
use majordomo_runtime::clock::wall_now;
use majordomo_runtime::{Follower, Host};

use crate::intents::IntentService;
use crate::parts::{Code, Parts, Source};
use crate::state_dir::StateDir;

pub use declared::Declared;
pub use intents::Intents;
pub use operator::Operator;
pub use usage::{UnderWay, Usage};

/// The sources of a manager's configuration.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Read again at each reload.
    pub source: Option<Source>,
    /// The folder that relative paths start from, where that is not the file's own.
    pub folder: Option<PathBuf>,
    /// The folder that relative paths start from.
    pub base_dir: PathBuf,
    /// Whether programs can be started: with a guard process, or not at all.
    pub runs_programs: bool,
    pub budget: Option<BudgetSetting>,
    pub limit: ByteSize,
    /// As the source was read last.
    pub read: Option<Parts>,
    pub code: Code,
}

#[derive(Debug)]
struct Inner {
    host: Host,
    intents: IntentService,
    config: ArcSwap<Config>,
    declared: tokio::sync::watch::Sender<Arc<Declared>>,
    /// Locked while the configuration changes: each change builds on the catalog before it.
    origin: tokio::sync::Mutex<Origin>,
    state_dir: PathBuf,
    /// The learned store, as long as the shell has it open.
    store: Weak<dyn StateStore>,
    /// Closed when the state directory is not used any more and a temporary one is removed.
    state_released: tokio::sync::watch::Receiver<()>,
}

/// A running manager of components. Clones share it; when the last is dropped, everything is shut down in the
/// background, and the guard process kills whatever is left.
#[derive(Clone, Debug)]
pub struct Manager {
    inner: Arc<Inner>,
}

impl Manager {
    pub(crate) fn new(
        host: Host,
        intents: IntentService,
        (config, declared): (Config, Declared),
        origin: Origin,
        state: StateDir,
    ) -> Self {
        let (state_dir, store) = (state.path.clone(), state.store.clone());
        let (finished, ended) = (host.finished(), intents.ended());
        let (released, state_released) = tokio::sync::watch::channel(());
        tokio::spawn(async move {
            finished.await;
            ended.await;
            // Nothing uses the folder any more: a temporary one is removed, a lock is released.
            drop(state);
            drop(released);
        });
        Self {
            inner: Arc::new(Inner {
                host,
                intents,
                config: ArcSwap::from_pointee(config),
                declared: tokio::sync::watch::Sender::new(Arc::new(declared)),
                origin: tokio::sync::Mutex::new(origin),
                state_dir,
                store,
                state_released,
            }),
        }
    }

    fn host(&self) -> &Host {
        &self.inner.host
    }

    fn keys(&self, names: &[&str]) -> Result<Vec<ComponentKey>, Refusal> {
        names.iter().map(|n| self.host().key(n)).collect()
    }

    /// Predictions, and the learning of texts.
    #[must_use]
    pub fn intents(&self) -> Intents<'_> {
        Intents::new(self)
    }

    /// The history of use.
    #[must_use]
    pub fn usage(&self) -> Usage<'_> {
        Usage::new(self)
    }

    /// Requests of operators: load, unload, pin, trim, logs, reload, learned figures.
    #[must_use]
    pub fn operator(&self) -> Operator<'_> {
        Operator::new(self)
    }

    /// Announces that a component is likely to be needed. False when the lane of that tier is full.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`].
    pub fn hint(
        &self,
        name: &str,
        confidence: Confidence,
        tier: HintTier,
    ) -> Result<bool, Refusal> {
        let key = self.host().key(name)?;
        Ok(self.host().hint(tier, key, confidence, HintSource::Application))
    }

    /// The state of all components and of memory; while nothing happens, the same snapshot for 50 ms.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] when the manager has ended.
    pub async fn status(&self) -> Result<Arc<Status>, Refusal> {
        self.host().status().await.ok_or(Refusal::ShuttingDown)
    }

    /// Follows the event log from record number `from`, or from now on.
    #[must_use]
    pub fn events(&self, from: Option<u64>) -> Follower {
        self.host().events().follow(from)
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.inner.config.load_full()
    }

    /// The components and the gateway of the configuration in force: the same value until the next change.
    #[must_use]
    pub fn declared(&self) -> Arc<Declared> {
        Arc::clone(&self.inner.declared.borrow())
    }

    /// Waits until another configuration than `known` is in force. Cancel safe.
    pub async fn declared_after(&self, known: &Arc<Declared>) -> Arc<Declared> {
        let mut changes = self.inner.declared.subscribe();
        let changed = changes.wait_for(|declared| !Arc::ptr_eq(declared, known)).await;
        // The sender lives as long as this manager.
        changed.map_or_else(|_| self.declared(), |declared| Arc::clone(&declared))
    }

    /// The wall clock at a moment, as seconds since 1970; right to a second while the wall clock is not set.
    #[must_use]
    pub fn wall_at(&self, moment: Moment) -> WallSeconds {
        let ago = self.now().since(moment).as_secs();
        WallSeconds(wall_now().0.saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX)))
    }

    /// The current time of the clock that all [`Moment`]s are of.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.host().clock().now()
    }

    /// The name of a key in this manager's events and predictions; none for a key that it has not given out. A key is a
    /// number: one that another manager gave out may be a different component's here.
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

    /// The folder of the learned store, of sockets and of components' own folders.
    #[must_use]
    pub fn state_dir(&self) -> &std::path::Path {
        &self.inner.state_dir
    }

    /// Stops everything within `deadline` (none = the configured one) and waits for it; a second call
    /// shortens the wait. Returns the components that could not be stopped.
    pub async fn shutdown(&self, deadline: Option<Duration>) -> Vec<ComponentId> {
        // The configured one of now: a reload may have changed it.
        let deadline = deadline.unwrap_or_else(|| self.config().deadlines.shutdown);
        let stuck = self.host().shutdown(Some(deadline)).await.to_vec();
        // All outcomes are queued by now. Without a retrain it takes one write.
        self.inner.intents.stop();
        self.inner.intents.ended().await;
        // The channel carries no message; it closes when the folder is removed.
        drop(self.inner.state_released.clone().changed().await);
        stuck
    }
}
