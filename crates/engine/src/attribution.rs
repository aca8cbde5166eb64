//! Attribution of uses to commands: by what a command reported itself, or by when sweeps saw uses.
//!
//! Knows commands at work, the last command, and uses that no command has reported. Learns and predicts nothing.
//! Invariant: a use is attributed once; a command that repeats the last one is no news.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{CommandId, ComponentKey, Moment};

/// A use that no command has reported within this time counts as a command of its own.
const PATIENCE: Duration = Duration::from_secs(2);
/// Uses seen at moments no further apart are one command: the coarse clock of uses moves so often.
const TOGETHER: Duration = Duration::from_millis(100);
/// Commands at work that are remembered; the oldest are dropped.
const MOST_AT_WORK: usize = 64;

/// Commands, and uses that belong to none yet.
#[derive(Debug, Default)]
pub(crate) struct Attribution {
    /// The components that the last command used, ascending.
    last_command: Vec<ComponentKey>,
    /// Commands that have begun and not ended, the latest last, with what they are about to use, ascending.
    at_work: Vec<(CommandId, Vec<ComponentKey>)>,
    /// Uses that no command has reported, by their last moment.
    open: BTreeMap<ComponentKey, Moment>,
    /// Up to when uses of a component are attributed.
    attributed: BTreeMap<ComponentKey, Moment>,
    /// Uses up to then are forgotten.
    forgotten: Option<Moment>,
}

impl Attribution {
    /// A command is about to use these, ascending.
    pub(crate) fn begin(&mut self, command: CommandId, uses: Vec<ComponentKey>) {
        if self.at_work.len() == MOST_AT_WORK {
            self.at_work.remove(0);
        }
        self.at_work.push((command, uses));
    }

    /// A command is no longer at work; returns whether it was.
    pub(crate) fn end(&mut self, command: CommandId) -> bool {
        let before = self.at_work.len();
        self.at_work.retain(|(id, _)| *id != command);
        self.at_work.len() < before
    }

    /// A command used these, ascending, up to a moment; returns whether it differs from the last one.
    pub(crate) fn attribute(&mut self, used: &[ComponentKey], up_to: Moment) -> bool {
        for key in used {
            self.open.remove(key);
            self.attributed.insert(*key, up_to);
        }
        let is_new = !used.is_empty() && used != self.last_command;
        if is_new {
            self.last_command = used.to_vec();
        }
        is_new
    }

    /// A sweep found a use.
    pub(crate) fn swept(&mut self, key: ComponentKey, last_use: Moment) {
        let forgotten = self.forgotten.is_some_and(|t| last_use <= t);
        let attributed = self.attributed.get(&key).is_some_and(|t| last_use <= *t);
        // A command at work reports it when it ends.
        if !forgotten && !attributed && !self.is_at_work(key) {
            self.open.insert(key, last_use);
        }
    }

    /// Whether the last command or one at work uses a component.
    pub(crate) fn is_current(&self, key: ComponentKey) -> bool {
        self.last_command.contains(&key) || self.is_at_work(key)
    }

    fn is_at_work(&self, key: ComponentKey) -> bool {
        self.at_work.iter().any(|(_, uses)| uses.contains(&key))
    }

    /// The uses of the latest command at work, unless it repeats the last command.
    pub(crate) fn under_way(&self) -> Option<&[ComponentKey]> {
        let (_, uses) = self.at_work.last()?;
        (*uses != self.last_command).then_some(uses)
    }

    /// When open uses become a command.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.open.values().min().map(|at| *at + PATIENCE)
    }

    /// The oldest open uses that belong together, if they have waited long enough, and the last moment among them.
    pub(crate) fn take_open(&mut self, now: Moment) -> Option<(Moment, Vec<ComponentKey>)> {
        let first = self.open.values().min().copied().filter(|at| *at + PATIENCE <= now)?;
        let together = |at: Moment| at.since(first) <= TOGETHER;
        let set: Vec<_> =
            self.open.iter().filter(|(_, at)| together(**at)).map(|(k, _)| *k).collect();
        let last = set.iter().filter_map(|k| self.open.remove(k)).max()?;
        Some((last, set))
    }

    /// Forgets all uses up to now.
    pub(crate) fn forget(&mut self, now: Moment) {
        *self = Self { forgotten: Some(now), ..Self::default() };
    }
}
