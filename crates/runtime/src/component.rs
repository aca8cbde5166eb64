//! A loaded component in this process: a value of any type, with optional hooks.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use majordomo_core::{ByteSize, Cause, ComponentId};
use majordomo_lease::AnyValue;
use majordomo_memory::PoolGrant;

use crate::external::Service;
use crate::process::{Endpoint, RunningProcess};
use crate::stdio::{CallError, Caller, Instead};

/// Hooks that a builtin component may offer. All have harmless defaults; all may be called from any thread.
pub trait Component: Send + Sync + 'static {
    /// Its memory in bytes by its own account, without what it has from its
    /// [`ComponentMemory`](crate::ComponentMemory); none = not known, its reservation is booked.
    fn footprint(&self) -> Option<ByteSize> {
        None
    }

    /// Gives back what it can spare (caches, buffers). Runs on a blocking thread.
    fn trim(&self) {}

    /// State to restore at the next load ([`LoadContext::snapshot`](crate::LoadContext::snapshot)) when the component is
    /// unloaded for want of memory or of use: expensive to compute and smaller than the component. Kept in memory only,
    /// within a budget of its own. Called on a blocking thread, before the drop, while there is no lease.
    fn hibernate(&self) -> Option<Vec<u8>> {
        None
    }

    /// Says whether it still works. Runs on a blocking thread.
    ///
    /// # Errors
    /// In words, why it does not.
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    /// The memory that it expects to hold while it sleeps, as [`footprint`](Self::footprint) would report it then; none (the
    /// default) = it does not sleep. Asked once after each load; what it really holds is measured.
    fn asleep(&self) -> Option<ByteSize> {
        None
    }

    /// Gives its memory back until [`wake`](Self::wake), and keeps what makes that quicker than a load. There is no lease
    /// meanwhile. Runs on a thread of its own, which may block; called only where [`asleep`](Self::asleep) has an answer.
    ///
    /// # Errors
    /// In words, why it did not; it is unloaded then.
    fn sleep(&self) -> Result<(), String> {
        Err("it has no hook to sleep".to_owned())
    }

    /// Makes it usable again after [`sleep`](Self::sleep). Runs on a thread of its own, which may block.
    ///
    /// # Errors
    /// In words, why it is not usable; it is unloaded then, and loaded again for its callers.
    fn wake(&self) -> Result<(), String> {
        Err("it has no hook to wake".to_owned())
    }
}

type Value = AnyValue;

#[derive(Clone, Copy)]
struct Hooks {
    footprint: fn(&Value) -> Option<ByteSize>,
    trim: fn(&Value),
    hibernate: fn(&Value) -> Option<Vec<u8>>,
    health: fn(&Value) -> Result<(), String>,
    asleep: fn(&Value) -> Option<ByteSize>,
    sleep: fn(&Value) -> Result<(), String>,
    wake: fn(&Value) -> Result<(), String>,
}

/// Notifies the shell when it is dropped, which is after the value before it.
pub(crate) struct DropNotice(pub(crate) Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for DropNotice {
    fn drop(&mut self) {
        if let Some(notify) = self.0.take() {
            notify();
        }
    }
}

/// A loaded component.
pub struct Instance {
    // Dropped in this order: the value, then the notice that it was dropped.
    value: Value,
    hooks: Option<Hooks>,
    process: Option<Arc<RunningProcess>>,
    service: Option<Arc<Service>>,
    /// The bytes that it may map.
    pub(crate) grant: Option<PoolGrant>,
    /// The memory that a builtin expects to hold asleep.
    pub(crate) asleep: Option<ByteSize>,
    /// Made by an async factory, which promised never to block: its `Drop` may run on a task.
    pub(crate) never_blocks: bool,
    pub(crate) gone: DropNotice,
}

impl Instance {
    /// A value without hooks.
    #[must_use]
    pub fn plain<T: Send + Sync + 'static>(value: T) -> Self {
        Self {
            value: Value::new(value),
            hooks: None,
            process: None,
            service: None,
            grant: None,
            asleep: None,
            never_blocks: false,
            gone: DropNotice(None),
        }
    }

    /// A value with hooks.
    #[must_use]
    pub fn component<T: Component>(value: T) -> Self {
        let hooks = Hooks {
            footprint: |v| v.downcast_ref::<T>().and_then(T::footprint),
            trim: |v| {
                if let Some(t) = v.downcast_ref::<T>() {
                    t.trim();
                }
            },
            hibernate: |v| v.downcast_ref::<T>().and_then(T::hibernate),
            health: |v| v.downcast_ref::<T>().map_or(Ok(()), T::health),
            asleep: |v| v.downcast_ref::<T>().and_then(T::asleep),
            sleep: |v| v.downcast_ref::<T>().map_or(Ok(()), T::sleep),
            wake: |v| v.downcast_ref::<T>().map_or(Ok(()), T::wake),
        };
        Self {
            value: Value::new(value),
            hooks: Some(hooks),
            process: None,
            service: None,
            grant: None,
            asleep: None,
            never_blocks: false,
            gone: DropNotice(None),
        }
    }

    pub(crate) fn process(process: Arc<RunningProcess>) -> Self {
        let endpoint = process.endpoint().clone();
        Self {
            value: Value::new(endpoint),
            hooks: None,
            process: Some(process),
            service: None,
            grant: None,
            asleep: None,
            never_blocks: false,
            gone: DropNotice(None),
        }
    }

    pub(crate) fn external(service: Service) -> Self {
        let endpoint = service.endpoint();
        Self { service: Some(Arc::new(service)), ..Self::plain(endpoint) }
    }

    /// The service elsewhere, if it is one.
    pub(crate) fn service(&self) -> Option<&Arc<Service>> {
        self.service.as_ref()
    }

    /// The value, if it is a `T`. A process' value is its [`Endpoint`].
    #[must_use]
    #[inline]
    pub fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }

    /// The process behind it, if it is one.
    #[must_use]
    pub fn running(&self) -> Option<&Arc<RunningProcess>> {
        self.process.as_ref()
    }

    /// Where it is reached, if it is a process or a service that runs elsewhere.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.downcast_ref()
    }

    /// The way to call it, or the error of a component that takes no calls. Leases and servers pass requests on by it.
    ///
    /// # Errors
    /// [`CallError::NotCallable`], which says how the component is used instead.
    pub(crate) fn caller(&self, component: &ComponentId) -> Result<Caller, CallError> {
        let instead = match self.process.as_ref().map(|process| process.caller()) {
            Some(Some(caller)) => return Ok(caller),
            Some(None) => match self.endpoint().and_then(Endpoint::url) {
                Some(url) => Instead::Address(Some(url)),
                None => Instead::Nothing,
            },
            None => match &self.service {
                Some(service) => Instead::Address(service.endpoint().url()),
                None => Instead::Value,
            },
        };
        Err(CallError::not_callable(component, instead))
    }

    /// Its memory: by its own account, and what it mapped.
    pub(crate) fn footprint(&self) -> Option<ByteSize> {
        let reported = self.hooks.and_then(|h| (h.footprint)(&self.value));
        match (reported, self.mapped(PoolGrant::used)) {
            (None, ByteSize::ZERO) => None,
            (reported, mapped) => Some(reported.unwrap_or_default() + mapped),
        }
    }

    pub(crate) fn mapped(&self, which: fn(&PoolGrant) -> ByteSize) -> ByteSize {
        self.grant.as_ref().map_or(ByteSize::ZERO, which)
    }

    /// Whether it may have a state to keep; a value without hooks has none.
    pub(crate) fn may_hibernate(&self) -> bool {
        self.hooks.is_some()
    }

    pub(crate) fn hibernate(&self) -> Option<Vec<u8>> {
        self.hooks.and_then(|h| (h.hibernate)(&self.value))
    }

    pub(crate) fn trim(&self) {
        if let Some(h) = self.hooks {
            (h.trim)(&self.value);
        }
    }

    pub(crate) fn health(&self) -> Result<(), String> {
        self.hooks.map_or(Ok(()), |h| (h.health)(&self.value))
    }

    /// The memory that a builtin expects to hold asleep; none when it does not sleep.
    pub(crate) fn expects_asleep(&self) -> Option<ByteSize> {
        self.hooks.and_then(|h| (h.asleep)(&self.value))
    }

    pub(crate) fn sleep(&self) -> Result<(), String> {
        self.hooks.map_or(Err("a value without hooks does not sleep".to_owned()), |h| {
            (h.sleep)(&self.value)
        })
    }

    pub(crate) fn wake(&self) -> Result<(), String> {
        self.hooks.map_or(Err("a value without hooks does not sleep".to_owned()), |h| {
            (h.wake)(&self.value)
        })
    }
}

/// A loaded component with its name, as its incarnation keeps it.
#[derive(Debug)]
pub(crate) struct Resident {
    pub(crate) id: ComponentId,
    pub(crate) instance: Instance,
    /// Why its leases were revoked.
    revoked_because: OnceLock<Cause>,
    /// Nothing of it runs any more.
    has_ended: AtomicBool,
}

impl Resident {
    pub(crate) fn new(id: ComponentId, instance: Instance) -> Self {
        Self { id, instance, revoked_because: OnceLock::new(), has_ended: AtomicBool::new(false) }
    }

    /// Keeps the reason for which its leases are revoked; the first one counts.
    pub(crate) fn revoked_because(&self, why: &Cause) {
        if matches!(why, Cause::Exited { .. } | Cause::Ended { .. } | Cause::OutOfMemory { .. }) {
            self.ended();
        }
        // A second reason changes nothing about the first.
        drop(self.revoked_because.set(why.clone()));
    }

    /// Records that nothing of the component runs any more.
    pub(crate) fn ended(&self) {
        // Relaxed: holders look at it from time to time, nothing is published with it.
        self.has_ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn revocation(&self) -> Option<Revocation> {
        let cause = self.revoked_because.get()?.clone();
        Some(Revocation { cause, ended: self.has_ended.load(Ordering::Relaxed) })
    }
}

/// Why a lease was revoked, and how far that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Why.
    pub cause: Cause,
    /// Nothing of the component runs any more; until then it is being stopped.
    pub ended: bool,
}

impl fmt::Display for Revocation {
    /// Said of the component, whose name stands before it: `has ended: …` or `is being stopped: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.ended { "has ended: " } else { "is being stopped: " })?;
        self.cause.fmt(f)
    }
}

impl Deref for Resident {
    type Target = Instance;

    #[inline]
    fn deref(&self) -> &Instance {
        &self.instance
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (&self.process, &self.service) {
            (Some(_), _) => "process",
            (None, Some(_)) => "external",
            (None, None) => "builtin",
        };
        f.debug_struct("Instance").field("kind", &kind).finish_non_exhaustive()
    }
}
