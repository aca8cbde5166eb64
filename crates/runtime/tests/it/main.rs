//! Tests with real processes: this binary is test runner, guard, trampoline, manager and component.
//!
//! With `__guard` or `__exec` the binary does the same as that of the product. With `__helper NAME`
//! it is a component or a manager that a test drives. Otherwise it runs the tests.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::process::ExitCode;

mod calls;
mod eventually;
mod footprint;
mod guard;
mod helper;
mod managers;
#[cfg(target_os = "linux")]
mod members;
mod process;
mod readiness;
mod sleeper;
mod sleeping;
mod state;
mod stopping;
mod support;
mod warming;

fn main() -> ExitCode {
    if let Some(code) = majordomo_runtime::guard::hidden_main(std::env::args_os().skip(1)) {
        return code;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|w| w == helper::ARG) {
        return helper::main(&words[1..]);
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let mut tests = Vec::new();
    process::tests(&mut tests);
    readiness::tests(&mut tests);
    calls::tests(&mut tests);
    stopping::tests(&mut tests);
    sleeping::tests(&mut tests);
    warming::tests(&mut tests);
    guard::tests(&mut tests);
    footprint::tests(&mut tests);
    #[cfg(target_os = "linux")]
    members::tests(&mut tests);
    state::tests(&mut tests);
    libtest_mimic::run(&arguments, tests).exit_code()
}
