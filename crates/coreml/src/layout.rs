//! The parts of a Core ML file that its writer and its reader agree on: settings, names, places, limits.

/// The name of a file's input: the pooled hidden units, `batch × n_hidden`, before bias and clipping.
pub const INPUT: &str = "units";
/// The name of a file's output: the scores, `batch × n_outputs`, "no component" first.
pub const OUTPUT: &str = "scores";
/// The largest batch of a file.
pub const MAX_BATCH: usize = 65_536;

/// The kind of file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// An ML Program in a folder `NAME.mlpackage`; macOS 12 or newer.
    #[default]
    MlPackage,
    /// A neural network in one file `NAME.mlmodel`, in single precision; macOS 10.15 or newer.
    MlModel,
}

/// The precision of weights and arithmetic; inputs and outputs have 32 bits always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits. The Neural Engine does not take these.
    #[default]
    Single,
    /// 16 bits; macOS 13 or newer.
    Half,
}

/// The properties of an exported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportSettings {
    /// The kind of file.
    pub format: Format,
    /// The precision; a neural network has single precision only.
    pub precision: Precision,
    /// Rows that are computed in one call, 1 to [`MAX_BATCH`]. Fixed in the file, since flexible shapes keep a model from
    /// the Neural Engine.
    pub batch: usize,
}

impl Default for ExportSettings {
    fn default() -> Self {
        Self { format: Format::default(), precision: Precision::default(), batch: 1 }
    }
}

/// Path of the model in a package.
pub(crate) const MODEL_PATH: &str = "Data/com.apple.CoreML/model.mlmodel";
/// Path of the weights in a package.
pub(crate) const WEIGHTS_PATH: &str = "Data/com.apple.CoreML/weights/weight.bin";
/// Path of the table of contents in a package.
pub(crate) const MANIFEST_PATH: &str = "Manifest.json";
/// How a model names the file of its weights.
pub(crate) const WEIGHTS_NAME: &str = "@model_path/weights/weight.bin";

/// The largest file that is read, in bytes.
pub const MAX_FILE: u64 = 256 * 1024 * 1024;

/// Parts of a file of weights begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 64;
/// Marks a record in a file of weights.
pub(crate) const MARK: u32 = 0xDEAD_BEEF;
/// The version of the form of a file of weights.
pub(crate) const VERSION: u32 = 2;
/// A record of numbers of 16 bits.
pub(crate) const HALF: u32 = 1;
/// A record of numbers of 32 bits.
pub(crate) const SINGLE: u32 = 2;
