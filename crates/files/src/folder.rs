//! A checked folder, held open, and files opened in it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};

use crate::error::{Fault, FileError, Subject};
use crate::path::{self, Checked, Missing};
use crate::rule::{Owners, Seen, Trust, is_same, kind};
use crate::user::user;

/// Enough to name files in a folder; Linux needs no permission to read it then.
#[cfg(target_os = "linux")]
const HANDLE: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const HANDLE: OFlags = OFlags::RDONLY;

/// A folder that only trusted users may change, held open: what is opened in it lies in this very folder, whatever
/// happens to its path.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    is_shared: bool,
    handle: File,
}

/// Opens a file to read it. Links are followed, and their owners checked.
///
/// # Errors
/// A [`FileError`]: when it, or a folder on the way to it, may be changed by others, or it is no regular file.
pub fn open(path: &Path, trust: Trust) -> Result<File, FileError> {
    let place = path::file(path)?;
    let target = place.folder.path.join(&place.name);
    let subject = place.subject();
    let fail = |fault| FileError::new(path, &target, subject, fault);
    let folder = Folder::hold(path, place.folder)?;
    folder.open_at(&place.name, OFlags::RDONLY, trust).map_err(fail)
}

impl Folder {
    /// Opens a folder.
    ///
    /// # Errors
    /// A [`FileError`]: when it is not there, it belongs to another user, or it or a folder above may be changed by
    /// others.
    pub fn open(path: &Path, owners: Owners) -> Result<Self, FileError> {
        Self::hold(path, path::folder(path, Missing::Fail)?)?.of(path, owners)
    }

    /// Opens the folder in which the file or socket of a path lies, with links followed. It need not exist.
    ///
    /// # Errors
    /// As [`Self::open`], and when the path leads to a folder.
    pub fn holding(path: &Path) -> Result<Self, FileError> {
        Self::hold(path, path::place(path)?.folder)
    }

    /// Opens a folder, which is made with mode 0700 when it is missing, as are those above it.
    ///
    /// # Errors
    /// As [`Self::open`], and when it cannot be made.
    pub fn create(path: &Path, owners: Owners) -> Result<Self, FileError> {
        Self::hold(path, path::folder(path, Missing::Create)?)?.of(path, owners)
    }

    fn hold(asked: &Path, checked: Checked) -> Result<Self, FileError> {
        let Checked { path, is_shared } = checked;
        let flags = HANDLE | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&path, flags, Mode::empty());
        let fail = |fault| FileError::new(asked, &path, Subject::Folder, fault);
        let handle = File::from(opened.map_err(|e| fail(Fault::Io(e.into())))?);
        let found = handle.metadata().map_err(|e| fail(Fault::Io(e)))?;
        let checked = Seen::from(&found).check_folder(Owners::UserOrRoot, user());
        let is_shared = is_shared || checked.map_err(fail)?;
        Ok(Self { path, is_shared, handle })
    }

    fn of(self, asked: &Path, owners: Owners) -> Result<Self, FileError> {
        let fail = |fault| FileError::asked(asked, fault);
        let found = self.handle.metadata().map_err(|e| fail(Fault::Io(e)))?;
        let seen = Seen::from(&found);
        match owners {
            Owners::User => seen.check_own_folder(user()),
            Owners::UserOrRoot => seen.check_owner(owners, user()),
        }
        .map_err(fail)?;
        Ok(self)
    }

    /// Its absolute path, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another path led to this very folder.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let (own, other) = (self.handle.metadata(), other.handle.metadata());
        own.is_ok_and(|own| other.is_ok_and(|other| is_same(&own, &other)))
    }

    /// Opens a file in it to read it. A link is not followed.
    ///
    /// # Errors
    /// A [`FileError`].
    pub fn read(&self, name: impl AsRef<OsStr>, trust: Trust) -> Result<File, FileError> {
        self.open_named(name.as_ref(), OFlags::RDONLY, trust)
    }

    /// Opens a file of this program's own in it to read and write it; a missing one is made with mode 0600. A link is
    /// not followed, and nothing is written.
    ///
    /// # Errors
    /// A [`FileError`].
    pub fn write(&self, name: impl AsRef<OsStr>) -> Result<File, FileError> {
        self.open_named(name.as_ref(), OFlags::RDWR | OFlags::CREATE, Trust::Own)
    }

    /// Makes an empty file in it with mode 0600; one of that name is removed first.
    ///
    /// # Errors
    /// A [`FileError`].
    pub fn write_fresh(&self, name: impl AsRef<OsStr>) -> Result<File, FileError> {
        let name = name.as_ref();
        self.remove(name)?;
        self.open_named(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, Trust::Own)
    }

    /// Removes a name in it, if it is there.
    ///
    /// # Errors
    /// A [`FileError`].
    pub fn remove(&self, name: impl AsRef<OsStr>) -> Result<(), FileError> {
        let name = name.as_ref();
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed(name, Fault::Io(error.into()))),
        }
    }

    /// Gives a file in it another name; a file of that name is replaced.
    ///
    /// # Errors
    /// A [`FileError`].
    pub fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> Result<(), FileError> {
        let (from, to) = (from.as_ref(), to.as_ref());
        rustix::fs::renameat(&self.handle, from, &self.handle, to)
            .map_err(|error| self.failed(from, Fault::Io(error.into())))
    }

    /// Makes a folder in it with mode 0700.
    ///
    /// # Errors
    /// A [`FileError`], also when the name is taken.
    pub fn make_folder(&self, name: impl AsRef<OsStr>) -> Result<Self, FileError> {
        let name = name.as_ref();
        rustix::fs::mkdirat(&self.handle, name, Mode::RWXU)
            .map_err(|error| self.failed(name, Fault::Io(error.into())))?;
        Self::open(&self.path.join(name), Owners::User)
    }

    /// Removes a name in it, and everything below it if that is a folder; links are not followed.
    ///
    /// # Errors
    /// A [`FileError`]; a part may be removed then.
    pub fn remove_all(&self, name: impl AsRef<OsStr>) -> Result<(), FileError> {
        let name = name.as_ref();
        let path = self.path.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => {
                std::fs::remove_dir_all(&path).map_err(|error| self.failed(name, Fault::Io(error)))
            }
            _ => self.remove(name),
        }
    }

    /// Gives a file or folder in it a name that is free; false when it is taken.
    ///
    /// # Errors
    /// A [`FileError`].
    pub fn rename_new(
        &self,
        from: impl AsRef<OsStr>,
        to: impl AsRef<OsStr>,
    ) -> Result<bool, FileError> {
        let (from, to) = (from.as_ref(), to.as_ref());
        match rustix::fs::renameat_with(
            &self.handle,
            from,
            &self.handle,
            to,
            RenameFlags::NOREPLACE,
        ) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::EXIST) => Ok(false),
            Err(error) => Err(self.failed(from, Fault::Io(renamed(error)))),
        }
    }

    /// Exchanges the names of two files or folders in it, in one step.
    ///
    /// # Errors
    /// A [`FileError`]; both have their names then.
    pub fn exchange(&self, a: impl AsRef<OsStr>, b: impl AsRef<OsStr>) -> Result<(), FileError> {
        let (a, b) = (a.as_ref(), b.as_ref());
        rustix::fs::renameat_with(&self.handle, a, &self.handle, b, RenameFlags::EXCHANGE)
            .map_err(|error| self.failed(a, Fault::Io(renamed(error))))
    }

    /// Writes the names in it to the disk.
    ///
    /// # Errors
    /// A [`FileError`].
    pub fn sync(&self) -> Result<(), FileError> {
        // A handle is no open folder.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.handle, ".", flags, Mode::empty())
            .and_then(rustix::fs::fsync)
            .map_err(|error| FileError::asked(&self.path, Fault::Io(error.into())))
    }

    /// Whether a name in it is that of an open file.
    ///
    /// # Errors
    /// A [`FileError`] when the system cannot compare them.
    pub fn names(&self, name: impl AsRef<OsStr>, file: &File) -> Result<bool, FileError> {
        let name = name.as_ref();
        let fail = |error: rustix::io::Errno| self.failed(name, Fault::Io(error.into()));
        let open = rustix::fs::fstat(file).map_err(fail)?;
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(seen) => Ok((seen.st_dev, seen.st_ino) == (open.st_dev, open.st_ino)),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(fail(error)),
        }
    }

    fn open_named(&self, name: &OsStr, flags: OFlags, trust: Trust) -> Result<File, FileError> {
        self.open_at(name, flags, trust).map_err(|fault| self.failed(name, fault))
    }

    pub(crate) fn failed(&self, name: &OsStr, fault: Fault) -> FileError {
        FileError::asked(&self.path.join(name), fault)
    }

    fn open_at(&self, name: &OsStr, flags: OFlags, trust: Trust) -> Result<File, Fault> {
        if name.as_bytes().contains(&b'/') {
            return Err(Fault::Io(io::Error::other("a name with a slash lies in another folder")));
        }
        // The open does not wait for the other end of a pipe, and no terminal becomes that of this process.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(opened.map_err(|error| self.why_not(name, error))?);
        let found = file.metadata().map_err(Fault::Io)?;
        if !found.is_file() {
            return Err(Fault::Kind { found: kind(found.file_type()), expected: "a file" });
        }
        Seen::from(&found).check_file(trust, self.is_shared, user())?;
        Ok(file)
    }

    /// The reason why a file does not open.
    fn why_not(&self, name: &OsStr, error: rustix::io::Errno) -> Fault {
        let found = std::fs::symlink_metadata(self.path.join(name)).ok();
        match found.map(|found| found.file_type()) {
            Some(found) if found.is_symlink() => Fault::Link,
            Some(found) if !found.is_file() => {
                Fault::Kind { found: kind(found), expected: "a file" }
            }
            _ => Fault::Io(error.into()),
        }
    }
}

/// The reason of a rename that must not replace anything, or that exchanges two names: network file systems have neither, and
/// say only that an argument is invalid.
fn renamed(error: rustix::io::Errno) -> std::io::Error {
    use rustix::io::Errno;
    match error {
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => std::io::Error::new(
            std::io::ErrorKind::Unsupported,
            "this file system, such as NFS, cannot rename in one step without replacing; choose a folder on a local disk",
        ),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::renamed;

    #[test]
    fn rename_that_a_file_system_cannot_do_names_the_way_out() {
        let text = renamed(Errno::INVAL).to_string();
        assert!(text.contains("NFS") && text.contains("local disk"), "{text}");
        assert_eq!(renamed(Errno::NOSPC).raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
    }
}
