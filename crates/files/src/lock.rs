//! A lock on a folder or a name in it: a file that holds its owner's process id.
//!
//! Invariant: nothing is written to a file before it is known to be this program's own lock.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use crate::error::{Fault, FileError};
use crate::folder::Folder;
use crate::rule::{Seen, Trust, is_same};

/// A lock that is held until it is dropped, however the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Whether its file still has this path. Without it no other program meets the lock.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let (own, there) = (self.file.metadata(), std::fs::symlink_metadata(path));
        own.is_ok_and(|own| there.is_ok_and(|there| is_same(&own, &there)))
    }
}

/// Why a lock is not taken.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    Taken {
        /// The process, where it is known.
        pid: Option<u32>,
    },
    /// Its file cannot be used.
    File(FileError),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { pid: Some(pid) } => write!(f, "the program with pid {pid} has it"),
            Self::Taken { pid: None } => f.write_str("another program has it"),
            Self::File(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for LockError {}

impl From<FileError> for LockError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl Folder {
    /// Takes the lock of that name, whose file is made when it is missing.
    ///
    /// # Errors
    /// A [`LockError`]; nothing was written then.
    pub fn lock(&self, name: impl AsRef<OsStr>) -> Result<Lock, LockError> {
        let name = name.as_ref();
        loop {
            let mut file = self.write(name)?;
            let fail = |error: io::Error| LockError::File(self.failed(name, Fault::Io(error)));
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(taken(&mut file)),
                Err(TryLockError::Error(error)) => return Err(fail(error)),
            }
            // The owner before may have removed the file between opening and locking: then this is not the one that
            // others see.
            if !self.names(name, &file)? {
                continue;
            }
            // Under another name it may be something else than a lock.
            let found = file.metadata().map_err(fail)?;
            Seen::from(&found).check_names().map_err(|fault| self.failed(name, fault))?;
            let written = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| writeln!(file, "{}", std::process::id()));
            written.map_err(fail)?;
            return Ok(Lock { file });
        }
    }

    /// Takes the lock of that name together with others that only read; none when it has no file. Writes nothing.
    ///
    /// # Errors
    /// A [`LockError`].
    pub fn lock_shared(&self, name: impl AsRef<OsStr>) -> Result<Option<Lock>, LockError> {
        let name = name.as_ref();
        let mut file = match self.read(name, Trust::Input) {
            Ok(file) => file,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Lock { file })),
            Err(TryLockError::WouldBlock) => Err(taken(&mut file)),
            Err(TryLockError::Error(error)) => Err(self.failed(name, Fault::Io(error)).into()),
        }
    }
}

/// The owner's process id is for the message only.
fn taken(file: &mut File) -> LockError {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    LockError::Taken { pid: read.ok().and_then(|_| text.trim().parse().ok()) }
}
