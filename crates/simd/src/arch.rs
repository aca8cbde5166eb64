//! One module per instruction set, each with the same functions, named `op_dtype`.
//!
//! Owns the dispatch from a [`Backend`](crate::Backend) to its code. The result of a function depends on lengths that
//! [`Kernels`](crate::Kernels) has checked; memory safety never does.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod exp;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod generic;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vector;

/// Calls a kernel of the given back end, which must be one that this CPU can run.
///
/// Back ends of other architectures never occur here; the match needs an arm for them.
#[cfg(target_arch = "x86_64")]
macro_rules! dispatch {
    ($backend:expr, $kernel:ident($($argument:expr),*)) => {
        match $backend {
            // SAFETY: `Kernels` holds a back end only after asking the CPU for its features.
            #[expect(unsafe_code)]
            crate::Backend::Avx512 => unsafe { crate::arch::avx512::$kernel($($argument),*) },
            // SAFETY: as above.
            #[expect(unsafe_code)]
            crate::Backend::Avx2 => unsafe { crate::arch::avx2::$kernel($($argument),*) },
            crate::Backend::Portable | crate::Backend::Neon => {
                crate::arch::portable::$kernel($($argument),*)
            }
        }
    };
}

/// Calls a kernel of the given back end, which must be one that this CPU can run.
///
/// Back ends of other architectures never occur here; the match needs an arm for them.
#[cfg(target_arch = "aarch64")]
macro_rules! dispatch {
    ($backend:expr, $kernel:ident($($argument:expr),*)) => {
        match $backend {
            // SAFETY: `Kernels` holds this back end only if the target has NEON.
            #[expect(unsafe_code)]
            crate::Backend::Neon => unsafe { crate::arch::neon::$kernel($($argument),*) },
            crate::Backend::Portable | crate::Backend::Avx2 | crate::Backend::Avx512 => {
                crate::arch::portable::$kernel($($argument),*)
            }
        }
    };
}

/// Calls a kernel of the portable back end, the only one of this architecture.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
macro_rules! dispatch {
    ($backend:expr, $kernel:ident($($argument:expr),*)) => {{
        let _ = $backend;
        crate::arch::portable::$kernel($($argument),*)
    }};
}

pub(crate) use dispatch;

/// The entries of an instruction set: each kernel compiled for its features, which its token proves.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! entries {
    ($token:ident, $features:literal, dot: $dot:literal, norm: $norm:literal) => {
        #[target_feature(enable = $features)]
        pub(crate) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
            generic::dot::<_, $dot>($token::new(), a, b)
        }

        #[target_feature(enable = $features)]
        pub(crate) fn sum_squares_f32(x: &[f32]) -> f32 {
            generic::sum_squares::<_, $norm>($token::new(), x)
        }

        #[target_feature(enable = $features)]
        pub(crate) fn scale_f32(alpha: f32, x: &mut [f32]) {
            generic::scale($token::new(), alpha, x);
        }

        #[target_feature(enable = $features)]
        pub(crate) fn mul_assign_f32(x: &mut [f32], factors: &[f32]) {
            let s = $token::new();
            generic::zip_map(s, factors, x, |factor, x| s.mul(x, factor));
        }

        #[target_feature(enable = $features)]
        pub(crate) fn axpy_f32(alpha: f32, x: &[f32], y: &mut [f32]) {
            let s = $token::new();
            let alpha = s.splat(alpha);
            generic::zip_map(s, x, y, |x, y| s.mul_add(alpha, x, y));
        }

        #[target_feature(enable = $features)]
        pub(crate) fn fma_f32(a: &[f32], b: &[f32], c: &[f32], out: &mut [f32]) {
            generic::fma($token::new(), a, b, c, out);
        }

        #[target_feature(enable = $features)]
        pub(crate) fn matvec_f32(matrix: &[f32], x: &[f32], out: &mut [f32]) {
            generic::matvec::<_, $dot>($token::new(), matrix, x, out);
        }

        #[target_feature(enable = $features)]
        pub(crate) fn gather_accumulate_f32(
            table: &[f32],
            indices: &[u32],
            weights: &[f32],
            out: &mut [f32],
        ) {
            let s = $token::new();
            let rows = generic::Rows {
                table,
                width: out.len(),
                blocks: $token::blocks,
                load: |block: &_| s.load(block),
                load_partial: |rest: &[_]| s.load_partial(rest),
            };
            generic::gather_accumulate(s, &rows, indices, weights, out);
        }

        #[target_feature(enable = $features)]
        pub(crate) fn gather_accumulate_i8(
            table: &[i8],
            indices: &[u32],
            weights: &[f32],
            out: &mut [f32],
        ) {
            let s = $token::new();
            let rows = generic::Rows {
                table,
                width: out.len(),
                blocks: $token::blocks_i8,
                load: |block: &_| s.load_i8(block),
                load_partial: |rest: &[_]| s.load_i8_partial(rest),
            };
            generic::gather_accumulate(s, &rows, indices, weights, out);
        }

        #[target_feature(enable = $features)]
        pub(crate) fn softmax_f32(x: &mut [f32]) {
            generic::softmax($token::new(), x);
        }

        #[target_feature(enable = $features)]
        pub(crate) fn relu_f32(x: &mut [f32]) {
            let s = $token::new();
            generic::map(s, x, |x| s.relu(x));
        }

        #[target_feature(enable = $features)]
        pub(crate) fn sigmoid_f32(x: &mut [f32]) {
            generic::sigmoid($token::new(), x);
        }
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use entries;
