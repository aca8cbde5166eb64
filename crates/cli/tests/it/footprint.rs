//! The memory of the server itself, by the kernel's account. Bounds are on memory of its own: how much of the program's
//! file is mapped depends on how it was built, so that the bound there is less than the highest.
#![cfg(target_os = "linux")]

use std::fmt::Write as _;

use crate::eventually::eventually;
use crate::support::{DEADLINE, Running, UP, World};

const COMPONENTS: [&str; 12] = [
    "bread", "chess", "cloud", "heat", "light", "mail", "music", "news", "phone", "plant", "radio",
    "train",
];

/// A text of a component, with words of its own beside the component's.
fn text(i: usize) -> String {
    let component = COMPONENTS[i % COMPONENTS.len()];
    format!("please do {component} thing number w{:x} for x{:x}", i * 7919, i * 104_729 % 99_991)
}

/// A figure of `smaps_rollup` in MiB; none where the kernel has no such file.
fn mib(server: &Running<'_>, name: &str) -> Option<u64> {
    let account = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", server.pid())).ok()?;
    let line = account.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? >> 10)
}

/// A figure of `status` in MiB.
fn status(server: &Running<'_>, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() >> 10
}

fn figure(world: &World, name: &str) -> serde_json::Value {
    let status = world.run(&["--json", "status"]).json().remove(0);
    let figures = status["sections"]["intents"].as_array().unwrap();
    figures.iter().find(|figure| figure["name"] == name).unwrap()["value"].clone()
}

#[test]
fn server_with_a_learned_model_is_small_and_returns_what_a_retrain_took() {
    const REST: u64 = 10;
    const PEAK: u64 = 34;
    /// Pages of the program's file that a retrain needs and the server at rest does not.
    const CODE: u64 = 2;
    let world = World::new();
    let mut config =
        "[manager]\nwrite_state_after = \"1s\"\n[intents]\nretrain_every = 10\n".to_owned();
    for component in COMPONENTS {
        config += &world.section(component, UP, "");
    }
    world.write("c.toml", config);
    let mut table = String::new();
    for i in 0..2100 {
        writeln!(table, "{}\t{}", COMPONENTS[i % COMPONENTS.len()], text(i)).unwrap();
    }
    world.write("t.tsv", table);
    world.run(&["learn", "t.tsv", "--state-dir", "state"]).check(0, &["2100 different texts"], &[]);
    let server = world.serve(&["c.toml", "--state-dir", "state"]);
    let Some(own) = mib(&server, "Pss_Anon:") else {
        eprintln!("skipped: this kernel has no account of a process's memory");
        return server.stop().check(0, &[], &[]);
    };
    assert!(own <= REST, "{own} MiB with a learned state");
    // The kernel's highest figure counts from here (proc(5)).
    std::fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
    for i in 2100..2112 {
        let used = COMPONENTS[i % COMPONENTS.len()];
        world.run(&["feedback", "--used", used, &text(i)]).check(0, &["learned"], &[]);
    }
    let n_trained =
        || ["retrains", "retrains_rejected"].map(|name| figure(&world, name).as_u64().unwrap());
    let (mut highest, mut files) = (0, 0);
    let mut n_looks = 0u32;
    eventually(DEADLINE, "a retrain, and its model in the state", || {
        highest = highest.max(mib(&server, "Pss_Anon:").unwrap());
        files = files.max(status(&server, "RssFile:"));
        n_looks += 1;
        // Each look at the status starts a process.
        n_looks.is_multiple_of(25)
            && n_trained().iter().sum::<u64>() > 1
            && figure(&world, "state") == "up to date"
    });
    // Looks may miss the highest; the kernel's own figure includes pages of files, which change slowly.
    highest = highest.max(status(&server, "VmHWM:").saturating_sub(files));
    assert!(highest <= PEAK, "{highest} MiB while it retrained");
    let (mut own, mut mapped) = (0, 0);
    eventually(DEADLINE, "memory at rest again", || {
        own = mib(&server, "Pss_Anon:").unwrap();
        mapped = status(&server, "RssFile:");
        own <= REST && mapped + CODE <= files
    });
    println!("{highest} + {files} MiB while it retrained, {own} + {mapped} MiB at rest");
    server.stop().check(0, &[], &[]);
}
