//! Factories of builtin components, and the context of a load.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use majordomo_core::{ComponentId, OpId};
use majordomo_memory::{Arena, Snapshot};
use majordomo_registry::ComponentSpec;

use crate::component::Instance;
use crate::lease::{Dependency, Incarnation};
use crate::memory::ComponentMemory;
use crate::snapshot::Thawed;

tokio::task_local! {
    /// The component whose load runs in this task; an `acquire` there would wait for itself.
    pub(crate) static LOADING: ComponentId;
}

/// The component whose load is running here, if any.
pub(crate) fn loading_here() -> Option<ComponentId> {
    LOADING.try_with(Clone::clone).ok()
}

/// The name of the factory of all Core ML components; no builtin's factory can have it in a configuration, where names are
/// not empty.
pub const CORE_ML_FACTORY: &str = "";

/// Why a Core ML component cannot be loaded where nothing is registered for it.
pub(crate) const NO_CORE_ML: &str = if cfg!(target_os = "macos") {
    "this build has no Core ML: build it with the feature `coreml`"
} else {
    "Core ML models are loaded on macOS only"
};

/// Any error, as loaders return it.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

/// The context that a builtin's factory gets.
#[derive(Clone)]
pub struct LoadContext {
    pub(crate) spec: Arc<ComponentSpec>,
    pub(crate) op: OpId,
    pub(crate) deadline: Duration,
    pub(crate) dependencies: Arc<BTreeMap<ComponentId, Arc<Incarnation>>>,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) memory: ComponentMemory,
    pub(crate) snapshot: Option<(Snapshot, Arc<Thawed>)>,
}

impl LoadContext {
    /// The component being loaded.
    #[must_use]
    pub fn id(&self) -> &ComponentId {
        &self.spec.id
    }

    /// Its specification.
    #[must_use]
    pub fn spec(&self) -> &ComponentSpec {
        &self.spec
    }

    /// The number of this load.
    #[must_use]
    pub fn op(&self) -> OpId {
        self.op
    }

    /// The load is given up after this long.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Whether the load was cancelled: return early, with any error.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        // Relaxed: a hint; a factory that misses it is only slower.
        self.cancelled.load(Ordering::Relaxed)
    }

    /// A declared dependency as a `T`; it stays loaded as long as this component is. None when it is not
    /// declared, or no `T`. (A process' value is its `Endpoint`.)
    #[must_use]
    pub fn dependency<T: 'static>(&self, name: &str) -> Option<Dependency<T>> {
        Dependency::new(Arc::clone(self.dependencies.get(name)?))
    }

    /// The component's share of memory: arenas, buffers and mapped files that are counted as its own and come
    /// back to the system whole. May be kept by the component.
    #[must_use]
    pub fn memory(&self) -> ComponentMemory {
        self.memory.clone()
    }

    /// An arena out of the component's reservation; short for [`ComponentMemory::arena`].
    #[must_use]
    pub fn arena(&self) -> Arena {
        self.memory.arena()
    }

    /// The state that the component kept at its last unload ([`Component::hibernate`](crate::Component::hibernate)), if
    /// its loader and version are the same and it was not dropped since. For a corrupt one a warning is logged, and there
    /// is none.
    #[must_use]
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        let (snapshot, counts) = self.snapshot.as_ref()?;
        // Relaxed: statistics.
        match snapshot.unpack() {
            Ok(bytes) => {
                counts.good.fetch_add(1, Ordering::Relaxed);
                Some(bytes)
            }
            Err(error) => {
                counts.corrupt.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(component = %self.id(), %error, "no snapshot");
                None
            }
        }
    }
}

impl fmt::Debug for LoadContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadContext")
            .field("id", self.id())
            .field("op", &self.op)
            .finish_non_exhaustive()
    }
}

type LoadFuture = Pin<Box<dyn Future<Output = Result<Instance, LoadError>> + Send>>;

/// Makes instances of one builtin component.
#[derive(Clone)]
pub enum Factory {
    /// Runs on a blocking thread.
    Blocking(Arc<dyn Fn(LoadContext) -> Result<Instance, LoadError> + Send + Sync>),
    /// Runs as a task; must not block.
    Async(Arc<dyn Fn(LoadContext) -> LoadFuture + Send + Sync>),
}

impl Factory {
    /// From a function that may block.
    pub fn blocking<F>(f: F) -> Self
    where
        F: Fn(LoadContext) -> Result<Instance, LoadError> + Send + Sync + 'static,
    {
        Self::Blocking(Arc::new(f))
    }

    /// From an async function that never blocks.
    pub fn asynchronous<F, R>(f: F) -> Self
    where
        F: Fn(LoadContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Instance, LoadError>> + Send + 'static,
    {
        Self::Async(Arc::new(move |ctx| Box::pin(f(ctx))))
    }
}

impl fmt::Debug for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocking(_) => "Factory::Blocking",
            Self::Async(_) => "Factory::Async",
        })
    }
}

/// An error with all its causes in one line.
pub(crate) fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

/// The message of a panic.
pub(crate) fn panic_in_words(panic: &(dyn Any + Send)) -> String {
    let said = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    said.map_or_else(|| "it panicked".to_owned(), |s| format!("it panicked: {s}"))
}

/// Runs a factory on this (blocking) thread; a panic becomes an error.
pub(crate) fn run_blocking(
    factory: &(dyn Fn(LoadContext) -> Result<Instance, LoadError> + Send + Sync),
    ctx: LoadContext,
) -> Result<Instance, LoadError> {
    let id = ctx.id().clone();
    let call = AssertUnwindSafe(|| LOADING.sync_scope(id, || factory(ctx)));
    match std::panic::catch_unwind(call) {
        Ok(made) => made,
        Err(panic) => Err(panic_in_words(&*panic).into()),
    }
}

/// Runs an async factory; a panic becomes an error.
pub(crate) async fn run_async(
    factory: &(dyn Fn(LoadContext) -> LoadFuture + Send + Sync),
    ctx: LoadContext,
) -> Result<Instance, LoadError> {
    let id = ctx.id().clone();
    // The factory is called inside, so that its own panic is caught as well.
    let mut load = Box::pin(LOADING.scope(id, async move { factory(ctx).await }));
    std::future::poll_fn(|cx| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| load.as_mut().poll(cx))) {
            Ok(polled) => polled,
            Err(panic) => Poll::Ready(Err(panic_in_words(&*panic).into())),
        }
    })
    .await
}
