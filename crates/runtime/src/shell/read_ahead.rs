//! Carries out what the engine says of files: they are read ahead, and learned.

use std::sync::Arc;

use majordomo_core::{ComponentKey, IncarnationId};

use super::Shell;
use super::file_reads::{Demanded, Open};
use crate::component_files::{self, Account, LearnedFile, Pace, Reading};
use crate::message::Control;
use crate::process::RunningProcess;

/// A read ahead brings at most this part of the available memory into the cache: more would push out what others need, and
/// its own beginning.
const MOST: f64 = 0.5;

impl Shell {
    /// Starts the read ahead of a component's files.
    pub(super) fn read_ahead(&mut self, key: ComponentKey, speculative: bool) {
        let Some(spec) = self.engine.catalog().spec(key).cloned() else { return };
        let learned = self.learned.files.of(key, self.engine.catalog());
        if learned.is_empty() && spec.files.is_empty() {
            return;
        }
        let bandwidth = self.engine.config().read_ahead.bandwidth;
        let pace = match speculative {
            true => Pace::Speculative(bandwidth, Arc::clone(&self.learned.files.bucket)),
            false => Pace::Demanded,
        };
        let available = self.felt.as_ref().and_then(crate::pressure::Felt::available);
        let most = available.unwrap_or_else(|| self.engine.budget().total()).scaled(MOST);
        let (account, base) = (Arc::new(Account::default()), self.base_dir.clone());
        let of_task = Arc::clone(&account);
        let task = tokio::spawn(async move {
            let files = tokio::task::spawn_blocking(move || {
                let mut files = component_files::declared(&spec.files, &base);
                files.extend(component_files::unchanged(learned));
                files
            });
            let files = files.await.unwrap_or_default();
            component_files::read(Reading { files, pace, most, account: of_task }).await;
        });
        let task = task.abort_handle();
        if speculative {
            let at = self.clock.now();
            let open = Open { at, account, task };
            if let Some(before) = self.learned.files.open.insert(key, open) {
                before.task.abort();
                self.learned.files.wasted += before.account.read();
            }
        } else {
            self.learned.files.demanded(key, Demanded { account, task });
        }
    }

    /// Ends all speculative reads. The bytes that were read stay cached, and may become useful.
    pub(super) fn stop_read_ahead(&mut self) {
        self.learned.files.open.values().for_each(|open| open.task.abort());
    }

    /// A program was loaded: its files are learned, for its next load.
    pub(super) fn learn_files(&mut self, id: IncarnationId, process: Option<&Arc<RunningProcess>>) {
        let now = self.clock.now();
        self.learned.files.loaded(id.key, now);
        let Some(process) = process.filter(|_| self.engine.config().read_ahead.enabled) else {
            return;
        };
        let (members, control) = (Arc::clone(process.members()), self.lanes.control());
        tokio::task::spawn_blocking(move || {
            let pids: Vec<_> = members.find_known().iter().map(|entry| entry.pid).collect();
            let files = component_files::learn(&pids);
            control.send(Control::Files { id, files });
        });
    }

    pub(super) fn learned_files(&mut self, id: IncarnationId, files: Vec<LearnedFile>) {
        // None: the program has ended, or the system does not list them. Another configuration has other files.
        if !files.is_empty() && !self.engine.scheduler().entry(id.key).restart().is_outdated() {
            self.learned.files.learn(id.key, files, self.engine.catalog());
        }
    }
}
