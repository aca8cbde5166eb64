//! Exported files are read back the same, and evaluated as the kernels do it.

use majordomo_coreml::{
    ExportError, ExportSettings, Exported, Format, ModelFile, Precision, Stamp,
};
use majordomo_predictor::{Backend as _, DenseWeights, Head, SimdBackend};

use super::support::{Numbers, export, kinds, labels, parts, weights};

#[test]
fn scores_of_a_file_are_those_of_the_kernels() {
    for (n_hidden, n_outputs) in [(96, 12), (96, 3), (5, 2), (1, 1), (150, 151)] {
        let weights = weights(n_hidden, n_outputs);
        for settings in kinds() {
            let exported = export(&weights, settings);
            let (model, blobs) = parts(&exported);
            let read = ModelFile::from_bytes(model, blobs).unwrap();
            assert_eq!((read.n_hidden(), read.n_outputs()), (n_hidden, n_outputs));
            assert_eq!(read.batch(), settings.batch);
            assert_eq!(read.format(), settings.format);
            assert_eq!(read.is_half(), settings.precision == Precision::Half);
            assert_eq!(read.stamp(), Some(&Stamp::new(&weights, &labels(n_outputs - 1))));
            assert_eq!(read.n_operations(), if read.is_half() { 5 } else { 3 });

            let units = Numbers(3).take(64 * n_hidden);
            let mut scores = vec![0.0; 64 * n_outputs];
            read.evaluate(&units, &mut scores).unwrap();
            let mut expected = scores.clone();
            SimdBackend::new(weights.clone()).infer_batch(&units, 64, &mut expected).unwrap();
            // Sums of so many products below 2, in 32 bits and in 16.
            let limit = if read.is_half() { 4e-3 } else { 2e-6 } * n_hidden as f32;
            for (score, expected) in scores.iter().zip(&expected) {
                assert!((score - expected).abs() <= limit, "{score} {expected} {settings:?}");
            }
        }
    }
}

/// The files of a model that any machine can make. A change of a byte is a change of the format: coremltools must have
/// accepted it (`cargo xtask test coreml`) before a hash is replaced.
#[test]
fn same_model_has_the_same_bytes_on_every_machine() {
    let hash = |settings: ExportSettings| {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for (path, bytes) in export(&exact_weights(), settings).files() {
            for byte in path.as_bytes().iter().chain(bytes) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        format!("{hash:016x}")
    };
    assert_eq!(kinds().map(hash), GOLDEN);
}

const GOLDEN: [&str; 3] = ["59d1258559551463", "5311bc77721b58cd", "7e4d1c3ecc6e2491"];

/// Weights of exact numbers.
fn exact_weights() -> DenseWeights {
    let numbers = |n: usize, step: f32| (0..n).map(|i| (i % 7) as f32 * step - 1.5).collect();
    let [bias, rows, outputs]: [Vec<f32>; 3] =
        [numbers(96, 0.5), numbers(96 * 12, 0.25), numbers(12, 1.0)];
    DenseWeights::new(42, Head::Independent, bias, rows, outputs).unwrap()
}

#[test]
fn manifest_names_model_and_weights() {
    let exported = export(&weights(96, 12), ExportSettings::default());
    let (path, manifest) = &exported.files()[0];
    assert_eq!(*path, "Manifest.json");
    let json: serde_json::Value = serde_json::from_slice(manifest).unwrap();
    let root = json["rootModelIdentifier"].as_str().unwrap();
    assert_eq!(json["itemInfoEntries"][root]["path"], "com.apple.CoreML/model.mlmodel");
    assert_eq!(json["itemInfoEntries"].as_object().unwrap().len(), 2);
    assert_eq!(root.len(), 36);
}

#[test]
fn impossible_exports_are_refused() {
    let weights = weights(4, 3);
    let refused = |weights: &DenseWeights, n_labels: usize, settings: ExportSettings| {
        Exported::new(weights, &Stamp::new(weights, &labels(n_labels)), settings).unwrap_err()
    };
    let of = |batch| ExportSettings { batch, ..ExportSettings::default() };
    assert_eq!(refused(&weights, 2, of(0)), ExportError::Batch(0));
    assert_eq!(refused(&weights, 2, of(65_537)), ExportError::Batch(65_537));
    let labels = ExportError::Labels { n_labels: 3, n_outputs: 3 };
    assert_eq!(refused(&weights, 3, of(1)), labels);
    let half = ExportSettings { precision: Precision::Half, ..of(1) };
    let network = ExportSettings { format: Format::MlModel, ..half };
    assert_eq!(refused(&weights, 2, network), ExportError::HalfNetwork);
    let large =
        DenseWeights::new(0, Head::Exclusive, vec![0.0; 4], vec![65_520.0; 12], vec![0.0; 3]);
    assert_eq!(refused(&large.unwrap(), 2, half), ExportError::Overflow);
}

#[test]
fn rows_must_be_whole() {
    let exported = export(&weights(4, 3), ExportSettings::default());
    let (model, blobs) = parts(&exported);
    let read = ModelFile::from_bytes(model, blobs).unwrap();
    assert!(read.evaluate(&[0.0; 7], &mut [0.0; 3]).is_err());
    assert!(read.evaluate(&[0.0; 8], &mut [0.0; 3]).is_err());
    assert!(read.evaluate(&[], &mut []).is_ok());
}
