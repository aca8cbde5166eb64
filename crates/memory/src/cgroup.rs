//! The cgroup that bounds a process: its place, the memory that its limits leave, and its events.
//!
//! Reads the files of cgroup v1 and v2; decides nothing. Every entry point takes the root of the file system,
//! so that fixture directories stand in for a machine. Invariant: a bound is the tightest of the cgroup and
//! all its ancestors up to the mount, since each of them can trigger the OOM killer.

mod controller;
mod locate;

pub use controller::{CgroupVersion, Controller};

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use majordomo_core::ByteSize;

use crate::error::{SourceError, read_text};

/// A cgroup of the memory controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryCgroup {
    version: CgroupVersion,
    mount: PathBuf,
    dir: PathBuf,
}

/// The memory that a cgroup and its ancestors allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupBound {
    /// The smallest limit among them.
    pub limit: ByteSize,
    /// The smallest remainder among them: limit less usage, where inactive file cache counts as free.
    pub available: ByteSize,
}

/// Events of a cgroup, counted since its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupEvents {
    /// Times that `memory.high` was exceeded (v2).
    pub high: u64,
    /// Times that the limit was hit: `max` (v2), `failcnt` (v1).
    pub max: u64,
    /// Processes that the OOM killer ended in it.
    pub oom_kill: u64,
}

impl Controller {
    /// The folder of this process's cgroup for the controller, below the file system `root`; none where it has none.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or names a cgroup that cannot be found below the mount.
    pub fn own_cgroup(self, root: &Path) -> Result<Option<(CgroupVersion, PathBuf)>, SourceError> {
        Ok(locate::own_cgroup(root, self)?.map(|place| (place.version, place.dir)))
    }
}

/// Above this a v1 limit means "none": the kernel's largest page counter is just below 2^63.
const UNLIMITED: u64 = 1 << 60;

impl MemoryCgroup {
    /// The memory cgroup of this process; none where no memory controller is mounted or this process is at its top,
    /// outside of every cgroup.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or names a cgroup that cannot be found below the mount.
    pub fn of_self(root: &Path) -> Result<Option<Self>, SourceError> {
        let found = locate::own_cgroup(root, Controller::Memory)?;
        Ok(found.map(|place| Self::at(place.version, place.mount, place.dir)))
    }

    /// A cgroup at a known place: `dir` at or below `mount`.
    #[must_use]
    pub fn at(version: CgroupVersion, mount: PathBuf, dir: PathBuf) -> Self {
        Self { version, mount, dir }
    }

    /// Its generation.
    #[must_use]
    pub fn version(&self) -> CgroupVersion {
        self.version
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A cgroup below this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self { dir: self.dir.join(name), ..self.clone() }
    }

    /// The cgroup above, unless this one is the top of the mount.
    pub(crate) fn parent(&self) -> Option<Self> {
        self.ancestry().nth(1)
    }

    /// The file of this cgroup with the v1 or the v2 name.
    pub(crate) fn file(&self, v1: &str, v2: &str) -> PathBuf {
        self.dir.join(match self.version {
            CgroupVersion::V1 => v1,
            CgroupVersion::V2 => v2,
        })
    }

    /// This cgroup and all above it, innermost first.
    pub(crate) fn ancestry(&self) -> impl Iterator<Item = Self> + '_ {
        self.dir
            .ancestors()
            .take_while(|dir| dir.starts_with(&self.mount))
            .map(|dir| Self { dir: dir.to_owned(), ..self.clone() })
    }

    /// The tightest bound of this cgroup and its ancestors; none when none of them is limited.
    ///
    /// # Errors
    /// When a file of the cgroup cannot be read or understood.
    pub fn bound(&self) -> Result<Option<CgroupBound>, SourceError> {
        // The cgroup itself must exist: a deleted one would otherwise count as unlimited.
        fs::metadata(&self.dir).map_err(|error| SourceError::io(&self.dir, error))?;
        let mut tightest: Option<CgroupBound> = None;
        for cgroup in self.ancestry() {
            let Some(limit) = cgroup.own_limit()? else { continue };
            let available = limit - cgroup.working_set()?;
            tightest = Some(tightest.map_or(CgroupBound { limit, available }, |t| CgroupBound {
                limit: t.limit.min(limit),
                available: t.available.min(available),
            }));
        }
        Ok(tightest)
    }

    /// The limit set on this cgroup alone: the smaller of `memory.max` and `memory.high` (v2), or
    /// `memory.limit_in_bytes` (v1).
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn own_limit(&self) -> Result<Option<ByteSize>, SourceError> {
        let limits = match self.version {
            CgroupVersion::V1 => [self.amount("memory.limit_in_bytes")?, None],
            CgroupVersion::V2 => [self.amount("memory.max")?, self.amount("memory.high")?],
        };
        Ok(limits.into_iter().flatten().min())
    }

    /// Bytes charged to this cgroup and those below it, page cache included.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn usage(&self) -> Result<ByteSize, SourceError> {
        let path = self.file("memory.usage_in_bytes", "memory.current");
        parse_amount(&path, &read_text(&path)?)?
            .ok_or_else(|| SourceError::malformed(&path, "an amount was expected", "max"))
    }

    /// The highest [`Self::usage`] so far, where the kernel keeps it (v1; v2 since Linux 5.19).
    ///
    /// # Errors
    /// When the file cannot be understood.
    pub fn peak(&self) -> Result<Option<ByteSize>, SourceError> {
        self.amount(match self.version {
            CgroupVersion::V1 => "memory.max_usage_in_bytes",
            CgroupVersion::V2 => "memory.peak",
        })
    }

    /// Usage less the pages that the kernel frees first: inactive file cache, and swap cache that no process maps.
    ///
    /// # Errors
    /// When a file cannot be read or understood.
    pub fn working_set(&self) -> Result<ByteSize, SourceError> {
        let freed_first = self.inactive_file()? + self.unmapped_swap_cache()?;
        Ok(self.usage()? - freed_first)
    }

    /// Pages of the swap cache that no process maps, of this cgroup and those below: they are written to swap, and RAM until
    /// the kernel needs it. Zero where the kernel does not count swap cache (before Linux 5.12).
    ///
    /// # Errors
    /// When a file cannot be read or understood.
    pub fn unmapped_swap_cache(&self) -> Result<ByteSize, SourceError> {
        let path = self.dir.join("memory.stat");
        let stat = read_text(&path)?;
        let keys = match self.version {
            CgroupVersion::V1 => ["total_swapcached", "total_rss", "total_cache"],
            CgroupVersion::V2 => ["swapcached", "anon", "file"],
        };
        let [swap_cache, anonymous, file] = keys.map(|key| keyed(&path, &stat, key).map(ByteSize));
        let (anonymous, file) = (anonymous?, file?);
        // Part of the swap cache is mapped, and then counted as anonymous memory.
        Ok(swap_cache?.min(self.usage()? - anonymous - file))
    }

    fn inactive_file(&self) -> Result<ByteSize, SourceError> {
        let path = self.dir.join("memory.stat");
        let key = match self.version {
            CgroupVersion::V1 => "total_inactive_file",
            CgroupVersion::V2 => "inactive_file",
        };
        keyed(&path, &read_text(&path)?, key).map(ByteSize)
    }

    /// The highest usage so far, less the file cache that the kernel would drop first now: an estimate of the highest
    /// [`Self::working_set`], where the kernel keeps a peak.
    ///
    /// # Errors
    /// When a file cannot be read or understood.
    pub fn peak_working_set(&self) -> Result<Option<ByteSize>, SourceError> {
        let inactive = self.inactive_file()?;
        Ok(self.peak()?.map(|peak| peak - inactive))
    }

    /// The processes in this cgroup, without those in cgroups below.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>, SourceError> {
        let text = read_text(&self.dir.join("cgroup.procs"))?;
        Ok(text.lines().filter_map(|line| line.trim().parse().ok()).collect())
    }

    /// The v2 file that counts events caused by this cgroup's own limits. Kernels before 5.2 have only the counters
    /// that include the cgroups below, where a component's own limit counts too.
    pub(crate) fn own_events_file(&self) -> PathBuf {
        let own = self.dir.join("memory.events.local");
        if own.exists() { own } else { self.dir.join("memory.events") }
    }

    /// Events caused by this cgroup's own limits, without those of the cgroups below where the kernel separates
    /// them.
    ///
    /// # Errors
    /// When a file cannot be read or understood.
    pub fn own_events(&self) -> Result<CgroupEvents, SourceError> {
        match self.version {
            CgroupVersion::V1 => self.events(),
            CgroupVersion::V2 => v2_events(&self.own_events_file()),
        }
    }

    /// Events in this cgroup and those below.
    ///
    /// # Errors
    /// When a file cannot be read or understood.
    pub fn events(&self) -> Result<CgroupEvents, SourceError> {
        match self.version {
            CgroupVersion::V1 => {
                let path = self.dir.join("memory.oom_control");
                let oom_kill = keyed(&path, &read_text(&path)?, "oom_kill")?;
                let max = self.amount("memory.failcnt")?.map_or(0, ByteSize::bytes);
                Ok(CgroupEvents { high: 0, max, oom_kill })
            }
            CgroupVersion::V2 => v2_events(&self.dir.join("memory.events")),
        }
    }

    /// The amount in a file; none when it is unlimited or the file does not exist (as at the top).
    fn amount(&self, file: &str) -> Result<Option<ByteSize>, SourceError> {
        let path = self.dir.join(file);
        match fs::read_to_string(&path) {
            Ok(text) => parse_amount(&path, &text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SourceError::io(&path, error)),
        }
    }
}

fn v2_events(path: &Path) -> Result<CgroupEvents, SourceError> {
    let text = read_text(path)?;
    Ok(CgroupEvents {
        high: keyed(path, &text, "high")?,
        max: keyed(path, &text, "max")?,
        oom_kill: keyed(path, &text, "oom_kill")?,
    })
}

fn parse_amount(path: &Path, text: &str) -> Result<Option<ByteSize>, SourceError> {
    let text = text.trim();
    if text == "max" {
        return Ok(None);
    }
    let bytes: u64 = text
        .parse()
        .map_err(|_| SourceError::malformed(path, "neither a number of bytes nor \"max\"", text))?;
    Ok((bytes < UNLIMITED).then_some(ByteSize(bytes)))
}

/// The value of a key in `key value` lines; 0 when it is missing, as older kernels lack some.
fn keyed(path: &Path, text: &str, key: &str) -> Result<u64, SourceError> {
    let value = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' '));
    value.map_or(Ok(0), |v| {
        v.trim().parse().map_err(|_| SourceError::malformed(path, "no number", v))
    })
}
