//! Opening the state: directory, lock, file, and what to do with one that cannot be used.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, TableError};

use super::{FORMAT, FORMAT_KEY, LOCK, META, SetAside, StateError, VALUES, unseal};

/// The state is small; redb's default would be a gibibyte.
const CACHE: usize = 1 << 20;

/// Refuses what is no directory, or no file, in the place of one.
pub(super) fn check_kinds(dir: &Path, path: &Path) -> Result<(), StateError> {
    let kind = |path: &Path| fs::metadata(path).ok().map(|meta| meta.file_type());
    let wrong =
        |path: &Path, found, wanted| StateError::Kind { path: path.to_owned(), found, wanted };
    match (kind(dir), kind(path)) {
        (Some(dir_kind), _) if !dir_kind.is_dir() => Err(wrong(dir, "a file", "a directory")),
        (_, Some(kind)) if kind.is_dir() => {
            Err(wrong(path, "a directory", "the file of the state"))
        }
        (_, Some(kind)) if !kind.is_file() => {
            Err(wrong(path, "a device, pipe or socket", "the file of the state"))
        }
        _ => Ok(()),
    }
}

/// Makes the directory when needed, checks whose it is, and takes its lock.
pub(super) fn lock(dir: &Path) -> Result<File, StateError> {
    let fail = |path: &Path, what| {
        let path = path.to_owned();
        move |source| StateError::Io { path, what, source }
    };
    if !dir.is_dir() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(fail(dir, "created"))?;
    }
    check_owner(dir)?;
    let path = dir.join(LOCK);
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let mut file = open.map_err(fail(dir, "written"))?;
    check_owner(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Without the number the message only says less.
            let _ = file.read_to_string(&mut text);
            return Err(StateError::InUse { dir: dir.to_owned(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(source)) => return Err(fail(&path, "locked")(source)),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(fail(&path, "written"))?;
    Ok(file)
}

/// The state in memory; none when there is none. A directory that another process has open is refused as ever.
pub(super) fn copy(dir: &Path, path: &Path) -> Result<Option<Database>, StateError> {
    let fail = |path: &Path, what| {
        let path = path.to_owned();
        move |source| StateError::Io { path, what, source }
    };
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        _ => {}
    }
    check_owner(dir)?;
    check_owner(path)?;
    let lock_path = dir.join(LOCK);
    // Held while the file is read.
    let lock = match File::open(&lock_path) {
        Ok(mut lock) => match lock.try_lock_shared() {
            Ok(()) => Some(lock),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = lock.read_to_string(&mut text);
                let pid = text.trim().parse().ok();
                return Err(StateError::InUse { dir: dir.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(fail(&lock_path, "locked")(source)),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(fail(&lock_path, "read")(source)),
    };
    let bytes = fs::read(path).map_err(fail(path, "read"))?;
    drop(lock);
    let memory = InMemoryBackend::new();
    let filled = memory.set_len(bytes.len() as u64).and_then(|()| memory.write(0, &bytes));
    filled.map_err(|e| fail(path, "read")(io::Error::other(e)))?;
    open_backend(memory).map(Some).map_err(|why| {
        fail(path, "read")(match why {
            Unusable::Io(source) => source,
            Unusable::Content(why) => io::Error::other(why),
        })
    })
}

fn check_owner(path: &Path) -> Result<(), StateError> {
    let meta = fs::metadata(path).map_err(|source| StateError::Io {
        path: path.to_owned(),
        what: "read",
        source,
    })?;
    let user = rustix::process::geteuid().as_raw();
    if meta.uid() != user {
        return Err(StateError::Owner { path: path.to_owned(), owner: meta.uid(), user });
    }
    let mode = meta.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(StateError::Writable { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Opens the file; one that cannot be used is renamed and a fresh one made.
pub(super) fn open_or_set_aside(path: &Path) -> Result<(Database, Option<SetAside>), StateError> {
    let is_new = !path.exists();
    if !is_new {
        check_owner(path)?;
    }
    let unusable = |e| match e {
        Unusable::Io(source) => {
            // A beginning, on a full disk say, would be taken for a damaged file at the next start.
            if is_new {
                drop(fs::remove_file(path));
            }
            Err(StateError::Io { path: path.to_owned(), what: "opened", source })
        }
        Unusable::Content(why) => Ok(why),
    };
    let why = match open(path) {
        Ok(db) => return Ok((db, None)),
        Err(e) => unusable(e)?,
    };
    let to = free_name(path);
    fs::rename(path, &to).map_err(|source| StateError::Io {
        path: path.to_owned(),
        what: "set aside",
        source,
    })?;
    let set_aside = SetAside { from: path.to_owned(), to, why };
    match open(path) {
        Ok(db) => Ok((db, Some(set_aside))),
        Err(e) => Err(StateError::Io {
            path: path.to_owned(),
            what: "created",
            source: match e {
                Unusable::Io(source) => source,
                Unusable::Content(why) => io::Error::other(why),
            },
        }),
    }
}

fn free_name(path: &Path) -> PathBuf {
    let name = |n: u32| path.with_added_extension(format!("unusable-{n}"));
    (1..).map(name).find(|p| !p.exists()).unwrap_or_else(|| name(0))
}

/// Why a file does not open.
#[derive(Debug)]
pub(super) enum Unusable {
    /// The system refuses; the file itself may be good.
    Io(io::Error),
    /// What is in it.
    Content(String),
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(e) => write!(f, "{e}"),
            Self::Content(why) => f.write_str(why),
        }
    }
}

/// Opens or creates the file and checks all of it.
pub(super) fn open(path: &Path) -> Result<Database, Unusable> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(Unusable::Io)?;
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
        // Somebody uses it without our lock: the file is good.
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
