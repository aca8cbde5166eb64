//! State that survives a restart: one `redb` file in the state directory, behind `core::StateStore`.
//!
//! Owns the directory's lock, the file, its version and the checksums of its values. Knows nothing of
//! what the bytes mean, but for [`measured`]. Blocking; belongs on a blocking thread.
//! Invariants: a batch is there whole or not at all, and on disk when `apply` returns; a file that is
//! corrupt or not ours is renamed, never deleted or overwritten; one process at a time has the directory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use majordomo_core::{StateStore, StoreError, StoreOp};
use redb::{Database, ReadableDatabase, ReadableTable};

mod error;
mod forget;
mod format;
mod host;
pub mod measured;
mod open;
pub mod rungs;
pub mod stages;

use format::{FRESH, VALUES, checked, seal_into, sealed_len};
use open::Home;

pub use error::{SetAside, StateError, is_full_disk};
pub use forget::forget;
pub use format::{FILE, LOCK};
pub use host::host_hash;

/// The namespace of the learned files of components, by name.
pub(crate) const FILES: &str = "files";

/// The namespace of the history of uses, in chunks.
pub const USAGE: &str = "usage";

/// Where the sequence model is kept: namespace and key.
pub const SEQUENCE: (&str, &str) = ("sequence", "model");

/// The open state.
#[derive(Debug)]
pub struct RedbStore {
    path: PathBuf,
    // None after an I/O error that left the database unusable, until it could be opened again.
    db: RwLock<Option<Database>>,
    // Held open: closing it gives the directory to the next. None for a copy.
    home: Mutex<Option<Arc<Home>>>,
}

impl RedbStore {
    /// Opens or creates the state in a directory, which is created when it is not there.
    ///
    /// A file that is corrupt, foreign or of another format is renamed and returned in the second part.
    ///
    /// # Errors
    /// [`StateError`]: in use, wrong owner, writable by others, or not usable.
    pub fn open(dir: &Path) -> Result<(Self, Option<SetAside>), StateError> {
        let home = Home::take(dir)?;
        let (db, set_aside) = open::open_or_set_aside(&home)?;
        let (path, home) = (dir.join(FILE), Some(Arc::new(home)));
        Ok((Self { path, db: RwLock::new(Some(db)), home: Mutex::new(home) }, set_aside))
    }

    /// A copy in memory of the state in a directory, to look at; none when the directory has no state. Changes nothing in
    /// the directory, and needs no permission to write there; what is written to the copy ends with it.
    ///
    /// # Errors
    /// [`StateError`]: in use, wrong owner, writable by others, or not readable.
    pub fn open_copy(dir: &Path) -> Result<Option<Self>, StateError> {
        let path = dir.join(FILE);
        let Some(db) = open::copy(dir)? else { return Ok(None) };
        Ok(Some(Self { path, db: RwLock::new(Some(db)), home: Mutex::new(None) }))
    }

    /// Makes directory, lock and file again where they were removed, as cleaners of temporary folders do, with all values.
    /// A directory that another program has taken meanwhile is that program's.
    fn restore(&self) -> Result<(), StoreError> {
        const DOING: &str = "made again";
        let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = home.as_ref() else { return Ok(()) };
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let is_held = held.is_at(dir);
        if is_held && self.path.exists() {
            return Ok(());
        }
        tracing::warn!(path = %self.path.display(), "the state was removed from under the manager; it is written again");
        if !is_held {
            let taken = Home::take(dir).map_err(|e| self.unable(DOING, &e))?;
            if !taken.folder().is(held.folder()) && self.path.exists() {
                let to = open::set_aside(&taken).map_err(|e| self.unable(DOING, &e))?;
                tracing::warn!(to = %to.display(), "another program left its state there; it was renamed");
            }
            *home = Some(Arc::new(taken));
        }
        drop(home);
        self.rewrite(DOING)
    }

    fn home(&self, doing: &str) -> Result<Arc<Home>, StoreError> {
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner).clone();
        home.ok_or_else(|| self.unable(doing, &"it is a copy"))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, doing: &str, source: impl Into<redb::Error>) -> StoreError {
        StoreError {
            what: format!("the state in {} cannot be {doing}", self.path.display()),
            source: Some(Box::new(source.into())),
        }
    }

    fn with<T>(
        &self,
        doing: &str,
        work: impl Fn(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        // A poisoned lock only means that a reader panicked; the database is transactional.
        if let Some(db) = self.db.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            match work(db) {
                Err(redb::Error::PreviousIo) => {}
                other => return other.map_err(|e| self.failed(doing, e)),
            }
        }
        // After an I/O error (a full disk) redb wants to be opened again.
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // The old one first: it holds the file's lock.
        drop(db.take());
        let reopened = self.reopen(&*self.home(doing)?, FILE, doing)?;
        work(db.insert(reopened)).map_err(|e| self.failed(doing, e))
    }

    fn reopen(&self, home: &Home, name: &str, doing: &str) -> Result<Database, StoreError> {
        open::open(home, name).map_err(|why| self.unable(doing, &why))
    }

    fn unable(&self, doing: &str, why: &dyn std::fmt::Display) -> StoreError {
        StoreError {
            what: format!("the state in {} cannot be {doing}: {why}", self.path.display()),
            source: None,
        }
    }
}

impl StateStore for RedbStore {
    fn get(&self, namespace: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with("read", |db| {
            let table = db.begin_read()?.open_table(VALUES)?;
            table.get((namespace, key))?.map(|v| checked(namespace, key, v.value())).transpose()
        })
    }

    fn list(&self, namespace: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let after = after(namespace);
        self.with("read", |db| {
            let table = db.begin_read()?.open_table(VALUES)?;
            let mut out = Vec::new();
            for entry in table.range((namespace, "")..(after.as_str(), ""))? {
                let (k, v) = entry?;
                let key = k.value().1.to_owned();
                let value = checked(namespace, &key, v.value())?;
                out.push((key, value));
            }
            Ok(out)
        })
    }

    fn namespaces(&self) -> Result<Vec<String>, StoreError> {
        self.with("read", |db| {
            let table = db.begin_read()?.open_table(VALUES)?;
            let mut out: Vec<String> = Vec::new();
            loop {
                // On to the first key behind all of the namespace before.
                let from = out.last().map(|n| after(n)).unwrap_or_default();
                match table.range((from.as_str(), "")..)?.next() {
                    Some(entry) => out.push(entry?.0.value().0.to_owned()),
                    None => return Ok(out),
                }
            }
        })
    }

    fn apply(&self, batch: &[StoreOp]) -> Result<(), StoreError> {
        let _span = tracing::debug_span!("state_write", n = batch.len()).entered();
        self.restore()?;
        self.with("written", |db| {
            let tx = db.begin_write()?;
            {
                let mut table = tx.open_table(VALUES)?;
                for op in batch {
                    match op {
                        StoreOp::Put { namespace, key, value } => {
                            let key = (namespace.as_str(), key.as_str());
                            let mut place = table.insert_reserve(key, sealed_len(value))?;
                            seal_into(value, place.as_mut());
                        }
                        StoreOp::Delete { namespace, key } => {
                            table.remove((namespace.as_str(), key.as_str()))?;
                        }
                        StoreOp::Clear { namespace } => {
                            let after = after(namespace);
                            table.retain_in(
                                (namespace.as_str(), "")..(after.as_str(), ""),
                                |_, _| false,
                            )?;
                        }
                    }
                }
            }
            tx.commit()?;
            Ok(())
        })
    }

    fn scrub(&self) -> Result<(), StoreError> {
        let _span = tracing::debug_span!("state_rewrite").entered();
        self.restore()?;
        self.rewrite("rewritten")
    }
}

impl RedbStore {
    /// Writes all values to a new file, which takes the place of the old one.
    fn rewrite(&self, doing: &str) -> Result<(), StoreError> {
        let home = self.home(doing)?;
        // Freed pages of the file keep their bytes; a new file has none.
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        let old = match db.take() {
            Some(old) => old,
            None => self.reopen(&home, FILE, doing)?,
        };
        let old = db.insert(old);
        // Left by a program that was killed here.
        home.folder().remove(FRESH).map_err(|e| self.unable(doing, &e))?;
        let new = self.reopen(&home, FRESH, doing)?;
        copy(old, &new).map_err(|e| self.failed(doing, e))?;
        drop(new);
        drop(db.take());
        home.folder().rename(FRESH, FILE).map_err(|e| self.unable(doing, &e))?;
        home.folder().sync().map_err(|e| self.unable(doing, &e))?;
        *db = Some(self.reopen(&home, FILE, doing)?);
        Ok(())
    }
}

/// Copies every value as it is.
fn copy(from: &Database, to: &Database) -> Result<(), redb::Error> {
    let values = from.begin_read()?.open_table(VALUES)?;
    let tx = to.begin_write()?;
    {
        let mut table = tx.open_table(VALUES)?;
        for entry in values.iter()? {
            let (key, value) = entry?;
            table.insert(key.value(), value.value())?;
        }
    }
    tx.commit()?;
    Ok(())
}

/// The first text after all keys of a namespace: nothing sorts between a text and itself with a zero.
fn after(namespace: &str) -> String {
    format!("{namespace}\0")
}
