//! What is learned and kept: measured footprints and load times, written seldom and off the shell's task.

use std::collections::BTreeMap;
use std::sync::Arc;

use majordomo_core::{ComponentKey, Moment, StateStore};
use majordomo_engine::Persisted;
use majordomo_registry::Catalog;

use super::Shell;
use crate::state::{Learned, load_learned, save_learned};

/// Changes are gathered for this long before they are written.
const COALESCE: std::time::Duration = std::time::Duration::from_secs(10);

/// What waits to be written, and where to.
pub(crate) struct Memory {
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
        if let Some(store) = &store {
            for key in catalog.keys() {
                match load_learned(&**store, catalog.id(key), catalog.config_hash(key)) {
                    Ok(Some(l)) => {
                        learned.push(Persisted { key, peak: l.peak, load_time: l.load_time });
                    }
                    Ok(None) => {}
                    Err(error) => tracing::warn!(%error, "learned figures cannot be read"),
                }
            }
        }
        (Self { store, dirty: BTreeMap::new(), since: None, writing: None }, learned)
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
        let rows: Vec<_> = std::mem::take(&mut self.memory.dirty)
            .into_values()
            .map(|p| {
                let learned = Learned { peak: p.peak, load_time: p.load_time };
                (catalog.id(p.key).clone(), catalog.config_hash(p.key), learned)
            })
            .collect();
        self.memory.writing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = save_learned(&*store, &rows) {
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
        if let Some(tell) = self.on_finished.take() {
            let _ = tell.send(std::mem::take(&mut self.stuck));
        }
    }
}
