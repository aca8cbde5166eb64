//! Settings and specifications made in code are held to the rules of a file.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    BudgetSetting, ByteSize, ComponentId, Config, Domain, Priority, Setting, SettingValue,
};
use majordomo_registry::{
    ComponentSpec, LoadedConfig, LoaderSpec, PoolSpec, ProbeRule, ProbeSpec, ProcessSpec,
    ReadySpec, TrimSpec, parse_toml,
};

/// Values outside a range, as TOML; for those that a file can state.
fn outside(domain: &Domain) -> Vec<String> {
    let after = |max: &Duration| format!("\"{}ms\"", max.as_millis() + 1);
    match domain {
        Domain::Count { min, max } => {
            let below = min.checked_sub(1).map_or("-1".to_owned(), |below| below.to_string());
            vec![below, (max + 1).to_string(), u64::MAX.to_string()]
        }
        Domain::Number { min, max } => {
            let values = [min - 0.01, max + 0.01].map(|number| format!("{number:?}"));
            values.into_iter().chain(["nan", "inf", "-inf"].map(str::to_owned)).collect()
        }
        Domain::Duration { min, max } => {
            let below = if min.is_zero() { "\"-1s\"" } else { "\"0s\"" };
            vec![below.to_owned(), after(max)]
        }
        Domain::Size { .. } => ["\"0MiB\"", "\"4095B\"", "\"17TiB\""].map(str::to_owned).into(),
        Domain::Budget { .. } => {
            ["\"0%\"", "\"101%\"", "\"NaN%\"", "\"0B\"", "\"17TiB\""].map(str::to_owned).into()
        }
        _ => vec![],
    }
}

/// The values of [`outside`] as they are set in code.
fn outside_in_code(domain: &Domain) -> Vec<SettingValue> {
    match domain {
        Domain::Count { min, max } => {
            let values = [min.checked_sub(1), Some(max + 1)];
            values.into_iter().flatten().map(SettingValue::Count).collect()
        }
        Domain::Number { min, max } => {
            let values = [min - 0.01, max + 0.01, f64::NAN, f64::INFINITY];
            values.map(SettingValue::Number).into()
        }
        Domain::Duration { min, max } => {
            let below = min.checked_sub(Duration::from_nanos(1));
            let values = [below, Some(*max + Duration::from_nanos(1))];
            values.into_iter().flatten().map(SettingValue::Duration).collect()
        }
        Domain::Size { .. } => [ByteSize::ZERO, ByteSize(u64::MAX)].map(SettingValue::Size).into(),
        Domain::Budget { .. } => {
            let shares = [0.0, 1.01, f64::NAN].map(BudgetSetting::Share);
            shares.map(SettingValue::Budget).into()
        }
        _ => vec![],
    }
}

fn in_code(config: Config, specs: &[ComponentSpec], pools: &[PoolSpec]) -> Vec<String> {
    let specs = specs.iter().cloned().map(Arc::new).collect();
    let checked =
        LoadedConfig::from_code(config, specs, pools.to_vec(), None, Some(ByteSize::gib(8)));
    let problems = match checked {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems.into_iter().collect(),
    };
    let show = |help: &String| format!(" | {help}");
    problems
        .iter()
        .map(|p| {
            assert_eq!((&*p.file, p.at), ("builder", None));
            format!(
                "{} {}{}",
                p.code,
                p.message,
                p.suggestion.as_ref().map_or_else(String::new, show)
            )
        })
        .collect()
}

fn spec(name: &str, loader: LoaderSpec) -> ComponentSpec {
    ComponentSpec::new(ComponentId::new(name).unwrap(), loader)
}

fn builtin(name: &str) -> ComponentSpec {
    ComponentSpec::builtin(name).unwrap()
}

fn process(process: ProcessSpec) -> ComponentSpec {
    spec("c", LoaderSpec::Process(process))
}

#[test]
fn setting_outside_its_range_is_refused_in_a_file_and_in_code() {
    let mut n_checked = [0, 0];
    for setting in Config::settings() {
        let Setting { table, key, path, .. } = setting;
        for value in outside(&setting.domain) {
            let text = format!("[{table}]\n{key} = {value}\n");
            let problems = parse_toml(&text, "c.toml", None).expect_err(&text);
            let first = &problems.as_slice()[0];
            assert_eq!((first.code, first.at.unwrap().line), ("out-of-range", 2), "{text}{first}");
            n_checked[0] += 1;
        }
        for value in outside_in_code(&setting.domain) {
            let mut config = Config::default();
            if !config.set(setting, &value) {
                continue; // The type cannot hold it.
            }
            let problems = in_code(config, &[], &[]);
            let want = format!("out-of-range {path} is {value}; it must ");
            assert!(problems.iter().any(|p| p.starts_with(&want)), "{want}: {problems:?}");
            n_checked[1] += 1;
        }
    }
    assert!(n_checked[0] > 100 && n_checked[1] > 60, "{n_checked:?}");
}

#[test]
fn settings_of_the_default_and_plain_components_have_no_problem() {
    let program = ProcessSpec { command: vec!["x".into()], ..ProcessSpec::default() };
    assert_eq!(in_code(Config::default(), &[builtin("a"), process(program)], &[]), [""; 0]);
    assert_eq!(in_code(Config::default(), &[], &[]), [""; 0]);
}

#[test]
fn bounded_values_of_a_component_are_checked_in_code() {
    let check = |change: &dyn Fn(&mut ComponentSpec), want: &str| {
        let mut spec = builtin("c");
        change(&mut spec);
        assert_eq!(in_code(Config::default(), &[spec], &[]), [want]);
    };
    let long = Duration::from_secs(31 * 86_400);
    let ms = "it must lie within 1ms and 30days";
    let at = "out-of-range components.c";
    check(
        &|c| c.max_leases = Some(0),
        &format!("{at}.max_leases is 0; it must lie within 1 and 1048576"),
    );
    check(
        &|c| c.memory = ByteSize::ZERO,
        &format!("{at}.memory is 0 B; it must lie within 4 KiB and 16 TiB"),
    );
    check(
        &|c| c.memory_limit = Some(ByteSize(1)),
        &format!("{at}.memory_limit is 1 B; it must lie within 4 KiB and 16 TiB"),
    );
    check(&|c| c.idle_timeout = Some(Duration::ZERO), &format!("{at}.idle_timeout is 0s; {ms}"));
    check(&|c| c.load_deadline = Some(long), &format!("{at}.load_deadline is 31days; {ms}"));
    check(&|c| c.stop_deadline = Some(Duration::ZERO), &format!("{at}.stop_deadline is 0s; {ms}"));
    check(&|c| c.health_every = Some(Duration::ZERO), &format!("{at}.health_every is 0s; {ms}"));
    check(
        &|c| c.health = ProbeRule { failures: 0, ..ProbeRule::default() },
        &format!("{at}.health_failures is 0; it must lie within 1 and 1000"),
    );
    let long_load = |c: &mut ComponentSpec| c.load_time = long;
    let mut spec = builtin("c");
    long_load(&mut spec);
    let problems = in_code(Config::default(), &[spec], &[]);
    let want = format!("{at}.load_time is 31days; it must lie within 0s and 30days");
    assert!(problems.contains(&want), "{problems:?}");
}

#[test]
fn rules_of_a_process_are_checked_in_code() {
    let check = |spec: ProcessSpec, want: &[&str]| {
        assert_eq!(in_code(Config::default(), &[process(spec)], &[]), want);
    };
    let program = |words: &[&str]| ProcessSpec {
        command: words.iter().map(|word| (*word).to_owned()).collect(),
        ..ProcessSpec::default()
    };
    check(
        ProcessSpec::default(),
        &["bad-value components.c.command: command has no program | the first item is the program"],
    );
    check(
        program(&["x", "{prot}"]),
        &[
            "bad-place-holder components.c.command[1]: unknown place-holder \"prot\" | did you mean \"port\"?",
        ],
    );
    check(
        ProcessSpec {
            env: [("A=B".to_owned(), "}".to_owned())].into(),
            env_allow: vec![String::new()],
            cwd: Some("".into()),
            port: Some(0),
            ..program(&["x"])
        },
        &[
            "out-of-range components.c.port is 0; it must lie within 1 and 65535",
            "bad-name components.c.env.A=B: \"A=B\" is not a name of an environment variable",
            "bad-place-holder components.c.env.A=B: a brace '}' without its partner | write {{ and }} for braces",
            "bad-name components.c.env_allow[0]: \"\" is not a name of an environment variable",
            "empty-path components.c.cwd: cwd is empty | name it, or leave the key out",
        ],
    );
    let probe = |how| ProbeSpec {
        how,
        every: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        rule: ProbeRule { failures: 0, ..ProbeRule::default() },
    };
    check(
        ProcessSpec {
            ready: ReadySpec::Stdout("a\nb".into()),
            probe: Some(probe(ReadySpec::Started)),
            trim: Some(TrimSpec::Http("drop".into())),
            ..program(&["x"])
        },
        &[
            "out-of-range components.c.probe.failures is 0; it must lie within 1 and 1000",
            "bad-value components.c.ready.stdout: the text of ready contains a line end, so no line contains it | state a part of one line",
            "no-address components.c.trim: trim asks over the network, but no address is given to the program | use {port} or {socket} in command or env, or state its port",
            "bad-value components.c.trim: \"drop\" is not a path of a URL | it starts with / and has no whitespace",
            "bad-value components.c.probe: probe needs either http or connect | such as { http = \"/health\" } or { connect = true }",
            "out-of-range components.c.probe: the probe's timeout, 2s, is longer than the time between probes, 1s",
        ],
    );
}

#[test]
fn all_problems_of_settings_pools_and_components_are_reported_at_once() {
    let mut config = Config::default();
    config.loads.max_concurrent = Some(2);
    config.loads.kept_for_demands = 3;
    config.memory.budget = BudgetSetting::Bytes(ByteSize::mib(64));
    let pool = |name: &str| PoolSpec { name: name.into(), budget: None, declared: true };
    let mut a = builtin("a");
    a.keywords = vec!["play".into(), " ".into(), "...".into()];
    a.pool = "gpi".into();
    a.dependencies = vec![ComponentId::new("nothing").unwrap()];
    let python = LoaderSpec::Python { module: " ".into(), function: "f".into() };
    let mut b = spec("b", python);
    b.health_every = Some(Duration::from_secs(1));
    let no_factory = spec("f", LoaderSpec::Builtin { factory: String::new() });
    assert_eq!(
        in_code(config, &[a, b, no_factory], &[pool("gpu"), pool("My Pool")]),
        [
            "out-of-range loads.kept_for_demands is 3, more than loads.max_concurrent, which is 2",
            "missing-key pools.gpu: pool \"gpu\" has accounting = \"declared\" and no budget | without a budget nothing bounds it; state one",
            "bad-name pools.My Pool: a name cannot start with 'M'; it starts with a-z or 0-9",
            "missing-key pools.My Pool: pool \"My Pool\" has accounting = \"declared\" and no budget | without a budget nothing bounds it; state one",
            "unknown-pool components.a.pool: there is no pool \"gpi\" | did you mean \"gpu\"?",
            "empty-phrase components.a.keywords[1]: a phrase in keywords is empty and matches nothing | remove it",
            "phrase-without-word components.a.keywords[2]: \"...\" in keywords has no letter, digit or symbol, so it matches nothing | write a word, or remove it",
            "bad-value components.b.module: module is empty | name it",
            "foreign-key components.b.health_every: health_every belongs to loader = \"builtin\", not to \"python\" | remove it, or change the loader",
            "bad-value components.f.factory: factory is empty | name the factory",
            "unknown-component component \"a\" names \"nothing\" in dependencies, which does not exist | declare it, or remove the name",
        ]
    );
}

#[test]
fn budget_stated_in_code_bounds_components_and_phrases_are_compared() {
    let mut config = Config::default();
    config.memory.budget = BudgetSetting::Bytes(ByteSize::mib(64));
    let problems = in_code(config, &[builtin("a")], &[]);
    assert_eq!(
        problems,
        [
            "over-budget component \"a\" needs 100 MiB, more than the total budget, which is 64 MiB | raise the budget, or correct the component's memory"
        ]
    );
    let mut core = builtin("a");
    core.priority = Priority::Core;
    core.keywords = vec!["play".into(), "灯".into(), "Play".into()];
    let problems = in_code(Config::default(), &[core], &[]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("single-han \"灯\" in keywords of component \"a\""));
    assert!(problems[1].starts_with("same-phrase \"Play\" in keywords of component \"a\""));
}

#[test]
fn setting_out_of_range_is_no_base_of_further_problems() {
    let spec = builtin("voice").memory(ByteSize::mib(4));
    let mut config = Config::default();
    config.memory.estimate_margin = f64::INFINITY;
    config.memory.budget = BudgetSetting::Bytes(ByteSize::ZERO);
    config.deadlines.load = Duration::ZERO;
    let limit = Some(ByteSize::mib(64));
    let found = LoadedConfig::from_code(config, vec![Arc::new(spec)], vec![], None, limit);
    let found = found.unwrap_err();
    let codes: Vec<_> = found.as_slice().iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["out-of-range"; 3], "{found}");
}
