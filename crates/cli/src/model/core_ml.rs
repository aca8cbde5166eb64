//! The commands about Core ML files, in a build that has them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use majordomo::{
    Config, CoreMlExportSettings, CoreMlFile, CoreMlFormat, CoreMlPrecision, CoreMlReadError,
    CoreMlWriteError, OfflineIntents, StoredState, count,
};

use crate::args::{ModelExportArgs, ModelFormat, ModelPrecision, ModelVerb};
use crate::print;

pub(super) fn run(verb: &ModelVerb, json: bool) -> anyhow::Result<ExitCode> {
    match verb {
        ModelVerb::Export(args) => export(args, json),
        ModelVerb::Inspect { path } => inspect(path, json),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn export(args: &ModelExportArgs, json: bool) -> anyhow::Result<()> {
    let format = format_of(args)?;
    let dir = &args.state_dir;
    if StoredState::is_missing(dir) {
        bail!("{} has no learned data: it contains no state.redb", dir.display());
    }
    let mut intents = OfflineIntents::open_to_ask(Some(dir), &Config::default())?;
    let precision = match args.precision {
        ModelPrecision::Fp32 => CoreMlPrecision::Single,
        ModelPrecision::Fp16 => CoreMlPrecision::Half,
    };
    let mut batches = args.batches.clone();
    batches.sort_unstable();
    batches.dedup();
    let mut models = Vec::new();
    for &batch in &batches {
        let settings = CoreMlExportSettings { format, precision, batch: batch as usize };
        let exported = intents
            .export(settings)
            .with_context(|| format!("nothing is exported from {}", dir.display()))?;
        let path =
            if batches.len() == 1 { args.output.clone() } else { numbered(&args.output, batch) };
        models.push((exported, path));
    }
    // Of several files none is written when one is in the way.
    if let Some((_, path)) =
        models.iter().find(|(_, p)| !args.force && p.symlink_metadata().is_ok())
    {
        bail!("{} exists already; replace it with --force", path.display());
    }
    for (exported, path) in &models {
        exported.write(path, args.force).map_err(|error| match error {
            CoreMlWriteError::Exists(_) => {
                anyhow::anyhow!("{error}; replace it with --force")
            }
            error => error.into(),
        })?;
        // The file on disk is described, not the one in memory.
        inspect(path, json)?;
    }
    Ok(())
}

/// The kind of file, from the option or the ending of the path.
fn format_of(args: &ModelExportArgs) -> anyhow::Result<CoreMlFormat> {
    let ending = args.output.extension().and_then(|ending| ending.to_str());
    let by_ending = match ending {
        Some("mlpackage") => Some(ModelFormat::Mlpackage),
        Some("mlmodel") => Some(ModelFormat::Mlmodel),
        _ => None,
    };
    match args.format.or(by_ending) {
        Some(ModelFormat::Mlpackage) => Ok(CoreMlFormat::MlPackage),
        Some(ModelFormat::Mlmodel) => Ok(CoreMlFormat::MlModel),
        None => bail!(
            "{} must end in .mlpackage or .mlmodel: that is how Core ML knows what it is",
            args.output.display()
        ),
    }
}

/// `NAME-bN.ENDING`.
fn numbered(path: &Path, batch: u32) -> PathBuf {
    let mut name: OsString = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-b{batch}."));
    name.push(path.extension().unwrap_or_default());
    path.with_file_name(name)
}

fn inspect(path: &Path, json: bool) -> anyhow::Result<()> {
    let file = CoreMlFile::open(path).map_err(|error| match error {
        // It names its file.
        CoreMlReadError::Io { .. } => anyhow::Error::from(error),
        error => anyhow::Error::from(error).context(path.display().to_string()),
    })?;
    let format = match file.format() {
        CoreMlFormat::MlPackage => "mlpackage",
        CoreMlFormat::MlModel => "mlmodel",
    };
    let precision = if file.is_half() { "fp16" } else { "fp32" };
    let system = match file.spec_version() {
        ..=4 => "macOS 10.15",
        5 => "macOS 11",
        6 => "macOS 12",
        7 => "macOS 13",
        _ => "macOS 14",
    };
    let stamp = file.stamp();
    if json {
        print::json(&serde_json::json!({
            "path": path,
            "format": format,
            "precision": precision,
            "spec_version": file.spec_version(),
            "batch": file.batch(),
            "units": file.n_hidden(),
            "scores": file.n_outputs(),
            "operations": file.n_operations(),
            "bytes": file.n_bytes(),
            "model_version": stamp.map(|stamp| stamp.snapshot),
            "weights": stamp.map(majordomo::CoreMlStamp::weights_text),
            "feature_version": stamp.map(|stamp| stamp.features),
            "labels": stamp.map(|stamp| stamp.labels().collect::<Vec<_>>()),
        }));
        return Ok(());
    }
    print::line(&format!("file     {}", path.display()));
    print::line(&format!(
        "format   {format}, {precision}, {system} or newer, {} bytes",
        file.n_bytes()
    ));
    print::line(&format!(
        "shape    {} of {} units to {} scores by {}",
        count(file.batch(), "text"),
        file.n_hidden(),
        file.n_outputs(),
        count(file.n_operations(), "operation")
    ));
    let Some(stamp) = stamp else {
        print::line("origin   unknown: Majordomo did not write it");
        return Ok(());
    };
    print::line(&format!(
        "model    version {}, weights {}, features {}",
        stamp.snapshot,
        stamp.weights_text(),
        stamp.features
    ));
    let labels: Vec<&str> = stamp.labels().collect();
    print::line(&format!("scores   none, {}", labels.join(", ")));
    Ok(())
}
