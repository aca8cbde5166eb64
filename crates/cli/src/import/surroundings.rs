//! The circumstances of a translation besides the file.

use std::path::Path;

use majordomo::ByteSize;

/// Where models' weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Device {
    /// Not stated: what llama-swap excludes stays excluded.
    Unknown,
    /// A graphics card with so much memory.
    Gpu(ByteSize),
    /// Main memory.
    Cpu,
}

/// All that a translation depends on besides the file.
pub(super) struct Surroundings<'a> {
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Where relative paths of models start.
    pub folder: &'a Path,
    pub device: Device,
    /// The manager's budget on this machine.
    pub budget: Option<ByteSize>,
}
