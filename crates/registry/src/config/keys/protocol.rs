//! The draft of a program's protocol: the keys that `protocol` decides about, as far as they are stated.

use std::time::Duration;

use majordomo_core::ByteSize;

use crate::{ComponentSpec, ReadySpec, StdinMode, StdioSpec};

/// The stated keys that `protocol` decides about.
#[derive(Debug, Default)]
pub(crate) struct ProtocolDraft {
    pub(crate) is_stdio: bool,
    pub(crate) concurrent: Option<u32>,
    pub(crate) max_line: Option<ByteSize>,
    pub(crate) call_deadline: Option<Duration>,
    pub(crate) stdin: Option<StdinMode>,
    pub(crate) ready: Option<ReadySpec>,
}

/// The bounds of the protocol of a component that has it.
pub(super) fn stdio(spec: &ComponentSpec) -> Option<&StdioSpec> {
    spec.program()?.stdio()
}
