//! The options that make memory short.

use std::str::FromStr;
use std::time::Duration;

use majordomo::ByteSize;

use super::swap::SwapKind;

/// A manager starts with the session, and its first command comes later: a rest for the length of a few loads.
const REST_S: u32 = 10;

/// How memory is made short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// A memory group with a limit.
    Group,
    /// The group, and a locked hog that holds the rest of the machine's memory.
    Hog,
}

impl FromStr for Shortage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "group" => Ok(Self::Group),
            "hog" => Ok(Self::Hog),
            _ => Err(format!("{text:?} is no way to make memory short; there are group and hog")),
        }
    }
}

#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ShortArgs {
    /// Make memory short: server, components and page cache share a memory group of the budget and the margin; `hog` also locks
    /// the rest of the machine's memory
    #[arg(long, value_name = "HOW", num_args = 0..=1, default_missing_value = "group")]
    pub(crate) short_memory: Option<Shortage>,
    /// Memory beside the budget, for page cache, manager and kernel (default: two thirds of the budget, so that this is the default
    /// budget of the group)
    #[arg(long, value_name = "SIZE", requires = "short_memory")]
    pub(crate) margin: Option<ByteSize>,
    /// The swap of this comparison: none, disk, or zram (perhaps beside a disk); another one is refused (default: as it is)
    #[arg(long, value_name = "KIND", requires = "short_memory")]
    pub(crate) swap: Option<SwapKind>,
    /// Turn swap of that kind and size on, and off again at the end
    #[arg(long, value_name = "SIZE", requires = "swap")]
    pub(crate) turn_swap_on: Option<ByteSize>,
    /// Rest between the start of a server and its first command, in seconds, under every policy: time in which likely
    /// components may be primed (default: 10 with --short-memory, else 0)
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub(crate) settle: Option<u32>,
}

impl ShortArgs {
    pub(crate) fn settle(&self) -> Duration {
        let default = if self.short_memory.is_some() { REST_S } else { 0 };
        Duration::from_secs(self.settle.unwrap_or(default).into())
    }
}
