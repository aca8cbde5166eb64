//! `cargo xtask tidy`: the rules of the house, checked by machine.
//!
//! Owns the list of rules and how findings are printed. Each rule reads a [`Project`] and nothing else, so each is
//! tested on a tree that breaks it. `--bless` rewrites what is derived and changes nothing else.

mod clippy;
mod cycles;
mod dependencies;
mod documents;
mod findings;
mod layers;
mod manifests;
mod publishing;
mod readme;
mod sources;
mod texts;
mod words;

use anyhow::{Context, Result};

use crate::project::Project;

use findings::Findings;

type Rule = fn(&Project, &mut Findings);

const RULES: &[Rule] = &[
    layers::check,
    cycles::check,
    manifests::check,
    publishing::check,
    clippy::check,
    dependencies::check,
    sources::check,
    texts::check,
    words::check,
    documents::check,
    readme::check,
];

/// Checks every rule, prints the findings, and returns whether there is none that is an error.
pub(crate) fn run(project: &Project) -> bool {
    let mut findings = Findings::default();
    for rule in RULES {
        rule(project, &mut findings);
    }
    for finding in findings.iter() {
        println!("{finding}");
    }
    let n_errors = findings.n_errors();
    println!("tidy: {n_errors} errors in {} files", project.files.len());
    n_errors == 0
}

/// Prints the findings of the word list under a path, and returns whether there are none.
pub(crate) fn run_words(project: &Project, path: &str) -> bool {
    let mut findings = Findings::default();
    words::check_under(project, path, &mut findings);
    for finding in findings.iter() {
        println!("{finding}");
    }
    println!("words: {} findings under {path}", findings.iter().count());
    findings.iter().next().is_none()
}

/// Rewrites the derived files that are out of date.
pub(crate) fn bless(project: &Project) -> Result<()> {
    let mut derived = clippy::derived(project);
    derived.extend(documents::derived(project));
    for (path, text) in derived {
        if project.file(&path) != Some(text.as_str()) {
            std::fs::write(project.root.join(&path), text)
                .with_context(|| format!("{path} cannot be written"))?;
            println!("rewrote {path}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod testing {
    //! A tree from literal files.

    use super::*;

    /// The findings of one rule in a tree, one line for each.
    pub(super) fn found(rule: Rule, files: &[(&str, &str)]) -> Vec<String> {
        let mut findings = Findings::default();
        rule(&project(files), &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    /// A tree from literal files.
    pub(super) fn project(files: &[(&str, &str)]) -> Project {
        let mut files: std::collections::BTreeMap<String, String> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        files.entry("Cargo.toml".to_owned()).or_insert_with(|| "[workspace]\n".to_owned());
        Project::from_files(std::path::PathBuf::new(), files).unwrap()
    }

    /// Fails unless the rule finds exactly what is expected, each finding given by a part of its line.
    pub(super) fn check(rule: Rule, files: &[(&str, &str)], expected: &[&str]) {
        let found = found(rule, files);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "`{expected}` is not in `{found}`");
        }
    }
}
