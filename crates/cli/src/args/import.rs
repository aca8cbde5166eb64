//! The arguments of `import`.

use std::path::PathBuf;

use majordomo::ByteSize;

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    pub from: ImportFrom,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ImportFrom {
    /// Translate a YAML configuration of llama-swap, and report on standard error what became of each of its keys
    LlamaSwap(LlamaSwapArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct LlamaSwapArgs {
    /// Configuration of llama-swap
    pub file: PathBuf,
    /// File to write (default: standard output)
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Memory of the graphics card, such as 24GiB: models are booked in a pool of that size, and budgets replace groups
    #[arg(long, value_name = "SIZE", conflicts_with = "cpu_only")]
    pub gpu_memory: Option<ByteSize>,
    /// Models run in main memory, and budgets replace groups
    #[arg(long)]
    pub cpu_only: bool,
}
