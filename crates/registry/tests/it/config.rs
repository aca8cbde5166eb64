//! The TOML reader: what it reads, and every kind of problem with its place and way out.

use std::time::Duration;

use majordomo_core::{BudgetSetting, ByteSize, Confidence, IntentConfig, Priority};
use majordomo_registry::{
    LoaderSpec, OnAbandon, ReadySpec, RestartPolicy, Severity, StdinMode, parse_toml,
};

/// Every problem, warnings too, as `line:column code message | help`.
pub(crate) fn problems(text: &str, limit: Option<u64>) -> Vec<String> {
    let all = match parse_toml(text, "c.toml", limit.map(ByteSize)) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems.into_iter().collect(),
    };
    all.iter()
        .map(|p| {
            let place = p.at.map(|at| format!("{}:{} ", at.line, at.column)).unwrap_or_default();
            let warning = if p.severity == Severity::Warning { "warning " } else { "" };
            let help = p.suggestion.as_ref().map(|s| format!(" | {s}")).unwrap_or_default();
            format!("{place}{warning}{} {}{help}", p.code, p.message)
        })
        .collect()
}

#[track_caller]
pub(crate) fn check(text: &str, want: &[&str]) {
    assert_eq!(problems(text, None), want, "{text}");
}

/// A component `c` with these lines, and others that may be named.
pub(crate) fn with(lines: &str) -> String {
    format!("[components.c]\n{lines}\n[components.voice]\nloader = \"builtin\"\n")
}

#[test]
fn every_key_is_read() {
    let text = r#"
        [manager]
        budget = "75%"
        queue_capacity = 7
        demand_deadline = "2min"
        trigger_threshold = 1
        [intents]
        enabled = false
        learn = false
        prior = false
        min_confidence = 0.75
        min_gap = 0
        retrain_every = 50
        retrain_pause = "1min"
        max_outcomes = 500
        evidence = false
        [pools.gpu]
        budget = "8GiB"
        accounting = "declared"
        [components.a]
        description = "all of it"
        priority = "LOW"
        pool = "gpu"
        memory = "1.5GiB"
        load_time = "1min 30s"
        dependencies = ["b"]
        after = ["c"]
        conflicts = ["d"]
        conflict_policy = "refuse"
        keywords = ["play", "turn it up"]
        preload_triggers = ["party"]
        lazy_init = false
        pinned = true
        max_leases = 3
        idle_timeout = "10min"
        load_deadline = "1h"
        stop_deadline = "1s"
        restart = "never"
        on_abandon = "cancel"
        version = "2"
        command = ["prog", "--port={port}", "{{x}}"]
        env = { A = "{state_dir}" }
        env_allow = ["B"]
        cwd = "sub"
        stdin = "hold"
        ready = { stdout = "up" }
        probe = { connect = true, every = "3s", timeout = "1s" }
        [components.b]
        module = "m"
        [components.c]
        loader = "builtin"
        [components.d]
        factory = "f"
    "#;
    let loaded = parse_toml(text, "some/dir/c.toml", None).unwrap();
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.config.memory.budget, BudgetSetting::Share(0.75));
    assert_eq!(loaded.config.queue.capacity, 7);
    assert_eq!(loaded.config.triggers.threshold.get(), 1.0);
    let intents = IntentConfig {
        enabled: false,
        learn: false,
        prior: false,
        min_confidence: Confidence::saturating(0.75),
        min_gap: Confidence::ZERO,
        retrain_every: 50,
        retrain_pause: Duration::from_secs(60),
        max_outcomes: 500,
        evidence: false,
    };
    assert_eq!(loaded.config.intents, intents);
    assert_eq!((loaded.pools[0].declared, loaded.pools[0].budget), (true, Some(ByteSize::gib(8))));
    let names: Vec<_> = loaded.specs.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    let a = &loaded.specs[0];
    assert_eq!((a.priority, &*a.pool, a.memory), (Priority::Low, "gpu", ByteSize::mib(1536)));
    assert_eq!(a.load_time, Duration::from_secs(90));
    assert_eq!(a.idle_timeout, Some(Duration::from_secs(600)));
    assert_eq!(a.keywords, ["play", "turn it up"]);
    assert_eq!((a.restart, a.on_abandon), (RestartPolicy::Never, OnAbandon::Cancel));
    assert_eq!((a.lazy_init, a.pinned, a.max_leases), (false, true, Some(3)));
    let LoaderSpec::Process(p) = &a.loader else { panic!() };
    assert_eq!(p.command, ["prog", "--port={port}", "{{x}}"]);
    assert_eq!(p.cwd.as_deref(), Some(std::path::Path::new("sub")));
    assert_eq!((p.stdin, &p.ready), (StdinMode::Hold, &ReadySpec::Stdout("up".into())));
    assert_eq!(p.env["A"], "{state_dir}");
    let probe = p.probe.as_ref().unwrap();
    assert_eq!((&probe.how, probe.every), (&ReadySpec::Connect, Duration::from_secs(3)));
    let python = LoaderSpec::Python { module: "m".into(), function: "import_b".into() };
    assert_eq!(loaded.specs[1].loader, python);
    assert_eq!(loaded.specs[2].loader, LoaderSpec::Builtin { factory: "c".into() });
    assert_eq!(loaded.specs[3].loader, LoaderSpec::Builtin { factory: "f".into() });
    let catalog = loaded.catalog(None).unwrap();
    assert_eq!(catalog.len(), 4);
}

#[test]
fn syntax_error_is_reported_alone() {
    check(
        "[components.a\nx = ",
        &["1:14 syntax this is not valid TOML: unclosed table, expected `]`"],
    );
    check("  \n", &["empty the file is empty | declare a component: [components.NAME]"]);
    check(
        "[components.a]\nloader = \"builtin\"\nloader = \"process\"\n[components.a]\nx = 1\n",
        &[
            "3:1 duplicate key \"loader\" is given twice in one table | keep one of them",
            "4:13 duplicate key \"a\" is given twice in one table | keep one of them",
        ],
    );
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(problems(&deep, None)[0].contains("syntax"));
}

#[test]
fn unknown_keys_and_wrong_types_are_reported_with_a_solution() {
    check(
        "[manger]\n[components.c]\nloader=\"builtin\"",
        &["1:2 unknown-key unknown section \"manger\" | did you mean \"manager\"?"],
    );
    check(
        &with("loader = \"builtin\"\nmemroy = \"1MiB\""),
        &["3:1 unknown-key unknown key \"memroy\" in [components.c] | did you mean \"memory\"?"],
    );
    check(
        &with(
            "loader = \"builtin\"\nmemory = 300\nkeywords = \"play\"\npinned = \"yes\"\nversion = 2\ndependencies = [[]]",
        ),
        &[
            "3:10 wrong-type memory must be a size such as \"300MiB\", not an integer | write the unit: \"300MiB\"",
            "4:12 wrong-type keywords must be a list of words and phrases, not text | put it in brackets: [\"play\"]",
            "5:10 wrong-type pinned must be true or false, not text | write true, without quotation marks",
            "6:11 wrong-type version must be text, not an integer | put it in quotation marks: \"2\"",
            "7:17 wrong-type each item of dependencies must be text, not a list",
        ],
    );
    check(
        "components = 3",
        &[
            "1:14 wrong-type [components] must be a table, not an integer | write [components.NAME] for each",
        ],
    );
    check(
        "[components]\na = 3",
        &["2:5 wrong-type [components.a] must be a table of keys, not an integer"],
    );
    check(
        &with("loader = \"bultin\""),
        &["2:10 bad-value \"bultin\" is not a value of loader | did you mean \"builtin\"?"],
    );
    check(
        &with("loader = \"builtin\"\npriority = \"high\"\nload_time = 1979-05-27"),
        &[
            "3:12 bad-value \"high\" is not a value of priority | did you mean \"HIGH\"?",
            "4:13 wrong-type load_time must be a duration such as \"80ms\", \"5s\" or \"2min\", not a date or time",
        ],
    );
}

#[test]
fn values_outside_their_range_are_refused() {
    check(
        &with(
            "loader = \"builtin\"\nmemory = \"-5MiB\"\nload_time = \"-1s\"\nmax_leases = -1\nidle_timeout = \"2years\"",
        ),
        &[
            "3:10 out-of-range memory: size \"-5MiB\" is negative",
            "4:13 out-of-range load_time is negative",
            "5:14 out-of-range max_leases must lie within 1 and 1048576",
            "6:16 out-of-range idle_timeout must lie within 1ms and 30days",
        ],
    );
    check(
        &with(
            "loader = \"builtin\"\nmemory = \"300\"\nload_time = \"soon\"\nstop_deadline = \"0s\"",
        ),
        &[
            "3:10 out-of-range memory is 300 B; it must lie within 4 KiB and 16 TiB | write the unit: \"300MiB\"",
            "4:13 bad-value load_time: \"soon\" is not a duration: expected number at 0 | write whole numbers with units, such as \"80ms\" or \"1min 30s\"",
            "5:17 out-of-range stop_deadline must lie within 1ms and 30days",
        ],
    );
    check(
        &with("loader = \"builtin\"\nmemory = \"900TiB\""),
        &["3:10 out-of-range memory is 900 TiB; it must lie within 4 KiB and 16 TiB"],
    );
    let manager = |lines: &str| format!("[manager]\n{lines}\n[components.c]\nloader = \"builtin\"");
    check(
        &manager(
            "budget = \"160%\"\nestimate_margin = 0.5\nmax_concurrent_loads = 2\nloads_kept_for_demands = 5\nback_off = \"1h\"\nspeculation_floor = nan",
        ),
        &[
            "2:10 out-of-range budget must lie within 0.1% and 100%",
            "3:19 out-of-range estimate_margin must lie within 1 and 4",
            "5:26 out-of-range loads_kept_for_demands is 5, more than max_concurrent_loads, which is 2",
            "6:12 out-of-range back_off is 1h, more than back_off_max, which is 5min",
            "7:21 out-of-range speculation_floor must lie within 0 and 1",
        ],
    );
    check(
        &manager("queue_capacity = 99999999999999999999"),
        &["2:18 out-of-range queue_capacity must lie within 1 and 1048576"],
    );
}

#[test]
fn invalid_and_unknown_names_are_refused() {
    check(
        "[components.\"My App\"]\nloader = \"builtin\"\n[components.b]\nloader = \"builtin\"\ndependencies = [\"-\"]\n[pools.\"\"]",
        &[
            "1:13 bad-name \"My App\" is not a valid name: a name cannot start with 'M'; it starts with a-z or 0-9 | call it \"my_app\"",
            "5:17 bad-name \"-\" is not a valid name: a name cannot start with '-'; it starts with a-z or 0-9",
            "6:8 bad-name \"\" is not a valid name: the name is empty",
        ],
    );
    check(
        &with(
            "loader = \"builtin\"\ndependencies = [\"voice\", \"voise\"]\nafter = [\"x\"]\nkeywords = [\"a\", \" \"]",
        ),
        &[
            "3:26 unknown-component component \"c\" names \"voise\" in dependencies, which does not exist | did you mean \"voice\"?",
            "4:10 unknown-component component \"c\" names \"x\" in after, which does not exist | declare it, or remove the name",
            "5:18 empty-phrase a phrase in keywords is empty and matches nothing | remove it",
        ],
    );
    check(
        &with("loader = \"builtin\"\npool = \"vison\""),
        &["3:8 unknown-pool there is no pool \"vison\" | did you mean \"vision\"?"],
    );
    check(
        &with("loader = \"builtin\"\npool = \"gpu\""),
        &["3:8 unknown-pool there is no pool \"gpu\" | declare it: [pools.gpu]"],
    );
}

#[test]
fn cycles_and_impossible_conflicts_are_refused() {
    let b = "loader = \"builtin\"\n";
    check(
        &format!(
            "[components.a]\n{b}dependencies = [\"b\"]\n[components.b]\n{b}after = [\"a\"]\n[components.s]\n{b}dependencies = [\"s\"]\nconflicts = [\"s\"]"
        ),
        &[
            "3:17 cycle dependencies form a cycle: a -> b -> a | remove one of these dependencies",
            "9:17 self-dependency component \"s\" depends on itself | remove one of these dependencies",
            "10:14 self-conflict component \"s\" conflicts with itself | remove its own name from conflicts",
        ],
    );
    check(
        &format!(
            "[components.a]\n{b}dependencies = [\"x\", \"y\"]\n[components.x]\n{b}[components.y]\n{b}conflicts = [\"x\"]"
        ),
        &[
            "1:13 conflict-in-closure component \"a\" can never load: it needs \"x\" and \"y\", which conflict | remove the conflict, or one of the dependencies",
        ],
    );
    check(
        &format!(
            "[components.x]\n{b}priority = \"CORE\"\n[components.y]\n{b}priority = \"CORE\"\nconflicts = [\"x\"]"
        ),
        &[
            "7:14 core-conflict \"x\" and \"y\" conflict, but both are CORE or needed by a CORE component | lower the priority of one of them",
        ],
    );
}

#[test]
fn problem_has_place_message_and_solution() {
    let text = "[manager]\npolicy = \"lfu\"\n[components.c]\nloader = \"builtin\"\n";
    let problems = parse_toml(text, "a/c.toml", None).unwrap_err();
    let want = "a/c.toml:2:10: error[bad-value]: \"lfu\" is not a value of policy\n  help: did you mean \"lru\"?\n1 error";
    assert_eq!(problems.to_string(), want);
    let value = problems.as_slice()[0].value.as_deref();
    assert_eq!(value, Some("\"lfu\""));
    check(
        "[manager]\n",
        &["1:1 warning no-component no component is declared | declare one: [components.NAME]"],
    );
}
