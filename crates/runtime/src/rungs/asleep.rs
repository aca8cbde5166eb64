//! The rung asleep: the component runs and holds less memory by its own means.
//!
//! Programs and services are asked by the requests that they declare, builtins by their hooks. Invariant: a report has the
//! measured bytes of the component's own pool, where they can be measured, and those of other pools as declared.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, Rung};
use majordomo_engine::{Need, ParkReport, RungOffer, WakeReport};
use majordomo_memory::RungFigures;
use majordomo_registry::{Catalog, ComponentSpec, LoaderSpec};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Body, Subject};
use crate::component::Instance;
use crate::process::RunningProcess;

/// A wake is expected to take this part of a load, until one was measured.
const WAKE_SHARE: u32 = 4;
/// A component whose request or hook has no time stated has so long to fall asleep.
const PATIENCE: Duration = Duration::from_secs(30);
/// Memory is looked at again after this, when it has to fall after a signal.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Memory has fallen to what is expected when it is within this part of it, or within this many bytes.
const SLACK_SHARE: u64 = 16;
const SLACK: u64 = 1 << 20;

/// The components that can sleep, apart from those whose configuration says so.
#[derive(Debug, Default)]
pub(crate) struct Asleep {
    /// The bytes that builtins expect to hold asleep, by their own account, with the hash of their configuration.
    builtins: BTreeMap<ComponentKey, (u64, ByteSize)>,
}

impl Asleep {
    /// The components that can be put to sleep. `load_time` is how long a component is expected to load.
    pub(crate) fn offers(
        &self,
        catalog: &Catalog,
        load_time: impl Fn(ComponentKey) -> Duration,
    ) -> Vec<RungOffer> {
        let offer = |key: ComponentKey| {
            let spec = catalog.spec(key)?;
            let (asleep, patience) = self.expected(key, spec, catalog)?;
            let wake = load_time(key) / WAKE_SHARE;
            let figures = RungFigures { wake, patience, ..figures(key, asleep, spec, catalog) };
            Some(RungOffer { key, rung: Rung::Asleep, figures })
        };
        catalog.keys().filter_map(offer).collect()
    }

    /// The bytes that a component expects to hold in its own pool while it sleeps, and the time that it may take to get there;
    /// none when it does not sleep.
    fn expected(
        &self,
        key: ComponentKey,
        spec: &ComponentSpec,
        catalog: &Catalog,
    ) -> Option<(ByteSize, Duration)> {
        let stated = spec.asleep.as_ref().map(|asleep| asleep.memory.unwrap_or(spec.memory));
        match &spec.loader {
            LoaderSpec::Process(process) => Some((stated?, process.sleep.as_ref()?.timeout)),
            LoaderSpec::External(service) => {
                service.sleep.as_ref()?;
                Some((stated?, patience(spec)))
            }
            LoaderSpec::Builtin { .. } => {
                let (hash, own) = self.builtins.get(&key)?;
                let is_current = *hash == catalog.config_hash(key);
                is_current.then(|| (stated.unwrap_or(*own), PATIENCE))
            }
            LoaderSpec::Python { .. } => None,
            _ => None,
        }
    }

    /// Records the memory that a builtin expects to hold asleep; none when it does not sleep.
    pub(crate) fn record(&mut self, key: ComponentKey, hash: u64, bytes: Option<ByteSize>) {
        match bytes {
            Some(bytes) => drop(self.builtins.insert(key, (hash, bytes))),
            None => drop(self.builtins.remove(&key)),
        }
    }
}

/// The shares of a component's declared memory that are expected to stay, and to move from other pools to its own.
fn figures(
    key: ComponentKey,
    asleep: ByteSize,
    spec: &ComponentSpec,
    catalog: &Catalog,
) -> RungFigures {
    let sum = |apart: &[(usize, ByteSize)]| -> ByteSize { apart.iter().map(|(_, b)| *b).sum() };
    let share = |part: ByteSize, of: ByteSize| {
        if of.0 == 0 { 0.0 } else { (part.0 as f64 / of.0 as f64).min(1.0) }
    };
    let (apart, apart_asleep) = (sum(catalog.apart(key)), sum(catalog.apart_asleep(key)));
    RungFigures {
        stays: share(asleep, spec.memory),
        apart_stays: share(apart_asleep, apart),
        moves: share(asleep - spec.memory, apart),
        ..RungFigures::default()
    }
}

/// Puts a component to sleep.
pub(super) async fn park(subject: &Subject) -> Result<ParkReport, String> {
    let own = match &subject.body {
        Body::Process(process) => put_to_sleep(process, subject).await?,
        Body::Service(service) => {
            service.sleep(patience(&subject.spec)).await?;
            expected(subject)
        }
        Body::Builtin(held) => {
            let outcome = held.ask(Instance::sleep).await;
            outcome.unwrap_or_else(|| Err("its hook panicked".to_owned()))?;
            subject.body.footprint().await.unwrap_or_else(|| expected(subject))
        }
    };
    let mut held: Need = subject.apart_asleep.iter().copied().collect();
    held.add(subject.own_pool, own);
    Ok(ParkReport { held, ..ParkReport::default() })
}

/// The bytes that a component is expected to hold in its own pool while it sleeps, where they cannot be measured.
fn expected(subject: &Subject) -> ByteSize {
    let stated = subject.spec.asleep.as_ref().and_then(|asleep| asleep.memory);
    let by_itself = match &subject.body {
        Body::Builtin(held) => held.expects_asleep(),
        Body::Process(_) | Body::Service(_) => None,
    };
    stated.or(by_itself).unwrap_or(subject.spec.memory)
}

/// A service has as long for its request as when it is unloaded.
fn patience(spec: &ComponentSpec) -> Duration {
    spec.stop_deadline.unwrap_or(PATIENCE)
}

/// Asks a program to sleep, and returns what it holds then.
async fn put_to_sleep(process: &RunningProcess, subject: &Subject) -> Result<ByteSize, String> {
    let ended = || "it has ended".to_owned();
    let before = subject.body.footprint().await.ok_or_else(ended)?;
    process.sleep().await?;
    let Some(request) = process.sleeps_without_answer() else {
        return subject.body.footprint().await.ok_or_else(ended);
    };
    let target = expected(subject).0;
    let enough = ByteSize(target + (target / SLACK_SHARE).max(SLACK));
    let until = Instant::now() + request.timeout;
    let mut last = before;
    let fallen = async {
        let mut pause = FIRST_PAUSE;
        loop {
            last = subject.body.footprint().await.ok_or_else(ended)?;
            if last <= enough {
                return Ok(last);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    match timeout_at(until, fallen).await {
        Ok(fallen) => fallen,
        Err(_) if last < before => Ok(last),
        Err(_) => Err(format!("its memory was {before} before the signal, and is {last} after it")),
    }
}

/// Wakes a component that sleeps.
pub(super) async fn wake(subject: &Subject) -> Result<WakeReport, String> {
    match &subject.body {
        Body::Process(process) => process.wake().await?,
        Body::Service(service) => service.wake().await?,
        Body::Builtin(held) => {
            let outcome = held.ask(Instance::wake).await;
            outcome.unwrap_or_else(|| Err("its hook panicked".to_owned()))?;
        }
    }
    Ok(WakeReport { measured: subject.body.footprint().await, swap: ByteSize::ZERO })
}
