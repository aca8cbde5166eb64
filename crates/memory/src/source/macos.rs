//! macOS: the kernel's own level of memory pressure as a hint, and a process's physical footprint.
//!
//! Type-checked on Linux, never run there: unproven until it is run on a Mac. The machine's bytes come
//! from `sysinfo` (`host_statistics64`).
#![expect(unsafe_code, reason = "sysctl and proc_pid_rusage are C functions")]

use std::io;
use std::mem::MaybeUninit;

use majordomo_core::{ByteSize, PressureLevel};

use super::{MachineSource, PressureSource};
use crate::error::SourceError;
use crate::hints::Hints;
use crate::reading::PressureReading;

/// Bytes from the machine, the level from `kern.memorystatus_vm_pressure_level`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MacosSource {
    machine: MachineSource,
}

impl PressureSource for MacosSource {
    fn name(&self) -> &str {
        "macOS memory status"
    }

    fn read(&mut self) -> Result<PressureReading, SourceError> {
        let reading = self.machine.read()?;
        let level = pressure_level().map_err(|error| SourceError::Unavailable {
            what: format!("kern.memorystatus_vm_pressure_level: {error}"),
        })?;
        Ok(reading.with_hints(Hints { own: hint(level), ..Hints::default() }))
    }
}

/// 1 normal, 2 warning, 4 critical (`DISPATCH_MEMORYPRESSURE_*`). Warnings last for hours on a busy Mac, so they
/// stop speculation and no more.
fn hint(level: i32) -> Option<PressureLevel> {
    match level {
        4.. => Some(PressureLevel::Critical),
        2..4 => Some(PressureLevel::Medium),
        _ => None,
    }
}

fn pressure_level() -> io::Result<i32> {
    let mut level = 0i32;
    let mut len = size_of::<i32>();
    // SAFETY: the name is a C string; `level` has room for `len` bytes; no value is set.
    let failed = unsafe {
        libc::sysctlbyname(
            c"kern.memorystatus_vm_pressure_level".as_ptr(),
            (&raw mut level).cast(),
            &raw mut len,
            std::ptr::null_mut(),
            0,
        )
    };
    if failed == 0 { Ok(level) } else { Err(io::Error::last_os_error()) }
}

/// `phys_footprint` of a process: what Activity Monitor calls its memory, compressed pages included.
///
/// # Errors
/// When there is no such process, or it belongs to another user.
pub fn physical_footprint(pid: u32) -> io::Result<ByteSize> {
    let pid = i32::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    let mut info = MaybeUninit::<libc::rusage_info_v4>::zeroed();
    // SAFETY: the flavour says that the buffer is a `rusage_info_v4`, which it is.
    let failed =
        unsafe { libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V4, info.as_mut_ptr().cast()) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed at first and filled by the call; every field is an integer.
    let info = unsafe { info.assume_init() };
    Ok(ByteSize(info.ri_phys_footprint))
}
