//! What can be typed about what is learned from texts.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct IntentsArgs {
    /// A configuration (FILE.toml or FILE.json) and a text, or a text alone, for the server that runs unless there is
    /// --state-dir; without a text each line of standard input is one
    #[arg(value_name = "CONFIG|TEXT")]
    pub words: Vec<String>,
    /// The components and keywords of this configuration; all words are the text
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub config: Option<PathBuf>,
    /// Ask the server; all words are the text
    #[arg(long, conflicts_with = "state_dir")]
    pub server: bool,
    /// What was learned here, without a server
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LearnArgs {
    /// Lines of `labels TAB text`, or of `split TAB labels TAB text` with train, valid or test as split; labels are
    /// names of components with commas between; for a text that needs none they are left empty, or the word none. - is
    /// standard input
    pub file: PathBuf,
    /// What is learned is kept here
    #[arg(long, value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Labels must be components of this configuration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Skip lines with a label that is no component, instead of refusing the file
    #[arg(long, requires = "config")]
    pub skip_unknown: bool,
    /// Learn the lines of valid and test as well, which else are only to check what was learned
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("needed").required(true))]
pub(crate) struct FeedbackArgs {
    /// What the user said
    #[arg(required = true)]
    pub text: Vec<String>,
    /// The components that it really needed, with commas between
    #[arg(long, value_delimiter = ',', group = "needed", value_name = "NAMES")]
    pub used: Vec<String>,
    /// It needed no component
    #[arg(long, group = "needed")]
    pub none: bool,
    /// Learn it here, without a server
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}
