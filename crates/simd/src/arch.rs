//! One module per instruction set, each with the same functions, named `op_dtype`.
//!
//! Owns the way from a [`Backend`](crate::Backend) to its code. The functions rely on lengths that
//! [`Kernels`](crate::Kernels) has checked for their result, never for memory safety.

pub(crate) mod portable;

/// Calls a kernel of the given back end.
macro_rules! dispatch {
    ($backend:expr, $kernel:ident($($argument:expr),*)) => {
        match $backend {
            // Back ends of other architectures never get here: `Kernels` is not made for them.
            crate::Backend::Portable
            | crate::Backend::Avx2
            | crate::Backend::Avx512
            | crate::Backend::Neon => crate::arch::portable::$kernel($($argument),*),
        }
    };
}
pub(crate) use dispatch;
