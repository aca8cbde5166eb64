//! Trace replay: errors of the reader, and figures that can be counted by hand.

use std::io::Write;
use std::path::Path;

use majordomo_sim::replay::{
    Budget, EnginePolicy, ItemCost, PolicyName, Progress, Report, RungTable, Tally, Trace,
    replay_trace,
};
use proptest::prelude::*;

fn read(text: &[u8]) -> Result<Trace, String> {
    Trace::read(Path::new("made.tsv"), text).map_err(|e| e.to_string())
}

/// Uses in random order: item 0 in half of the events, the others equally likely.
fn zipf_like(n_events: usize) -> Vec<u32> {
    let mut seed = 11u64;
    let mut random = || {
        seed = seed * 48_271 % 2_147_483_647;
        seed
    };
    (0..n_events).map(|_| ((random() % 12) * (random() % 2)) as u32).collect()
}

/// One user who uses `items` in order, `gap` seconds apart.
fn trace_of(items: &[u32], gap: u64) -> Trace {
    let line = |(i, x): (usize, &u32)| format!("u\t{}\titem-{x}\n", 1000 + gap * i as u64);
    read(items.iter().enumerate().map(line).collect::<String>().as_bytes()).expect("a made trace")
}

fn tally(trace: &Trace, budget: &str, policy: PolicyName) -> Tally {
    let mut sum = Tally::default();
    let budget = budget.parse().expect("a budget");
    replay_trace(trace, budget, policy, None, &mut || {}).iter().for_each(|t| sum.add(t));
    sum
}

fn round_robin(n_items: u32, n_events: u32) -> Vec<u32> {
    (0..n_events).map(|i| i % n_items).collect()
}

#[test]
fn bad_lines_are_errors_with_their_line_number() {
    let check = |text: &[u8], want: &[&str]| {
        let error = read(text).unwrap_err();
        for part in want {
            assert!(error.contains(part), "{error:?} does not contain {part:?}");
        }
    };
    check(b"", &["made.tsv", "no user"]);
    check(b"u\t1\ta\nu\t2\tb\n", &["no user", "30"]);
    check(b"u\t5\ta\nu\t4\tb\n", &["line 2", "decreases", "sort"]);
    check(b"u\t5\ta\nv\t4\tb\nu\t6\tc\n", &["line 3", "\"u\"", "sort"]);
    check(b"u\t5\n", &["line 1", "2 column"]);
    check(b"u\t5\ta\n\n", &["line 2", "0 column"]);
    check(b"user\tunix_seconds\titem\n", &["line 1", "unix_seconds", "not a time"]);
    check(b"u\t-5\ta\n", &["line 1", "-5"]);
    check(b"u\t99999999999999999999\ta\n", &["line 1", "not a time"]);
    check(b"\t5\ta\n", &["line 1", "user is empty"]);
    check(b"u\t5\t\xff\xfe\n", &["line 1", "UTF-8"]);
    check(b"u\t5\ta\0b\n", &["line 1", "zero byte"]);
    check(&[b'x'; 100_000], &["line 1", "longer"]);
}

#[test]
fn lines_of_too_many_columns_are_refused() {
    let check = |text: &str, want: &[&str]| {
        let error = read(text.as_bytes()).unwrap_err();
        for part in want {
            assert!(error.contains(part), "{error:?} does not contain {part:?}");
        }
    };
    let events: String = (0..40).map(|i| format!("u\t{i}\tx{}\n", i % 3)).collect();
    let after = |line: &str| format!("{events}{line}\n");
    check(&after("u\t90\ta\tdo it\t17"), &["made.tsv", "line 41", "5 columns", "\"17\"", "item"]);
    check(&after("u\t90\ta\tdo\tit\tnow"), &["line 41", "6 columns", "\"it\", \"now\""]);
    check(&after("u\t90\ta\tdo it\t"), &["line 41", "5 columns", "\"\""]);
    // A long column is shortened in the error.
    let error = read(after(&format!("u\t90\ta\tb\t{}", "y".repeat(5_000))).as_bytes());
    assert!(error.unwrap_err().to_string().len() < 400);
    let header = "user\tunix_seconds\titem\tcommand\tdevice\n";
    check(&format!("{header}{events}"), &["line 1", "5 columns", "\"device\""]);
    let header = "user\tunix_seconds\titem\n";
    check(&format!("{header}{events}"), &["line 1", "\"unix_seconds\"", "no header"]);
    // Four columns are the format; the fourth may be empty.
    assert_eq!(read(after("u\t90\ta\t").as_bytes()).unwrap().n_events(), 41);
}

#[test]
fn byte_order_mark_is_not_part_of_the_first_user() {
    let events: String = (0..40).map(|i| format!("u\t{i}\tx{}\n", i % 3)).collect();
    let trace = read(format!("\u{feff}{events}").as_bytes()).unwrap();
    assert_eq!(trace.users.len(), 1);
    assert_eq!((trace.users[0].name.as_str(), trace.n_events()), ("u", 40));
    // Anywhere else the mark is a character of a name.
    let twice = format!("{events}\u{feff}u\t90\ta\n");
    assert_eq!(read(twice.as_bytes()).unwrap().dropped_users, 1);
}

#[test]
fn user_with_too_few_events_is_left_out_and_counted() {
    let mut text = String::from("once\t7\ta\n");
    for i in 0..40 {
        text.push_str(&format!("often\t{}\tx{}\n", 100 + i, i % 3));
    }
    let trace = read(text.as_bytes()).unwrap();
    assert_eq!((trace.users.len(), trace.dropped_users, trace.n_events()), (1, 1, 40));
    // Repeats merge before events are counted.
    let repeats: String = (0..60).map(|i| format!("u\t{i}\tx{}\n", (i / 2) % 2)).collect();
    assert_eq!(read(repeats.as_bytes()).unwrap().n_events(), 30);
}

#[test]
fn gzip_is_recognised_by_content_and_a_truncated_file_is_an_error() {
    let text: String = (0..50).map(|i| format!("u\t{i}\tx{}\tdo {i}\n", i % 4)).collect();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    let bytes = gz.finish().unwrap();
    let path =
        |name: &str| std::env::temp_dir().join(format!("majordomo-{}-{name}", std::process::id()));
    let (complete, cut) = (path("complete.tsv.gz"), path("cut.tsv.gz"));
    std::fs::write(&complete, &bytes).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let (read, error) = (Trace::open(&complete), Trace::open(&cut));
    std::fs::remove_file(&complete).unwrap();
    std::fs::remove_file(&cut).unwrap();
    assert_eq!(read.unwrap().n_events(), 50);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("line") && error.contains("unpacked"), "{error}");
    let missing = Trace::open(Path::new("no-such-trace.tsv")).unwrap_err().to_string();
    assert!(missing.contains("no-such-trace.tsv"), "{missing}");
}

#[test]
fn budgets_and_policy_names_are_checked() {
    for bad in [
        "4", "lots", "0GiB", "17TiB", "slots:0", "slots:-1", "slots:x", "mb:0", "mb:nan", "mb:-3",
        "gb:3", "",
    ] {
        assert!(bad.parse::<Budget>().is_err(), "{bad:?}");
    }
    let written = |text: &str| text.parse::<Budget>().map(|budget| budget.to_string());
    assert_eq!(written("mb:1500").unwrap(), "mb:1500");
    // The syntax of the setting, but for shares.
    assert_eq!(written("1.5 GB").unwrap(), "mb:1500");
    assert_eq!(written("8GiB").unwrap(), "8GiB");
    // As it was given, so that it can be given again.
    for text in ["620MiB", "1536KiB", "mb:650.5", "mb:8192", "slots:3"] {
        assert_eq!(written(text).unwrap(), text);
    }
    assert_eq!(written("1.5GiB").unwrap(), "1536MiB");
    let share = written("60%").unwrap_err().to_string();
    assert!(share.contains("\"60%\" is a share") && share.contains("8GiB"), "{share}");
    for policy in PolicyName::ALL {
        assert_eq!(policy.to_string().parse::<PolicyName>().unwrap(), policy);
    }
    assert!("lur".parse::<PolicyName>().unwrap_err().to_string().contains("lru"));
}

#[test]
fn repeated_budgets_and_policies_are_replayed_once() {
    let budgets = ["mb:1500", "slots:4", "mb:1500.0", "slots:1500", "slots:4"];
    let budgets = Budget::distinct(&budgets.map(|b| b.parse().unwrap()));
    assert_eq!(
        budgets.iter().map(Budget::to_string).collect::<Vec<_>>(),
        ["mb:1500", "slots:4", "slots:1500"]
    );
    let chosen = |names: &[&str]| PolicyName::chosen(names);
    assert_eq!(chosen(&["lfu", "lru", "lfu"]), Ok(vec![PolicyName::Lfu, PolicyName::Lru]));
    let all = chosen(&["vrank", "all", "lru"]).unwrap();
    assert_eq!((all.len(), all[0]), (PolicyName::ALL.len(), PolicyName::VRank));
    assert!(chosen(&["lru", "best"]).unwrap_err().to_string().contains("\"best\""));
}

#[test]
fn progress_advances_within_a_long_trace() {
    let trace = trace_of(&round_robin(5, 2000), 60);
    let mut progress = Progress::new(std::slice::from_ref(&trace), 2);
    assert_eq!(progress.n_events(), 4000);
    let lines = |progress: &mut Progress, policy: PolicyName| {
        let mut lines = Vec::new();
        let name = policy.to_string();
        replay_trace(&trace, Budget::Slots(4), policy, None, &mut || {
            lines.extend(progress.step(&name));
        });
        lines
    };
    let first = lines(&mut progress, PolicyName::Lru);
    // From 0.0 % to 50.0 %, by a thousandth.
    assert_eq!(first.len(), 501);
    assert_eq!(first[0], format!("[{}] 0.0 % lru", ".".repeat(30)));
    assert_eq!(first[500], format!("[{}{}] 50.0 % lru", "#".repeat(15), ".".repeat(15)));
    // A new name is shown at once.
    let second = lines(&mut progress, PolicyName::Lfu);
    assert!(second[0].ends_with(" 50.0 % lfu"), "{}", second[0]);
    assert_eq!(second.last().unwrap(), &format!("[{}] 100.0 % lfu", "#".repeat(30)));
}

#[test]
fn every_event_is_reported_while_it_is_replayed() {
    let mut trace = trace_of(&zipf_like(100), 60);
    let second = trace.users[0].clone();
    trace.users.push(second);
    for policy in PolicyName::ALL {
        let mut n_events = 0;
        replay_trace(&trace, Budget::Slots(4), policy, None, &mut || n_events += 1);
        assert_eq!(n_events, trace.n_events(), "{policy}");
    }
}

#[test]
fn cyclic_trace_gives_known_figures() {
    // Five items in a cycle with four slots: LRU never hits, Belady (demand only) keeps three of four.
    let trace = trace_of(&round_robin(5, 500), 60);
    assert_eq!(tally(&trace, "slots:4", PolicyName::Lru).hits, 0);
    let belady = tally(&trace, "slots:4", PolicyName::Belady).hits;
    assert!((370..=375).contains(&belady), "{belady}");
    // The successor is certain after one cycle: every event after the first cycle and its closing step is a hit.
    let markov = tally(&trace, "slots:4", PolicyName::LruMarkov);
    assert_eq!((markov.hits, markov.wasted), (494, 0));
    // The first event cannot be preloaded.
    assert_eq!(tally(&trace, "slots:4", PolicyName::Clairvoyant).hits, 499);
    // With room for all items only first uses miss.
    for policy in [PolicyName::Lru, PolicyName::Lfu, PolicyName::S3Fifo, PolicyName::Gdsf] {
        assert_eq!(tally(&trace, "slots:5", policy).hits, 495, "{policy}");
    }
    // A timeout longer than the cycle keeps all items, a shorter one none.
    assert_eq!(tally(&trace, "slots:9", PolicyName::KeepAlive(10)).hits, 495);
    let trace = trace_of(&round_robin(5, 500), 200);
    assert_eq!(tally(&trace, "slots:9", PolicyName::KeepAlive(10)).hits, 0);
}

#[test]
fn item_larger_than_the_budget_is_used_and_not_kept() {
    let trace = trace_of(&round_robin(2, 100), 60);
    let t = tally(&trace, "mb:1", PolicyName::Lru);
    assert_eq!((t.hits, t.resident_seconds), (0, 0.0));
    assert!(t.wait_us > 0 && t.loaded > 0.0);
    assert_eq!(tally(&trace, "mb:1", PolicyName::Clairvoyant).preloads, 0);
}

#[test]
fn quality_of_predictions_does_not_depend_on_the_budget() {
    use majordomo_sim::replay::EnginePolicy;
    let trace = trace_of(&zipf_like(600), 60);
    let sizes: Vec<_> = trace.users[0].costs.iter().map(|c| c.size_mb).collect();
    let policies = [
        PolicyName::LruMarkov,
        PolicyName::VRank,
        PolicyName::VRankTrim,
        PolicyName::Engine(EnginePolicy::VRank),
    ];
    for policy in policies {
        let judged = |budget: &str| {
            let t = tally(&trace, budget, policy);
            (t.ranked, t.top1, t.top3, t.top5, t.reciprocal)
        };
        let roomy = judged("slots:20");
        assert_eq!(roomy.0, trace.n_events() as u64 - 1, "{policy}: all but the first event");
        // No item fits, some do, all do.
        for (megabytes, fit) in [(1.0, false), (100.0, true), (1500.0, true)] {
            assert_eq!(sizes.iter().any(|s| *s <= megabytes), fit, "{sizes:?}");
            assert_eq!(judged(&format!("mb:{megabytes}")), roomy, "{policy} at {megabytes} MB");
        }
    }
}

#[test]
fn item_that_is_still_loading_is_not_a_hit_and_waits_for_the_rest() {
    // All events in one second: each item is used again before its load has ended.
    let trace = trace_of(&round_robin(2, 40), 0);
    let t = tally(&trace, "slots:2", PolicyName::Lru);
    let load_us: u128 =
        trace.users[0].costs.iter().map(|c| c.load_time.as_micros()).sum::<u128>() * 20;
    assert_eq!((t.hits, u128::from(t.wait_us)), (0, load_us));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No demand policy has more hits than one that knows the future, and every run repeats exactly.
    #[test]
    fn belady_bounds_demand_policies(
        items in prop::collection::vec(0u32..12, 60..200),
        slots in 1u32..8,
    ) {
        let text: String = (0..items.len())
            .map(|i| format!("u\t{}\ti{}\n", i * 60, items[i])).collect();
        let Ok(trace) = read(text.as_bytes()) else { return Ok(()) };
        let budget = format!("slots:{slots}");
        let bound = tally(&trace, &budget, PolicyName::Belady).hits;
        for policy in [PolicyName::Lru, PolicyName::Lfu, PolicyName::S3Fifo, PolicyName::Gdsf] {
            let t = tally(&trace, &budget, policy);
            prop_assert!(t.hits <= bound, "{policy}: {} > {bound}", t.hits);
        }
        for policy in PolicyName::ALL {
            let (a, b) = (tally(&trace, &budget, policy), tally(&trace, &budget, policy));
            prop_assert_eq!(a, b);
            prop_assert!(a.wasted <= a.preloads && a.hits <= a.events);
            prop_assert!(a.resident_seconds <= f64::from(slots) * a.seconds + 1e-6);
        }
    }
}

#[test]
fn means_are_unweighted() {
    let budget: Budget = "slots:2".parse().unwrap();
    let row = |hits, events| {
        let t = Tally { hits, events, ..Tally::default() };
        Report::new("lru", budget, "t", None, &t)
    };
    let mean = Report::mean(&[row(1, 1), row(0, 99)]).unwrap();
    assert_eq!((mean.hit_pct, mean.events, mean.hr1), (50.0, 100, None));
    assert!(Report::mean(&[]).is_none());
}

#[test]
fn vrank_learns_a_cycle_and_wastes_few_preloads() {
    let trace = trace_of(&round_robin(5, 500), 60);
    let t = tally(&trace, "slots:4", PolicyName::VRank);
    assert!(t.hits > 460, "{t:?}");
    assert!(t.wasted < 10, "{t:?}");
    assert!(t.top1 > 440 && t.ranked == 499, "{t:?}");
    // With room for all items nothing is preloaded.
    let t = tally(&trace, "slots:5", PolicyName::VRank);
    assert_eq!((t.hits, t.preloads), (495, 0));
}

#[test]
fn idle_trimming_releases_memory_and_loads_again() {
    // Five items in a cycle for ten minutes, then a night, twenty times.
    let text: String = (0..20u64 * 10)
        .map(|i| format!("u\t{}\ti{}\n", i / 10 * 40_000 + i % 10 * 60, i % 5))
        .collect();
    let trace = read(text.as_bytes()).unwrap();
    let keep = tally(&trace, "slots:10", PolicyName::VRank);
    let trim = tally(&trace, "slots:10", PolicyName::VRankTrim);
    assert!(trim.resident_seconds < 0.5 * keep.resident_seconds, "{trim:?} against {keep:?}");
    assert!(trim.hits * 10 > keep.hits * 8, "{trim:?} against {keep:?}");
}

#[test]
fn wait_mode_trades_hits_for_shorter_waits() {
    let trace = trace_of(&zipf_like(2000), 60);
    let run = |policy| tally(&trace, "slots:4", policy);
    let (hits, wait) = (run(PolicyName::VRank), run(PolicyName::VRankWait));
    assert!(wait.wait_us < hits.wait_us, "{wait:?} against {hits:?}");
    assert!(wait.wait_us < run(PolicyName::Lru).wait_us);
}

/// Compares the policy alone with the full engine that uses it.
#[test]
fn full_engine_agrees_with_its_policy() {
    use majordomo_sim::replay::EnginePolicy;
    let items: Vec<u32> =
        round_robin(6, 600).into_iter().zip(zipf_like(600)).flat_map(|(a, b)| [a, b + 3]).collect();
    let trace = trace_of(&items, 10);
    for budget in ["slots:4", "slots:6"] {
        let alone = tally(&trace, budget, PolicyName::VRank);
        let engine = tally(&trace, budget, PolicyName::Engine(EnginePolicy::VRank));
        assert_eq!(
            (engine.events, engine.top1),
            (alone.events, alone.top1),
            "the same predictions"
        );
        let percent = |t: &Tally| 100.0 * t.hits as f64 / t.events as f64;
        let (alone, engine) = (percent(&alone), percent(&engine));
        assert!(
            (alone - engine).abs() <= 2.0,
            "{budget}: {alone} alone, {engine} through the engine"
        );
    }
}

/// A round of twelve items of 100 MB each, of which three fit, or seven that were woken, without rungs and with them.
fn round_of_twelve(load_ms: u64, policy: PolicyName, rungs: &RungTable) -> [Tally; 2] {
    let mut trace = trace_of(&round_robin(12, 240), 60);
    let load_time = std::time::Duration::from_millis(load_ms);
    for user in &mut trace.users {
        user.costs.fill(ItemCost { size_mb: 100.0, load_time });
    }
    [None, Some(rungs)].map(|rungs| {
        let budget = Budget::Megabytes(350.0);
        let mut sum = Tally::default();
        replay_trace(&trace, budget, policy, rungs, &mut || {}).iter().for_each(|t| sum.add(t));
        sum
    })
}

/// The engine with V-rank, and LRU on demand.
const PARKING: [PolicyName; 2] = [PolicyName::Lru, PolicyName::Engine(EnginePolicy::VRank)];

#[test]
fn victims_are_parked_and_later_woken_where_a_table_of_rungs_is_given() {
    let [two, rungs] = round_of_twelve(1000, PolicyName::Lru, &RungTable::published());
    assert_eq!((two.parks, two.wakes, two.wait_us), (0, 0, 240_000_000), "every use is a load");
    assert!(rungs.parks > 100 && rungs.wakes > 100, "{rungs:?}");
    assert!(rungs.wait_us < two.wait_us / 2 && rungs.loaded < two.loaded / 10.0, "{rungs:?}");
    let [two, rungs] = round_of_twelve(1000, PARKING[1], &RungTable::published());
    assert_eq!((two.parks, two.wakes), (0, 0));
    assert!(rungs.parks > 0 && rungs.wakes > 0 && rungs.wait_us <= two.wait_us, "{rungs:?}");
}

#[test]
fn item_whose_wake_takes_as_long_as_its_load_is_never_parked() {
    for policy in PARKING {
        let [_, rungs] = round_of_twelve(100, policy, &RungTable::published());
        assert_eq!((rungs.parks, rungs.wakes), (0, 0), "{policy}");
    }
}

#[test]
fn nothing_is_parked_without_room_in_swap() {
    let text = "stays = 0.1\ntouched = 0.4\nenter_ms = 1\nenter_mb_per_s = 1000\nwake_ms = 1\n\
                wake_mb_per_s = 1000\nswap_mb = 0\nwake_lanes = 2\n";
    let table = RungTable::parse(text).unwrap();
    let [two, rungs] = round_of_twelve(1000, PolicyName::Lru, &table);
    assert_eq!(rungs, two);
    let [_, rungs] = round_of_twelve(1000, PARKING[1], &table);
    assert_eq!((rungs.parks, rungs.wakes), (0, 0));
}

#[test]
fn rows_of_replays_with_rungs_have_their_own_name_and_figures() {
    let budget = Budget::Megabytes(350.0);
    let row = |with_rungs: bool| {
        let t = Tally { events: 10, parks: 5, wakes: 2, swapped: 30.0, ..Tally::default() };
        Report::new(&PolicyName::Lru.in_tables(with_rungs), budget, "t", None, &t)
    };
    assert_eq!((row(false).policy.as_str(), row(false).parks_per_event), ("lru", None));
    let with = row(true);
    assert_eq!((with.policy.as_str(), with.parks_per_event), ("lru+rungs", Some(0.5)));
    assert_eq!((with.wakes_per_event, with.swapped_mb_per_event), (Some(0.2), Some(3.0)));
}
