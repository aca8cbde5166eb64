//! A component as the gateway serves it: its specification in force, its places, its connections and its uses.
//!
//! Invariant: a member lives as long as anything of it is under way, also after a reload has removed its component.

use std::sync::{Arc, Mutex, Weak};

use arc_swap::ArcSwap;
use majordomo::{ComponentId, ComponentSpec, Manager, UnderWay};
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use crate::figures::Figures;
use crate::flow::Flow;
use crate::lock::locked;
use crate::refused::Refused;
use crate::upstream::Pool;

/// The use of a component that lasts from its first request until none came for a while.
#[derive(Debug)]
struct Busy {
    /// Ends the use when it is dropped; none when the component was removed meanwhile.
    _use: Option<UnderWay>,
    last: Instant,
}

/// The end of a load: none until then, and with it the refusal if there was one.
pub(crate) type Warming = watch::Receiver<Option<Option<Refused>>>;

/// A component as the gateway serves it.
#[derive(Debug)]
pub struct Member {
    pub(crate) id: ComponentId,
    spec: ArcSwap<ComponentSpec>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) figures: Figures,
    busy: Mutex<Option<Busy>>,
    /// The load that was begun for clients that come again, and not for one that waits.
    warming: Mutex<Option<Warming>>,
}

impl Member {
    pub(crate) fn new(spec: &Arc<ComponentSpec>) -> Self {
        Self {
            id: spec.id.clone(),
            spec: ArcSwap::new(Arc::clone(spec)),
            flow: Arc::default(),
            pool: Arc::default(),
            figures: Figures::default(),
            busy: Mutex::default(),
            warming: Mutex::default(),
        }
    }

    /// The component's name.
    #[must_use]
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// The specification in force.
    #[must_use]
    pub fn spec(&self) -> Arc<ComponentSpec> {
        self.spec.load_full()
    }

    /// Whether the component has an address to pass requests to.
    pub(crate) fn is_reachable(&self) -> bool {
        self.spec.load().has_endpoint()
    }

    pub(crate) fn configure(&self, spec: &Arc<ComponentSpec>) {
        self.spec.store(Arc::clone(spec));
    }

    /// Records a use: one for all requests that are no further apart than `gap`.
    pub(crate) fn used(self: &Arc<Self>, manager: &Manager, gap: Duration) {
        let mut busy = locked(&self.busy);
        let last = Instant::now();
        match &mut *busy {
            Some(busy) => busy.last = last,
            None => {
                let _use = manager.usage().begin(self.id.as_str()).ok();
                *busy = Some(Busy { _use, last });
                drop(busy);
                tokio::spawn(end_use(Arc::downgrade(self), gap));
            }
        }
    }

    /// Ends the use when nothing is in flight and nothing came for `gap`; else the time until it may end.
    fn try_end_use(&self, gap: Duration) -> Option<Duration> {
        let mut busy = locked(&self.busy);
        let idle = busy.as_ref()?.last.elapsed();
        if self.flow.in_flight() > 0 {
            return Some(gap.max(Duration::from_millis(100)));
        }
        if idle < gap {
            return Some(gap - idle);
        }
        *busy = None;
        drop(busy);
        self.pool.clear();
        None
    }

    /// The load for clients that come again; `begin` begins one where none is under way.
    pub(crate) fn warming(&self, begin: impl FnOnce() -> Warming) -> Warming {
        locked(&self.warming).get_or_insert_with(begin).clone()
    }

    /// The load for clients that come again has ended.
    pub(crate) fn warmed(&self) {
        *locked(&self.warming) = None;
    }
}

/// Waits for the end of a use. Ends with the member.
async fn end_use(member: Weak<Member>, gap: Duration) {
    let mut next = gap;
    loop {
        tokio::time::sleep(next).await;
        match member.upgrade().and_then(|member| member.try_end_use(gap)) {
            Some(more) => next = more,
            None => return,
        }
    }
}
