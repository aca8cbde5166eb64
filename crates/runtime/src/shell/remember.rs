//! Writing the learned store, seldom and off the shell's task.

mod forget;

use std::sync::Arc;

use majordomo_core::{ComponentKey, Moment, StoreOp};
use majordomo_engine::Input;

use super::learned_store::Unwritten;
use super::{SWEEP, Shell};
use crate::rungs::paged;
use crate::state::{FILES, SEQUENCE, measured, rungs, stages};
use crate::usage::UsageSummary;

/// Components that a summary names.
const N_LIKELIEST: usize = 10;

impl Shell {
    /// Writes the learned figures, if it is time or `now` is set; one write at a time. The changes of a failed one are written
    /// again after the usual pause.
    pub(super) async fn remember(&mut self, now: bool) {
        if self.learned.writing.as_ref().is_some_and(|w| now || w.is_finished()) {
            self.learned.settle(&self.clock).await;
        }
        if self.learned.is_written() || self.learned.writing.is_some() {
            return;
        }
        let at = self.clock.now();
        let since = *self.learned.since.get_or_insert(at);
        let after = self.engine.config().state.write_after;
        // The sweep nearest to it writes.
        if !now && at.since(since) + SWEEP / 2 < after {
            return;
        }
        let Some(store) = self.learned.store.clone() else { return };
        self.learned.since = None;
        let catalog = Arc::clone(self.engine.catalog());
        let learned = std::mem::take(&mut self.learned.dirty);
        let stages = std::mem::take(&mut self.learned.stages.dirty);
        let rungs = std::mem::take(&mut self.learned.rungs);
        let files = std::mem::take(&mut self.learned.files.dirty);
        let usage = self.learned.usage.take_changes();
        let has_usage = !usage.is_empty();
        let scrub = std::mem::take(&mut self.learned.scrub);
        let swap_writes = self.learned.swap_writes.take();
        let sequence = std::mem::take(&mut self.learned.sequence_dirty)
            .then(|| Arc::clone(self.engine.sequence()));
        self.learned.writing = Some(tokio::task::spawn_blocking(move || {
            let mut batch: Vec<_> = learned.iter().map(|(key, m)| measured::put(key, m)).collect();
            batch.extend(stages.iter().map(|(key, times)| stages::put(key, times)));
            batch.extend(rungs.iter().map(|((key, rung), l)| rungs::put(key, *rung, l)));
            batch.extend(usage);
            batch.extend(files.iter().map(|(name, record)| StoreOp::Put {
                namespace: FILES.to_owned(),
                key: name.clone(),
                value: record.clone(),
            }));
            if let Some(sequence) = &sequence {
                let name = |key: ComponentKey| {
                    (key.index() < catalog.len()).then(|| catalog.id(key).clone())
                };
                let (namespace, key) = (SEQUENCE.0.to_owned(), SEQUENCE.1.to_owned());
                batch.push(StoreOp::Put { namespace, key, value: sequence.encode(name) });
            }
            if let Some(value) = &swap_writes {
                let (namespace, key) = (paged::STORED.0.to_owned(), paged::STORED.1.to_owned());
                batch.push(StoreOp::Put { namespace, key, value: value.clone() });
            }
            let written = store.apply(&batch);
            written.and_then(|()| if scrub { store.scrub() } else { Ok(()) }).map_err(|error| {
                let sequence = sequence.is_some();
                let why = error.to_string();
                let usage = has_usage;
                Box::new(Unwritten {
                    learned,
                    stages,
                    files,
                    rungs,
                    sequence,
                    usage,
                    swap_writes,
                    scrub,
                    why,
                })
            })
        }));
    }

    /// Records the components that a command used in the history.
    pub(super) fn record_use(&mut self, used: &[ComponentKey]) {
        if self.learned.store.is_some() {
            let catalog = self.engine.catalog();
            let names = used.iter().map(|k| catalog.id(*k).as_str().to_owned()).collect();
            self.learned.usage.push(self.wall_clock.now(), names);
        }
    }

    /// A summary of the usage history and of the sequence model.
    pub(super) fn usage_summary(&self) -> UsageSummary {
        let (model, catalog) = (self.engine.sequence(), self.engine.catalog());
        let likeliest = model.likeliest(N_LIKELIEST).into_iter();
        UsageSummary {
            commands_learned: model.n_observed(),
            likeliest: likeliest.map(|(k, p)| (catalog.id(k).clone(), p)).collect(),
            ..self.learned.usage.summary()
        }
    }

    /// Forgets the history and what was learned from it, here and on disk.
    pub(super) fn forget_use(&mut self) {
        self.learned.usage.clear();
        self.learned.scrub = true;
        self.feed(Input::Forget);
        // Written with the next sweep.
        self.learned.since = Some(Moment::ZERO);
    }

    /// The last writes, and the guard's end.
    pub(super) async fn finish(mut self) {
        self.remember(true).await;
        self.learned.settle(&self.clock).await;
        if let Some(processes) = &self.processes {
            processes.guard().close().await;
        }
        self.lanes.close();
        // The state file is free for another manager when the end is reported.
        self.learned.store = None;
        if let Some(finish) = self.on_finished.take() {
            let _ = finish.send(std::mem::take(&mut self.stuck));
        }
    }
}
