//! `park-cycles`: real programs behind a server, in a short form that holds on a machine without paging too.

use serde_json::Value;

use crate::support::{DEADLINE, World};

const PROGRAM: &str = env!("CARGO_BIN_EXE_majordomo-lab");

#[test]
fn programs_that_are_parked_or_unloaded_lose_no_request() {
    let world = World::new("cycles");
    let out = world.path("cycles.json").display().to_string();
    let words =
        ["park-cycles", "--cycles", "6", "--mib", "4", "--two-state", "--majordomo", PROGRAM];
    let (code, said) =
        world.start(&[&words[..], &["--out", &out]].concat()).end_within(DEADLINE * 20);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("no request was lost, no program died, nothing grew"), "{said}");
    let outcome: Value = serde_json::from_str(&world.read("cycles.json")).unwrap();
    assert!(outcome["cycles"].as_u64().unwrap() >= 6, "{outcome}");
    // Each of the six programs is asked before one is asked again.
    assert!(outcome["tally"]["requests"].as_u64().unwrap() >= 6, "{outcome}");
}

#[test]
fn a_machine_reports_whether_it_parks_programs() {
    let world = World::new("offered");
    let words = ["park-cycles", "--offered", "--mib", "4", "--majordomo", PROGRAM];
    let (code, said) = world.start(&words).end_within(DEADLINE * 10);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("offered: ") || said.starts_with("not offered: "), "{said}");
}
