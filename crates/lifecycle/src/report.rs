//! Results of loaders, as the shell reports them.

use majordomo_core::ByteSize;
use majordomo_memory::Need;

/// A load that succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// The memory in use right after it, where it is known.
    pub measured: Option<ByteSize>,
    /// The highest memory in use while it ran, where that is known.
    pub peak: Option<ByteSize>,
}

/// A park that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParkReport {
    /// The bytes that the component still holds in each pool; all others are proven free.
    pub held: Need,
    /// Bytes of its own pool that were measured to come free; none = its last footprint less what it holds.
    pub freed: Option<ByteSize>,
    /// Bytes that were written to swap; none = what it has there and had not before.
    pub written: Option<ByteSize>,
    /// Why nothing was moved, in words: the component has all its memory, and it is not its fault. `held` does not count then.
    pub unmoved: Option<String>,
}

/// A wake that succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WakeReport {
    /// The memory in use right after it, where it is known.
    pub measured: Option<ByteSize>,
    /// The bytes that are still in swap.
    pub swap: ByteSize,
}

/// A component ran out of memory: the kernel killed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutOfMemory {
    /// The highest memory that it used, where that is known.
    pub peak: Option<ByteSize>,
}

/// A load that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadFailure {
    /// Why, in its words.
    pub error: String,
    /// It ran out of memory.
    pub out_of_memory: Option<OutOfMemory>,
}

impl<T: Into<String>> From<T> for LoadFailure {
    fn from(error: T) -> Self {
        Self { error: error.into(), out_of_memory: None }
    }
}
