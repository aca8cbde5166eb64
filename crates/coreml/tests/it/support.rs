//! Dense layers of made-up weights.

use majordomo_core::ComponentId;
use majordomo_coreml::{ExportSettings, Exported, Format, Precision, Stamp};
use majordomo_predictor::{DenseWeights, Head};

/// A generator of numbers in -1..1 (xorshift).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / 8_388_608.0 - 1.0
    }

    pub(crate) fn take(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }
}

/// Layers of this shape.
pub(crate) fn weights(n_hidden: usize, n_outputs: usize) -> DenseWeights {
    let mut numbers = Numbers(0x5eed);
    let [bias, rows, outputs] =
        [n_hidden, n_hidden * n_outputs, n_outputs].map(|n| numbers.take(n));
    DenseWeights::new(7, Head::Exclusive, bias, rows, outputs).unwrap()
}

pub(crate) fn labels(n: usize) -> Vec<ComponentId> {
    (0..n).map(|i| ComponentId::new(&format!("label-{i}")).unwrap()).collect()
}

pub(crate) fn export(weights: &DenseWeights, settings: ExportSettings) -> Exported {
    let stamp = Stamp::new(weights, &labels(weights.n_outputs() - 1));
    Exported::new(weights, &stamp, settings).unwrap()
}

/// The bytes of the model, and of the weights beside it.
pub(crate) fn parts(exported: &Exported) -> (&[u8], Option<&[u8]>) {
    match exported.files() {
        [(_, model)] => (model, None),
        [_, (_, model), (_, weights)] => (model, Some(weights)),
        _ => panic!("one file or three"),
    }
}

/// Every kind of file.
pub(crate) fn kinds() -> [ExportSettings; 3] {
    let of = |format, precision, batch| ExportSettings { format, precision, batch };
    [
        of(Format::MlPackage, Precision::Single, 1),
        of(Format::MlPackage, Precision::Half, 32),
        of(Format::MlModel, Precision::Single, 4),
    ]
}
