//! Clients outside the process: each visit is a connection of its own to the socket API, with a few requests on it.
//!
//! Some cancel in the middle of a wait, some disconnect without releasing their leases, some let these expire. The
//! server's answers are counted by code; no answer, or one that cannot be read, is a violation.

use std::time::Duration;

use majordomo_server::wire::{Bind, Command, Lease, LeaseRequest, LeaseTerms};
use majordomo_server::{Client, ClientError};
use majordomo_sim::Rng;
use tokio::time::{Instant, sleep};

use super::clients::{Shared, Wish};
use super::plan::Shift;

/// A lease that is not released ends after this.
const TTL: Duration = Duration::from_millis(300);

/// How what was leased is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
    /// By the request that is meant for it.
    Release,
    /// By the end of its time.
    Forget,
    /// By the end of the connection.
    HangUp,
}

impl Parting {
    fn new(rng: &mut Rng) -> Self {
        *rng.pick(&[Self::Release, Self::Release, Self::Release, Self::Forget, Self::HangUp])
    }

    fn terms(self) -> LeaseTerms {
        match self {
            Self::HangUp => LeaseTerms { bind: Bind::Connection, ..LeaseTerms::default() },
            Self::Release | Self::Forget => {
                LeaseTerms { ttl_ms: Some(TTL.as_millis() as u64), ..LeaseTerms::default() }
            }
        }
    }
}

/// One visit: up to three requests; the first that comes to nothing ends it.
pub(crate) async fn visit(shared: &Shared, shift: Shift, rng: &mut Rng) {
    let client = Client::new(shared.socket.clone());
    for _ in 0..rng.between(1, 3) {
        let (wish, parting) = (Wish::new(shift, rng), Parting::new(rng));
        let asked = Instant::now();
        let leased = match wish.wait(shared, lease(&client, &wish, parting)).await {
            Some(Ok(leased)) => leased,
            Some(Err(error)) => return failed(shared, &error),
            None => return,
        };
        shared.tally().socket.record(asked.elapsed());
        shared.count("socket: granted");
        if let Some(time) = wish.holds {
            sleep(time).await;
        }
        match (parting, leased) {
            (Parting::Release, Some(lease)) => {
                // Its time may have passed, which is answered as well.
                if let Err(error) = client.release(&lease.id).await {
                    failed(shared, &error);
                }
            }
            (Parting::HangUp, _) => return,
            (Parting::Release | Parting::Forget, _) => {}
        }
    }
}

/// A lease, through a command or by names; none when the command needed nothing.
async fn lease(
    client: &Client,
    wish: &Wish,
    parting: Parting,
) -> Result<Option<Lease>, ClientError> {
    let (terms, deadline_ms) = (parting.terms(), Some(wish.deadline.as_millis() as u64));
    if let Some(text) = wish.words.clone() {
        let command = Command { text, lease: Some(terms), deadline_ms, ..Command::default() };
        let outcome = client.command(&command).await?;
        return match outcome.refusal {
            Some(problem) => Err(ClientError::Problem(Box::new(problem))),
            None => Ok(outcome.lease),
        };
    }
    let LeaseTerms { ttl_ms, bind, tag } = terms;
    let components = wish.names.clone();
    let request =
        LeaseRequest { components, ttl_ms, bind, tag, deadline_ms, ..LeaseRequest::default() };
    client.acquire(&request).await.map(Some)
}

fn failed(shared: &Shared, error: &ClientError) {
    match error {
        ClientError::Problem(problem) => shared.count(format!("socket: {}", problem.code)),
        other => {
            // The receiver has ended only when all ends.
            let _ = shared.hung.send(format!("the socket API gives no answer: {other}"));
        }
    }
}
