//! A script of commands: printed as a shell reads it, or run step by step.
//!
//! Runs only programs of folders that no other user may change: `su` and `doas` keep the caller's PATH.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use majordomo::{Swap, quoted};
use majordomo_files::{Folder, Owners};

use crate::print;

/// A script, with all that a person should know before it runs.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Its effect, in one line.
    pub(super) title: String,
    pub(super) warnings: Vec<String>,
    pub(super) steps: Vec<Vec<String>>,
    /// Commands that remove a half-made result.
    pub(super) clean_up: Vec<Vec<String>>,
    /// How it is kept over a restart of the machine.
    pub(super) permanent: String,
    /// The command that undoes it.
    pub(super) undo: String,
    /// The first step prints the number of the device that it makes; the text of the others has this one, an estimate.
    pub(super) estimated: Option<u32>,
}

impl Script {
    pub(super) fn print(&self, has_run: bool, swap: &Swap) {
        self.warnings.iter().for_each(|warning| print::message(&format!("warning: {warning}")));
        if has_run {
            print::line(&format!("{}: done", self.title));
            print::line(&format!("swap now: {swap}"));
        } else {
            print::line(&format!("# {}", self.title));
            print::line("# run these commands as root, or add --yes");
            self.steps.iter().for_each(|step| print::line(&shell(step)));
        }
        print::line(&format!("# to keep it over a restart: {}", self.permanent));
        print::line(&format!("# to undo it: {}", self.undo));
    }

    pub(super) fn json(&self, has_run: bool, swap: &Swap) -> serde_json::Value {
        let commands: Vec<_> = self.steps.iter().map(|step| shell(step)).collect();
        serde_json::json!({
            "title": self.title,
            "warnings": self.warnings,
            "commands": commands,
            "ran": has_run,
            "permanent": self.permanent,
            "undo": self.undo,
            "swap": { "total": swap.total.bytes(), "free": swap.free.bytes() },
        })
    }

    /// Runs the steps. After one that fails, what the earlier ones made is removed; where the first one fails, nothing was made.
    pub(super) fn run(&mut self) -> anyhow::Result<()> {
        for n_done in 0..self.steps.len() {
            let step = self.steps.get(n_done).cloned().unwrap_or_default();
            match execute(&step) {
                Ok(printed) if n_done == 0 => self.take_number(&printed),
                Ok(_) => {}
                Err(error) => {
                    if n_done > 0 {
                        self.clean_up.iter().for_each(|step| drop(execute(step)));
                    }
                    return Err(error.context(format!("`{}` failed", shell(&step))));
                }
            }
        }
        Ok(())
    }

    /// Puts the number that the first step printed in the place of the estimated one.
    fn take_number(&mut self, printed: &str) {
        let (Some(estimate), Ok(number)) = (self.estimated.take(), printed.trim().parse::<u32>())
        else {
            return;
        };
        let renumber = |text: &mut String| {
            for prefix in ["zram", "echo "] {
                *text = text.replace(&format!("{prefix}{estimate}"), &format!("{prefix}{number}"));
            }
        };
        self.steps.iter_mut().chain(&mut self.clean_up).flatten().for_each(renumber);
        [&mut self.title, &mut self.undo].into_iter().for_each(renumber);
    }
}

/// The folders of PATH that no other user may change, and those of the system.
fn trusted_folders() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_trusted =
        |folder: &PathBuf| folder.is_absolute() && Folder::open(folder, Owners::User).is_ok();
    let of_system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).filter(is_trusted).chain(of_system);
    std::env::join_paths(folders).unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".into())
}

/// Runs one step, and returns its output.
fn execute(step: &[String]) -> anyhow::Result<String> {
    let Some((program, arguments)) = step.split_first() else { return Ok(String::new()) };
    let output = Command::new(program).args(arguments).env("PATH", trusted_folders()).output();
    let output = output.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => anyhow::anyhow!("{} is not installed", quoted(program)),
        _ => anyhow::anyhow!("{error}"),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim();
    anyhow::bail!("{}", if text.is_empty() { output.status.to_string() } else { text.to_owned() })
}

/// A command as it is typed in a shell.
pub(super) fn shell(step: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,".contains(c);
    let words = step.iter().map(|word| {
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A command of plain words.
pub(super) fn step(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        let check = |words: &[&str], want: &str| assert_eq!(shell(&step(words)), want);
        check(&["mkswap", "/majordomo.swap"], "mkswap /majordomo.swap");
        check(&["mkswap", "/my disk/s'w"], r"mkswap '/my disk/s'\''w'");
        check(&["mkswap", "$(reboot)", ""], "mkswap '$(reboot)' ''");
    }

    #[test]
    fn failed_step_removes_what_the_earlier_ones_made_and_is_named() {
        let file = std::env::temp_dir().join(format!("majordomo-setup-{}", std::process::id()));
        let path = file.to_str().unwrap();
        let mut script = Script {
            steps: vec![step(&["touch", path]), step(&["sh", "-c", "echo no room >&2; exit 1"])],
            clean_up: vec![step(&["rm", path])],
            ..Script::default()
        };
        let error = format!("{:#}", script.run().unwrap_err());
        assert!(error.contains("exit 1'` failed: no room"), "{error}");
        assert!(!file.exists());
        let mut missing =
            Script { steps: vec![step(&["majordomo-no-such-tool"])], ..Script::default() };
        let error = format!("{:#}", missing.run().unwrap_err());
        assert!(error.contains("is not installed"), "{error}");
    }

    #[test]
    fn first_step_that_fails_removes_nothing() {
        let file =
            std::env::temp_dir().join(format!("majordomo-setup-kept-{}", std::process::id()));
        std::fs::write(&file, "of another program").unwrap();
        let path = file.to_str().unwrap();
        let clean_up = vec![step(&["rm", path])];
        let mut script = Script { steps: vec![step(&["false"])], clean_up, ..Script::default() };
        script.run().unwrap_err();
        assert!(file.exists());
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn number_that_the_first_step_prints_takes_the_place_of_the_estimate() {
        let file = std::env::temp_dir().join(format!("majordomo-setup-n-{}", std::process::id()));
        let to_file = |text: &str| step(&["sh", "-c", &format!("{text} >> {}", file.display())]);
        let mut script = Script {
            steps: vec![step(&["echo", "7"]), to_file("echo /dev/zram1"), step(&["false"])],
            clean_up: vec![to_file("echo 1")],
            undo: "zramctl --reset /dev/zram1".to_owned(),
            estimated: Some(1),
            ..Script::default()
        };
        script.run().unwrap_err();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "/dev/zram7\n7\n");
        assert_eq!(script.undo, "zramctl --reset /dev/zram7");
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn folder_of_the_path_that_others_may_change_is_skipped() {
        let path = trusted_folders();
        let folders: Vec<_> = std::env::split_paths(&path).collect();
        assert!(folders.contains(&"/usr/bin".into()), "{folders:?}");
        assert!(folders.iter().all(|f| f.is_absolute() && *f != std::env::temp_dir()));
    }
}
