//! Temporary folders.

use std::path::PathBuf;

use majordomo_registry::temporary_folder;

/// A new folder for this manager alone, mode 0700.
pub(crate) fn temporary_dir() -> std::io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let pid = std::process::id();
    let folder = std::path::absolute(temporary_folder())?;
    for n in 0..u32::MAX {
        let path = folder.join(format!("majordomo-{pid}-{n}"));
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(std::io::Error::other("no free name for a temporary folder"))
}
