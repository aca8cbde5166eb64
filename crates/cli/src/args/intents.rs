//! The arguments of the commands about learned texts.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct IntentsArgs {
    /// A configuration (FILE.toml or FILE.json) and a text, or a text for the running server (with --state-dir: for the
    /// learned data there); without a text, each line of standard input is one
    #[arg(value_name = "CONFIG|TEXT")]
    pub words: Vec<String>,
    /// Use the components and keywords of this configuration; all words are the text
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub config: Option<PathBuf>,
    /// Use the server; all words are the text
    #[arg(long, conflicts_with = "state_dir")]
    pub server: bool,
    /// Use the learned data in this directory instead of a server
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LearnArgs {
    /// Lines of `labels TAB text`, or of `split TAB labels TAB text` with train, valid or test as split; labels are
    /// names of components separated by commas; a text that needs no component has empty labels, or the word none.
    /// - is standard input
    pub file: PathBuf,
    /// Keep the learned data in this directory
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Accept only components of this configuration as labels
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Skip lines whose label is not a component instead of refusing the file
    #[arg(long, requires = "config")]
    pub skip_unknown: bool,
    /// Also learn the lines of the splits valid and test, which otherwise only check the result
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("needed").required(true))]
pub(crate) struct FeedbackArgs {
    /// The text of the user's command
    #[arg(required = true)]
    pub text: Vec<String>,
    /// The components that the text really needed, separated by commas
    #[arg(long, value_delimiter = ',', group = "needed", value_name = "NAMES")]
    pub used: Vec<String>,
    /// The text needed no component
    #[arg(long, group = "needed")]
    pub none: bool,
    /// Learn the text in this directory instead of on a server
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}
