//! A component that is a compiled model of Core ML, loaded inside the manager's process on macOS.

use std::path::PathBuf;

/// The devices that Core ML may use for a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum ComputeUnits {
    /// The processor alone.
    Cpu,
    /// The processor and the graphics chip.
    CpuGpu,
    /// The processor and the Neural Engine.
    #[default]
    CpuNe,
}

impl ComputeUnits {
    /// All values, in the order of [`WORDS`](Self::WORDS).
    pub const ALL: [Self; 3] = [Self::Cpu, Self::CpuGpu, Self::CpuNe];
    /// Their words in a configuration.
    pub const WORDS: &[&str] = &["cpu", "cpu-gpu", "cpu-ne"];

    /// The word in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::CpuGpu => "cpu-gpu",
            Self::CpuNe => "cpu-ne",
        }
    }
}

/// A model of Core ML on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CoreMlSpec {
    /// A compiled model (`.mlmodelc`), a package (`.mlpackage`) or a file (`.mlmodel`); relative to the manager's base
    /// directory. The latter two are compiled at each load.
    pub model: PathBuf,
    /// The devices that it may use.
    pub compute_units: ComputeUnits,
}

impl CoreMlSpec {
    /// A model on the processor and the Neural Engine.
    #[must_use]
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self { model: model.into(), compute_units: ComputeUnits::default() }
    }
}
