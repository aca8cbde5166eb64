//! The files of a component that its load reads: those declared, and those that its processes had mapped or open when
//! it was ready. They are read ahead into the system's cache.
//!
//! Learned are only regular files on disks of this machine that no process of the component may write: neither logs nor
//! databases. Knows no state of a component and decides nothing. Blocks; belongs on a blocking thread.

mod glob;
mod mapping;
mod mounts;
mod parts;
mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mapping::Mapping;
use mounts::Mounts;
use parts::{NeededFile, Parts, touched};
pub(crate) use reader::{Account, Bucket, Pace, Reading, read};
use rustix::fs::OFlags;

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
    /// The parts of it that its processes touched.
    parts: Parts,
}

impl LearnedFile {
    fn of(path: PathBuf, parts: Parts) -> Option<Self> {
        let file = path.metadata().ok().filter(Metadata::is_file)?;
        Some(Self { path, len: file.len(), modified: file.mtime(), parts })
    }

    /// Whether the file is still there, and unchanged.
    fn is_same(&self) -> bool {
        Self::of(self.path.clone(), self.parts.clone()).is_some_and(|now| now == *self)
    }
}

/// Those of the learned files that are still there, and unchanged.
pub(crate) fn unchanged(learned: Vec<LearnedFile>) -> impl Iterator<Item = NeededFile> {
    let mounts = Mounts::read();
    let is_same = move |file: &LearnedFile| mounts.is_local(&file.path) && file.is_same();
    learned
        .into_iter()
        .filter(is_same)
        .map(|file| NeededFile { path: file.path, parts: file.parts })
}

/// The regular files that processes have mapped or open and may not write, those first of which most was touched, within the
/// bounds. Of a mapped file only the parts that they touched count: most of a library is never used. Empty where the system
/// does not list them in `/proc`.
pub(crate) fn learn(pids: &[i32]) -> Vec<LearnedFile> {
    let (mounts, mut written) = (Mounts::read(), BTreeSet::new());
    let mut found: BTreeMap<PathBuf, Parts> = BTreeMap::new();
    for pid in pids {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        // In another view of the file systems, paths are those of other files.
        if !has_own_view(&folder) {
            continue;
        }
        let maps = std::fs::read_to_string(folder.join("maps")).unwrap_or_default();
        let pages = File::open(folder.join("pagemap")).ok();
        for mapping in maps.lines().filter_map(Mapping::parse) {
            if mapping.may_write {
                written.insert(mapping.path);
                continue;
            }
            let parts = pages.as_ref().and_then(|pages| touched(pages, &mapping));
            found.entry(mapping.path).or_default().add(parts.unwrap_or_else(Parts::whole));
        }
        for fd in std::fs::read_dir(folder.join("fd")).into_iter().flatten().flatten() {
            let Ok(path) = std::fs::read_link(fd.path()) else { continue };
            // A file of that name may be another one by now; a network is not asked.
            if !mounts.is_local(&path) || !is_at(&fd.path(), &path) {
                continue;
            }
            let info = folder.join("fdinfo").join(fd.file_name());
            let info = std::fs::read_to_string(info).unwrap_or_default();
            if is_read_only(&info) {
                found.entry(path).or_default().add(Parts::whole());
            } else {
                written.insert(path);
            }
        }
    }
    found
        .retain(|path, parts| !parts.is_none() && !written.contains(path) && mounts.is_local(path));
    let files = found.into_iter().filter_map(|(path, parts)| LearnedFile::of(path, parts));
    let mut files: Vec<_> = files.filter(|f| f.len >= MIN_LEARNED).collect();
    let bytes = |file: &LearnedFile| file.parts.bytes(file.len);
    files.sort_by(|a, b| bytes(b).cmp(&bytes(a)).then_with(|| a.path.cmp(&b.path)));
    files.truncate(MAX_FILES);
    files
}

/// Whether a process has this one's mounts and root.
fn has_own_view(folder: &Path) -> bool {
    let mounts = |folder: &Path| std::fs::read_link(folder.join("ns/mnt")).ok();
    let own = mounts(Path::new("/proc/self"));
    own.is_some() && mounts(folder) == own && is_at(&folder.join("root"), Path::new("/"))
}

/// Whether both paths lead to one file.
fn is_at(a: &Path, b: &Path) -> bool {
    let id = |path: &Path| path.metadata().ok().map(|file| (file.dev(), file.ino()));
    id(a).is_some_and(|a| id(b) == Some(a))
}

/// Whether an open file may only be read, by its `fdinfo`, whose flags are octal.
fn is_read_only(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    let flags = flags.map(OFlags::from_bits_retain);
    // A file that was opened for its name alone is not read.
    flags.is_some_and(|f| !f.intersects(OFlags::WRONLY | OFlags::RDWR) && !is_name(f))
}

#[cfg(target_os = "linux")]
fn is_name(flags: OFlags) -> bool {
    flags.contains(OFlags::PATH)
}

#[cfg(not(target_os = "linux"))]
fn is_name(_: OFlags) -> bool {
    false
}

/// The files that match the declared patterns, relative ones below `base`.
pub(crate) fn declared(patterns: &[String], base: &Path) -> Vec<NeededFile> {
    let matches = patterns.iter().flat_map(|pattern| glob::matches(&base.join(pattern)));
    matches.map(|path| NeededFile { path, parts: Parts::whole() }).collect()
}

/// Before the hash of the configuration under which the files were learned.
const CONFIGURATION: &str = "configuration ";

/// The configuration, then one line for each file: length, time, parts, path. Paths with a line end, and what exceeds the bound,
/// are left out.
pub(crate) fn encode(configuration: u64, files: &[LearnedFile]) -> Vec<u8> {
    let mut out = format!("{CONFIGURATION}{configuration}\n").into_bytes();
    for LearnedFile { path, len, modified, parts } in files {
        let Some(path) = path.to_str().filter(|p| !p.contains('\n')) else { continue };
        let line = format!("{len} {modified} {parts} {path}\n");
        if out.len() + line.len() > MAX_RECORD {
            break;
        }
        out.extend_from_slice(line.as_bytes());
    }
    out
}

/// None for bytes that are no such record.
pub(crate) fn decode(bytes: &[u8]) -> Option<(u64, Vec<LearnedFile>)> {
    let line = |line: &str| {
        let mut words = line.splitn(4, ' ');
        let (len, modified) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let parts = Parts::parse(words.next()?)?;
        Some(LearnedFile { len, modified, parts, path: words.next()?.into() })
    };
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    let configuration = lines.next()?.strip_prefix(CONFIGURATION)?.parse().ok()?;
    Some((configuration, lines.map(line).collect::<Option<_>>()?))
}

/// Opens a regular file, and nothing that would block: neither a pipe nor a terminal that was put in its place.
fn open(path: &Path) -> Option<(File, u64)> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let found = file.metadata().ok().filter(Metadata::is_file)?;
    Some((file, found.len()))
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
            parts: if n == 0 { Parts::whole() } else { Parts::parse("0-1,7-9").unwrap() },
        };
        let files: Vec<_> = (0..3).map(file).collect();
        assert_eq!(decode(&encode(5, &files)), Some((5, files)));
        let many: Vec<_> = (0..100_000).map(file).collect();
        let record = encode(u64::MAX, &many);
        assert!(record.len() <= MAX_RECORD);
        let kept = decode(&record);
        assert!(kept.is_some_and(|(hash, kept)| hash == u64::MAX && many.starts_with(&kept)));
        // The second is one of an earlier version, which says nothing of the configuration.
        for bad in [
            "x",
            "1 2 /a",
            "configuration 1\n1 x /a",
            "configuration 1\n1 2 /a",
            "configuration -\n",
            "\u{fffd}",
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn pipe_is_not_opened() {
        let dir = std::env::temp_dir().join(format!("majordomo-open-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (pipe, file) = (dir.join("pipe"), dir.join("file"));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        std::fs::write(&file, "four").unwrap();
        assert!(open(&pipe).is_none() && open(&dir).is_none());
        assert_eq!(open(&file).map(|(_, len)| len), Some(4));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn files_that_a_process_may_write_are_recognised() {
        let line = |access| format!("7f00-8f00 {access} 00002000 fe:00 24   /var/with blank/a.db");
        for (access, may_write) in
            [("r--p", false), ("rw-p", false), ("r--s", false), ("rw-s", true)]
        {
            let path = PathBuf::from("/var/with blank/a.db");
            let want = Mapping { path, may_write, addresses: 0x7f00..0x8f00, offset: 0x2000 };
            assert_eq!(Mapping::parse(&line(access)), Some(want), "{access}");
        }
        assert_eq!(Mapping::parse("7f00-7f01 rw-p 00000000 00:00 0 [heap]"), None);
        for (flags, want) in
            [("0100000", true), ("02100001", false), ("0100002", false), ("x", false)]
        {
            assert_eq!(is_read_only(&format!("pos:\t0\nflags:\t{flags}\n")), want, "{flags}");
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
        let is_local = |path: &Path| Mounts::read().is_local(path);
        assert_eq!((known(&program), known(&open)), (is_local(&program), is_local(&open)));
        let is_needed = unchanged(files.clone()).any(|needed| needed.path == open);
        assert_eq!(is_needed, known(&open));
        let own = files.iter().find(|f| f.path == program);
        assert!(
            own.is_none_or(|f| f.parts.bytes(f.len) < f.len),
            "much of a program is not touched"
        );
        // One that is being written is no file of the load.
        let log = OpenOptions::new().append(true).open(&open).unwrap();
        let files = learn(&[i32::try_from(std::process::id()).unwrap()]);
        assert!(!files.iter().any(|f| f.path == open), "{files:?}");
        drop(log);
        let files = learn(&[i32::try_from(std::process::id()).unwrap()]);
        let known = |path: &Path| files.iter().any(|f| f.path == path && f.is_same());
        assert_eq!(known(&open), is_local(&open));
        std::fs::write(&open, "changed").unwrap();
        assert!(!known(&open), "a changed file is another one");
        drop(held);
        std::fs::remove_file(&open).unwrap();
        assert!(!known(&open));
    }
}
