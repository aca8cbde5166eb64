//! Bytes as the signed integers of 8-bit tables, for tables that are mapped from a file.

/// The same bytes as signed integers, without a copy.
#[must_use]
pub fn as_signed(bytes: &[u8]) -> &[i8] {
    let start = bytes.as_ptr().cast::<i8>();
    // SAFETY: u8 and i8 have the same size and alignment and take every bit pattern; length and lifetime are those of
    // `bytes`.
    #[expect(unsafe_code, reason = "the standard library has no safe cast between slices of bytes")]
    unsafe {
        core::slice::from_raw_parts(start, bytes.len())
    }
}
