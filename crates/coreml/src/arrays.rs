//! Numbers of tensors, and how arrays of a framework are read: types and strides.
//!
//! Owns what does not need a framework. Invariant: nothing outside of the bytes that are there is read.

use std::path::PathBuf;

use majordomo_predictor::BackendError;

#[cfg(any(target_os = "macos", test))]
use crate::half;

/// The numbers of a tensor, in row-major order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TensorData {
    /// 32-bit floating point.
    F32(Vec<f32>),
    /// 16-bit floating point, as the bits of IEEE 754; only as an input, on macOS 12 and newer.
    F16(Vec<u16>),
    /// 64-bit floating point.
    F64(Vec<f64>),
    /// Whole numbers, such as the tokens of a text.
    I32(Vec<i32>),
}

impl Default for TensorData {
    fn default() -> Self {
        Self::F32(Vec::new())
    }
}

impl From<Vec<f32>> for TensorData {
    fn from(data: Vec<f32>) -> Self {
        Self::F32(data)
    }
}

impl From<Vec<i32>> for TensorData {
    fn from(data: Vec<i32>) -> Self {
        Self::I32(data)
    }
}

impl TensorData {
    /// Number of numbers.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::F16(data) => data.len(),
            Self::F64(data) => data.len(),
            Self::I32(data) => data.len(),
        }
    }

    /// Whether there is no number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers, if they are of 32 bits in floating point; outputs of 16 bits are returned as such.
    #[must_use]
    pub fn as_f32(&self) -> Option<&[f32]> {
        if let Self::F32(data) = self { Some(data) } else { None }
    }
}

/// A named array.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// The name of the model's input or output.
    pub name: String,
    /// Length by dimension.
    pub shape: Vec<usize>,
    /// As many as the shape says.
    pub data: TensorData,
}

/// One named value that a model is asked with.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ModelInput {
    /// An array.
    Tensor(Tensor),
    /// A picture in a file, such as PNG or JPEG, which is scaled to the size that the model takes.
    Image {
        /// The name of the model's input.
        name: String,
        /// The file.
        path: PathBuf,
    },
}

impl From<Tensor> for ModelInput {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl ModelInput {
    /// # Errors
    /// Numbers that do not fit their shape.
    pub(crate) fn check(&self) -> Result<(), BackendError> {
        let Self::Tensor(Tensor { name, shape, data }) = self else { return Ok(()) };
        let count = shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
        if count == Some(data.len()) && !data.is_empty() {
            return Ok(());
        }
        let why = format!("input `{name}` has {} numbers for {shape:?}", data.len());
        Err(BackendError::Failed(why))
    }
}

/// The kind of the numbers of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg(any(target_os = "macos", test))]
pub(crate) enum Width {
    Half,
    Single,
    Double,
    Integer,
}

/// Distances of neighbours by dimension in row-major order.
#[cfg(any(target_os = "macos", test))]
pub(crate) fn strides_of(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for side in (1..shape.len()).rev() {
        strides[side - 1] = strides[side] * shape[side];
    }
    strides
}

/// The numbers of an array in row-major order, whose rows may be padded; none if one of them is outside `bytes`.
#[cfg(any(target_os = "macos", test))]
pub(crate) fn gathered(
    bytes: &[u8],
    shape: &[usize],
    strides: &[usize],
    width: Width,
) -> Option<TensorData> {
    fn collect<const N: usize, T>(
        bytes: &[u8],
        places: impl Iterator<Item = Option<usize>>,
        number: impl Fn([u8; N]) -> T,
    ) -> Option<Vec<T>> {
        let one = |place: Option<usize>| {
            let start = place?.checked_mul(N)?;
            Some(number(*bytes.get(start..)?.first_chunk::<N>()?))
        };
        places.map(one).collect()
    }
    let places = places(shape, strides)?;
    Some(match width {
        Width::Half => {
            TensorData::F32(collect(bytes, places, |b| half::to_f32(u16::from_le_bytes(b)))?)
        }
        Width::Single => TensorData::F32(collect(bytes, places, f32::from_le_bytes)?),
        Width::Double => TensorData::F64(collect(bytes, places, f64::from_le_bytes)?),
        Width::Integer => TensorData::I32(collect(bytes, places, i32::from_le_bytes)?),
    })
}

/// Places of all numbers in row-major order, counted in numbers; none for one that has no place in memory.
#[cfg(any(target_os = "macos", test))]
fn places<'a>(
    shape: &'a [usize],
    strides: &'a [usize],
) -> Option<impl Iterator<Item = Option<usize>> + 'a> {
    let count = shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side))?;
    let place = move |number: usize| {
        let mut rest = number;
        let mut sides = shape.iter().zip(strides).rev();
        sides.try_fold(0usize, |place, (side, stride)| {
            let at = rest % side;
            rest /= side;
            place.checked_add(at.checked_mul(*stride)?)
        })
    };
    (shape.len() == strides.len()).then(|| (0..count).map(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_read_by_their_strides_and_types() {
        let bytes: Vec<u8> = (0..8).flat_map(|i: i32| i.to_le_bytes()).collect();
        let read =
            |shape: &[usize], strides: &[usize]| gathered(&bytes, shape, strides, Width::Integer);
        assert_eq!(strides_of(&[2, 3, 4]), [12, 4, 1]);
        assert_eq!(read(&[2, 2], &[2, 1]), Some(TensorData::I32(vec![0, 1, 2, 3])));
        // Rows that are padded, columns first, one number, none.
        assert_eq!(read(&[2, 3], &[4, 1]), Some(TensorData::I32(vec![0, 1, 2, 4, 5, 6])));
        assert_eq!(read(&[2, 3], &[1, 2]), Some(TensorData::I32(vec![0, 2, 4, 1, 3, 5])));
        assert_eq!(read(&[], &[]), Some(TensorData::I32(vec![0])));
        assert_eq!(read(&[0, 3], &[3, 1]), Some(TensorData::I32(Vec::new())));
        for (shape, strides) in [
            (&[3, 3][..], &[3, 1][..]),
            (&[2, 2], &[usize::MAX, 1]),
            (&[usize::MAX, 2], &[1, 1]),
            (&[2], &[1, 1]),
        ] {
            assert_eq!(read(shape, strides), None, "{shape:?} by {strides:?}");
        }
        let half = 0x3e00u16.to_le_bytes();
        let single = [0.5f32.to_le_bytes(), 2.0f32.to_le_bytes()].concat();
        let check = |bytes: &[u8], n: usize, width, expected| {
            assert_eq!(gathered(bytes, &[n], &[1], width), Some(expected), "{width:?}");
        };
        check(&half, 1, Width::Half, TensorData::F32(vec![1.5]));
        check(&single, 2, Width::Single, TensorData::F32(vec![0.5, 2.0]));
        check(&0.25f64.to_le_bytes(), 1, Width::Double, TensorData::F64(vec![0.25]));
    }

    #[test]
    fn inputs_of_every_type_fit_their_shape() {
        let of = |shape: &[usize], data: TensorData| {
            ModelInput::from(Tensor { name: "x".into(), shape: shape.into(), data }).check()
        };
        for data in [
            TensorData::from(vec![1.0, 2.0]),
            TensorData::from(vec![101, 102]),
            TensorData::F16(vec![0, 1]),
            TensorData::F64(vec![0.5, 1.5]),
        ] {
            assert_eq!(of(&[1, 2], data.clone()), Ok(()));
            for wrong in [&[3][..], &[], &[usize::MAX, 2]] {
                let error = of(wrong, data.clone()).expect_err("another shape").to_string();
                assert!(error.contains("input `x` has 2 numbers"), "{error}");
            }
        }
        assert!(of(&[0], TensorData::default()).is_err());
        let image = ModelInput::Image { name: "x".into(), path: "face.png".into() };
        assert_eq!(image.check(), Ok(()));
    }
}
