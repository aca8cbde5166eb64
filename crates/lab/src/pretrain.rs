//! `majordomo-lab pretrain`: trains the prior on public command text.

use std::path::PathBuf;

use anyhow::{Context, bail};
use majordomo_predictor::{Example, TextParams};

use crate::intents::data::DataSet;

/// Trains the table of n-grams that ships with the predictor.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Data sets (TSV, may be gzipped): split, labels, text. Rows labelled `oos` are left out.
    #[arg(required = true)]
    data: Vec<PathBuf>,
    /// The file of the table
    #[arg(long)]
    out: PathBuf,
    /// Passes over the rows, at most
    #[arg(long, default_value_t = 12)]
    epochs: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut all = DataSet::default();
    for path in &args.data {
        all.append(DataSet::read(path)?);
    }
    all.retain(|row| !row.labels.is_empty());
    if all.train.is_empty() {
        bail!("the data sets have no labelled train rows; give at least one that has");
    }
    let mut params = TextParams::default();
    params.mlp.max_epochs = args.epochs;
    let params = params.check().context("settings of pretraining")?;
    fn rows(rows: &[crate::intents::data::Row]) -> Vec<Example<'_>> {
        rows.iter().map(|r| Example { text: &r.text, labels: &r.labels }).collect()
    }
    let prior = params.fit_prior(all.labels.len(), &rows(&all.train), &rows(&all.valid))?;
    std::fs::write(&args.out, prior.encode())
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    println!(
        "{}: {} bytes from {} texts with {} labels",
        args.out.display(),
        prior.encode().len(),
        all.train.len(),
        all.labels.len()
    );
    Ok(())
}
