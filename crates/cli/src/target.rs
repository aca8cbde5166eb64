//! The target of the words of `run`, `plan` and `intents`: a configuration's components, or the server.
//!
//! Owns the rule: the first word is a configuration when it ends in `.toml` or `.json`; otherwise all words are a
//! command for the server. A first word that names some other file could be either, and is refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::args::RunArgs;
use majordomo::quoted;

/// Where the commands go.
#[derive(Debug)]
pub(crate) enum Target {
    /// To components of this program's own.
    Configuration(Job),
    Server(RunArgs),
}

/// A configuration, and what its components are to do.
#[derive(Debug)]
pub(crate) struct Job {
    /// The configuration.
    pub config: PathBuf,
    /// The command; when it is empty each line of standard input is one.
    pub text: Vec<String>,
    /// Each command's components are kept leased for this long.
    pub hold: Duration,
    /// Where learned figures are kept.
    pub state_dir: Option<PathBuf>,
}

/// Whether a word is a configuration by its ending.
pub(crate) fn is_configuration(word: &str) -> bool {
    let extension = Path::new(word).extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["toml", "json"].iter().any(|e| extension.eq_ignore_ascii_case(e))
}

/// Whether a word is a file of a format that configurations elsewhere have.
fn is_other_format(word: &str) -> bool {
    let extension = Path::new(word).extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["yaml", "yml", "ini", "cfg", "conf"].iter().any(|e| extension.eq_ignore_ascii_case(e))
}

/// The configuration that the words begin with and the other words; without one all words are for the server.
///
/// # Errors
/// When it could be either.
pub(crate) fn split(
    words: &[String],
    config: Option<&Path>,
    is_for_server: bool,
    exists: impl Fn(&str) -> bool,
) -> Result<(Option<PathBuf>, Vec<String>), String> {
    if config.is_some() || is_for_server {
        return Ok((config.map(Path::to_path_buf), words.to_vec()));
    }
    match words.split_first() {
        Some((first, rest)) if is_configuration(first) => Ok((Some(first.into()), rest.to_vec())),
        Some((first, _)) if is_other_format(first) => Err(format!(
            "{} is not a configuration: write FILE.toml, or the predecessor's FILE.json; add --server if it is part of a command",
            quoted(first)
        )),
        Some((first, _)) if exists(first) => Err(format!(
            "{0} is a file or folder, but could also be part of a command; add --config {0} if it is the configuration, or --server if it is part of a command",
            quoted(first)
        )),
        _ => Ok((None, words.to_vec())),
    }
}

impl Target {
    /// Decides; `exists` says whether a word names a file or folder.
    ///
    /// # Errors
    /// When it could be either.
    pub(crate) fn of(args: RunArgs, exists: impl Fn(&str) -> bool) -> Result<Self, String> {
        let (config, text) = split(&args.words, args.config.as_deref(), args.server, exists)?;
        Ok(match config {
            Some(config) => Self::Configuration(Job {
                config,
                text,
                hold: args.hold,
                state_dir: args.state_dir,
            }),
            None => Self::Server(args),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;

    /// `c:FILE:text` for a configuration, `s:text` for the server, `?` when it could be either.
    fn decide(words: &[&str]) -> String {
        let all = ["majordomo", "run"].iter().chain(words);
        let Command::Run(args) = Args::parse_from(all).command else { panic!("no run") };
        match Target::of(args, |word| word == "play") {
            Ok(Target::Configuration(job)) => {
                format!("c:{}:{}", job.config.display(), job.text.join(" "))
            }
            Ok(Target::Server(args)) => format!("s:{}", args.words.join(" ")),
            Err(_) => "?".to_owned(),
        }
    }

    #[test]
    fn the_rule() {
        let check = |words: &[&str], want| assert_eq!(decide(words), want, "{words:?}");
        check(&["a.toml"], "c:a.toml:");
        check(&["A.JSON", "play", "it"], "c:A.JSON:play it");
        check(&["music", "a.toml"], "s:music a.toml");
        check(&["music please"], "s:music please");
        check(&[], "s:");
        check(&["play", "it"], "?");
        check(&["--server", "play", "it"], "s:play it");
        check(&["--config", "play", "play", "it"], "c:play:play it");
        check(&["--server", "a.toml"], "s:a.toml");
        check(&["a.yaml", "play"], "?");
    }
}
