//! The model and the weights of an `.mlpackage` from anywhere: read, and evaluated where that succeeds.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/coreml/tests/it/target.rs"]
mod target;

fuzz_target!(|data: &[u8]| {
    target::target(data);
});
