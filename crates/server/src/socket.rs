//! The Unix socket: where it is, whose it is, and how it is made without a moment in which others may connect.
//!
//! Invariant: one server a socket, by a lock beside it that the system lets go of however the server ends; so a
//! socket without a locked file is stale and is taken over.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use majordomo::{environment_variable, quoted_path, temporary_folder};
use tokio::net::UnixListener;

use crate::error::ServeError;

/// The longest path that the system takes for a socket.
const LONGEST: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// Where a server listens that is not told: `majordomo.sock` in a folder of this user's alone, in
/// `$XDG_RUNTIME_DIR`, else `/run/user/UID` where that is, else `$TMPDIR`, else `/tmp`.
#[must_use]
pub fn default_socket() -> PathBuf {
    let uid = rustix::process::getuid().as_raw();
    let usual = || {
        // Without a login session, from cron for example, the variable is not set and the folder may be there.
        let dir = PathBuf::from(format!("/run/user/{uid}"));
        let meta = std::fs::metadata(&dir).ok().filter(|m| m.is_dir() && m.uid() == uid)?;
        (meta.permissions().mode() & 0o077 == 0).then_some(dir)
    };
    let folder = match environment_variable("XDG_RUNTIME_DIR").map(PathBuf::from).or_else(usual) {
        Some(dir) => dir.join("majordomo"),
        None => temporary_folder().join(format!("majordomo-{uid}")),
    };
    folder.join("majordomo.sock")
}

/// The socket's path, held for this server.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    /// What stands at the path is ours to remove.
    is_bound: bool,
    lock_path: PathBuf,
    // Unlocked when it is closed, whatever ends the process.
    _lock: File,
}

impl Held {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Still locked: nobody else has taken it over.
        if self.is_bound {
            drop(std::fs::remove_file(&self.path));
        }
        drop(std::fs::remove_file(&self.lock_path));
    }
}

/// Listens at a path: mode 0600, in its own folder, which is made with mode 0700 when it is not there.
pub(crate) fn listen(path: &Path) -> Result<(UnixListener, Held), ServeError> {
    let failed = |why: String| ServeError::Socket { socket: path.to_path_buf(), why };
    let told = |what: &str, e: std::io::Error| failed(format!("{what}: {e}"));
    let path = &std::path::absolute(path).map_err(|e| told("its path is unusable", e))?;
    let folder = path.parent().ok_or_else(|| failed("it has no folder".into()))?;
    let length = path.as_os_str().len().max(private_folder(folder).as_os_str().len() + 2);
    if length > LONGEST {
        return Err(failed(format!(
            "its path has {length} bytes, the system takes {LONGEST}; choose a shorter one with --socket"
        )));
    }
    make_folder(folder).map_err(failed)?;
    let mut held = lock(path)?;
    match std::fs::symlink_metadata(path) {
        // Its owner is gone: the lock was free.
        Ok(found) if found.file_type().is_socket() => {
            std::fs::remove_file(path).map_err(|e| told("the stale one cannot be removed", e))?;
        }
        Ok(_) => return Err(failed("there is a file of that name that is no socket".into())),
        Err(_) => {}
    }
    let listener = bind_private(path, folder).map_err(|e| told("the system says", e))?;
    held.is_bound = true;
    Ok((listener, held))
}

/// The folder, made private when it is missing; one that belongs to somebody else is refused.
fn make_folder(folder: &Path) -> Result<(), String> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|e| format!("its folder {} cannot be made: {e}", quoted_path(folder)))?;
    let meta = std::fs::metadata(folder)
        .map_err(|e| format!("its folder {}: {e}", quoted_path(folder)))?;
    let (mode, uid) = (meta.permissions().mode(), rustix::process::getuid().as_raw());
    // In a sticky folder such as /tmp nobody can take the socket away.
    let sticky = mode & 0o1000 != 0;
    if meta.uid() != uid && !sticky && uid != 0 {
        return Err(format!("its folder {} belongs to another user", quoted_path(folder)));
    }
    if mode & 0o022 != 0 && !sticky {
        return Err(format!(
            "its folder {} can be written by others; make it private: chmod go-w {}",
            quoted_path(folder),
            folder.display()
        ));
    }
    Ok(())
}

fn lock(path: &Path) -> Result<Held, ServeError> {
    let failed = |why: String| ServeError::Socket { socket: path.to_path_buf(), why };
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    loop {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|e| failed(format!("{}: {e}", quoted_path(&lock_path))))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                let pid = text.trim().parse().ok();
                return Err(ServeError::InUse { socket: path.to_path_buf(), pid });
            }
            Err(TryLockError::Error(e)) => {
                return Err(failed(format!("{}: {e}", quoted_path(&lock_path))));
            }
        }
        // The owner before may have removed the file between opening and locking: then this is not the one
        // that others see.
        let ours = file.metadata().map(|m| (m.dev(), m.ino())).ok();
        let seen = std::fs::metadata(&lock_path).map(|m| (m.dev(), m.ino())).ok();
        if ours.is_none() || ours != seen {
            continue;
        }
        let wrote = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        wrote.map_err(|e| failed(format!("{}: {e}", quoted_path(&lock_path))))?;
        return Ok(Held { path: path.to_path_buf(), is_bound: false, lock_path, _lock: file });
    }
}

fn private_folder(folder: &Path) -> PathBuf {
    folder.join(format!(".{}", std::process::id()))
}

/// Binds inside a folder of mode 0700 and moves the socket out when it has its mode: no moment in which others
/// could connect, and none in which the umask, which belongs to the whole process, is another.
fn bind_private(path: &Path, folder: &Path) -> std::io::Result<UnixListener> {
    let private = private_folder(folder);
    drop(std::fs::remove_dir_all(&private));
    std::fs::DirBuilder::new().mode(0o700).create(&private)?;
    let inside = private.join("s");
    let bound = UnixListener::bind(&inside).and_then(|listener| {
        std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&inside, path)?;
        Ok(listener)
    });
    drop(std::fs::remove_dir_all(&private));
    bound
}
