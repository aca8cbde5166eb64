//! The closing check of a setup: a server of the prepared folder, and all questions to each of its
//! components.
//!
//! Owns the server that it starts: it has a socket and a state of its own and is stopped in every
//! case. The questions, and whether their answers are right, are `ask.py`'s.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

/// The longest wait for one component.
const DEADLINE: &str = "2min";
/// The components of a round trip: the second hears the answer of the first.
const SPEECH: [&str; 2] = ["speak", "listen"];

/// A server with a private folder for socket and state, which are short-lived.
struct Server {
    program: PathBuf,
    child: Child,
    private: PathBuf,
}

impl Server {
    fn start(program: &Path, folder: &Path) -> Result<Self> {
        // A socket's path is short, which the prepared folder's need not be.
        let private = private_folder(&std::env::temp_dir())?;
        let log_path = folder.join("check.log");
        let log = fs::File::create(&log_path)
            .with_context(|| format!("{} cannot be written", log_path.display()))?;
        let child = Command::new(program)
            .arg("serve")
            .arg(folder.join("assistant.toml"))
            .arg("--state-dir")
            .arg(private.join("state"))
            .arg("--socket")
            .arg(private.join("s.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let mut server = Self { program: program.to_owned(), child, private };
        let stdout = server.child.stdout.take().context("the server has no output")?;
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .context("the server's output cannot be read")?;
        ensure!(
            line.starts_with("listening"),
            "the server did not start: {}",
            fs::read_to_string(&log_path).unwrap_or_default().trim()
        );
        Ok(server)
    }

    fn client(&self) -> Command {
        let mut command = Command::new(&self.program);
        // In the environment, so that commands run with a lease find both as well.
        command
            .env("MAJORDOMO", &self.program)
            .env("MAJORDOMO_SOCKET", self.private.join("s.sock"))
            .stdin(Stdio::null());
        command
    }
}

/// A folder that was not there before and that no other user may enter.
fn private_folder(parent: &Path) -> Result<PathBuf> {
    for number in 0.. {
        let folder = parent.join(format!("majordomo-check-{}-{number}", std::process::id()));
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be made", folder.display()));
            }
        }
    }
    bail!("every name of a folder in {} is taken", parent.display())
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = Command::new("kill").arg(self.child.id().to_string()).status();
        if !stopped.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.private);
    }
}

/// Asks each component all of its questions, prints a table with the answers to the first ones; then speech is spoken and heard, where both
/// components are there: the length of a recording says nothing of its words.
///
/// # Errors
/// The components with a question that they did not answer, or not right.
pub(super) fn run(program: &Path, folder: &Path, components: &[String]) -> Result<()> {
    let server = Server::start(program, folder)?;
    println!("{:<10}  {:>9}  {:>9}  answer", "component", "in all", "answered");
    let mut failed = Vec::new();
    for name in components {
        #[expect(
            clippy::disallowed_methods,
            reason = "the time that a person waits, for the table"
        )]
        let start = Instant::now();
        let output = server
            .client()
            .args(["lease", name, "--deadline", DEADLINE, "--", "venv/bin/python", "ask.py", name])
            .current_dir(folder)
            .output()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let took = start.elapsed().as_millis();
        let answer = String::from_utf8_lossy(&output.stdout);
        println!("{name:<10}  {took:>6} ms  {}", answer.trim_end());
        if !output.status.success() {
            println!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
            let logs = server.client().args(["logs", name]).output();
            if let Ok(logs) = logs {
                println!("{}", String::from_utf8_lossy(&logs.stdout).trim_end());
            }
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() && SPEECH.iter().all(|name| components.iter().any(|c| c == name)) {
        let output = server
            .client()
            .arg("lease")
            .args(SPEECH)
            .args(["--deadline", DEADLINE, "--", "venv/bin/python", "ask.py", "--round-trip"])
            .current_dir(folder)
            .output()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        println!("{}", String::from_utf8_lossy(&output.stdout).trim_end());
        if !output.status.success() {
            println!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
            failed.push("the round trip of speech");
        }
    }
    if !failed.is_empty() {
        bail!(
            "no right answer from {}: see above and check.log in {}",
            failed.join(", "),
            folder.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn private_folder_is_a_new_one_each_time() {
        let parent = std::env::temp_dir();
        let folders = [private_folder(&parent).unwrap(), private_folder(&parent).unwrap()];
        assert_ne!(folders[0], folders[1]);
        for folder in folders {
            let mode = fs::metadata(&folder).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{mode:o}");
            fs::remove_dir(&folder).unwrap();
        }
    }
}
