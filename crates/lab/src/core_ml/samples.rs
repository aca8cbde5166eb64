//! Exported files with inputs and expected outputs, for another program to check.
//!
//! Beside the files is `cases.json`: for each file its name, rows of a call, units, outputs, precision, and the names of two
//! files of numbers of 32 bits, least byte first: units of 64 rows, and the kernels' scores of them.

use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use majordomo_coreml::{ExportSettings, Exported, Format, Precision, Stamp};
use majordomo_predictor::{
    Backend as _, DenseForward, DenseWeights, Head, IntentScratch, Prior, SimdBackend,
};

use super::Subject;

/// Rows of a case.
const ROWS: usize = 64;

/// Writes the learned model, the prior, and a model of few outputs (whose constants are in other places).
pub(super) fn write(subject: &Subject, dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let learned = subject.snapshot.dense().context("there is no model")?;
    let units = units_of(subject, &learned);
    let prior = Prior::shipped().dense_weights().context("the prior has no layers")?;
    let few = few_outputs(&learned)?;
    let mut cases = Vec::new();
    for (name, weights, names) in
        [("learned", &learned, &subject.names[..]), ("prior", &prior, &[]), ("few", &few, &[])]
    {
        let stamp = Stamp::new(weights, names);
        let n_hidden = weights.n_hidden();
        let units: Vec<f32> = units.iter().cycle().copied().take(ROWS * n_hidden).collect();
        let mut scores = vec![0.0; ROWS * weights.n_outputs()];
        SimdBackend::new(weights.clone()).infer_batch(&units, ROWS, &mut scores)?;
        for (kind, numbers) in [("units", &units), ("scores", &scores)] {
            let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            std::fs::write(dir.join(format!("{name}.{kind}")), bytes)?;
        }
        for (format, precision, batch) in [
            (Format::MlPackage, Precision::Single, 1),
            (Format::MlPackage, Precision::Single, 32),
            (Format::MlPackage, Precision::Half, 1),
            (Format::MlPackage, Precision::Half, 32),
            (Format::MlModel, Precision::Single, 1),
            (Format::MlModel, Precision::Single, 32),
        ] {
            let precision_name = if precision == Precision::Half { "half" } else { "single" };
            let ending = if format == Format::MlPackage { "mlpackage" } else { "mlmodel" };
            let file = format!("{name}-{precision_name}-{batch}.{ending}");
            let settings = ExportSettings { format, precision, batch };
            Exported::new(weights, &stamp, settings)?.write(&dir.join(&file), false)?;
            cases.push(serde_json::json!({
                "file": file,
                "batch": batch,
                "n_hidden": n_hidden,
                "n_outputs": weights.n_outputs(),
                "precision": precision_name,
                "units": format!("{name}.units"),
                "scores": format!("{name}.scores"),
            }));
        }
    }
    let text = serde_json::to_string_pretty(&cases)?;
    std::fs::write(dir.join("cases.json"), text)?;
    println!("{} files in {}", cases.len(), dir.display());
    Ok(())
}

/// Takes the units down that it is asked for.
struct Recorder {
    weights: DenseWeights,
    units: Mutex<Vec<f32>>,
}

impl DenseForward for Recorder {
    fn n_hidden(&self) -> usize {
        self.weights.n_hidden()
    }

    fn n_outputs(&self) -> usize {
        self.weights.n_outputs()
    }

    fn forward(&self, units: &mut [f32], scores: &mut [f32]) {
        if let Ok(mut taken) = self.units.lock() {
            taken.extend_from_slice(units);
        }
        scores.fill(0.0);
    }
}

/// The pooled units of commands, from all of them.
fn units_of(subject: &Subject, weights: &DenseWeights) -> Vec<f32> {
    let recorder = Recorder { weights: weights.clone(), units: Mutex::default() };
    let mut scratch = IntentScratch::default();
    for text in subject.texts.iter().step_by((subject.texts.len() / ROWS).max(1)) {
        subject.snapshot.intents_by(&recorder, text, &mut scratch);
    }
    recorder.units.into_inner().unwrap_or_default()
}

/// The first three outputs.
fn few_outputs(weights: &DenseWeights) -> anyhow::Result<DenseWeights> {
    let n = 3.min(weights.n_outputs());
    let rows = &weights.weights()[..n * weights.n_hidden()];
    let bias = &weights.bias()[..n];
    Ok(DenseWeights::new(weights.version(), Head::Independent, weights.hidden_bias(), rows, bias)?)
}
