//! Asks components in turn, each of which makes another one go to swap, and asks parked ones over their open connections.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use majordomo_server::wire::{Call, Component, LeaseRequest, State};
use majordomo_server::{Client, ClientError};
use majordomo_sim::Rng;
use serde::Serialize;

use super::configuration::{SUBJECTS, Subject, Way, shell_bytes};
use super::connection::Connection;
use super::subject::{Kind, right_answer};

/// One request in so many is also sent to another component without a lease.
const WITHOUT_LEASE: usize = 3;
/// Violations that are kept; the rest is counted.
const KEPT: usize = 20;

/// Counts of requests, and what went wrong.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Tally {
    pub(super) requests: u64,
    /// Requests over open connections to components that were parked just before.
    pub(super) to_parked: u64,
    /// Requests without a lease that an unload cut.
    pub(super) cut: u64,
    /// Lost requests, wrong answers, closed connections.
    pub(super) n_violations: u64,
    pub(super) violations: Vec<String>,
}

impl Tally {
    fn violation(&mut self, text: String) {
        self.n_violations += 1;
        if self.violations.len() < KEPT {
            self.violations.push(text);
        }
    }
}

/// Asks the components of one server.
pub(super) struct Driver {
    client: Client,
    mib: usize,
    rng: Rng,
    order: Vec<usize>,
    connections: BTreeMap<&'static str, Connection>,
    pub(super) tally: Tally,
}

impl Driver {
    pub(super) fn new(client: Client, mib: usize, seed: u64) -> Self {
        let rng = Rng::new(&[seed, 0xc1c1e]);
        let (order, connections) = (Vec::new(), BTreeMap::new());
        Self { client, mib, rng, order, connections, tally: Tally::default() }
    }

    /// The next component: each once before one comes again, so that the one that was used longest ago is needed next.
    fn next(&mut self) -> Subject {
        if self.order.is_empty() {
            self.order = (0..SUBJECTS.len()).collect();
            for i in (1..self.order.len()).rev() {
                self.order.swap(i, self.rng.below(i + 1));
            }
        }
        SUBJECTS[self.order.pop().unwrap_or(0)]
    }

    /// One demand, answered right or recorded; beside it perhaps a request to another component over its open connection.
    pub(super) async fn step(&mut self) -> anyhow::Result<()> {
        let subject = self.next();
        let seed = self.rng.below(1 << 30) as u64;
        let beside = match self.rng.below(WITHOUT_LEASE) {
            0 => self.pick_connected(subject.name),
            _ => None,
        };
        let mut connection = self.connections.remove(subject.name);
        let other = match beside {
            Some(name) => self.connections.remove(name).map(|connection| (name, connection)),
            None => None,
        };
        let (client, mib) = (&self.client, self.mib);
        let without_lease = async {
            let (name, mut connection) = other?;
            // A client of its own: calls of one client wait for each other.
            let client = Client::new(client.address().clone());
            let was = client.component(name).await.ok()?;
            let sum = connection.ask(seed).await;
            Some((name, connection, was, sum))
        };
        let demand = ask(client, subject, seed, mib, &mut connection);
        let (answered, beside) = tokio::join!(demand, without_lease);
        self.tally.requests += 1;
        if let Some(connection) = connection {
            self.connections.insert(subject.name, connection);
        }
        match answered {
            Ok(()) => {}
            Err(Asked::Ended(error)) => return Err(error),
            Err(Asked::Wrong(error)) => {
                self.connections.remove(subject.name);
                self.tally.violation(format!("{}: {error:#}", subject.name));
            }
        }
        if let Some((name, connection, was, sum)) = beside {
            self.take_unleased(name, connection, &was, seed, sum).await?;
        }
        Ok(())
    }

    /// A component with an open connection other than `name`.
    fn pick_connected(&mut self, name: &str) -> Option<&'static str> {
        let others: Vec<&'static str> =
            self.connections.keys().copied().filter(|other| *other != name).collect();
        (!others.is_empty()).then(|| *self.rng.pick(&others))
    }

    /// Judges a request without a lease: an unload may cut it, a park and a wake may not.
    async fn take_unleased(
        &mut self,
        name: &'static str,
        connection: Connection,
        was: &Component,
        seed: u64,
        sum: anyhow::Result<u64>,
    ) -> anyhow::Result<()> {
        self.tally.requests += 1;
        self.tally.to_parked +=
            u64::from(matches!(was.state, State::Paged | State::Parking | State::Waking));
        let want = want(name, seed, self.mib);
        match sum {
            Ok(sum) if sum == want => drop(self.connections.insert(name, connection)),
            Ok(sum) => self.tally.violation(format!("{name}: {sum} instead of {want}")),
            Err(error) => {
                let is = self.client.component(name).await?;
                // Its process ended, or is about to.
                let is_unloaded = is.pid != Some(connection.pid) || is.state == State::Unloading;
                if is_unloaded {
                    self.tally.cut += 1;
                } else {
                    let text = format!("{name} ({}), without a lease: {error:#}", is.state);
                    self.tally.violation(text);
                }
            }
        }
        Ok(())
    }
}

/// Why a request is not answered right.
enum Asked {
    /// The server cannot be reached, so nothing else can be asked.
    Ended(anyhow::Error),
    Wrong(anyhow::Error),
}

impl From<ClientError> for Asked {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Problem(_) => Self::Wrong(error.into()),
            other => Self::Ended(other.into()),
        }
    }
}

fn want(name: &str, seed: u64, mib: usize) -> u64 {
    let subject = SUBJECTS.iter().find(|subject| subject.name == name);
    match subject.map(|subject| subject.way) {
        Some(Way::Connection(kind)) => right_answer(kind, seed, mib),
        Some(Way::Call) | None => right_answer(Kind::Lines, seed, mib),
        Some(Way::Shell) => shell_bytes(mib) as u64,
    }
}

/// Leases and asks a component; `connection` is kept where its process is still the same.
async fn ask(
    client: &Client,
    subject: Subject,
    seed: u64,
    mib: usize,
    connection: &mut Option<Connection>,
) -> Result<(), Asked> {
    let name = subject.name;
    let sum = match subject.way {
        Way::Call | Way::Shell => {
            let call = Call { text: Some(seed.to_string()), ..Call::default() };
            let answered = client.call_component(name, &call).await?;
            let text: String = serde_json::from_str(answered.answer.get())
                .map_err(|error| Asked::Wrong(error.into()))?;
            text.parse::<u64>().map_err(|error| Asked::Wrong(error.into()))?
        }
        Way::Connection(_) => {
            let request =
                LeaseRequest { components: vec![name.to_owned()], ..LeaseRequest::default() };
            let lease = client.acquire(&request).await?;
            let sum = over_connection(client, name, seed, connection).await;
            client.release(&lease.id).await?;
            sum.map_err(Asked::Wrong)?
        }
    };
    let want = want(name, seed, mib);
    let right = || -> anyhow::Result<()> {
        ensure!(sum == want, "{sum} instead of {want}");
        Ok(())
    };
    right().map_err(Asked::Wrong)
}

/// Asks over the open connection of a leased component, or opens one where the process is another.
async fn over_connection(
    client: &Client,
    name: &str,
    seed: u64,
    connection: &mut Option<Connection>,
) -> anyhow::Result<u64> {
    let component = client.component(name).await?;
    let pid = component.pid.context("a leased program has no process")?;
    let port = component.endpoint.and_then(|e| e.port).context("a leased program has no port")?;
    let mut open = match connection.take().filter(|open| open.pid == pid) {
        Some(open) => open,
        None => Connection::open(port, pid).await?,
    };
    let sum = open.ask(seed).await?;
    *connection = Some(open);
    Ok(sum)
}
