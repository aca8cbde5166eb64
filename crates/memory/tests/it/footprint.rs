//! Footprints of real processes.

use majordomo_core::ByteSize;
use majordomo_memory::{Measure, process_footprint};

use crate::child::TestChild;

#[test]
fn what_a_child_holds_is_measured() {
    let mut hog = TestChild::start("hog 64");
    let pid = hog.pid();
    let measures = [Measure::Resident, Measure::Proportional];
    let before = measures.map(|m| process_footprint(pid, m).unwrap());
    hog.go();
    assert!(hog.hears("held"));
    let after = measures.map(|m| process_footprint(pid, m).unwrap());
    for (before, after) in before.into_iter().zip(after) {
        let grown = after - before;
        assert!(grown > ByteSize::mib(63) && grown < ByteSize::mib(66), "{before} → {after}");
    }
    assert!(after[1] <= after[0], "shared pages count in part: {after:?}");
    assert!(hog.end().success());
    let error = process_footprint(pid, Measure::Resident).unwrap_err();
    assert!(error.to_string().contains(&pid.to_string()), "{error}");
}
