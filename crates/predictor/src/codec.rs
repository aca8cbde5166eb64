//! Learned state as bytes: little-endian, with magic, format version and checksum.
//!
//! Invariant: a [`Reader`] returns numbers within the range of learned ones and never reads past the end, so they need no
//! further checks of that kind.

use majordomo_simd::hash_bytes;

/// Why bytes cannot be read as a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum DecodeError {
    /// Another kind of file.
    #[error("these bytes are not a {want} (they do not start with its mark)")]
    Foreign { want: &'static str },
    /// Written by another version of the format.
    #[error(
        "the state has format version {found}, this build reads {want}; start fresh or use the other build"
    )]
    Format { found: u32, want: u32 },
    /// Learned with another version of the features.
    #[error(
        "the state was learned with features of version {found}, this build has {want}; start fresh"
    )]
    FeatureVersion { found: u32, want: u32 },
    /// Truncated, altered, or with numbers out of range.
    #[error("the state is damaged: {what}; start fresh")]
    Damaged { what: &'static str },
}

/// Far above any learned weight, and small enough that no sum of products of three such numbers is infinite.
const LARGEST: f32 = 1e6;

const CUT: DecodeError = DecodeError::Damaged { what: "it ends too early" };

/// Writes state.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(magic: &[u8; 4], format: u32) -> Self {
        Self::with_capacity(magic, format, 0)
    }

    /// Room for `capacity` bytes, so that a large state is not copied while it grows.
    pub(crate) fn with_capacity(magic: &[u8; 4], format: u32, capacity: usize) -> Self {
        let mut out = Self(Vec::with_capacity(capacity));
        out.bytes(magic);
        out.u32(format);
        out
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn u8(&mut self, x: u8) {
        self.0.push(x);
    }

    pub(crate) fn u32(&mut self, x: u32) {
        self.bytes(&x.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, x: u64) {
        self.bytes(&x.to_le_bytes());
    }

    pub(crate) fn f32(&mut self, x: f32) {
        self.bytes(&x.to_le_bytes());
    }

    pub(crate) fn f32s(&mut self, xs: &[f32]) {
        for &x in xs {
            self.f32(x);
        }
    }

    pub(crate) fn str(&mut self, s: &str) {
        self.u32(s.len() as u32);
        self.bytes(s.as_bytes());
    }

    /// Appends the checksum.
    pub(crate) fn finish(mut self, seed: u64) -> Vec<u8> {
        let sum = hash_bytes(&self.0, seed);
        self.u64(sum);
        self.0
    }
}

/// Reads state.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Checks mark, format and checksum.
    pub(crate) fn new(
        bytes: &'a [u8],
        magic: &[u8; 4],
        format: u32,
        seed: u64,
    ) -> Result<Self, DecodeError> {
        Ok(Self::of_formats(bytes, magic, format..=format, seed)?.0)
    }

    /// As [`new`](Self::new), for several formats; returns the format of the bytes too.
    pub(crate) fn of_formats(
        bytes: &'a [u8],
        magic: &[u8; 4],
        formats: std::ops::RangeInclusive<u32>,
        seed: u64,
    ) -> Result<(Self, u32), DecodeError> {
        if bytes.get(..4) != Some(magic) {
            let want = if magic == b"MJDP" { "prior" } else { "state of the text predictor" };
            return Err(DecodeError::Foreign { want });
        }
        if bytes.len() < 16 {
            return Err(CUT);
        }
        let (body, sum) = bytes.split_at(bytes.len() - 8);
        let mut out = Self { bytes: body, at: 4 };
        let found = out.u32()?;
        if !formats.contains(&found) {
            return Err(DecodeError::Format { found, want: *formats.end() });
        }
        if hash_bytes(body, seed).to_le_bytes() != sum {
            return Err(DecodeError::Damaged { what: "its checksum does not match" });
        }
        Ok((out, found))
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(n).ok_or(CUT)?;
        let out = self.bytes.get(self.at..end).ok_or(CUT)?;
        self.at = end;
        Ok(out)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| CUT)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn f32(&mut self) -> Result<f32, DecodeError> {
        let x = f32::from_le_bytes(self.array()?);
        // The comparison is false for NaN.
        if x.abs() <= LARGEST {
            Ok(x)
        } else {
            Err(DecodeError::Damaged { what: "it holds a number out of range" })
        }
    }

    pub(crate) fn f32s(&mut self, n: usize) -> Result<Vec<f32>, DecodeError> {
        if self.bytes.len() - self.at < n.saturating_mul(4) {
            return Err(CUT);
        }
        (0..n).map(|_| self.f32()).collect()
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, DecodeError> {
        let n = self.u32()? as usize;
        std::str::from_utf8(self.take(n)?)
            .map_err(|_| DecodeError::Damaged { what: "it holds a text that is not UTF-8" })
    }

    /// Checks that every byte was read.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(DecodeError::Damaged { what: "it has bytes after its end" })
        }
    }
}
