//! Opening the state: directory, lock, file, and what to do with one that cannot be used.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use majordomo_files::{FileError, Folder, Lock, LockError, Owners, Trust};
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, TableError};

use super::error::{SetAside, StateError};
use super::format::{FILE, FORMAT, FORMAT_KEY, LOCK, META, VALUES, unseal};

/// The state is small and seldom read; redb's default would be a gibibyte.
const CACHE: usize = 256 << 10;

/// The state directory of this process: checked, held open and locked.
#[derive(Debug)]
pub(super) struct Home {
    folder: Folder,
    lock: Lock,
}

impl Home {
    /// Makes the directory when needed, checks whose it is, and takes its lock.
    pub(super) fn take(dir: &Path) -> Result<Self, StateError> {
        let folder = Folder::create(dir, Owners::User).map_err(|e| StateError::of(e, "created"))?;
        let lock = folder.lock(LOCK).map_err(|e| lock_error(dir, e, "written"))?;
        Ok(Self { folder, lock })
    }

    /// Whether it is still the directory of that path.
    pub(super) fn is_at(&self, dir: &Path) -> bool {
        self.lock.is_at(&dir.join(LOCK))
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }
}

fn lock_error(dir: &Path, error: LockError, what: &'static str) -> StateError {
    match error {
        LockError::Taken { pid } => StateError::InUse { dir: dir.to_owned(), pid },
        LockError::File(error) => StateError::of(error, what),
    }
}

/// The state in memory; none when there is none. A directory that another process has open is refused as ever.
pub(super) fn copy(dir: &Path) -> Result<Option<Database>, StateError> {
    let read = |e| StateError::of(e, "read");
    // Nothing is written, so root's files will do as for a configuration.
    let folder = match Folder::open(dir, Owners::UserOrRoot) {
        Err(error) if error.is_missing() => return Ok(None),
        folder => folder.map_err(read)?,
    };
    let mut file = match folder.read(FILE, Trust::Input) {
        Err(error) if error.is_missing() => return Ok(None),
        file => file.map_err(read)?,
    };
    // Held while the file is read.
    let lock = folder.lock_shared(LOCK).map_err(|e| lock_error(dir, e, "read"))?;
    let unreadable = |source| StateError::Io { path: dir.join(FILE), what: "read", source };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    drop(lock);
    let memory = InMemoryBackend::new();
    let filled = memory.set_len(bytes.len() as u64).and_then(|()| memory.write(0, &bytes));
    filled.map_err(|e| unreadable(io::Error::other(e)))?;
    open_backend(memory).map(Some).map_err(|why| unusable_state(&dir.join(FILE), "read", why))
}

fn unusable_state(path: &Path, what: &'static str, why: Unusable) -> StateError {
    let source = match why {
        Unusable::File(error) => return StateError::of(error, what),
        Unusable::Io(source) => source,
        Unusable::Content(why) => io::Error::other(why),
    };
    StateError::Io { path: path.to_owned(), what, source }
}

/// Opens the file; one that cannot be used is renamed and a fresh one made.
pub(super) fn open_or_set_aside(home: &Home) -> Result<(Database, Option<SetAside>), StateError> {
    let folder = home.folder();
    let path = folder.path().join(FILE);
    let is_new = path.symlink_metadata().is_err();
    let why = match open(home, FILE) {
        Ok(db) => return Ok((db, None)),
        Err(Unusable::Content(why)) => why,
        Err(why) => {
            // A beginning, on a full disk say, would be taken for a damaged file at the next start.
            if is_new {
                drop(folder.remove(FILE));
            }
            return Err(unusable_state(&path, "opened", why));
        }
    };
    let set_aside = SetAside { from: path.clone(), to: set_aside(home)?, why };
    match open(home, FILE) {
        Ok(db) => Ok((db, Some(set_aside))),
        Err(why) => Err(unusable_state(&path, "created", why)),
    }
}

/// Renames the file, and gives its new path.
pub(super) fn set_aside(home: &Home) -> Result<PathBuf, StateError> {
    let to = free_name(&home.folder().path().join(FILE));
    home.folder()
        .rename(FILE, to.file_name().unwrap_or_default())
        .map_err(|e| StateError::of(e, "set aside"))?;
    Ok(to)
}

fn free_name(path: &Path) -> PathBuf {
    let name = |n: u32| path.with_added_extension(format!("unusable-{n}"));
    (1..).map(name).find(|p| !p.exists()).unwrap_or_else(|| name(0))
}

/// Why a file does not open.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It cannot be opened, or is not this user's alone to change.
    File(FileError),
    /// The system refuses; the file itself may be good.
    Io(io::Error),
    /// The contents of the file are wrong.
    Content(String),
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(e) => write!(f, "{e}"),
            Self::Io(e) => write!(f, "{e}"),
            Self::Content(why) => f.write_str(why),
        }
    }
}

/// Opens or creates the file and checks all of it.
pub(super) fn open(home: &Home, name: &str) -> Result<Database, Unusable> {
    let file = home.folder().write(name).map_err(Unusable::File)?;
    open_backend(FileBackend::new(file).map_err(unusable)?)
}

fn open_backend(backend: impl StorageBackend) -> Result<Database, Unusable> {
    // A corrupt file must not take the program down: redb has assertions on what it reads.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE);
        let db = builder
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map_err(unusable)?;
        check_content(&db)?;
        Ok(db)
    }));
    opened.unwrap_or_else(|_| Err(Unusable::Content("its structure is damaged".into())))
}

fn check_content(db: &Database) -> Result<(), Unusable> {
    let fail = |e: redb::Error| unusable_error(e);
    let tx = db.begin_read().map_err(|e| fail(e.into()))?;
    let format = match tx.open_table(META) {
        Ok(meta) => meta.get(FORMAT_KEY).map_err(|e| fail(e.into()))?.map(|v| v.value()),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(e) => return Err(fail(e.into())),
    };
    match format {
        Some(FORMAT) => {}
        Some(other) => {
            return Err(Unusable::Content(format!(
                "it has format {other}, this program knows {FORMAT}"
            )));
        }
        None => {
            let others = tx.list_tables().map_err(|e| fail(e.into()))?.count();
            if others > 0 {
                return Err(Unusable::Content("it belongs to another program".into()));
            }
            return create_tables(db).map_err(fail);
        }
    }
    let values = tx.open_table(VALUES).map_err(|e| fail(e.into()))?;
    for entry in values.iter().map_err(|e| fail(e.into()))? {
        let (key, value) = entry.map_err(|e| fail(e.into()))?;
        if unseal(value.value()).is_none() {
            let (namespace, key) = key.value();
            let why = format!("its value {namespace}/{key} does not match its checksum");
            return Err(Unusable::Content(why));
        }
    }
    Ok(())
}

fn create_tables(db: &Database) -> Result<(), redb::Error> {
    let tx = db.begin_write()?;
    tx.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
    tx.open_table(VALUES)?;
    tx.commit()?;
    Ok(())
}

fn unusable(e: DatabaseError) -> Unusable {
    match e {
        // Another program uses it without the lock: the file is good.
        DatabaseError::DatabaseAlreadyOpen => Unusable::Io(io::ErrorKind::ResourceBusy.into()),
        other => unusable_error(other.into()),
    }
}

fn unusable_error(e: redb::Error) -> Unusable {
    use redb::Error as E;
    match e {
        E::Io(e) => unusable_io(e),
        E::Corrupted(_)
        | E::UpgradeRequired(_)
        | E::RepairAborted
        | E::TableTypeMismatch { .. }
        | E::TableIsMultimap(_)
        | E::TypeDefinitionChanged { .. }
        | E::TableDoesNotExist(_) => Unusable::Content(e.to_string()),
        // Not a word on what is in it.
        other => Unusable::Io(io::Error::other(other)),
    }
}

fn unusable_io(e: io::Error) -> Unusable {
    match e.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Unusable::Content(e.to_string())
        }
        _ => Unusable::Io(e),
    }
}
