//! The files of a component that its load reads: those declared, and those that its processes had mapped or open when
//! it was ready. They are read ahead into the system's cache.
//!
//! Knows no state of a component and decides nothing. Blocks; belongs on a blocking thread.

mod glob;
mod reader;

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(crate) use reader::{Account, Reading, read};

/// Files that are kept for a component, the largest first.
const MAX_FILES: usize = 512;
/// Bytes of the record of a component.
const MAX_RECORD: usize = 64 << 10;
/// Smaller files cost little without being read ahead, and crowd out larger ones.
const MIN_LEARNED: u64 = 16 << 10;

/// A learned file, as it was when its component was ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LearnedFile {
    pub(crate) path: PathBuf,
    len: u64,
    /// Seconds since 1970.
    modified: i64,
}

impl LearnedFile {
    fn of(path: PathBuf) -> Option<Self> {
        let file = path.metadata().ok().filter(Metadata::is_file)?;
        Some(Self { path, len: file.len(), modified: file.mtime() })
    }

    /// Whether the file is still there, and unchanged.
    pub(crate) fn is_same(&self) -> bool {
        Self::of(self.path.clone()).is_some_and(|now| now == *self)
    }
}

/// The regular files that processes have mapped or open, the largest first, within the bounds. Empty where the system
/// does not list them in `/proc`.
pub(crate) fn learn(pids: &[i32]) -> Vec<LearnedFile> {
    let mut paths = BTreeSet::new();
    for pid in pids {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let maps = std::fs::read_to_string(folder.join("maps")).unwrap_or_default();
        // Address, access, offset, device, inode, path; a path may have blanks.
        let mapped = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
        paths.extend(mapped.map(PathBuf::from));
        let open = std::fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        paths.extend(open.filter_map(|fd| std::fs::read_link(fd.path()).ok()));
    }
    let of_system = |path: &PathBuf| ["/proc", "/sys", "/dev"].iter().any(|s| path.starts_with(s));
    let files = paths.into_iter().filter(|p| p.is_absolute() && !of_system(p));
    let mut files: Vec<_> =
        files.filter_map(LearnedFile::of).filter(|f| f.len >= MIN_LEARNED).collect();
    files.sort_by(|a, b| b.len.cmp(&a.len).then_with(|| a.path.cmp(&b.path)));
    files.truncate(MAX_FILES);
    files
}

/// The files that match the declared patterns, relative ones below `base`.
pub(crate) fn declared(patterns: &[String], base: &Path) -> Vec<PathBuf> {
    patterns.iter().flat_map(|pattern| glob::matches(&base.join(pattern))).collect()
}

/// One line for each file: length, time, path. Paths with a line end, and what exceeds the bound, are left out.
pub(crate) fn encode(files: &[LearnedFile]) -> Vec<u8> {
    let mut out = Vec::new();
    for LearnedFile { path, len, modified } in files {
        let Some(path) = path.to_str().filter(|p| !p.contains('\n')) else { continue };
        let line = format!("{len} {modified} {path}\n");
        if out.len() + line.len() > MAX_RECORD {
            break;
        }
        out.extend_from_slice(line.as_bytes());
    }
    out
}

/// None for bytes that are no such record.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<LearnedFile>> {
    let line = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let (len, modified) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(LearnedFile { len, modified, path: words.next()?.into() })
    };
    std::str::from_utf8(bytes).ok()?.lines().map(line).collect()
}

/// Opens a regular file, and nothing that would block.
fn open(path: &Path) -> Option<(File, u64)> {
    let file = path.metadata().ok().filter(Metadata::is_file)?;
    Some((File::open(path).ok()?, file.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_files_are_decoded_unchanged_within_the_bound() {
        let file = |n: u64| LearnedFile {
            path: format!("/models/with blank/{n}.so").into(),
            len: n,
            modified: -1,
        };
        let files: Vec<_> = (0..3).map(file).collect();
        assert_eq!(decode(&encode(&files)), Some(files));
        let many: Vec<_> = (0..100_000).map(file).collect();
        let record = encode(&many);
        assert!(record.len() <= MAX_RECORD);
        assert!(decode(&record).is_some_and(|kept| many.starts_with(&kept)));
        for bad in ["x", "1 2", "1 x /a", "\u{fffd}"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn mapped_and_open_files_of_a_process_are_learned() {
        let program = std::env::current_exe().unwrap().canonicalize().unwrap();
        let open = std::env::temp_dir().join(format!("majordomo-files-{}", std::process::id()));
        std::fs::write(&open, vec![7; MIN_LEARNED as usize]).unwrap();
        let held = File::open(&open).unwrap();
        let files = learn(&[i32::try_from(std::process::id()).unwrap()]);
        let known = |path: &Path| files.iter().any(|f| f.path == path && f.is_same());
        assert!(known(&program) && known(&open), "{files:?}");
        std::fs::write(&open, "changed").unwrap();
        assert!(!known(&open), "a changed file is another one");
        drop(held);
        std::fs::remove_file(&open).unwrap();
        assert!(!known(&open));
    }
}
