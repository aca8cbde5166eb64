//! `majordomo-lab intents`: scores the text predictor by the project's protocol.
//!
//! Trains on `train`, tunes on `valid`, scores `test` (else `valid`), with the production crate and one
//! recipe for every set; with `--product` every call is one of the facade, which sees the train rows only. Owns the metrics and the report, no part of the model.

mod batch;
pub(crate) mod data;
mod languages;
mod metrics;
mod online;
mod product;

use std::path::PathBuf;

use majordomo_predictor::Prior;

use self::data::DataSet;

/// Scores the intent predictor on data sets.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Data sets (TSV, may be gzipped): split, labels, text
    #[arg(required_unless_present = "languages")]
    data: Vec<PathBuf>,
    /// Score keywords on the project's own lists: forms of words in eight languages, and negation
    #[arg(long)]
    languages: bool,
    /// Train on so many rows, drawn at random
    #[arg(long)]
    train: Option<usize>,
    /// Repeat with so many draws and report the mean
    #[arg(long, default_value_t = 1)]
    draws: u64,
    /// Learn row by row, predicting each before it is learned
    #[arg(long, conflicts_with = "self_training")]
    prequential: bool,
    /// Feed confident answers back as if they were outcomes
    #[arg(long)]
    self_training: bool,
    /// Compare keywords, the model and both on the valid rows
    #[arg(long, conflicts_with_all = ["prequential", "self_training"])]
    keywords: bool,
    /// Measure the product: learn, save, load and ask through the facade, with nothing but the train rows
    #[arg(long, conflicts_with_all = ["prequential", "self_training", "keywords"])]
    product: bool,
    /// The shipped prior; `off` where its own training data is scored
    #[arg(long, value_enum, default_value_t = Switch::On)]
    prior: Switch,
    /// Print JSON, one object a data set
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.languages {
        languages::print()?;
    }
    let prior = (args.prior == Switch::On).then(Prior::shipped);
    for path in &args.data {
        let set = DataSet::read(path)?;
        let mut draws = Vec::new();
        for draw in 0..args.draws {
            let prior = prior.as_ref();
            draws.push(if args.prequential {
                online::prequential(&set, prior)?
            } else if args.self_training {
                online::self_training(&set, prior)?
            } else if args.keywords {
                online::keywords(&set, prior, args.train)?
            } else if args.product {
                product::score(&set, args.train, draw, prior.is_some())?
            } else {
                batch::score(&set, args.train, draw, prior)?
            });
        }
        let report = metrics::mean(&draws);
        if args.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            let shown: Vec<String> = report.iter().map(|(k, v)| format!("{k} {v}")).collect();
            println!("{}", shown.join("  "));
        }
    }
    Ok(())
}
