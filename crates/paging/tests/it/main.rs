//! Tests with real processes: this binary is test runner and subject.
//!
//! With `__subject` it holds memory as a test asks it to; see `subject.rs`. Tests that page out are skipped with an
//! announced reason where this machine offers no paging.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod eventually;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod fixture;
#[cfg(target_os = "linux")]
mod offered;
#[cfg(target_os = "linux")]
mod page;
#[cfg(target_os = "linux")]
mod subject;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    #[cfg(target_os = "linux")]
    if words.first().is_some_and(|word| word == subject::ARG) {
        return subject::main();
    }
    let arguments =
        libtest_mimic::Arguments::from_iter(std::iter::once("it".to_owned()).chain(words));
    #[cfg_attr(
        not(target_os = "linux"),
        expect(unused_mut, reason = "nothing is offered elsewhere")
    )]
    let mut tests = Vec::new();
    #[cfg(target_os = "linux")]
    {
        files::tests(&mut tests);
        offered::tests(&mut tests);
        page::tests(&mut tests);
    }
    libtest_mimic::run(&arguments, tests).exit_code()
}
