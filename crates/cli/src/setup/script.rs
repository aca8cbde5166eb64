//! A script of commands: printed as a shell reads it, or run step by step.

use std::process::Command;

use majordomo::{Swap, quoted};

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

    /// Runs the steps. After one that fails, what the earlier ones made is removed.
    pub(super) fn run(&self) -> anyhow::Result<()> {
        for step in &self.steps {
            if let Err(error) = execute(step) {
                // It may fail as well: there may be nothing yet to remove.
                self.clean_up.iter().for_each(|step| drop(execute(step)));
                return Err(error.context(format!("`{}` failed", shell(step))));
            }
        }
        Ok(())
    }
}

fn execute(step: &[String]) -> anyhow::Result<()> {
    let Some((program, arguments)) = step.split_first() else { return Ok(()) };
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => anyhow::anyhow!("{} is not installed", quoted(program)),
        _ => anyhow::anyhow!("{error}"),
    })?;
    if output.status.success() {
        return Ok(());
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
        let script = Script {
            steps: vec![step(&["touch", path]), step(&["sh", "-c", "echo no room >&2; exit 1"])],
            clean_up: vec![step(&["rm", path])],
            ..Script::default()
        };
        let error = format!("{:#}", script.run().unwrap_err());
        assert!(error.contains("exit 1'` failed: no room"), "{error}");
        assert!(!file.exists());
        let missing =
            Script { steps: vec![step(&["majordomo-no-such-tool"])], ..Script::default() };
        let error = format!("{:#}", missing.run().unwrap_err());
        assert!(error.contains("is not installed"), "{error}");
    }
}
