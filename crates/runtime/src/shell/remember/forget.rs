//! Forgetting what was measured of components: in the engine, in what waits to be written, and in the store.

use majordomo_core::{ComponentKey, Rung, StoreError};
use majordomo_engine::{Input, LearnedRung, Persisted, PersistedRung};
use majordomo_memory::Learned;
use tokio::sync::oneshot;

use super::Shell;
use crate::state;

impl Shell {
    /// Forgets the figures of components, whatever configuration and machine they are of, and answers with how many
    /// the store had.
    pub(in crate::shell) fn forget(
        &mut self,
        keys: &[ComponentKey],
        reply: oneshot::Sender<Result<usize, StoreError>>,
    ) {
        let none = |key: &ComponentKey| Persisted {
            key: *key,
            learned: Learned::default(),
            load_time: None,
        };
        self.learned.stages.forget(keys, self.engine.catalog());
        self.learned.files.forget(keys, self.engine.catalog());
        self.feed(Input::Learned(keys.iter().map(none).collect()));
        let rungs = keys.iter().flat_map(|key| {
            let parked = Rung::ALL.iter().filter(|rung| rung.is_parked());
            parked.map(|rung| PersistedRung {
                key: *key,
                rung: *rung,
                learned: LearnedRung::default(),
            })
        });
        self.feed(Input::LearnedRungs(rungs.collect()));
        let Some(store) = self.learned.store.clone() else {
            let _ = reply.send(Ok(0));
            return;
        };
        let catalog = self.engine.catalog();
        let ids: Vec<_> = keys.iter().map(|k| catalog.id(*k).clone()).collect();
        self.learned.dirty.retain(|key, _| !ids.contains(&key.component));
        self.learned.rungs.retain(|(key, _), _| !ids.contains(&key.component));
        // After a write that is under way, which may be of these very figures.
        let before = self.learned.writing.take();
        self.learned.writing = Some(tokio::spawn(async move {
            let mut written = match before {
                Some(before) => before.await.unwrap_or(Ok(())),
                None => Ok(()),
            };
            // Figures that it could not write are tried again, but not the forgotten ones.
            if let Err(unwritten) = &mut written {
                unwritten.learned.retain(|key, _| !ids.contains(&key.component));
                unwritten.stages.retain(|key, _| !ids.contains(&key.component));
                unwritten.rungs.retain(|(key, _), _| !ids.contains(&key.component));
                unwritten.files.retain(|name, _| ids.iter().all(|id| id.as_str() != name));
            }
            let forgotten = tokio::task::spawn_blocking(move || state::forget(&*store, &ids));
            if let Ok(result) = forgotten.await {
                let _ = reply.send(result);
            }
            written
        }));
    }
}
