//! Running other programs: their output stays visible, and the closing lines of test runners are kept.
//!
//! Owns how a child is started and read. Knows no stage. A child never reads our standard input.

use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

/// The closing lines of test runners.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Closing {
    /// Their own words, one line for each runner that ran a test.
    pub(crate) lines: Vec<String>,
    /// How many tests passed.
    pub(crate) n_passed: u64,
    /// Skipped checks, each with the reason.
    pub(crate) skipped: Vec<String>,
}

impl Closing {
    fn see(&mut self, line: &str) {
        let line = without_escapes(line);
        let line = line.trim();
        if !(line.starts_with("test result: ") || line.starts_with("Summary [")) {
            return;
        }
        let n_passed = line
            .split_once(" passed")
            .and_then(|(before, _)| before.rsplit(' ').next()?.parse::<u64>().ok())
            .unwrap_or(0);
        if n_passed > 0 {
            self.n_passed += n_passed;
            self.lines.push(line.to_owned());
        }
    }

    /// Something is not done, which is no failure unless it is required: says so.
    pub(crate) fn skip(why: impl Into<String>, required: bool) -> Result<Self> {
        let why = why.into();
        if required {
            bail!("{why}");
        }
        println!("SKIPPED: {why}");
        Ok(Self { skipped: vec![why], ..Self::default() })
    }

    /// Both together.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.lines.extend(other.lines);
        self.skipped.extend(other.skipped);
        self.n_passed += other.n_passed;
        self
    }
}

/// Whether the reader of the output is a terminal that takes colour.
pub(crate) fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none() && io::stdout().is_terminal()
}

/// Runs a command to its end, shows what it prints, and fails when it does.
pub(crate) fn run(command: impl Into<Command>) -> Result<Closing> {
    let mut command = command.into();
    let shown = shown(&command);
    println!("$ {shown}");
    let colour = if wants_colour() { "always" } else { "never" };
    let mut child = command
        .env("CARGO_TERM_COLOR", colour)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{shown}` cannot be started"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let errors = thread::spawn(move || pass_on(stderr, io::stderr()));
    let said = pass_on(stdout, io::stdout());
    let said = match errors.join() {
        Ok(errors) => said?.join(errors?),
        Err(panic) => std::panic::resume_unwind(panic),
    };
    let status = child.wait().with_context(|| format!("`{shown}` cannot be waited for"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(said)
}

/// Runs two commands at the same time, and shows the output of the second once the first has ended.
pub(crate) fn run_beside(
    first: impl Into<Command>,
    second: impl Into<Command>,
) -> (Result<Closing>, Result<Closing>) {
    let mut second = second.into();
    let name = shown(&second);
    second.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = second.spawn().with_context(|| format!("`{name}` cannot be started"));
    let collected = started.map(|child| thread::spawn(move || child.wait_with_output()));
    let first = run(first);
    println!("$ {name}");
    (first, collected.and_then(|output| printed(&name, output)))
}

/// Shows what a program printed, and fails when it did.
fn printed(name: &str, output: thread::JoinHandle<io::Result<Output>>) -> Result<Closing> {
    let output = output.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let output = output.with_context(|| format!("`{name}` cannot be waited for"))?;
    let said = pass_on(Some(output.stdout.as_slice()), io::stdout())?
        .join(pass_on(Some(output.stderr.as_slice()), io::stderr())?);
    if !output.status.success() {
        bail!("`{name}` failed: {}", output.status);
    }
    Ok(said)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn pass_on(from: Option<impl Read>, mut to: impl Write) -> Result<Closing> {
    let mut closing = Closing::default();
    let Some(from) = from else { return Ok(closing) };
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).context("a child's output cannot be read")? > 0 {
        to.write_all(&line).and_then(|()| to.flush()).context("output cannot be written")?;
        closing.see(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(closing)
}

/// The line without terminal colour sequences (`ESC [ … letter`).
fn without_escapes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' {
            for char in chars.by_ref() {
                if char.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            plain.push(char);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_both_runners_are_recognised() {
        let said = "running 2 tests\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
            test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out\n\
            \u{1b}[32;1m     Summary\u{1b}[0m [   0.052s] 40 tests run: 40 passed, 0 skipped\n\
            the summary of a story: 3 passed by\n";
        let mut shown = Vec::new();
        let closing = pass_on(Some(said.as_bytes()), &mut shown).unwrap();
        assert_eq!(shown, said.as_bytes());
        assert_eq!(closing.n_passed, 42);
        assert_eq!(closing.lines.len(), 2);
        assert_eq!(closing.lines[1], "Summary [   0.052s] 40 tests run: 40 passed, 0 skipped");
    }

    #[test]
    fn skipped_check_is_reported_and_fails_if_required() {
        let skipped = Closing::skip("no valgrind", false).unwrap();
        let both = Closing { n_passed: 2, ..Closing::default() }.join(skipped);
        assert_eq!((both.n_passed, both.skipped), (2, vec!["no valgrind".to_owned()]));
        assert_eq!(Closing::skip("no valgrind", true).unwrap_err().to_string(), "no valgrind");
    }

    #[test]
    fn commands_beside_each_other_each_have_their_own_result() {
        let said = |n: u32, code: u32| {
            let mut command = Command::new("sh");
            let text = format!("echo 'test result: ok. {n} passed; 0 failed'; exit {code}");
            command.args(["-c".to_owned(), text]);
            command
        };
        let (first, second) = run_beside(said(2, 0), said(3, 0));
        assert_eq!(first.unwrap().join(second.unwrap()).n_passed, 5);
        let (first, second) = run_beside(said(2, 0), said(3, 4));
        assert_eq!(first.unwrap().n_passed, 2);
        assert!(second.unwrap_err().to_string().ends_with("failed: exit status: 4"));
        let (first, second) = run_beside(said(2, 4), said(3, 0));
        assert!(first.is_err() && second.is_ok());
    }

    #[test]
    fn a_failing_child_is_an_error_that_names_it() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]);
        let error = run(command).unwrap_err().to_string();
        assert_eq!(error, "`sh -c exit 3` failed: exit status: 3");
    }
}
