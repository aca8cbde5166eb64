//! The arguments of `setup`.

use std::path::PathBuf;

use majordomo::ByteSize;

#[derive(Debug, clap::Args)]
pub(crate) struct SetupArgs {
    #[command(subcommand)]
    pub part: SetupPart,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum SetupPart {
    /// Print the commands that give this machine a swap file, or run them
    Swap {
        /// Size of the file, such as 4GiB (default: as much as this machine has memory, at most 8 GiB and a quarter of the
        /// free disk)
        #[arg(long)]
        size: Option<ByteSize>,
        /// Path of the file, on a disk
        #[arg(long, value_name = "PATH", default_value = "/majordomo.swap")]
        file: PathBuf,
        /// Run the commands; needs root
        #[arg(long)]
        yes: bool,
    },
    /// Print the commands that give this machine compressed swap in memory, or run them
    Zram {
        /// Size before compression, such as 4GiB (default: half of the memory, at most 8 GiB)
        #[arg(long)]
        size: Option<ByteSize>,
        /// Run the commands; needs root
        #[arg(long)]
        yes: bool,
    },
}
