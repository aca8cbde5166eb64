//! An exported model takes its place on disk in one step: complete, or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use majordomo_files::{FileError, Folder, Owners};

use crate::layout::{Format, MANIFEST_PATH};

/// Why a model is not written. Its place is unchanged then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Core ML knows the kind of a file by the ending of its name.
    #[error("{} must end in .{ending}: that is how Core ML knows what it is", path.display())]
    Ending {
        /// As it was asked for.
        path: PathBuf,
        /// The ending of that kind of file.
        ending: &'static str,
    },
    /// The place is taken, and replacing was not asked for.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The place is taken by something else than a model of this kind, which is never replaced.
    #[error("{} is no model of this kind and is not replaced", .0.display())]
    Other(PathBuf),
    /// A file or folder cannot be made, or another user could change it.
    #[error(transparent)]
    File(#[from] FileError),
    /// Bytes cannot be written.
    #[error("{} cannot be written: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
}

/// Writes a model beside its place, then gives it its name.
pub(crate) fn write(
    format: Format,
    files: &[(&'static str, Vec<u8>)],
    path: &Path,
    replace: bool,
) -> Result<(), WriteError> {
    let ending = match format {
        Format::MlPackage => "mlpackage",
        Format::MlModel => "mlmodel",
    };
    let name = match (path.file_stem(), path.extension(), path.file_name()) {
        (Some(_), Some(found), Some(name)) if found == ending => name,
        _ => return Err(WriteError::Ending { path: path.to_owned(), ending }),
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = Folder::open(parent.unwrap_or(Path::new(".")), Owners::UserOrRoot)?;
    let place = folder.path().join(name);
    check_place(&place, path, format, replace)?;

    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.new", std::process::id()));
    let unfinished = Unfinished { folder: &folder, name: &temporary };
    folder.remove_all(&temporary)?;
    match files {
        [(_, bytes)] if format == Format::MlModel => {
            write_file(&folder, temporary.as_ref(), bytes)?;
        }
        files => {
            let package = folder.make_folder(&temporary)?;
            for (path, bytes) in files {
                write_below(&package, Path::new(path), bytes)?;
            }
            package.sync()?;
        }
    }
    if replace && place.symlink_metadata().is_ok() {
        // The replaced model has the temporary name from here on, and is removed by it.
        folder.exchange(&temporary, name)?;
    } else if !folder.rename_new(&temporary, name)? {
        return Err(WriteError::Exists(path.to_owned()));
    }
    drop(unfinished);
    folder.sync()?;
    Ok(())
}

/// Removes what has the temporary name in the end.
struct Unfinished<'a> {
    folder: &'a Folder,
    name: &'a std::ffi::OsStr,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // Nothing more can be done about it.
        let _ = self.folder.remove_all(self.name);
    }
}

/// Checks that the place is free, or that its model may be replaced.
fn check_place(
    place: &Path,
    asked: &Path,
    format: Format,
    replace: bool,
) -> Result<(), WriteError> {
    let Ok(found) = place.symlink_metadata() else { return Ok(()) };
    if !replace {
        return Err(WriteError::Exists(asked.to_owned()));
    }
    let is_model = match format {
        Format::MlPackage => found.is_dir() && place.join(MANIFEST_PATH).is_file(),
        Format::MlModel => found.is_file(),
    };
    if is_model { Ok(()) } else { Err(WriteError::Other(asked.to_owned())) }
}

/// Writes a file, and the folders on the way to it.
fn write_below(folder: &Folder, path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut parts = path.components();
    let (Some(first), rest) = (parts.next(), parts.as_path()) else { return Ok(()) };
    if rest.as_os_str().is_empty() {
        return write_file(folder, first.as_ref(), bytes);
    }
    let below = folder.path().join(first);
    let below = if below.is_dir() {
        Folder::open(&below, Owners::User)?
    } else {
        folder.make_folder(first.as_os_str())?
    };
    write_below(&below, rest, bytes)?;
    below.sync()?;
    Ok(())
}

fn write_file(folder: &Folder, name: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut file = folder.write_fresh(name)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|error| WriteError::Io { path: folder.path().join(name), error })
}
