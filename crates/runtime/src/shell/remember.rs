//! What is learned and kept: measured footprints and load times, written seldom and off the shell's task.

use std::collections::BTreeMap;
use std::sync::Arc;

use majordomo_core::{ComponentKey, Moment, StateStore};
use majordomo_engine::Persisted;
use majordomo_registry::Catalog;

use super::Shell;
use crate::state::host_hash;
use crate::state::measured::{self, Measured, MeasuredKey};

/// Changes are gathered for this long before they are written.
const COALESCE: std::time::Duration = std::time::Duration::from_secs(10);

impl Memory {
    /// What is wrong with where things are kept.
    pub(super) fn note(&self) -> Option<String> {
        self.store.as_ref()?.note()
    }
}

fn measured_key(catalog: &Catalog, key: ComponentKey, host: u64) -> MeasuredKey {
    let component = catalog.id(key).clone();
    MeasuredKey { component, config: catalog.config_hash(key), host }
}

/// What waits to be written, and where to.
pub(crate) struct Memory {
    /// This machine: figures of another one do not count.
    host: u64,
    store: Option<Arc<dyn StateStore>>,
    dirty: BTreeMap<ComponentKey, Persisted>,
    since: Option<Moment>,
    writing: Option<tokio::task::JoinHandle<()>>,
}

impl Memory {
    /// Reads what earlier processes learned of the components of a catalog.
    pub(super) fn open(
        store: Option<Arc<dyn StateStore>>,
        catalog: &Catalog,
    ) -> (Self, Vec<Persisted>) {
        let mut learned = Vec::new();
        let host = host_hash().unwrap_or(0);
        if let Some(store) = &store {
            for key in catalog.keys() {
                match measured::get(&**store, &measured_key(catalog, key, host)) {
                    Ok(Some(m)) => {
                        learned.push(Persisted { key, peak: m.peak, load_time: m.load_time });
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "learned figures cannot be read");
                        break;
                    }
                }
            }
        }
        (Self { host, store, dirty: BTreeMap::new(), since: None, writing: None }, learned)
    }

    pub(super) fn learn(&mut self, learned: Persisted) {
        if self.store.is_some() {
            self.dirty.insert(learned.key, learned);
        }
    }

    pub(super) fn describe(&self) -> String {
        match &self.store {
            None => "none: learned figures are forgotten at the end".to_owned(),
            Some(_) if self.dirty.is_empty() => "up to date".to_owned(),
            Some(_) => format!("{} to write", self.dirty.len()),
        }
    }
}

impl Shell {
    /// Writes what was learned, if it is time or `now` is set; one write at a time.
    pub(super) fn remember(&mut self, now: bool) {
        if self.memory.dirty.is_empty() {
            return;
        }
        let at = self.clock.now();
        let since = *self.memory.since.get_or_insert(at);
        let busy = self.memory.writing.as_ref().is_some_and(|w| !w.is_finished());
        if busy || (!now && at.since(since) < COALESCE) {
            return;
        }
        let Some(store) = self.memory.store.clone() else { return };
        self.memory.since = None;
        let catalog = Arc::clone(self.engine.catalog());
        let host = self.memory.host;
        let batch: Vec<_> = std::mem::take(&mut self.memory.dirty)
            .into_values()
            .map(|p| {
                let m = Measured { peak: p.peak, load_time: p.load_time };
                measured::put(&measured_key(&catalog, p.key, host), &m)
            })
            .collect();
        self.memory.writing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = store.apply(&batch) {
                tracing::warn!(%error, "learned figures cannot be written");
            }
        }));
    }

    /// The last writes, and the guard's end.
    pub(super) async fn finish(mut self) {
        if let Some(writing) = self.memory.writing.take() {
            let _ = writing.await;
        }
        self.remember(true);
        if let Some(writing) = self.memory.writing.take() {
            let _ = writing.await;
        }
        if let Some(processes) = &self.processes {
            processes.guard().close().await;
        }
        self.lanes.close();
        // The state file is free for another manager when the end is told.
        self.memory.store = None;
        if let Some(tell) = self.on_finished.take() {
            let _ = tell.send(std::mem::take(&mut self.stuck));
        }
    }
}
