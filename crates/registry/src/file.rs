//! Opening input files: regular ones only, without waiting.
//!
//! A named pipe, a device or a socket in the place of a file would block the reader without limit.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file to read it; what it is and whose it is can be asked of the metadata, which are of the opened file.
///
/// # Errors
/// As [`File::open`], and [`io::ErrorKind::InvalidInput`] for anything but a regular file.
pub fn open_regular_file(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok((file, metadata));
    }
    let kind = kind(metadata.file_type());
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("this is {kind}, not a file")))
}

fn kind(kind: FileType) -> &'static str {
    match kind {
        k if k.is_dir() => "a directory",
        k if k.is_fifo() => "a named pipe",
        k if k.is_socket() => "a socket",
        _ => "a device",
    }
}
