//! `majordomo-lab core-ml`: answers to commands by exported Core ML files, compared with those of the kernels.
//!
//! Learns a part of the commands, exports the model in every form, reads each file back with the reference interpreter, and
//! asks all commands with the file's dense layers in place of the model's. Every other part of an answer is the product's. A
//! difference beyond the bounds is an error. Core ML itself does not run here.

mod acts;
mod commands;
mod samples;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, ensure};
use majordomo_core::{ComponentId, ComponentKey};
use majordomo_coreml::{ExportSettings, Exported, Format, ModelFile, Precision, Stamp};
use majordomo_predictor::{
    DenseForward, IntentScratch, KeywordMatcher, PredictorConfig, TextPredictor, TextSnapshot,
    Verdict,
};

use self::acts::Acts;
use crate::intents::data::DataSet;

/// Differences of probabilities that are allowed, in single and in half precision.
const BOUNDS: [f64; 2] = [1e-6, 2e-3];

/// Compares exported files with the kernels.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Commands (TSV, may be gzipped): split, labels, text; without it 10 000 from those of the example assistant
    data: Option<PathBuf>,
    /// Learn so many commands of the split train, from all of it; every command is asked
    #[arg(long, default_value_t = 2000)]
    learn: usize,
    /// Write exported files into this new folder, with inputs and expected outputs, for another program to check
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

/// A learned model and the commands to ask it.
struct Subject {
    snapshot: std::sync::Arc<TextSnapshot>,
    names: Vec<ComponentId>,
    texts: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let set = match &args.data {
        Some(path) => DataSet::read_rows(path)?,
        None => commands::commands()?,
    };
    let subject = learn(&set, args.learn)?;
    println!("{} commands, {} components", subject.texts.len(), subject.names.len());
    println!("format     precision  bytes   largest difference  changed decisions  at a threshold");
    let settings = |format, precision| ExportSettings { format, precision, batch: 1 };
    for settings in [
        settings(Format::MlPackage, Precision::Single),
        settings(Format::MlModel, Precision::Single),
        settings(Format::MlPackage, Precision::Half),
    ] {
        compare(&subject, settings)?;
    }
    match &args.write {
        Some(dir) => samples::write(&subject, dir),
        None => Ok(()),
    }
}

fn learn(set: &DataSet, n: usize) -> anyhow::Result<Subject> {
    let names: Vec<ComponentId> =
        set.labels.iter().map(|label| ComponentId::new(label)).collect::<Result<_, _>>()?;
    let keys: Vec<ComponentKey> = (0..).map(ComponentKey).take(names.len()).collect();
    let mut predictor = TextPredictor::new(PredictorConfig::default());
    predictor.set_catalog(keys.iter().copied().zip(&names), KeywordMatcher::default());
    // Tables are sorted by component.
    let step = (set.train.len() / n.max(1)).max(1);
    for row in set.train.iter().step_by(step).take(n) {
        let used: Vec<ComponentKey> = row.labels.iter().map(|l| keys[*l as usize]).collect();
        predictor.learn(&row.text, &used).with_context(|| row.text.clone())?;
    }
    let candidate = predictor.retrain_job().run(&AtomicBool::new(false))?;
    ensure!(
        matches!(predictor.install(candidate), Verdict::Accepted { .. }),
        "the trained model was turned away"
    );
    let snapshot = predictor.snapshot();
    let rows = set.train.iter().chain(&set.valid).chain(&set.test);
    let texts = rows.map(|row| row.text.clone()).collect();
    Ok(Subject { snapshot, names: predictor.labels().to_vec(), texts })
}

impl Subject {
    fn export(&self, settings: ExportSettings) -> anyhow::Result<(Exported, ModelFile)> {
        let weights = self.snapshot.dense().context("there is no model")?;
        let exported = Exported::new(&weights, &Stamp::new(&weights, &self.names), settings)?;
        let parts: Vec<&[u8]> =
            exported.files().iter().map(|(_, bytes)| bytes.as_slice()).collect();
        let file = match parts[..] {
            [_, model, weights] => ModelFile::from_bytes(model, Some(weights)),
            _ => ModelFile::from_bytes(parts[0], None),
        }?;
        Ok((exported, file))
    }
}

/// The dense layers of a file.
struct FileDense(ModelFile);

impl DenseForward for FileDense {
    fn n_hidden(&self) -> usize {
        self.0.n_hidden()
    }

    fn n_outputs(&self) -> usize {
        self.0.n_outputs()
    }

    fn forward(&self, units: &mut [f32], scores: &mut [f32]) {
        self.0
            .evaluate(units, scores)
            .unwrap_or_else(|error| panic!("lengths of one row: {error}"));
    }
}

fn compare(subject: &Subject, settings: ExportSettings) -> anyhow::Result<()> {
    let (exported, file) = subject.export(settings)?;
    let dense = FileDense(file);
    let bound = BOUNDS[usize::from(settings.precision == Precision::Half)];
    let (mut ours, mut theirs) = (IntentScratch::default(), IntentScratch::default());
    let (mut largest, mut n_changed, mut n_near, mut n_answered) = (0.0f64, 0, 0, 0);
    for text in &subject.texts {
        let ask = |scratch: &mut IntentScratch, dense: Option<&dyn DenseForward>| {
            let acts = match dense {
                Some(dense) => Acts::of(&subject.snapshot.intents_by(dense, text, scratch)),
                None => Acts::of(&subject.snapshot.intents(text, scratch)),
            };
            acts.with_none(scratch)
        };
        let (acted, by_file) = (ask(&mut ours, None), ask(&mut theirs, Some(&dense)));
        n_answered += usize::from(!ours.probabilities().is_empty());
        for (a, b) in ours.probabilities().iter().zip(theirs.probabilities()) {
            largest = largest.max((f64::from(*a) - f64::from(*b)).abs());
        }
        if !acted.agrees(&by_file) {
            n_changed += 1;
            n_near += u32::from(acted.is_near(&by_file, bound));
        }
    }
    let (format, precision) = (
        if settings.format == Format::MlPackage { "mlpackage" } else { "mlmodel" },
        if settings.precision == Precision::Half { "half" } else { "single" },
    );
    println!(
        "{format:<9}  {precision:<9}  {:>6}  {largest:>18.1e}  {n_changed:>17}  {n_near:>14}",
        exported.n_bytes()
    );
    ensure!(n_answered == subject.texts.len(), "the model answered {n_answered} commands only");
    ensure!(largest <= bound, "a probability differs by {largest:.1e}, allowed are {bound:.0e}");
    let allowed = if settings.precision == Precision::Half { n_near } else { 0 };
    ensure!(n_changed <= allowed, "{n_changed} decisions changed, {n_near} of them at a threshold");
    Ok(())
}
