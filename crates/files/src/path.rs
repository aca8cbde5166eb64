//! Where a path leads: every link resolved, every folder on the way checked from the root down.
//!
//! Invariant: when a folder is checked, no user who is not trusted can replace the next name in it any more, so the
//! folders that were checked are still those of the path when the walk has ended.

use std::ffi::OsString;
use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use crate::error::{Fault, FileError, Subject};
use crate::rule::{Owners, Seen, kind};
use crate::user::user;

/// As many links as Linux follows on one path.
const MAX_LINKS: u32 = 40;

/// The treatment of a missing folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// An error.
    Fail,
    /// A new one, of mode 0700, with those above it.
    Create,
}

/// A checked folder, by a path without links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) path: PathBuf,
    /// Others may make names in it.
    pub(crate) is_shared: bool,
}

/// A file's place: its checked folder and its name there.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: Checked,
    pub(crate) name: OsString,
    /// A link led there.
    pub(crate) is_linked: bool,
}

impl Place {
    pub(crate) fn subject(&self) -> Subject {
        if self.is_linked { Subject::Linked } else { Subject::Asked }
    }
}

/// The metadata of a name; a link is not followed. No link is left before the name, so `..` is the folder above.
fn look(path: &Path) -> io::Result<Metadata> {
    std::fs::symlink_metadata(path)
}

struct Walk<'p> {
    asked: &'p Path,
    user: u32,
    at: Checked,
    /// The names that are still to be followed, the next one last.
    pending: Vec<OsString>,
    n_links: u32,
}

/// Follows a path to a folder.
pub(crate) fn folder(path: &Path, missing: Missing) -> Result<Checked, FileError> {
    let mut walk = Walk::start(path)?;
    while let Some(name) = walk.pending.pop() {
        let next = walk.at.path.join(&name);
        match look(&next) {
            Ok(found) if found.is_symlink() => walk.follow(&next, &found)?,
            Ok(found) => walk.enter(next, &found)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound && missing == Missing::Create => {
                match DirBuilder::new().mode(0o700).create(&next) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(walk.failed(&next, e));
                    }
                    // Its owner shows whether it is the one that was made here.
                    _ => walk.pending.push(name),
                }
            }
            Err(e) => return Err(walk.failed(&next, e)),
        }
    }
    Ok(walk.at)
}

/// Follows a path to a file, which need not exist. Nothing else is opened: to open a device may do something.
pub(crate) fn file(path: &Path) -> Result<Place, FileError> {
    let place = place(path)?;
    let target = place.folder.path.join(&place.name);
    let found = look(&target).or_else(|error| match error.kind() {
        // An open pipe in /proc has a name that leads nowhere but for the system.
        io::ErrorKind::NotFound if place.is_linked => std::fs::metadata(path),
        _ => Err(error),
    });
    match found {
        Ok(found) if !found.is_file() => {
            let fault = Fault::Kind { found: kind(found.file_type()), expected: "a file" };
            Err(FileError::new(path, &target, place.subject(), fault))
        }
        // Other faults are found when it is opened.
        _ => Ok(place),
    }
}

/// Follows a path to a name that is not a folder, and need not exist.
pub(crate) fn place(path: &Path) -> Result<Place, FileError> {
    let mut walk = Walk::start(path)?;
    while let Some(name) = walk.pending.pop() {
        let next = walk.at.path.join(&name);
        match look(&next) {
            Ok(found) if found.is_symlink() => walk.follow(&next, &found)?,
            Ok(found) if found.is_dir() || !walk.pending.is_empty() => walk.enter(next, &found)?,
            Err(e) if !walk.pending.is_empty() => return Err(walk.failed(&next, e)),
            _ => return Ok(Place { folder: walk.at, name, is_linked: walk.n_links > 0 }),
        }
    }
    Err(walk.fault(&walk.at.path, Fault::Kind { found: "a directory", expected: "a file" }))
}

impl<'p> Walk<'p> {
    fn start(asked: &'p Path) -> Result<Self, FileError> {
        let path = std::path::absolute(asked).map_err(|e| FileError::asked(asked, Fault::Io(e)))?;
        let at = Checked { path: PathBuf::from("/"), is_shared: false };
        let mut walk = Self { asked, user: user(), at, pending: Vec::new(), n_links: 0 };
        walk.add(&path)?;
        Ok(walk)
    }

    /// Puts a path before what is still to be followed.
    fn add(&mut self, path: &Path) -> Result<(), FileError> {
        let names = path.components().rev().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        });
        self.pending.extend(names);
        if path.is_absolute() {
            let root = PathBuf::from("/");
            let found = look(&root).map_err(|e| self.failed(&root, e))?;
            self.enter(root, &found)?;
        }
        Ok(())
    }

    fn enter(&mut self, path: PathBuf, found: &Metadata) -> Result<(), FileError> {
        let path = match path.ends_with("..") {
            true => self.at.path.parent().unwrap_or(Path::new("/")).to_owned(),
            false => path,
        };
        if !found.is_dir() {
            let fault = Fault::Kind { found: kind(found.file_type()), expected: "a directory" };
            return Err(self.fault(&path, fault));
        }
        let checked = Seen::from(found).check_folder(Owners::UserOrRoot, self.user);
        let is_shared = checked.map_err(|fault| self.fault(&path, fault))?;
        self.at = Checked { path, is_shared };
        Ok(())
    }

    fn follow(&mut self, link: &Path, found: &Metadata) -> Result<(), FileError> {
        self.n_links += 1;
        if self.n_links > MAX_LINKS {
            return Err(self.failed(link, rustix::io::Errno::LOOP.into()));
        }
        let owner = Seen::from(found).check_owner(Owners::UserOrRoot, self.user);
        owner.map_err(|fault| FileError::new(self.asked, link, Subject::Link, fault))?;
        let target = std::fs::read_link(link).map_err(|e| self.failed(link, e))?;
        self.add(&target)
    }

    fn fault(&self, at: &Path, fault: Fault) -> FileError {
        let subject = match (self.pending.is_empty(), self.n_links) {
            (false, _) => Subject::Folder,
            (true, 0) => Subject::Asked,
            (true, _) => Subject::Linked,
        };
        FileError::new(self.asked, at, subject, fault)
    }

    fn failed(&self, at: &Path, error: io::Error) -> FileError {
        self.fault(at, Fault::Io(error))
    }
}
