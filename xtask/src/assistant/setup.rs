//! `cargo xtask assistant setup`: a folder that has everything and needs no network afterwards.
//!
//! Owns the order of the steps. Each step does nothing where its result is there, so that an
//! interrupted setup is continued by the same command, and a finished one takes seconds.
//!
//! Invariant: the mark of a check is there only while nothing has changed since that check.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::arguments::flags;
use super::config::{self, Config, SOURCE, Selection};
use super::packages::{self, Requirements};
use super::program::majordomo;
use super::{check, step};
use crate::project::Project;

/// Made by the setup or only for it: not copied as they are.
const NOT_COPIED: &[&str] = &["pin.py"];
/// In the prepared folder once every component has answered; gone while a setup is under way.
const CHECKED: &str = "checked.txt";

/// Makes the folder complete and asks each component a question.
pub(super) fn run(project: &Project, folder: &Path, flags: &flags::Setup) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the time that a setup takes, for its record")]
    let start = Instant::now();
    let source = project.root.join(SOURCE);
    let read = |name: &str| {
        let path = source.join(name);
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let config = Config::parse(&read("assistant.toml")?)?;
    let requirements = Requirements::parse(&read("requirements.txt")?)?;
    let selection = config.select(flags.only.as_deref(), config::is_on_path)?;
    for (name, command) in &selection.missing {
        println!("{name} is left out: its program is not installed ({command})");
    }
    let Selection { components, .. } = &selection;
    let candidates = flags
        .python
        .clone()
        .map_or_else(|| requirements.supported.candidates(), |given| vec![given]);
    let python = requirements.supported.find(&candidates)?;

    packages::claim(folder)?;
    let was_checked = take(&folder.join(CHECKED))?;
    let is_new = !folder.join(packages::ENVIRONMENT).exists();
    let needed = requirements.text_for(components);
    let (python, installed) = packages::install(&python, folder, &needed)?;
    let mut changed = installed;
    changed |= copy_programs(&source, folder)?;
    changed |= write(&folder.join("assistant.toml"), &config.text_for(components))?;
    let commands = config::commands_for(&read("commands.tsv")?, components);
    changed |= write(&folder.join("commands.tsv"), &commands)?;
    // The rest of an interrupted installation is not the time of one.
    let seconds = (installed && is_new).then(|| start.elapsed().as_secs());
    changed |= prepare(&python, &source, folder, seconds, &selection)?;

    let checked = folder.join(CHECKED);
    if !changed && !flags.check && was_checked {
        write(&checked, &components.join("\n"))?;
        println!("{} is complete (--check asks its components again)", folder.display());
        return Ok(());
    }
    check::run(&majordomo(project, flags.majordomo.as_deref())?, folder, components)?;
    write(&checked, &components.join("\n"))?;
    println!("{} is complete after {:.0} s", folder.display(), start.elapsed().as_secs_f64());
    Ok(())
}

/// Whether any program was not there or was another one.
fn copy_programs(source: &Path, folder: &Path) -> Result<bool> {
    let mut changed = false;
    let entries =
        fs::read_dir(source).with_context(|| format!("{} cannot be listed", source.display()))?;
    for entry in entries {
        let from = entry?.path();
        let Some(name) = from.file_name().and_then(|name| name.to_str()) else { continue };
        let is_program = name.ends_with(".py") || name.ends_with(".sh");
        if !is_program || NOT_COPIED.contains(&name) {
            continue;
        }
        let to = folder.join(name);
        if fs::read(&to).ok() != Some(fs::read(&from)?) {
            // `copy` also copies the permissions.
            fs::copy(&from, &to).with_context(|| format!("{} cannot be written", to.display()))?;
            changed = true;
        }
    }
    Ok(changed)
}

/// Removes a file; whether it was there.
fn take(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{} cannot be removed", path.display())),
    }
}

/// Whether the file was not there or had another text.
fn write(path: &Path, text: &str) -> Result<bool> {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(false);
    }
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(true)
}

/// Questions, media and record, by the environment's own packages. Returns whether anything was
/// made.
fn prepare(
    python: &Path,
    source: &Path,
    folder: &Path,
    seconds: Option<u64>,
    selection: &Selection,
) -> Result<bool> {
    let missing = selection.missing.iter().map(|(name, command)| format!("{name}={command}"));
    let mut command = Command::new(python);
    command
        .arg("prepare.py")
        .arg(source)
        .arg(seconds.map_or_else(|| "-".to_owned(), |seconds| seconds.to_string()))
        .args(&selection.components)
        .arg("--missing")
        .args(missing)
        .current_dir(folder);
    let said = step::run(&mut command, "questions and media cannot be made")?;
    let mut lines: Vec<_> = said.lines().collect();
    let last = lines.pop();
    lines.iter().for_each(|line| println!("{line}"));
    Ok(last != Some("unchanged"))
}
