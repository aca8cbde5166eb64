//! The arguments of the commands about files of the text model.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct ModelArgs {
    #[command(subcommand)]
    pub verb: ModelVerb,
}

#[derive(Debug, clap::Subcommand)]
#[cfg_attr(not(feature = "coreml"), allow(dead_code, reason = "read in a build with the feature"))]
pub(crate) enum ModelVerb {
    /// Write the dense layers of the learned text model as a Core ML file
    ///
    /// The file computes the scores of a text's components from its pooled units; the layers before and the decision after
    /// them stay in Majordomo. It is readable by you only, since the model was learned from what users said.
    Export(ModelExportArgs),
    /// Describe a Core ML file that `model export` wrote, and check that it can be evaluated
    Inspect {
        /// A folder NAME.mlpackage or a file NAME.mlmodel
        path: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
#[cfg_attr(not(feature = "coreml"), allow(dead_code, reason = "read in a build with the feature"))]
pub(crate) struct ModelExportArgs {
    /// The state directory with the learned data; no server may be using it
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Kind of file (default: by the ending of PATH)
    #[arg(long, value_enum)]
    pub format: Option<ModelFormat>,
    /// Precision of weights and arithmetic; the Neural Engine takes fp16 only, and only an mlpackage can have it
    #[arg(long, value_enum, default_value = "fp32")]
    pub precision: ModelPrecision,
    /// Texts of one call, fixed in the file; repeat it to write a file for each, as PATH with -bN before the ending
    #[arg(long = "batch", value_name = "N", default_values_t = [1], value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batches: Vec<u32>,
    /// The file to write, NAME.mlpackage or NAME.mlmodel
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
    /// Replace an existing model
    #[arg(long)]
    pub force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ModelFormat {
    /// An ML Program in a folder; macOS 12 or newer
    Mlpackage,
    /// A neural network in one file; macOS 10.15 or newer
    Mlmodel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ModelPrecision {
    /// 32 bits
    Fp32,
    /// 16 bits; macOS 13 or newer
    Fp16,
}
