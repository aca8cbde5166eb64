//! The rung asleep: the component runs and holds less memory by its own means.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, Rung};
use majordomo_engine::{Need, ParkReport, RungOffer, WakeReport};
use majordomo_memory::RungFigures;
use majordomo_registry::Catalog;

use super::{Body, Subject};

/// A wake is expected to take this part of a load, until one was measured.
const WAKE_SHARE: u32 = 4;

/// The components that can sleep, apart from those whose configuration says so.
#[derive(Debug, Default)]
pub(crate) struct Asleep {
    /// The bytes that builtins expect to hold asleep, by their own account, with the hash of their configuration.
    builtins: BTreeMap<ComponentKey, (u64, ByteSize)>,
}

impl Asleep {
    pub(crate) fn offers(
        &self,
        catalog: &Catalog,
        load_time: impl Fn(ComponentKey) -> Duration,
    ) -> Vec<RungOffer> {
        let is_current = |key: &ComponentKey, hash| catalog.config_hash(*key) == hash;
        let known = self.builtins.iter().filter(|(key, (hash, _))| is_current(key, *hash));
        known
            .filter_map(|(key, (_, bytes))| offer(*key, *bytes, load_time(*key), catalog))
            .collect()
    }

    /// Records the memory that a builtin expects to hold asleep; none when it does not sleep.
    pub(crate) fn record(&mut self, key: ComponentKey, hash: u64, bytes: Option<ByteSize>) {
        match bytes {
            Some(bytes) => drop(self.builtins.insert(key, (hash, bytes))),
            None => drop(self.builtins.remove(&key)),
        }
    }
}

fn offer(
    key: ComponentKey,
    asleep: ByteSize,
    load_time: Duration,
    catalog: &Catalog,
) -> Option<RungOffer> {
    let spec = catalog.spec(key)?;
    let stays = if spec.memory.0 == 0 { 0.0 } else { asleep.0 as f64 / spec.memory.0 as f64 };
    let figures = RungFigures {
        stays: stays.min(1.0),
        wake: load_time / WAKE_SHARE,
        ..RungFigures::default()
    };
    Some(RungOffer { key, rung: Rung::Asleep, figures })
}

/// Puts a component to sleep.
pub(super) async fn park(subject: &Subject) -> Result<ParkReport, String> {
    let Body::Builtin(held) = &subject.body else { return Err("it cannot sleep".to_owned()) };
    held.ask(|instance| instance.sleep()).await.unwrap_or_else(|| Err("it panicked".to_owned()))?;
    let mut report = ParkReport { held: Need::new() };
    report
        .held
        .add(subject.own_pool, subject.body.footprint().await.unwrap_or(subject.spec.memory));
    Ok(report)
}

/// Wakes a component that sleeps.
pub(super) async fn wake(subject: &Subject) -> Result<WakeReport, String> {
    let Body::Builtin(held) = &subject.body else { return Err("it cannot be woken".to_owned()) };
    held.ask(|instance| instance.wake()).await.unwrap_or_else(|| Err("it panicked".to_owned()))?;
    Ok(WakeReport { measured: subject.body.footprint().await, swap: ByteSize::ZERO })
}
