//! `assistant`: a day against a real server and real components, its report, and an interrupt.

use serde_json::{Value, json};

use crate::eventually::eventually;
use crate::support::{DEADLINE, World};

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
const PROGRAM: &str = env!("CARGO_BIN_EXE_majordomo-lab");

/// A program without an endpoint: answers each line with a text.
const LINES: &str = r#"echo '{"ready":true}'; while read -r line; do id=${line#*\"id\":}; echo "{\"id\":${id%%[,\}]*},\"answer\":\"hello gamma\"}"; done"#;

/// A prepared folder: components that answer with what they are asked, each known by its name in a text.
fn prepare(world: &World) -> String {
    let folder = world.path("folder");
    std::fs::create_dir_all(&folder).unwrap();
    let mut configuration = "[manager]\nbudget = \"1GiB\"\n".to_owned();
    let mut commands = String::new();
    let mut questions = serde_json::Map::new();
    for name in NAMES {
        let is_called = name == "gamma";
        let program = match is_called {
            true => format!(
                "protocol = \"stdio\"\ncommand = [\"sh\", \"-c\", '''{}''']\n",
                LINES.replace('{', "{{").replace('}', "}}")
            ),
            false => format!(
                "ready = \"connect\"\ncommand = [\"{PROGRAM}\", \"answer\", \"{{port}}\", \"--mib=4\"]\n"
            ),
        };
        configuration.push_str(&format!(
            "[components.{name}]\nmemory = \"8MiB\"\nkeywords = [\"{name}\"]\n{program}"
        ));
        for i in 0..4 {
            commands.push_str(&format!("train\t{name}\tplease ask {name} for number {i}\n"));
            commands.push_str(&format!("test\t{name}\tlet {name} do thing {i}\n"));
        }
        let text = format!("hello {name}");
        let ask = match is_called {
            true => json!({"call": {"object": {"question": text}}}),
            false => json!({"http": {"path": "/ask", "json": {"text": text}}}),
        };
        let question = json!({"ask": ask, "expect": {"words": [name], "at_least": 1}});
        questions.insert(name.to_owned(), json!([question]));
    }
    configuration.push_str("dependencies = [\"alpha\"]\n");
    std::fs::write(folder.join("assistant.toml"), configuration).unwrap();
    std::fs::write(folder.join("commands.tsv"), commands).unwrap();
    std::fs::write(folder.join("questions.json"), Value::Object(questions).to_string()).unwrap();
    folder.display().to_string()
}

/// The words of a day with pauses too short to notice.
fn day<'a>(folder: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = [
        "assistant",
        "day",
        "--dir",
        folder,
        "--out",
        out,
        "--majordomo",
        PROGRAM,
        "--compress",
        "1000000",
        "--hold",
        "0",
        "--sample",
        "20",
        "--quiet-wait",
        "0",
    ];
    words.iter().chain(more).copied().collect()
}

fn summary(world: &World) -> Value {
    serde_json::from_str(&world.read("results/summary.json")).unwrap()
}

#[test]
fn a_day_is_played_under_every_policy_and_reported() {
    let world = World::new("assistant-day");
    let folder = prepare(&world);
    let out = world.path("results").display().to_string();
    let more = [
        "--commands-per-day",
        "6",
        "--budget",
        "64MiB",
        "--seeds",
        "2",
        "--short",
        "--warm-up",
        "0",
    ];
    let policies = ["--policies", "all,lru,idle,product,product-equal"];
    let words = day(&folder, &out, &[&more[..], &policies[..]].concat());
    let (code, said) = world.start(&words).end_within(DEADLINE * 10);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("no refusal, every answer real, no orphan"), "{said}");
    let summary = summary(&world);
    let runs = summary["runs"].as_array().unwrap();
    // Everything loaded is played once.
    assert_eq!(runs.len(), 9, "{said}");
    for run in runs {
        let figures = &run["figures"];
        assert_eq!(figures["n_commands"], 6);
        assert_eq!((&figures["n_real"], &figures["n_refused"]), (&6.into(), &0.into()));
        assert!(run["mean"].as_f64().unwrap() > 0.0 && run["manager_mean"].as_f64().unwrap() > 0.0);
        let loads = run["tally"]["loads"].as_u64().unwrap();
        assert_eq!(loads == 0, run["policy"] == "all", "{run}");
    }
    let all_loaded: f64 =
        NAMES.iter().map(|n| summary["components"][n]["pss"].as_f64().unwrap()).sum();
    assert!(all_loaded > 8e6, "{summary}");
    assert_eq!(world.read("results/day.jsonl").lines().count(), 54);
    // The configurations of the policies are gone, and so are the sockets.
    let left = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(left, 3);

    let (code, said) = world.start(&["assistant", "report", "--out", &out]).end_within(DEADLINE);
    assert_eq!(code, Some(0), "{said}");
    let report = world.read("results/report.md");
    for part in ["| lru | 2 |", "| all | 1 |", "| product / lru | seed 2 |", "## For README"] {
        assert!(report.contains(part), "{part:?} is missing in\n{report}");
    }
    for picture in ["waits.svg", "memory.svg", "components.svg"] {
        assert!(world.read(&format!("results/{picture}")).starts_with("<svg"), "{picture}");
    }
}

#[test]
fn what_was_used_before_the_day_is_loaded_when_it_begins() {
    let world = World::new("assistant-warm");
    let folder = prepare(&world);
    let out = world.path("results").display().to_string();
    let more = ["--short", "--policies", "lru", "--budget", "64MiB", "--warm-up", "40"];
    let (code, said) = world.start(&day(&folder, &out, &more)).end_within(DEADLINE * 10);
    assert_eq!(code, Some(0), "{said}");
    let run = &summary(&world)["runs"][0];
    assert_eq!((&run["day"]["n_warm_up"], &run["n_warm_up_refused"]), (&40.into(), &0.into()));
    // Forty uses are of all three components, and everything fits.
    assert_eq!(run["tally"]["loads"], 0, "{run}");
    assert_eq!(run["figures"]["n_commands"], 20);
}

#[test]
fn the_idle_timeout_passes_on_the_clock_of_the_trace() {
    let world = World::new("assistant-idle");
    let folder = prepare(&world);
    // Every use comes 200 s after the one before, and 400 s after the last one of the same component.
    let trace: String = (0..40)
        .map(|i| format!("me\t{}\t{}\n", 1_000 + 200 * i, ["alpha", "beta"][i % 2]))
        .collect();
    let file = world.path("trace.tsv").display().to_string();
    std::fs::write(&file, trace).unwrap();
    let out = world.path("results").display().to_string();
    let more = ["--commands-per-day", "8", "--warm-up", "2", "--budget", "64MiB"];
    let more = [&more[..], &["--trace", &file, "--policies", "lru,idle"]].concat();
    let (code, said) = world.start(&day(&folder, &out, &more)).end_within(DEADLINE * 10);
    assert_eq!(code, Some(0), "{said}");
    let summary = summary(&world);
    // Pauses of no length at all: each component is loaded again for each of its uses, and without the timeout for none.
    for (run, loads) in summary["runs"].as_array().unwrap().iter().zip([0, 8]) {
        assert_eq!(run["tally"]["loads"], loads, "{run}");
        assert_eq!(run["n_unloads_refused"], 0, "{run}");
    }
}

/// Skipped where no memory group can be made.
#[test]
fn memory_of_a_day_with_short_memory_is_counted_by_a_group_of_its_own() {
    let world = World::new("assistant-memory");
    let folder = prepare(&world);
    let out = world.path("results").display().to_string();
    let more = ["--short-memory", "--commands-per-day", "6", "--budget", "64MiB", "--settle", "0"];
    let more = [&more[..], &["--margin", "192MiB", "--policies", "lru,two-state,product"]].concat();
    let (code, said) = world.start(&day(&folder, &out, &more)).end_within(DEADLINE * 10);
    if said.contains("a memory group is needed") {
        return;
    }
    assert_eq!(code, Some(0), "{said}");
    let summary = summary(&world);
    let condition = &summary["condition"];
    assert_eq!(
        (&condition["budget"], &condition["margin"]),
        (&(64 << 20).into(), &(192 << 20).into())
    );
    let all_loaded = condition["all_loaded"].as_f64().unwrap();
    // Two components touch 4 MiB each.
    assert!(all_loaded > 8e6, "{condition}");
    for run in summary["runs"].as_array().unwrap() {
        let ram = &run["ram"];
        let mean = ram["mean"].as_f64().unwrap();
        assert!(mean > 0.0 && ram["peak"].as_f64().unwrap() <= 256e6 * 1.05, "{run}");
        assert_eq!(ram["n_killed"], 0);
        assert_eq!(run["figures"]["n_real"], 6, "{run}");
    }
    let firsts = world.read("results/day.jsonl");
    let firsts = firsts.lines().filter(|line| line.contains("\"is_first_use\":true")).count();
    // Nothing is played before the day: each component that a day uses has a first use under each policy.
    assert!(firsts >= 3 && firsts.is_multiple_of(3), "{firsts}");
    let (code, said) = world.start(&["assistant", "report", "--out", &out]).end_within(DEADLINE);
    assert_eq!(code, Some(0), "{said}");
    let report = world.read("results/report.md");
    for part in [
        "## Short memory",
        "| warm, without first uses | two-state |",
        "| full wait |",
        "product: mean full wait",
    ] {
        assert!(report.contains(part), "{part:?} is missing in\n{report}");
    }
}

#[test]
fn another_kind_of_swap_than_the_stated_one_is_refused_before_anything_is_played() {
    let world = World::new("assistant-swap");
    let folder = prepare(&world);
    let out = world.path("results").display().to_string();
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    let other = if swaps.lines().count() > 1 { "none" } else { "zram" };
    let more = ["--short-memory", "--swap", other, "--budget", "64MiB"];
    let (code, said) = world.start(&day(&folder, &out, &more)).end_within(DEADLINE);
    if said.contains("a memory group is needed") {
        return;
    }
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("--turn-swap-on SIZE") && !world.path("results/summary.json").exists(),
        "{said}"
    );
}

/// Skipped where memory cannot be locked.
#[test]
fn locked_hog_holds_its_memory_and_ends_with_its_parent() {
    let mut hog = std::process::Command::new(PROGRAM)
        .args(["locked-hog", "--leave", "1MiB", "--at-most", "8MiB"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(hog.stdout.take().unwrap()),
        &mut said,
    )
    .unwrap();
    if !said.is_empty() {
        assert_eq!(said, "held 8388608\n");
        let status = std::fs::read_to_string(format!("/proc/{}/status", hog.id())).unwrap();
        let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        let locked: u64 = locked.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(locked >= 8 << 10, "{status}");
    }
    drop(hog.stdin.take());
    let mut ended = None;
    eventually(DEADLINE, "the end of the hog", || {
        ended = hog.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().success(), !said.is_empty());
}

#[test]
fn an_interrupt_stops_the_server_and_keeps_the_results_so_far() {
    let world = World::new("assistant-interrupt");
    let folder = prepare(&world);
    let out = world.path("results").display().to_string();
    let more = ["--commands-per-day", "4000", "--policies", "lru", "--budget", "64MiB"];
    let mut running = world.start(&day(&folder, &out, &more));
    let has_played = || world.read("err").contains("lru: 25 of 4000");
    eventually(DEADLINE * 10, "commands", || has_played() || running.has_ended());
    assert!(has_played(), "{}", running.end().1);
    running.interrupt();
    let (code, said) = running.end_within(DEADLINE * 2);
    assert_eq!(code, Some(130), "{said}");
    let summary = summary(&world);
    assert_eq!(summary["was_interrupted"], true);
    let run = &summary["runs"][0];
    assert!(run["figures"]["n_commands"].as_u64().unwrap() >= 25, "{run}");
    assert_eq!(run["orphans"], json!([]));
}

#[test]
fn a_folder_that_is_not_prepared_names_the_command_that_makes_it() {
    let world = World::new("assistant-none");
    let (code, said) = world.start(&["assistant", "day", "--dir", "nowhere"]).end_within(DEADLINE);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cargo xtask assistant setup --dir nowhere"), "{said}");
    let (code, said) =
        world.start(&["assistant", "report", "--out", "nowhere"]).end_within(DEADLINE);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("assistant day"), "{said}");
}
