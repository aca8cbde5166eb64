//! Those who ask: many tasks, each with its own stream of wishes, some of whom leave before they are served. Every
//! third asks through the socket API (`sockets`), the others through the library.
//!
//! Every wait has a deadline; one that outlives it by far is a hung waiter.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use majordomo::{AcquireOptions, AnyLease, Endpoint, Manager};
use majordomo_server::Address;
use majordomo_sim::Rng;
use tokio::sync::{RwLock, watch};
use tokio::time::{Instant, sleep, timeout};

use super::catalog::{self, BUILTINS, EXTRA, PROGRAMS};
use super::faults::Weight;
use super::histogram::Histogram;
use super::plan::Shift;
use super::sockets;

/// An answer that is later than its deadline by this much does not come; asked twice, since the process itself may
/// have been stopped meanwhile.
const GRACE: Duration = Duration::from_secs(8);
/// One in so many clients asks through the socket.
const THROUGH_SOCKET: usize = 3;

/// The figures of the clients since the last look, and in all.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) ready: Histogram,
    pub(crate) wait: Histogram,
    /// Leases through the socket, ready or not.
    pub(crate) socket: Histogram,
    pub(crate) counters: BTreeMap<Cow<'static, str>, u64>,
}

/// The state that all clients share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) manager: Manager,
    pub(crate) tally: Arc<Mutex<Tally>>,
    /// Held for reading by each client that asks; the night holds it for writing.
    pub(crate) gate: Arc<RwLock<()>>,
    pub(crate) shift: watch::Receiver<Shift>,
    /// Where the manager's socket is.
    pub(crate) socket: Address,
    /// The channel for hung waiters and for answers that are none.
    pub(crate) hung: tokio::sync::mpsc::UnboundedSender<String>,
}

impl Shared {
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        // Counters are whole whatever panicked.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, what: impl Into<Cow<'static, str>>) {
        *self.tally().counters.entry(what.into()).or_default() += 1;
    }
}

/// The components to ask for, and the patience.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) names: Vec<String>,
    pub(crate) deadline: Duration,
    /// Cancels after so long without an answer.
    pub(crate) cancels: Option<Duration>,
    /// Keeps what it gets for so long.
    pub(crate) holds: Option<Duration>,
    /// The words, when it is a command.
    pub(crate) words: Option<String>,
}

impl Wish {
    pub(crate) fn new(shift: Shift, rng: &mut Rng) -> Self {
        let place = |rng: &mut Rng| catalog::name(zipf(rng, PROGRAMS + BUILTINS, shift.zipf));
        let mut names = vec![place(rng)];
        while names.len() < 3 && rng.chance(0.2) {
            names.push(place(rng));
        }
        if rng.chance(0.01) {
            names = vec![EXTRA.to_owned()];
        }
        let deadline = rng.millis(200, 5_000);
        let cancels = rng.chance(0.08).then(|| rng.millis(1, 60));
        let holds = rng.chance(0.3).then(|| rng.millis(1, 60));
        let words = rng.chance(0.3).then(|| format!("please use {}", names.join(" and use ")));
        Self { names, deadline, cancels, holds, words }
    }

    /// Waits for the answer as long as the wish says; none when it was cancelled, or has no answer, which is reported.
    pub(crate) async fn wait<A>(
        &self,
        shared: &Shared,
        answer: impl Future<Output = A>,
    ) -> Option<A> {
        let asked = Instant::now();
        tokio::pin!(answer);
        if let Some(patience) = self.cancels {
            let answered = timeout(patience, &mut answer).await.ok();
            if answered.is_none() {
                shared.count("left");
            }
            return answered;
        }
        for patience in [self.deadline + GRACE, GRACE] {
            if let Ok(answered) = timeout(patience, &mut answer).await {
                return Some(answered);
            }
        }
        let (names, waited) = (&self.names, asked.elapsed());
        let report = format!("invariant 6: a demand for {names:?} has no answer after {waited:?}");
        // The receiver has ended only when all ends.
        let _ = shared.hung.send(report);
        None
    }
}

/// A place in 0..n, place k with a weight of 1 / (k + 1)^exponent.
fn zipf(rng: &mut Rng, n: usize, exponent: f64) -> usize {
    let weight = |k: usize| ((k + 1) as f64).powf(-exponent);
    let mut left = rng.unit() * (0..n).map(weight).sum::<f64>();
    (0..n)
        .find(|k| {
            left -= weight(*k);
            left < 0.0
        })
        .unwrap_or(n - 1)
}

/// One client, until the sender of shifts is gone.
pub(crate) async fn run(number: usize, shared: Shared, mut rng: Rng) {
    let mut shifts = shared.shift.clone();
    loop {
        let shift = *shifts.borrow_and_update();
        if number >= shift.clients {
            if shifts.changed().await.is_err() {
                return;
            }
            continue;
        }
        {
            let _open = shared.gate.read().await;
            if number.is_multiple_of(THROUGH_SOCKET) {
                sockets::visit(&shared, shift, &mut rng).await;
            } else {
                ask(&shared, shift, &mut rng).await;
            }
        }
        let pause = rng.millis(shift.pause_ms.0, shift.pause_ms.1);
        if matches!(timeout(pause, shifts.changed()).await, Ok(Err(_))) {
            return;
        }
    }
}

async fn ask(shared: &Shared, shift: Shift, rng: &mut Rng) {
    let wish = Wish::new(shift, rng);
    let names: Vec<_> = wish.names.iter().map(String::as_str).collect();
    if let [name] = names[..]
        && let Some(lease) = at_once(shared, name)
    {
        shared.count("at once");
        hold(vec![lease], wish.holds).await;
        return;
    }
    let options = AcquireOptions::within(wish.deadline);
    let asked = Instant::now();
    let answer = async {
        match &wish.words {
            Some(text) => {
                let outcome = shared.manager.command_with(text, options).await;
                outcome.mark_used();
                match outcome.refusal().cloned() {
                    Some(refusal) => Err(refusal),
                    None => Ok(outcome.into_leases()),
                }
            }
            None => shared.manager.acquire_all(&names, options).await,
        }
    };
    match wish.wait(shared, answer).await {
        None => {}
        Some(Ok(leases)) => {
            shared.tally().wait.record(asked.elapsed());
            shared.count("granted");
            hold(leases, wish.holds).await;
        }
        Some(Err(refusal)) => shared.count(refusal.code()),
    }
}

/// A lease on what is ready, and how long that took.
fn at_once(shared: &Shared, name: &str) -> Option<AnyLease> {
    let asked = Instant::now();
    let lease = if name.starts_with('p') {
        shared.manager.try_acquire::<Endpoint>(name)?.into_any()
    } else {
        let lease = shared.manager.try_acquire::<Weight>(name)?;
        if !lease.is_awake() {
            // The receiver has ended only when all ends.
            let _ = shared.hung.send(format!("invariant 11: {name} is leased and sleeps"));
        }
        lease.into_any()
    };
    let took = asked.elapsed();
    shared.tally().ready.record(took);
    Some(lease)
}

async fn hold(leases: Vec<AnyLease>, time: Option<Duration>) {
    leases.iter().for_each(AnyLease::mark_used);
    if let Some(time) = time {
        sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popularity_follows_the_exponent() {
        let mut rng = Rng::new(&[4]);
        let mut counts = |exponent| {
            let mut counts = [0u32; 5];
            (0..20_000).for_each(|_| counts[zipf(&mut rng, 5, exponent)] += 1);
            counts
        };
        let even = counts(0.0);
        assert!(even.iter().all(|n| n.abs_diff(4_000) < 400), "{even:?}");
        // 1, 1/2, 1/3, 1/4, 1/5 of 2.283.
        let steep = counts(1.0);
        let expected = [8_759, 4_380, 2_920, 2_190, 1_752];
        assert!(steep.iter().zip(expected).all(|(n, e)| n.abs_diff(e) < 400), "{steep:?}");
    }
}
