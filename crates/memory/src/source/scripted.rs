//! Readings by script, for tests and simulations: a list that ends, or a handle that sets the next answer.
//!
//! Invariant: a list gives each entry once; after the last it fails, so that a test which reads too often fails
//! too.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::PressureSource;
use crate::error::SourceError;
use crate::reading::PressureReading;

type Entry = Result<PressureReading, String>;

/// A source whose answers are set by a script.
#[derive(Debug)]
pub struct ScriptedSource {
    name: String,
    script: Script,
}

#[derive(Debug)]
enum Script {
    List(VecDeque<Entry>),
    Shared(Arc<Mutex<Entry>>),
}

/// Sets what a [`ScriptedSource`] answers from now on.
#[derive(Clone, Debug)]
pub struct ScriptHandle(Arc<Mutex<Entry>>);

// One assignment under the lock leaves no half-made entry behind, so a poisoned lock is still good.
fn lock(entry: &Mutex<Entry>) -> MutexGuard<'_, Entry> {
    entry.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptHandle {
    /// Sets the reading that the source answers until the next call.
    pub fn set(&self, reading: PressureReading) {
        *lock(&self.0) = Ok(reading);
    }

    /// Makes the source fail with these words until the next call.
    pub fn fail(&self, why: impl Into<String>) {
        *lock(&self.0) = Err(why.into());
    }
}

impl ScriptedSource {
    /// Gives the entries one after another, then fails.
    pub fn list(name: impl Into<String>, entries: impl IntoIterator<Item = Entry>) -> Self {
        let script = Script::List(entries.into_iter().collect());
        Self { name: name.into(), script }
    }

    /// Answers what the handle sets, at first `reading`.
    pub fn shared(name: impl Into<String>, reading: PressureReading) -> (Self, ScriptHandle) {
        let entry = Arc::new(Mutex::new(Ok(reading)));
        let source = Self { name: name.into(), script: Script::Shared(Arc::clone(&entry)) };
        (source, ScriptHandle(entry))
    }
}

impl PressureSource for ScriptedSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> Result<PressureReading, SourceError> {
        let entry = match &mut self.script {
            Script::List(list) => {
                list.pop_front().unwrap_or_else(|| Err("has no further reading".to_owned()))
            }
            Script::Shared(entry) => lock(entry).clone(),
        };
        entry.map_err(SourceError::Script)
    }
}
