//! The page cache of components' files: dropped before each run, so that the run's own group is charged for what it reads, and
//! no run begins with more of it than another.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustix::fs::sync;

/// The files that processes have mapped now.
pub(crate) fn mapped(pids: impl IntoIterator<Item = i32>) -> BTreeSet<PathBuf> {
    let text = |pid| std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let lines: String = pids.into_iter().map(text).collect();
    // Five fields come before the name, which may have spaces.
    let name = |line: &str| Some(PathBuf::from(line.get(line.find(" /")? + 1..)?));
    lines.lines().filter_map(name).filter(|path| path.is_file()).collect()
}

/// Every file in a folder and below it; links are not followed.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}

/// Drops the page cache of files, as far as no process maps it. Returns how many files that was asked for.
pub(crate) fn drop_cached<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> usize {
    // Pages that wait to be written cannot be dropped.
    sync();
    let asked = files.into_iter().filter(|path| {
        // A file that is gone has no cache.
        std::fs::File::open(path).is_ok_and(|file| is_dropped(&file))
    });
    asked.count()
}

#[cfg(target_os = "linux")]
fn is_dropped(file: &std::fs::File) -> bool {
    use rustix::fs::{Advice, fadvise};
    fadvise(file, 0, None, Advice::DontNeed).is_ok()
}

/// Other systems have no memory groups either.
#[cfg(not(target_os = "linux"))]
fn is_dropped(_: &std::fs::File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn files_of_programs_and_of_folders_are_found() {
        let own = std::env::current_exe().unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(mapped([pid]).contains(&own));
        let folder = std::env::temp_dir().join(format!("majordomo-files-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("a/b")).unwrap();
        std::fs::write(folder.join("a/b/c d"), "x").unwrap();
        let files = below(&folder);
        assert_eq!(files, [folder.join("a/b/c d")]);
        assert_eq!(drop_cached(&files), 1);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(drop_cached(&files), 0);
    }
}
