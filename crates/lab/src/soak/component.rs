//! `majordomo-lab component`: a program under management, which behaves or misbehaves on request.
//!
//! A file beside it, taken away when it is read, names the next misbehaviour; so the same component can fail in
//! every way. `/bin/sh` does everything that needs signals or children.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::time::Duration;

use super::faults::Fault;
use super::sample::STRAY;

/// Arguments of `component`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Memory to touch, MiB
    #[arg(long, default_value_t = 1)]
    mib: usize,
    /// Time that loading takes, milliseconds
    #[arg(long, default_value_t = 0)]
    load_ms: u64,
    /// Ends with standard input
    #[arg(long)]
    until_eof: bool,
    /// The file that names the next misbehaviour
    #[arg(long)]
    fault: Option<PathBuf>,
}

/// Up, deaf to TERM.
const STUBBORN: &str = "trap '' TERM; echo ready; while :; do sleep 1; done";
/// Up, with a grandchild that has left the process group, and the session where there is `setsid`.
const STRAYING: &str =
    "(setsid sleep 3600 || sleep 3600) >/dev/null 2>&1 & echo ready; exec sleep 3600";
/// Up, and then nothing but noise for a while; in lines as short as the usual ones, so that a log that is full of them
/// does not shrink when others take their places.
const FLOOD: &str =
    "echo ready; i=0; while [ $i -lt 20000 ]; do echo x$i; i=$((i+1)); done; exec sleep 3600";

/// Becomes the component.
pub(crate) fn run(args: &Args) -> ExitCode {
    // A channel that never gets a message: the one way to wait that the house rules allow.
    let (_keep, never) = mpsc::channel::<()>();
    let fault = args.fault.as_ref().and_then(|file| {
        let word = std::fs::read_to_string(file).ok()?;
        std::fs::remove_file(file).ok()?;
        word.trim().parse::<Fault>().ok()
    });
    match fault {
        Some(Fault::LoadFails) => {
            eprintln!("fails on request");
            return ExitCode::from(3);
        }
        Some(Fault::LoadPanics) => std::process::abort(),
        Some(Fault::LoadHangs) => {
            let _ = never.recv();
        }
        Some(Fault::RefusesToStop) => return become_shell(STUBBORN, None),
        Some(Fault::Strays) => return become_shell(STRAYING, Some(STRAY)),
        Some(Fault::Floods) => return become_shell(FLOOD, None),
        _ => {}
    }
    let mut memory = vec![0u8; args.mib << 20];
    memory.iter_mut().step_by(4096).for_each(|page| *page = 1);
    let _ = never.recv_timeout(Duration::from_millis(args.load_ms));
    // Standard output is read by the manager; without a reader the component need not be ready.
    use std::io::Write as _;
    if writeln!(std::io::stdout(), "ready").is_err() {
        return ExitCode::FAILURE;
    }
    if matches!(fault, Some(Fault::Crashes)) {
        let _ = never.recv_timeout(Duration::from_millis(100));
        std::process::abort();
    }
    if args.until_eof {
        // An error is an end, too.
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    } else {
        // TERM's default action ends the process.
        let _ = never.recv();
    }
    std::hint::black_box(&memory);
    ExitCode::SUCCESS
}

fn become_shell(script: &str, variable: Option<&str>) -> ExitCode {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]);
    if let (Some(variable), Some(mark)) = (variable, std::env::var_os(super::sample::MARK)) {
        shell.env(variable, mark);
    }
    eprintln!("/bin/sh cannot be run: {}", shell.exec());
    ExitCode::FAILURE
}
