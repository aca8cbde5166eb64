//! The machine's own memory, as `sysinfo` reads it. Knows nothing of cgroups.

use majordomo_core::{BoundStatus, ByteSize};
use sysinfo::{MemoryRefreshKind, System};

use super::PressureSource;
use crate::error::SourceError;
use crate::reading::PressureReading;
use crate::watch::WatchConfig;

/// Total and available memory of the machine (`MemAvailable` on Linux, `host_statistics64` on macOS).
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineSource {
    last: Option<(ByteSize, ByteSize)>,
}

impl PressureSource for MachineSource {
    fn name(&self) -> &str {
        "machine"
    }

    fn read(&mut self) -> Result<PressureReading, SourceError> {
        // A fresh `System` each time: a kept one repeats its old figures when the system cannot be read.
        let unavailable = |what: String| SourceError::Unavailable { what };
        let mut system = System::new()
            .map_err(|e| unavailable(format!("the machine's memory cannot be read: {e:?}")))?;
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let limit = ByteSize(system.total_memory());
        if limit == ByteSize::ZERO {
            return Err(unavailable("the system does not report how much memory there is".into()));
        }
        let available = ByteSize(system.available_memory());
        self.last = Some((limit, limit - available));
        Ok(PressureReading::of_machine(available, limit))
    }

    fn bounds(&self) -> Vec<BoundStatus> {
        let bound =
            |(limit, used)| BoundStatus { name: "machine".to_owned(), limit: Some(limit), used };
        self.last.map(bound).into_iter().collect()
    }

    fn watch(&self, _thresholds: [ByteSize; 4]) -> Option<WatchConfig> {
        Some(WatchConfig { root: "/".into(), cgroup: None })
    }
}
