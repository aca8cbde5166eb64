//! numpy's OpenBLAS through its C interface.
//!
//! Owns the types of its symbols; checks lengths, since C does not.

use std::ffi::OsString;

use libloading::{Library, Symbol};

type Dot = unsafe extern "C" fn(i64, *const f32, i64, *const f32, i64) -> f32;
type Norm = unsafe extern "C" fn(i64, *const f32, i64) -> f32;
type Scale = unsafe extern "C" fn(i64, f32, *mut f32, i64);
type MatVec = unsafe extern "C" fn(
    i32,
    i32,
    i64,
    i64,
    f32,
    *const f32,
    i64,
    *const f32,
    i64,
    f32,
    *mut f32,
    i64,
);

/// The OpenBLAS that numpy brings along, with 64-bit integers; `openblas.py` finds it.
pub struct OpenBlas {
    dot: Dot,
    norm: Norm,
    scale: Scale,
    matvec: MatVec,
    _library: Library,
}

impl OpenBlas {
    /// From the path in the environment variable `OPENBLAS`, on one thread; `None` if it is not set.
    pub fn load() -> Option<Self> {
        let path: OsString = std::env::var_os("OPENBLAS")?;
        // SAFETY: the variable names a build of OpenBLAS, whose initialisation is sound; the symbols
        // have the types of cblas.h for 64-bit integers.
        let loaded = unsafe {
            let library = Library::new(&path).expect("OPENBLAS names a library that loads");
            let threads: Symbol<'_, unsafe extern "C" fn(i32)> =
                library.get("scipy_openblas_set_num_threads64_").expect("set_num_threads");
            threads(1);
            Self {
                dot: *library.get("scipy_cblas_sdot64_").expect("sdot"),
                norm: *library.get("scipy_cblas_snrm264_").expect("snrm2"),
                scale: *library.get("scipy_cblas_sscal64_").expect("sscal"),
                matvec: *library.get("scipy_cblas_sgemv64_").expect("sgemv"),
                _library: library,
            }
        };
        Some(loaded)
    }

    pub fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        // SAFETY: both have the length given.
        unsafe { (self.dot)(a.len() as i64, a.as_ptr(), 1, b.as_ptr(), 1) }
    }

    pub fn l2_norm(&self, x: &[f32]) -> f32 {
        // SAFETY: it has the length given.
        unsafe { (self.norm)(x.len() as i64, x.as_ptr(), 1) }
    }

    /// The pair `nrm2`, `scal`.
    pub fn normalize(&self, x: &mut [f32]) {
        let norm = self.l2_norm(x);
        // SAFETY: it has the length given.
        unsafe { (self.scale)(x.len() as i64, 1.0 / norm, x.as_mut_ptr(), 1) }
    }

    /// Row-major, not transposed.
    pub fn matvec(&self, matrix: &[f32], x: &[f32], out: &mut [f32]) {
        let (rows, columns) = (out.len() as i64, x.len() as i64);
        assert_eq!(matrix.len() as i64, rows * columns);
        let (a, x, y) = (matrix.as_ptr(), x.as_ptr(), out.as_mut_ptr());
        // SAFETY: the matrix has that many rows and columns; x and y have their lengths.
        unsafe { (self.matvec)(101, 111, rows, columns, 1.0, a, columns, x, 1, 0.0, y, 1) }
    }
}
