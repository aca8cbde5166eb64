//! A component of the demo: really allocates and touches its memory, really takes its load time.

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use crate::args::WorkerArgs;

/// Touches its memory in so many steps spread over the load time.
const STEPS: u32 = 8;
const PAGE: usize = 4096;

pub(crate) fn run(args: &WorkerArgs) -> ExitCode {
    let Some(bytes) = args.mib.checked_mul(1 << 20) else {
        crate::print::error("--mib is larger than any memory");
        return ExitCode::FAILURE;
    };
    let mut memory: Vec<u8> = Vec::new();
    if memory.try_reserve_exact(bytes).is_err() {
        crate::print::error("not enough memory for --mib");
        return ExitCode::FAILURE;
    }
    // A channel that never gets a message: the one way to wait that the house rules allow.
    let (_keep, never) = mpsc::channel::<()>();
    let pause = Duration::from_millis(args.load_ms) / STEPS;
    for step in 1..=STEPS as usize {
        let until = bytes / STEPS as usize * step;
        let from = memory.len();
        memory.resize(until, 0);
        // Zeroes alone may stay one shared page; a byte in each makes it this process' own.
        for i in (from..until).step_by(PAGE) {
            memory[i] = (i / PAGE) as u8 | 1;
        }
        let _ = never.recv_timeout(pause);
    }
    crate::print::line("ready");
    std::hint::black_box(&memory);
    // TERM's default action ends the process.
    let _ = never.recv();
    std::hint::black_box(&memory);
    ExitCode::SUCCESS
}
