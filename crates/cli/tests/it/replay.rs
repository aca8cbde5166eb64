//! `replay`: figures for recorded usage, and clear words for what is no usage.

use crate::support::World;

fn rounds(n: usize) -> String {
    (0..n).map(|i| format!("me\t{}\tpart-{}\n", 1_000 + 10 * i, i % 4)).collect()
}

#[test]
fn budgets_and_policies_side_by_side() {
    let world = World::new();
    world.write("mine.tsv", rounds(200));
    world.write(
        "c.toml",
        (0..4)
            .map(|i| format!("[components.part-{i}]\ncommand = [\"x\"]\nmemory = \"100MiB\"\n"))
            .collect::<String>(),
    );
    let words =
        ["replay", "mine.tsv", "--budget", "slots:3", "--budget", "500MiB", "--config", "c.toml"];
    let ran = world.run(&words);
    ran.check(0, &["slots:3", "500MiB", "lru", "vrank", " MB", " slots"], &[]);
    let ran = world.run(&[&words as &[&str], &["--json"]].concat());
    ran.check(0, &[], &[]);
    let hits = |policy: &str, budget: &str| {
        let rows = ran.json();
        let row = rows.iter().find(|r| r["policy"] == policy && r["budget"] == budget);
        row.unwrap()["hit_pct"].as_f64().unwrap()
    };
    // A round of four in three places: LRU always misses, a prediction does not.
    assert_eq!(hits("lru", "slots:3"), 0.0);
    assert!(hits("vrank", "slots:3") > 80.0);
    assert_eq!(hits("lru", "500MiB"), 98.0, "all but the first four");
}

#[test]
fn memory_in_other_pools_is_reported_as_not_counted() {
    let world = World::new();
    world.write("mine.tsv", rounds(200));
    let text = "[pools.gpu]\nbudget = \"2GiB\"\naccounting = \"declared\"\n[components.part-0]\ncommand = [\"sh\"]\n\
                memory = { ram = \"100MiB\", gpu = \"1GiB\" }\n";
    world.write("c.toml", text);
    let words =
        ["replay", "mine.tsv", "--budget", "500MiB", "--policy", "lru", "--config", "c.toml"];
    world.run(&words).check(0, &["lru"], &["in other pools is not counted"]);
}

#[test]
fn repeated_arguments_give_one_row() {
    let world = World::new();
    // As an editor may have left it: with a byte order mark.
    world.write("mine.tsv", format!("\u{feff}{}", rounds(200)));
    let budgets = ["--budget", "slots:3", "--budget", "500MB", "--budget", "mb:500"];
    let policies = ["--policy", "lru", "--policy", "lfu", "--policy", "lru"];
    let words: Vec<_> = ["replay", "mine.tsv", "--json", "--budget", "slots:3"]
        .into_iter()
        .chain(budgets)
        .chain(policies)
        .collect();
    let ran = world.run(&words);
    ran.check(0, &[], &[]);
    let rows = ran.json();
    let cells: Vec<_> =
        rows.iter().map(|r| format!("{} {}", r["budget"], r["policy"]).replace('"', "")).collect();
    assert_eq!(cells, ["slots:3 lru", "slots:3 lfu", "mb:500 lru", "mb:500 lfu"]);
    assert!(rows.iter().all(|r| r["users"] == 1 && r["events"] == 200), "{rows:?}");
}

#[test]
fn what_is_no_usage_is_named() {
    let world = World::new();
    world.write("empty.tsv", "");
    world.write("back.tsv", "me\t5\ta\nme\t4\tb\n");
    world.write("binary.tsv", b"\x00\xff\xfe\x01".as_slice());
    world.write("one.tsv", "me\t5\ta\n");
    let check = |file: &str, parts: &[&str]| {
        world.run(&["replay", file, "--budget", "slots:4"]).check(1, &[], parts);
    };
    check("empty.tsv", &["empty.tsv", "no user"]);
    check("back.tsv", &["back.tsv", "line 2", "sort"]);
    check("binary.tsv", &["binary.tsv", "line 1"]);
    check("one.tsv", &["one.tsv", "30 events"]);
    world.write("wide.tsv", "me\t5\ta\tdo it\tlaptop\n");
    check("wide.tsv", &["wide.tsv", "line 1", "5 columns", "\"laptop\"", "3 or 4"]);
    world.write("header.tsv", "user\ttime\titem\n");
    check("header.tsv", &["header.tsv", "line 1", "\"time\"", "no header"]);
    check("missing.tsv", &["missing.tsv"]);
    let ran = world.run(&["replay", "empty.tsv", "--budget", "8"]);
    ran.check(2, &[], &["not a budget", "8GiB"]);
    world.write("mine.tsv", rounds(40));
    let ran = world.run(&["replay", "mine.tsv", "--budget", "slots:4", "--policy", "best"]);
    ran.check(1, &[], &["no policy", "vrank"]);
}

#[test]
fn rungs_add_a_row_for_each_policy_by_the_published_table_or_another() {
    let world = World::new();
    world.write("mine.tsv", rounds(200));
    let words = ["replay", "mine.tsv", "--budget", "500MB", "--policy", "lru", "--policy", "vrank"];
    let ran = world.run(&[&words as &[&str], &["--rungs"]].concat());
    ran.check(0, &["lru", "lru+rungs", "vrank+rungs"], &[]);
    world.write("mine.rungs", "stays = 2\n");
    let ran = world.run(&[&words as &[&str], &["--rungs=mine.rungs"]].concat());
    ran.check(1, &[], &["mine.rungs", "line 1", "stays is 2", "within 0 and 1"]);
    let ran = world.run(&[&words as &[&str], &["--rungs=none.rungs"]].concat());
    ran.check(1, &[], &["none.rungs", "cannot be read"]);
}
