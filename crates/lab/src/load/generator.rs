//! The open-loop generator: requests fall due at fixed times, whatever becomes of those before.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use majordomo_server::wire::LeaseRequest;
use majordomo_server::{Address, Client, ClientError};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::PATIENCE;
use super::outcome::Outcome;

/// Requests that are under way at most; what is due beyond it is not sent, which is counted.
const UNDER_WAY: usize = 10_000;
/// Descriptors that are left for other things.
const SPARE: u64 = 200;

/// The requests to the server.
pub(super) fn request(name: &str) -> LeaseRequest {
    LeaseRequest {
        components: vec![name.to_owned()],
        ttl_ms: Some(5_000),
        deadline_ms: Some(2_000),
        ..LeaseRequest::default()
    }
}

/// Connections that are idle.
pub(super) struct Pool {
    address: Address,
    idle: Mutex<Vec<Client>>,
    under_way: usize,
}

type Answer = Option<(Result<(), ClientError>, Duration)>;

/// Requests that were sent and are not all answered.
pub(super) struct Sent {
    outcome: Outcome,
    under_way: JoinSet<Answer>,
}

impl Sent {
    /// Waits for the rest of the answers.
    pub(super) async fn answered(mut self) -> Outcome {
        while let Some(done) = self.under_way.join_next().await {
            self.outcome.take(done.ok());
        }
        self.outcome
    }
}

impl Pool {
    pub(super) fn new(socket: &Path) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let room = limit.map_or(UNDER_WAY as u64, |n| n.saturating_sub(SPARE));
        let under_way = usize::try_from(room).unwrap_or(UNDER_WAY).min(UNDER_WAY);
        Self { address: Address::Unix(socket.to_owned()), idle: Mutex::default(), under_way }
    }

    /// A connection.
    pub(super) fn client(&self) -> Client {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().unwrap_or_else(|| Client::new(self.address.clone()))
    }

    /// A lease and its return; how long the lease took.
    pub(super) async fn once(&self, name: &str) -> (Result<(), ClientError>, Duration) {
        let client = self.client();
        let asked = Instant::now();
        let answer = client.acquire(&request(name)).await;
        let took = asked.elapsed();
        let answer = match answer {
            Ok(lease) => client.release(&lease.id).await,
            Err(error) => Err(error),
        };
        // A connection that broke is not used again; one that was refused is opened again.
        if answer.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        }
        (answer, took)
    }

    /// Sends at a rate and waits for the answers.
    pub(super) async fn at_rate(self: &Arc<Self>, rate: f64, lasts: Duration) -> Outcome {
        self.send(rate, lasts).await.answered().await
    }

    /// Sends at a rate, whatever the answers do.
    pub(super) async fn send(self: &Arc<Self>, rate: f64, lasts: Duration) -> Sent {
        let began = Instant::now();
        let n = (rate * lasts.as_secs_f64()) as u64;
        let mut sent =
            Sent { outcome: Outcome { due: n, ..Outcome::default() }, under_way: JoinSet::new() };
        for i in 0..n {
            let due = began + Duration::from_secs_f64(i as f64 / rate);
            // The timer is good for a millisecond; a request that is due within it is sent at once.
            if due > Instant::now() + Duration::from_millis(1) {
                sleep_until(due).await;
            }
            while let Some(done) = sent.under_way.try_join_next() {
                sent.outcome.take(done.ok());
            }
            if sent.under_way.len() >= self.under_way {
                continue;
            }
            sent.outcome.sent += 1;
            let pool = Arc::clone(self);
            sent.under_way.spawn(async move {
                let late = Instant::now().saturating_duration_since(due);
                let answered = timeout(PATIENCE, pool.once("hot")).await.ok();
                answered.map(|(answer, took)| (answer, late + took))
            });
        }
        sent.outcome.seconds = began.elapsed().as_secs_f64();
        sent
    }
}
