//! The machine's own memory, as `sysinfo` tells it. Knows nothing of groups.

use majordomo_core::ByteSize;
use sysinfo::{MemoryRefreshKind, System};

use super::{PressureReading, PressureSource, ReadingSource, SourceError};

/// Total and available memory of the machine (`MemAvailable` on Linux, `host_statistics64` on macOS).
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineSource;

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
            return Err(unavailable("the system does not tell how much memory there is".into()));
        }
        Ok(PressureReading {
            available: ByteSize(system.available_memory()),
            limit,
            hint: None,
            source: ReadingSource::Machine,
        })
    }
}
