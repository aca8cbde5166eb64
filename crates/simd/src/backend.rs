//! The instruction sets, which of them this CPU supports, and the one in use.
//!
//! Owns the only atomic of the crate: the back end in use, detected once. Invariant: it
//! never holds a back end that this CPU does not support, so a back end read from it may be called.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

/// An implementation of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Plain Rust, the same bits on every platform.
    Portable,
    /// x86-64 with AVX2 and FMA: 8 floats a vector.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL: 16 floats a vector, masked tails.
    Avx512,
    /// aarch64 with NEON: 4 floats a vector.
    Neon,
}

impl Backend {
    /// All back ends, on any platform, slowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    /// The name in lower case: `portable`, `avx2`, `avx512` or `neon`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }

    /// Whether this CPU supports the back end. Without the feature `std`: whether the compiler enables its instructions.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Neon => cfg!(all(target_arch = "aarch64", target_feature = "neon")),
            Self::Avx2 => has_avx2(),
            Self::Avx512 => has_avx512(),
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Portable => 1,
            Self::Avx2 => 2,
            Self::Avx512 => 3,
            Self::Neon => 4,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

#[cfg(not(all(feature = "std", target_arch = "x86_64")))]
fn has_avx2() -> bool {
    cfg!(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma"))
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
fn has_avx512() -> bool {
    has_avx2()
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512dq")
        && std::arch::is_x86_feature_detected!("avx512vl")
}

#[cfg(not(all(feature = "std", target_arch = "x86_64")))]
fn has_avx512() -> bool {
    has_avx2()
        && cfg!(all(
            target_feature = "avx512f",
            target_feature = "avx512bw",
            target_feature = "avx512dq",
            target_feature = "avx512vl"
        ))
}

/// The requested back end is not supported by this CPU or build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name of the other field says it")]
pub struct UnsupportedBackend {
    pub requested: Backend,
    /// The best supported back end.
    pub best: Backend,
}

impl fmt::Display for UnsupportedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requested, best } = self;
        write!(
            f,
            "back end `{requested}` is not supported by this CPU or build; use `{best}` or `portable`"
        )
    }
}

impl core::error::Error for UnsupportedBackend {}

/// The back end in use as [`Backend::code`]; 0 before the first use.
///
/// Relaxed is enough: the byte guards no other memory, and two threads that both find 0 store the
/// same answer.
static IN_USE: AtomicU8 = AtomicU8::new(0);

/// The back end that the free functions use.
#[inline]
#[must_use]
pub fn active() -> Backend {
    match IN_USE.load(Ordering::Relaxed) {
        1 => Backend::Portable,
        2 => Backend::Avx2,
        3 => Backend::Avx512,
        4 => Backend::Neon,
        _ => detect(),
    }
}

#[cold]
fn detect() -> Backend {
    let best = best();
    // A concurrent `force` takes precedence over detection.
    match IN_USE.compare_exchange(0, best.code(), Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => best,
        Err(_) => active(),
    }
}

fn best() -> Backend {
    available().last().unwrap_or(Backend::Portable)
}

/// The back ends that this CPU can run, slowest first; [`Backend::Portable`] is always among them.
pub fn available() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

/// Makes the free functions of the whole process use `backend` from now on, for tests, benches and
/// runs whose last bits must not depend on the machine.
///
/// # Errors
/// [`UnsupportedBackend`] if this CPU cannot run it; nothing changes then.
pub fn force(backend: Backend) -> Result<(), UnsupportedBackend> {
    check(backend)?;
    IN_USE.store(backend.code(), Ordering::Relaxed);
    Ok(())
}

pub(crate) fn check(backend: Backend) -> Result<(), UnsupportedBackend> {
    if backend.is_available() {
        Ok(())
    } else {
        Err(UnsupportedBackend { requested: backend, best: best() })
    }
}
