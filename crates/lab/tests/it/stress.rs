//! `stress`: interrupted, gone on with, and with managers killed.

use serde_json::Value;

use crate::eventually::eventually;
use crate::support::{DEADLINE, World};

fn n_samples(world: &World) -> usize {
    world.read("run/samples.csv").lines().count().saturating_sub(1)
}

fn summary(world: &World) -> Value {
    serde_json::from_str(&world.read("run/summary.json")).unwrap()
}

#[test]
fn an_interrupt_ends_a_soak_with_its_report_and_it_can_be_gone_on_with() {
    let world = World::new("interrupt");
    let dir = world.path("run").display().to_string();
    let soak = ["stress", "--minutes", "10", "--profile", "steady", "--seed", "7", "--out", &dir];
    let running = world.start(&soak);
    eventually(DEADLINE, "samples", || n_samples(&world) >= 2);
    running.interrupt();
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("\ninterrupted\n") && said.contains("--resume"), "{said}");
    assert!(world.read("run/report.md").contains("seed 7: interrupted"), "{said}");
    let first = summary(&world);
    assert_eq!((&first["passed"], &first["interrupted"]), (&false.into(), &true.into()));

    let n_before = n_samples(&world);
    let running = world.start(&["stress", "--resume", &dir]);
    eventually(DEADLINE, "more samples", || n_samples(&world) >= n_before + 2);
    running.interrupt();
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    let second = summary(&world);
    // It adds up, and takes as long as was asked for at first.
    assert!(second["seconds"].as_f64() > first["seconds"].as_f64());
    assert!(second["loads"].as_u64() > first["loads"].as_u64());
    assert_eq!(second["processes_of_the_manager"], 2);
    assert_eq!((&second["profile"], &second["seed"]), (&"steady".into(), &7.into()));
    assert!(second["command"].as_str().unwrap().contains("--minutes 10 "), "{second}");

    let running = world.start(&["stress", "--resume", "nowhere"]);
    let (code, said) = running.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("wants the folder of an earlier run"), "{said}");
}

#[test]
fn an_interrupt_during_the_warm_up_does_not_wait_for_its_end() {
    let world = World::new("early");
    let dir = world.path("run").display().to_string();
    // So long a run warms up for long.
    let running = world.start(&["stress", "--hours", "24", "--profile", "mixed", "--out", &dir]);
    // Written when everything else is ready to begin.
    eventually(DEADLINE, "a lease", || world.path("run/state").exists());
    running.interrupt();
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("not judged: it was ended before it had warmed up"), "{said}");
    assert!(said.contains("\ninterrupted\n") && said.contains("--resume"), "{said}");
    let summary = summary(&world);
    assert_eq!((&summary["passed"], &summary["interrupted"]), (&false.into(), &true.into()));
}

#[test]
fn killed_managers_lose_nothing() {
    let world = World::new("kills");
    let dir = world.path("run").display().to_string();
    let words = ["stress", "--kills", "4", "--jobs", "4", "--seed", "2", "--out", &dir];
    let (code, said) = world.start(&words).end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("4 kills of a manager") && said.contains(" 0 violations"), "{said}");
}
