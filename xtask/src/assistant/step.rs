//! One step of a setup that a program of Python carries out, and what helps where it fails.
//!
//! Owns how such a program is started, and which of its words mean which way out. Knows no step.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The end of a failed program's output that is shown; pip repeats itself before it.
const MAX_LINES: usize = 4;

/// Runs a program to its end and returns its standard output; a failure is reported with the end of
/// both outputs.
pub(super) fn run(command: &mut Command, failure: &str) -> Result<String> {
    // The user's own Python modules are not the environment's.
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").stdin(Stdio::null());
    let output = command
        .output()
        .with_context(|| format!("{} cannot be started", command.get_program().display()))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<_> = said.trim().lines().collect();
    let end = lines[lines.len().saturating_sub(MAX_LINES)..].join("\n");
    bail!("{failure}: {}\n{end}", way_out(&said))
}

/// The way out of a failure, by the output of pip, venv or a program of the environment.
fn way_out(said: &str) -> &'static str {
    const NETWORK: &[&str] = &[
        "Temporary failure in name resolution",
        "Name or service not known",
        "NewConnectionError",
        "ConnectTimeoutError",
        "Network is unreachable",
        "Connection refused",
        "ProxyError",
        "Read timed out",
        "SSLError",
        "CERTIFICATE_VERIFY_FAILED",
        "Connection reset",
        "Connection aborted",
        "IncompleteRead",
        "RemoteDisconnected",
        "HTTP error 5",
        "Server Error",
    ];
    /// pip says so when the index answers, and also, after one of the words above, when it does
    /// not.
    const NO_FILE: &[&str] = &["(from versions: none)", "No matching distribution found"];
    let says = |words: &[&str]| words.iter().any(|words| said.contains(words));
    if says(&["No space left on device", "Disk quota exceeded"]) {
        "the disk is full; 2 GiB are enough for all components: make room or choose another folder with --dir, then repeat \
         the command"
    } else if says(&["DO NOT MATCH THE HASHES"]) {
        "the package index delivered another file than the pinned one; use the usual index (unset PIP_INDEX_URL, \
         PIP_EXTRA_INDEX_URL and PIP_FIND_LINKS) and repeat the command"
    } else if says(&["ensurepip"]) {
        "Python's module venv is not complete; install it (Debian: apt-get install python3-venv) and repeat the command"
    } else if says(NETWORK) {
        "the package index cannot be reached; check the network, or name a mirror in PIP_INDEX_URL, and repeat the command"
    } else if says(NO_FILE) {
        "the package index has no such file for this Python any more: pin another version with examples/assistant/pin.py"
    } else {
        "the reason follows; the command can be repeated"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_names_the_way_out() {
        let cases = [
            ("ERROR: [Errno 28] No space left on device", "--dir"),
            ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "PIP_INDEX_URL"),
            ("NameResolutionError: Temporary failure in name resolution", "network"),
            ("ERROR: Could not find a version (from versions: none)", "pin.py"),
            ("ProtocolError: RemoteDisconnected (from versions: none)", "network"),
            ("ERROR: HTTP error 503 while getting a.whl", "network"),
            ("SSLError: CERTIFICATE_VERIFY_FAILED", "network"),
            ("Error: '-m', 'ensurepip' returned 1", "python3-venv"),
            ("something else", "repeated"),
        ];
        for (said, way) in cases {
            let script =
                format!("for i in 1 2 3 4 5 6 7; do echo again; done; echo \"{said}\" >&2; exit 1");
            let mut command = Command::new("sh");
            let error = run(command.args(["-c", &script]), "it failed").unwrap_err().to_string();
            assert!(error.starts_with("it failed: "), "{error}");
            assert!(error.contains(way) && error.ends_with(said), "{error}");
            assert_eq!(error.matches("again\n").count(), MAX_LINES - 1, "{error}");
        }
    }

    #[test]
    fn programs_do_not_see_the_modules_of_the_user() {
        let mut command = Command::new("sh");
        command.env("PYTHONPATH", "/elsewhere").args(["-c", "echo \"at ${PYTHONPATH-nothing}\""]);
        assert_eq!(run(&mut command, "it failed").unwrap(), "at nothing\n");
    }
}
