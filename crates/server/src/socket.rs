//! The Unix socket: where it is, whose it is, and how it is made without a moment in which others may connect.
//!
//! Invariant: one server a socket, by a lock beside it that the system releases however the server ends; so a socket
//! without a locked file is stale and is taken over.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use majordomo::{environment_variable, temporary_folder};
use majordomo_files::{Folder, Lock, LockError, Owners};
use tokio::net::UnixListener;

use crate::error::ServeError;

/// The longest path that the system takes for a socket.
const LONGEST: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// The socket at which a server listens by default: `majordomo.sock` in a folder of this user's alone, in
/// `$XDG_RUNTIME_DIR`, else `/run/user/UID` where that is, else `$TMPDIR`, else `/tmp`.
#[must_use]
pub fn default_socket() -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let usual = || {
        // Without a login session, from cron for example, the variable is not set and the folder may be there.
        let dir = PathBuf::from(format!("/run/user/{uid}"));
        let meta = std::fs::metadata(&dir).ok().filter(|m| m.is_dir() && m.uid() == uid)?;
        (meta.permissions().mode() & 0o077 == 0).then_some(dir)
    };
    // A relative path would be another folder for each command, so it does not count.
    let stated = environment_variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let folder = match stated.filter(|dir| dir.is_absolute()).or_else(usual) {
        Some(dir) => dir.join("majordomo"),
        None => temporary_folder().join(format!("majordomo-{uid}")),
    };
    folder.join("majordomo.sock")
}

/// The socket's path, held for this server.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    folder: Folder,
    name: OsString,
    /// The socket at the path is this server's.
    is_bound: bool,
    // Unlocked when it is closed, whatever ends the process.
    _lock: Lock,
}

impl Held {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Still locked: no other server has taken it over.
        if self.is_bound {
            drop(self.folder.remove(&self.name));
        }
        drop(self.folder.remove(lock_name(&self.name)));
    }
}

/// Listens at a path: mode 0600, in a folder that only this user and root may change, which is made with mode 0700
/// when it is missing.
pub(crate) fn listen(path: &Path) -> Result<(UnixListener, Held), ServeError> {
    let failed = |why: String| ServeError::Socket { socket: path.to_path_buf(), why };
    let refused = |what: &str, e: std::io::Error| failed(format!("{what}: {e}"));
    let path = &std::path::absolute(path).map_err(|e| refused("its path is unusable", e))?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed("it has no folder".into()));
    };
    let fits = |path: &Path| match path.as_os_str().len() {
        length if length > LONGEST => Err(failed(format!(
            "its path has {length} bytes, the system takes {LONGEST}; choose a shorter one with --socket"
        ))),
        _ => Ok(()),
    };
    fits(path)?;
    fits(&private_folder(parent, 0).join("s"))?;
    let folder = Folder::create(parent, Owners::UserOrRoot)
        .map_err(|e| failed(format!("its folder {e}")))?;
    // A link may lead to a longer path.
    fits(&private_folder(folder.path(), 0).join("s"))?;
    let lock = folder.lock(lock_name(name)).map_err(|e| match e {
        LockError::Taken { pid } => ServeError::InUse { socket: path.clone(), pid },
        LockError::File(error) => failed(format!("its lock {error}")),
    })?;
    let name = name.to_owned();
    let mut held = Held { path: path.clone(), folder, name, is_bound: false, _lock: lock };
    remove_stale(path, &held).map_err(failed)?;
    let listener = bind_private(&held).map_err(|e| refused("the system says", e))?;
    held.is_bound = true;
    Ok((listener, held))
}

/// Removes the socket that another server left: the lock was free.
fn remove_stale(path: &Path, held: &Held) -> Result<(), String> {
    let Ok(found) = std::fs::symlink_metadata(held.folder.path().join(&held.name)) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        let what = match found.file_type() {
            kind if kind.is_symlink() => "a symbolic link, which is not followed here",
            kind if kind.is_dir() => "a directory",
            _ => "a file",
        };
        return Err(format!(
            "at that path is {what}, and no socket; remove it, or choose another --socket"
        ));
    }
    let (owner, user) = (found.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Err(format!(
            "a socket of that name belongs to user {owner}, not to user {user} who runs this; remove it (rm {}), or choose another --socket",
            path.display()
        ));
    }
    held.folder.remove(&held.name).map_err(|e| format!("the stale one cannot be removed: {e}"))
}

fn lock_name(name: &OsStr) -> OsString {
    let mut name = name.to_owned();
    name.push(".lock");
    name
}

fn private_folder(folder: &Path, n: u32) -> PathBuf {
    let pid = std::process::id();
    folder.join(if n == 0 { format!(".{pid}") } else { format!(".{pid}-{n}") })
}

/// Binds inside a folder of mode 0700 and moves the socket out when it has its mode: no moment in which others
/// could connect, and none in which the umask, which belongs to the whole process, is another.
fn bind_private(held: &Held) -> std::io::Result<UnixListener> {
    let private = make_private_folder(held.folder.path())?;
    let inside = private.join("s");
    let bound = UnixListener::bind(&inside).and_then(|listener| {
        std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&inside, held.folder.path().join(&held.name))?;
        Ok(listener)
    });
    drop(std::fs::remove_dir_all(&private));
    bound
}

/// A new folder of mode 0700. In a folder such as /tmp others may have taken a name before.
fn make_private_folder(folder: &Path) -> std::io::Result<PathBuf> {
    let make = |n| {
        let path = private_folder(folder, n);
        std::fs::DirBuilder::new().mode(0o700).create(&path).map(|()| path)
    };
    let is_taken = |made: &std::io::Result<PathBuf>| {
        made.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::AlreadyExists)
    };
    (0..=u32::MAX).map(make).find(|made| !is_taken(made)).unwrap_or_else(|| make(0))
}
