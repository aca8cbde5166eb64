//! The component that a step is taken with, and how one of any kind is probed and measured.

use std::sync::Arc;

use majordomo_core::{ByteSize, ComponentKey};
use majordomo_registry::ComponentSpec;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::component::Instance;
use crate::component_thread::{self, guarded};
use crate::external::Service;
use crate::footprint;
use crate::lease::Incarnation;
use crate::process::RunningProcess;

/// The component of a step.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) key: ComponentKey,
    pub(crate) spec: Arc<ComponentSpec>,
    /// The position of its own pool.
    pub(crate) own_pool: usize,
    /// The declared bytes of other pools while it sleeps.
    pub(crate) apart_asleep: Vec<(usize, ByteSize)>,
    /// The declared bytes of other pools while it is in use, which a page-out does not move.
    pub(crate) apart: Vec<(usize, ByteSize)>,
    /// How often it was used so far.
    pub(crate) uses: u64,
    pub(crate) body: Body,
}

impl Subject {
    /// Asks its probe, where one is configured.
    pub(crate) async fn probe(&self) -> Result<(), String> {
        if matches!(self.body, Body::Builtin(_)) && self.spec.health_every.is_none() {
            return Ok(());
        }
        self.body.probe().await
    }
}

/// An instance, apart from its lease cell.
#[derive(Debug)]
pub(crate) enum Body {
    Process(Arc<RunningProcess>),
    Service(Arc<Service>),
    Builtin(Held),
}

impl Body {
    pub(crate) fn of(incarnation: Arc<Incarnation>) -> Self {
        let instance = incarnation.instance();
        if let Some(service) = instance.service() {
            return Self::Service(Arc::clone(service));
        }
        match instance.running() {
            Some(process) => Self::Process(Arc::clone(process)),
            None => Self::Builtin(Held(Some(incarnation))),
        }
    }

    /// Asks it once whether it works. Cancel safe.
    pub(crate) async fn probe(&self) -> Result<(), String> {
        match self {
            Self::Service(service) => service.probe().await,
            Self::Process(process) => process.probe().await.map_err(|error| error.to_string()),
            Self::Builtin(held) => held
                .ask(Instance::health)
                .await
                .unwrap_or_else(|| Err("its health check panicked".to_owned())),
        }
    }

    /// Its memory now, where that can be measured. Cancel safe.
    pub(crate) async fn footprint(&self) -> Option<ByteSize> {
        match self {
            Self::Service(_) => None,
            Self::Process(process) => {
                let measured = Arc::clone(process);
                let look = move || footprint::exact(&measured);
                // It fails only when the runtime shuts down.
                Some(tokio::task::spawn_blocking(look).await.ok().flatten()?.exact)
            }
            Self::Builtin(held) => held.ask(Instance::footprint).await.flatten(),
        }
    }
}

/// Keeps a builtin. Dropping it never runs the component's `Drop` on the task that holds it.
#[derive(Debug)]
pub(crate) struct Held(Option<Arc<Incarnation>>);

impl Held {
    /// The memory that it expects to hold asleep, by its own account.
    pub(crate) fn expects_asleep(&self) -> Option<ByteSize> {
        self.0.as_ref()?.instance().asleep
    }

    /// Runs a hook on a thread that may block; none when it panics.
    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        hook: impl FnOnce(&Instance) -> R + Send + 'static,
    ) -> Option<R> {
        let incarnation = self.0.clone()?;
        let (reply, answer) = oneshot::channel();
        component_thread::run(move || {
            guarded(|| {
                // The step may have ended.
                drop(reply.send(hook(incarnation.instance())));
            });
            guarded(move || drop(incarnation));
        });
        answer.await.ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Only the last holder drops the instance.
        let Some(incarnation) = self.0.take().and_then(Arc::into_inner) else { return };
        let end = move || guarded(move || drop(incarnation));
        match Handle::try_current() {
            Ok(_) => component_thread::run(end),
            Err(_) => end(),
        }
    }
}
