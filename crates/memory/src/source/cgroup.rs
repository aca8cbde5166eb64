//! The machine and the own cgroup together, with the kernel's stall information as a hint.
//!
//! Invariant: a limit that was seen does not vanish silently: when the cgroup's files cannot be read any more
//! the reading fails, and the chain reports which source answers instead.

use std::io;
use std::path::{Path, PathBuf};

use majordomo_core::{BoundStatus, ByteSize, PressureLevel};

use super::PressureSource;
use crate::cgroup::MemoryCgroup;
use crate::error::{SourceError, read_text};
use crate::hints::Hints;
use crate::psi::Stalls;
use crate::reading::{PressureReading, ReadingSource};
use crate::report::SourceReport;
use crate::watch::WatchConfig;

/// Machine, own cgroup (v1 or v2) and PSI. Linux; elsewhere there is no cgroup and no PSI.
#[derive(Debug)]
pub struct CgroupSource<M> {
    machine: M,
    root: PathBuf,
    cgroup: Option<MemoryCgroup>,
    /// The last reading of it.
    bound: Option<BoundStatus>,
    was_in_cgroup: bool,
    machine_stalls: StallFile,
    cgroup_stalls: StallFile,
    reports: Vec<SourceReport>,
}

/// A PSI file that may come and go.
#[derive(Debug)]
struct StallFile {
    name: &'static str,
    /// It was readable at least once; from then on its absence is a failure.
    seen: bool,
    failing: bool,
}

impl StallFile {
    /// The level that the file hints at; failures and recoveries are reported when they begin.
    fn hint(&mut self, path: &Path, reports: &mut Vec<SourceReport>) -> Option<PressureLevel> {
        match read_text(path).and_then(|text| Stalls::parse(path, &text)) {
            Ok(stalls) => {
                self.seen = true;
                if std::mem::take(&mut self.failing) {
                    reports.push(SourceReport::Recovered { source: self.name.to_owned() });
                }
                stalls.hint()
            }
            Err(error) => {
                let absent = matches!(&error, SourceError::Io { error, .. } if is_absent(error));
                if (self.seen || !absent) && !std::mem::replace(&mut self.failing, true) {
                    reports.push(SourceReport::Failed {
                        source: self.name.to_owned(),
                        error: error.to_string(),
                        replaced_by: Some("available bytes".to_owned()),
                    });
                }
                None
            }
        }
    }
}

/// Kernels without PSI have no file, or one that cannot be opened.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.kind() == io::ErrorKind::Unsupported
}

impl<M: PressureSource> CgroupSource<M> {
    /// Reads below `root` (`/` on a real machine); `machine` is the source for the machine's own memory.
    pub fn new(root: impl Into<PathBuf>, machine: M) -> Self {
        let file = |name| StallFile { name, seen: false, failing: false };
        Self {
            machine,
            root: root.into(),
            cgroup: None,
            bound: None,
            was_in_cgroup: false,
            machine_stalls: file("machine stalls"),
            cgroup_stalls: file("own cgroup's stalls"),
            reports: Vec::new(),
        }
    }
}

impl<M: PressureSource> PressureSource for CgroupSource<M> {
    fn name(&self) -> &str {
        "machine and own cgroup"
    }

    fn read(&mut self) -> Result<PressureReading, SourceError> {
        let mut reading = self.machine.read()?;
        // The own cgroup is looked up each time: a process can be moved.
        let cgroup = MemoryCgroup::of_self(&self.root)?;
        if cgroup.is_none() && self.was_in_cgroup {
            let what = "the own cgroup is not mounted any more".to_owned();
            return Err(SourceError::Unavailable { what });
        }
        self.was_in_cgroup |= cgroup.is_some();
        self.cgroup.clone_from(&cgroup);
        self.bound = None;
        let path = self.root.join("proc/pressure/memory");
        let machine = self.machine_stalls.hint(&path, &mut self.reports);
        let mut hints = Hints { machine, ..Hints::default() };
        if let Some(cgroup) = cgroup {
            let path = cgroup.dir().join("memory.pressure");
            hints.own_stalls = self.cgroup_stalls.hint(&path, &mut self.reports);
            let bound = cgroup.bound()?;
            self.bound = Some(BoundStatus {
                name: format!("{} {}", cgroup.version(), cgroup.dir().display()),
                limit: bound.map(|b| b.limit),
                used: match bound {
                    Some(b) => b.limit - b.available,
                    None => cgroup.working_set()?,
                },
            });
            if let Some(bound) = bound {
                if bound.limit < reading.limit {
                    reading.limit = bound.limit;
                    reading.source = ReadingSource::Cgroup;
                }
                reading.available = reading.available.min(bound.available);
            }
        }
        Ok(reading.with_hints(hints))
    }

    fn take_reports(&mut self) -> Vec<SourceReport> {
        let mut all = std::mem::take(&mut self.reports);
        all.append(&mut self.machine.take_reports());
        all
    }

    fn bounds(&self) -> Vec<BoundStatus> {
        let mut all = self.machine.bounds();
        all.extend(self.bound.clone());
        all
    }

    fn watch(&self, thresholds: [ByteSize; 4]) -> Option<WatchConfig> {
        let cgroup = self.cgroup.clone().map(|cgroup| (cgroup, thresholds));
        Some(WatchConfig { root: self.root.clone(), cgroup })
    }
}
