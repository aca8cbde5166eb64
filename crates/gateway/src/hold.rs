//! A lease for one request or connection: a place, then the lease itself, which loads the component if it is not ready.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use majordomo::{AcquireOptions, Endpoint, Lease};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::figures::Counted;
use crate::flow::{NoPlace, Place};
use crate::gateway::Gateway;
use crate::member::Member;
use crate::refused::Refused;
use crate::upstream::{Address, Stream};

/// A leased component with its address; dropping it gives lease and place back.
#[derive(Debug)]
pub struct Held {
    // Dropped in this order: the next in the queue finds the lease given back.
    lease: Lease<Endpoint>,
    _place: Place,
    pub(crate) member: Arc<Member>,
    pub(crate) address: Address,
}

impl Held {
    /// Whether the component has ended or is being stopped.
    #[must_use]
    pub fn revoked(&self) -> bool {
        self.lease.revoked()
    }

    /// Connects to the component.
    ///
    /// # Errors
    /// The system's.
    pub async fn connect(&self) -> io::Result<Stream> {
        self.address.connect().await
    }
}

impl Gateway {
    /// Leases a component for a client, which waits as long as the gateway is configured to let it wait. Counts as a use.
    /// Dropping the future gives up the wait, not a load that others wait for.
    ///
    /// # Errors
    /// A [`Refused`] with the reason.
    pub async fn hold(&self, member: &Arc<Member>) -> Result<Held, Refused> {
        let began = Instant::now();
        let wait = self.wait_for(member);
        let place = self.place(member, wait).await?;
        let name = member.id.as_str();
        let lease = match self.manager().try_acquire::<Endpoint>(name) {
            Some(lease) => lease,
            None => {
                let left = wait.saturating_sub(began.elapsed());
                let options = AcquireOptions::within(left);
                let acquired = self.manager().acquire_with::<Endpoint>(name, options).await;
                member.figures.waited(began.elapsed());
                match acquired {
                    Ok(lease) => lease,
                    Err(refusal) => {
                        member.figures.count(Counted::Refused);
                        let load_time = self.learned_load_time(member).await;
                        return Err(Refused::by_manager(&refusal, load_time));
                    }
                }
            }
        };
        self.held(member, lease, place)
    }

    /// The same for a component that is ready, and without waiting; none for one that is not, or has no place.
    pub(crate) fn hold_if_ready(&self, member: &Arc<Member>) -> Option<Held> {
        let place = member.flow.try_enter(member.spec().route().max_in_flight)?;
        let lease = self.manager().try_acquire::<Endpoint>(member.id.as_str())?;
        self.held(member, lease, place).ok()
    }

    /// The same, for a request that is no use of the component; `endpoint` is its address as the status has it.
    pub(crate) fn hold_unused(
        &self,
        member: &Arc<Member>,
        endpoint: Option<&Endpoint>,
    ) -> Option<Held> {
        let place = member.flow.try_enter(member.spec().route().max_in_flight)?;
        let lease = self.manager().try_acquire::<Endpoint>(member.id.as_str())?;
        let address = Address::of(endpoint?)?;
        Some(Held { lease, _place: place, member: Arc::clone(member), address })
    }

    /// Loads a component for a client that comes again, and waits until the load has ended; none = it is ready. The load continues
    /// when the future is dropped.
    pub(crate) async fn warm(&self, member: &Arc<Member>) -> Option<Refused> {
        let mut warming = member.warming(|| {
            let (end, ended) = watch::channel(None);
            let (gateway, member) = (self.clone(), Arc::clone(member));
            tokio::spawn(async move {
                let refused = gateway.hold(&member).await.err();
                member.warmed();
                end.send_replace(Some(refused));
            });
            ended
        });
        let ended = warming.wait_for(Option::is_some).await;
        ended.ok().and_then(|ended| ended.clone()).flatten()
    }

    async fn place(&self, member: &Arc<Member>, wait: Duration) -> Result<Place, Refused> {
        let spec = member.spec();
        let route = spec.route();
        let limits = (route.max_in_flight, route.queue);
        let entered = member.flow.enter(limits, wait).await;
        entered.map_err(|why| {
            member.figures.count(Counted::Busy);
            match why {
                NoPlace::QueueFull => {
                    Refused::busy(&member.id, route.max_in_flight.unwrap_or(0), route.queue)
                }
                NoPlace::TooLate => Refused::still_busy(&member.id, wait),
            }
        })
    }

    fn held(
        &self,
        member: &Arc<Member>,
        lease: Lease<Endpoint>,
        place: Place,
    ) -> Result<Held, Refused> {
        let address = Address::of(&lease).ok_or_else(|| Refused::no_address(&member.id))?;
        member.used(self.manager(), self.use_gap());
        Ok(Held { lease, _place: place, member: Arc::clone(member), address })
    }
}
