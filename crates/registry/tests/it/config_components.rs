//! The TOML reader on components: loaders, phrases, budgets and load times.

use majordomo_registry::parse_toml;

use crate::config::{check, problems, with};

const GIB: u64 = 1 << 30;

#[test]
fn phrases_without_effect_are_warnings() {
    let keywords = |list: &str| with(&format!("loader = \"builtin\"\nkeywords = [{list}]"));
    check(
        &keywords(r#""play", "\u200B\u2060", "...", "\u0640\u064E""#),
        &[
            r#"3:21 warning phrase-without-word "\u{200b}\u{2060}" in keywords has no letter, digit or symbol, so it matches nothing | write a word, or remove it"#,
            r#"3:37 warning phrase-without-word "..." in keywords has no letter, digit or symbol, so it matches nothing | write a word, or remove it"#,
            r#"3:44 warning phrase-without-word "ـ\u{64e}" in keywords has no letter, digit or symbol, so it matches nothing | write a word, or remove it"#,
        ],
    );
    let loaded = parse_toml(&keywords(r#""play", "...""#), "c.toml", None).expect("only a warning");
    assert_eq!(loaded.specs[0].keywords, ["play"]);
    for (first, this) in [
        ("Straße", "STRAẞE"),
        ("❤", "❤\u{fe0f}"),
        ("turn on", "Turn-ON!"),
        ("موسيقى", "مُوسِيقَى"),
        ("מוזיקה", "מוּזִיקָה"),
    ] {
        let want = format!(
            "3:{} warning same-phrase {this:?} in keywords of component \"c\" is the same as {first:?} to the matcher, for which case, punctuation and invisible characters do not count | remove one of them",
            17 + first.chars().count()
        );
        check(&keywords(&format!("\"{first}\", \"{this}\"")), &[want.as_str()]);
    }
    check(
        &keywords(r#""灯", "开灯", "🎵""#),
        &[
            r#"3:13 warning single-han "灯" in keywords of component "c" is a single Han character, which matches inside every longer word that has it | write words of two or more characters"#,
        ],
    );
    // Two components may share a phrase; the same word with and without an accent is two spellings.
    check(
        "[components.a]\nloader = \"builtin\"\nkeywords = [\"papa\", \"papá\"]\n[components.b]\nloader = \"builtin\"\nkeywords = [\"PAPA\"]",
        &[],
    );
}

#[test]
fn components_beyond_a_budget_are_reported() {
    let at = |limit: Option<u64>, text: &str, want: &[&str]| {
        assert_eq!(problems(text, limit), want, "{text}");
    };
    let b = "loader = \"builtin\"\n";
    let stated = format!(
        "[manager]\nbudget = \"1GiB\"\n[components.x]\n{b}memory = \"600MiB\"\npriority = \"CORE\"\n[components.y]\n{b}memory = \"600MiB\"\npinned = true\ndependencies = [\"z\"]\n[components.z]\n{b}memory = \"2GiB\"\n"
    );
    at(
        None,
        &stated,
        &[
            "2:10 over-budget CORE and pinned components and what they depend on need 3.2 GiB (z 2 GiB, x 600 MiB, y 600 MiB), more than the total budget, which is 1 GiB | raise the budget, or make some of them neither CORE nor pinned",
            "14:10 over-budget component \"z\" needs 2 GiB, more than the total budget, which is 1 GiB | raise the budget, or correct the component's memory",
        ],
    );
    let default = stated.replace("budget = \"1GiB\"", "");
    at(None, &default, &[]);
    at(
        Some(5 * GIB),
        &default,
        &[
            "12:13 warning over-budget CORE and pinned components and what they depend on need 3.2 GiB (z 2 GiB, x 600 MiB, y 600 MiB), more than the total budget, which is 3 GiB | raise the budget, or make some of them neither CORE nor pinned",
        ],
    );
    at(
        None,
        &format!(
            "[pools.ml]\nbudget = \"1GiB\"\n[pools.gpu]\nbudget = \"4GiB\"\naccounting = \"declared\"\n[manager]\nbudget = \"2GiB\"\n[components.a]\n{b}memory = \"1GiB\"\npool = \"ml\"\n[components.b]\n{b}memory = \"3GiB\"\npool = \"gpu\"\n[components.c]\n{b}memory = \"2GiB\"\npool = \"ml\"\n"
        ),
        &[
            "10:10 warning over-budget component \"a\" needs 1 GiB, with the margin of 1.2 on first loads 1.2 GiB, more than the budget of pool \"ml\", which is 1 GiB | raise the budget, or correct the component's memory",
            "18:10 over-budget component \"c\" needs 2 GiB, more than the budget of pool \"ml\", which is 1 GiB | raise the budget, or correct the component's memory",
            "18:10 warning over-budget component \"c\" needs 2 GiB, with the margin of 1.2 on first loads 2.4 GiB, more than the total budget, which is 2 GiB | raise the budget, or correct the component's memory",
        ],
    );
    at(
        None,
        &format!("[pools.gpu]\naccounting = \"declared\"\n[components.a]\n{b}"),
        &[
            "1:8 missing-key pool \"gpu\" has accounting = \"declared\" and no budget | without a budget nothing bounds it; state one",
        ],
    );
}

#[test]
fn loader_follows_from_its_keys() {
    check(
        &with("memory = \"1MiB\""),
        &[
            "1:13 missing-key component \"c\" has no loader | write command = [\"program\", \"argument\"], or loader = \"builtin\"",
        ],
    );
    check(
        &with("loader = \"process\""),
        &[
            "1:13 missing-key component \"c\" has no command | write command = [\"program\", \"argument\"]",
        ],
    );
    check(
        &with("command = []"),
        &["2:11 bad-value command has no program | the first item is the program"],
    );
    check(
        &with("command = \"ls -l\""),
        &[
            "2:11 wrong-type command must be a list of texts, not text | write program and arguments one by one: [\"ls\", \"-l\"]",
        ],
    );
    check(
        &with("loader = \"python\""),
        &[
            "1:13 missing-key component \"c\" has no module for its Python function | write module = \"main\"",
        ],
    );
    check(
        &with("loader = \"coreml\""),
        &["1:13 missing-key component \"c\" has no model | write model = \"folder/name.mlmodelc\""],
    );
    check(
        &with("model = \"eyes.mlmodelc\"\ncompute_units = \"all\"\nfactory = \"f\""),
        &[
            "3:17 bad-value \"all\" is not a value of compute_units | use one of cpu, cpu-gpu, cpu-ne",
            "4:1 foreign-key factory belongs to loader = \"builtin\", not to \"coreml\" | remove it, or change the loader",
        ],
    );
    // Inside this process both have health checks; a program has a probe.
    check(&with("model = \"eyes.mlmodelc\"\nhealth_every = \"5s\"\nhealth_failures = 2"), &[]);
    check(
        &with("command = [\"x\"]\nhealth_every = \"5s\""),
        &[
            "3:1 foreign-key health_every belongs to loader = \"builtin\", not to \"process\" | remove it, or change the loader",
        ],
    );
    check(
        &with("loader = \"builtin\"\ncommand = [\"x\"]\nmodule = \"m\""),
        &[
            "3:1 foreign-key command belongs to loader = \"process\", not to \"builtin\" | remove it, or change the loader",
            "4:1 foreign-key module belongs to loader = \"python\", not to \"builtin\" | remove it, or change the loader",
        ],
    );
    check(
        &with("command = [\"x\", \"{prot}\", \"{\", \"{elsewhere}\"]\nenv = { \"A=B\" = \"}\" }"),
        &[
            "2:17 bad-place-holder unknown place-holder \"prot\" | did you mean \"port\"?",
            "2:27 bad-place-holder a brace '{' without its partner | write {{ and }} for braces",
            "2:32 bad-place-holder unknown place-holder \"elsewhere\" | there are {port}, {socket}, {state_dir}, {name}, {config_dir}, {NAME.port}, {NAME.socket}, {NAME.url}; write {{ and }} for braces",
            "3:9 bad-name \"A=B\" is not a name of an environment variable",
            "3:17 bad-place-holder a brace '}' without its partner | write {{ and }} for braces",
        ],
    );
    check(
        &with(
            "command = [\"x\"]\nready = \"connect\"\nprobe = { http = \"health\", every = \"1s\", timeout = \"2s\" }",
        ),
        &[
            "3:9 no-address ready asks over the network, but no address is given to the program | use {port} or {socket} in command or env, or state its port",
            "4:9 no-address probe asks over the network, but no address is given to the program | use {port} or {socket} in command or env, or state its port",
            "4:9 bad-value \"health\" is not a path of a URL | it starts with / and has no whitespace",
            "4:9 out-of-range the probe's timeout, 2s, is longer than the time between probes, 1s",
        ],
    );
    check(
        &with("command = [\"x\"]\nready = { stdout = \"up\\nand ready\" }"),
        &[
            "3:20 bad-value the text of ready contains a line end, so no line contains it | state a part of one line",
        ],
    );
    check(
        &with("command = [\"x\"]\nready = {}\nprobe = { every = \"5s\" }"),
        &[
            "3:9 bad-value ready needs either stdout or http | such as { stdout = \"listening\" }",
            "4:9 bad-value probe needs either http or connect | such as { http = \"/health\" } or { connect = true }",
        ],
    );
    check(
        &with("command = [\"x\", \"{port}\"]\nready = { htp = \"/\" }\nprobe = 3"),
        &[
            "3:11 unknown-key unknown key \"htp\" in ready | did you mean \"http\"?",
            "4:9 wrong-type probe must be a table of keys, not an integer",
        ],
    );
}

#[test]
fn load_longer_than_its_deadline_or_a_demands_is_a_warning() {
    check(&with("loader = \"builtin\"\nload_time = \"30s\"\n"), &[]);
    let keep = "load it at start (lazy_init = false) and keep it (pinned = true), or raise demand_deadline";
    let waits = "longer than demand_deadline, which is 30s: the first demand waits that long, and is refused if its own deadline is shorter";
    check(
        &with("loader = \"builtin\"\nload_time = \"31s\"\n"),
        &[&format!("3:13 warning load-time component \"c\" takes 31s to load, {waits} | {keep}")],
    );
    check(
        &with("loader = \"builtin\"\nload_time = \"5s\"\nload_deadline = \"4s\"\n"),
        &[
            "3:13 warning load-time component \"c\" takes 5s to load, longer than its load_deadline of 4s: no load of it can end | raise its load_deadline, or correct its load_time",
        ],
    );
    let chain = "[components.a]\nloader = \"builtin\"\nload_time = \"20s\"\n[components.b]\nloader = \"builtin\"\nload_time = \"15s\"\ndependencies = [\"a\"]\n";
    check(
        chain,
        &[&format!(
            "6:13 warning load-time component \"b\" takes 35s with its dependencies to load, {waits} | {keep}"
        )],
    );
}

#[test]
fn memory_in_several_pools_names_declared_pools() {
    let pools = "[pools.gpu]\nbudget = \"2GiB\"\naccounting = \"declared\"\n[pools.big]\nbudget = \"9GiB\"\n";
    let with = |lines: &str| format!("{pools}[components.c]\nloader = \"builtin\"\n{lines}\n");
    let read = |lines: &str| {
        let loaded = parse_toml(&with(lines), "c.toml", None).unwrap_or_else(|e| panic!("{e}"));
        let spec = &loaded.specs[0];
        let apart = spec.memory_in.iter().map(|(pool, bytes)| format!("{pool} {bytes}"));
        (spec.memory.to_string(), apart.collect::<Vec<_>>())
    };
    let both = ("300 MiB".to_owned(), vec!["gpu 1.5 GiB".to_owned()]);
    assert_eq!(read("memory = { ram = \"300MiB\", gpu = \"1.5GiB\" }"), both);
    assert_eq!(read("memory = { gpu = \"1.5GiB\" }").0, "100 MiB");
    assert_eq!(read("memory = \"300MiB\""), ("300 MiB".to_owned(), vec![]));
    check(
        &with(
            "memory = { gup = \"1GiB\", ran = \"1GiB\", npu = \"1GiB\", ml = \"1GiB\", big = \"1GiB\" }",
        ),
        &[
            "8:12 unknown-pool there is no pool \"gup\" | did you mean \"gpu\"?",
            "8:26 unknown-pool there is no pool \"ran\" | did you mean \"ram\"?",
            "8:40 unknown-pool there is no pool \"npu\" | did you mean \"gpu\"?",
            "8:54 unknown-pool pool \"ml\" is main memory, and a component has one such pool | write pool = \"ml\", and its bytes as ram",
            "8:67 unknown-pool pool \"big\" is main memory, and a component has one such pool | write pool = \"big\", and its bytes as ram",
        ],
    );
    check(
        &with("pool = \"gpu\"\nmemory = { ram = \"1GiB\", gpu = \"1GiB\" }"),
        &[
            "8:8 unknown-pool pool \"gpu\" is not main memory, and memory states bytes by pool | remove the key pool: memory names the pools",
        ],
    );
    check(
        &with("memory = { ram = 300, gpu = \"3GiB\" }"),
        &[
            "8:18 wrong-type memory.ram must be a size such as \"300MiB\", not an integer | write the unit: \"300MiB\"",
            "8:29 over-budget component \"c\" needs 3 GiB of pool \"gpu\", more than the budget of pool \"gpu\", which is 2 GiB | raise the pool's budget, or correct the component's memory",
        ],
    );
    check(
        &with("memory = {}"),
        &[
            "8:10 bad-value memory states no size | write memory = { ram = \"300MiB\", gpu = \"1.5GiB\" }",
        ],
    );
    check(
        &format!(
            "{}[components.d]\nloader = \"builtin\"\npinned = true\nmemory = {{ gpu = \"1.2GiB\" }}\n",
            with("pinned = true\nmemory = { ram = \"1MiB\", gpu = \"1.5GiB\" }")
        ),
        &[
            "6:13 over-budget CORE and pinned components and what they depend on need 2.7 GiB (c 1.5 GiB, d 1.2 GiB), more than the budget of pool \"gpu\", which is 2 GiB | raise the budget, or make some of them neither CORE nor pinned",
        ],
    );
}

#[test]
fn memory_of_a_template_is_merged_by_pool() {
    let pools = "[pools.gpu]\nbudget = \"8GiB\"\naccounting = \"declared\"\n";
    let memory = |inherited: &str, own: &str| {
        let text = format!(
            "{pools}[templates.t]\nloader = \"builtin\"\nmemory = {inherited}\n[components.c]\ntemplate = \"t\"\nmemory = {own}\n"
        );
        let loaded = parse_toml(&text, "c.toml", None).unwrap_or_else(|e| panic!("{text}{e}"));
        let gpu = loaded.specs[0].memory_in.get("gpu").map(ToString::to_string);
        (loaded.specs[0].memory.to_string(), gpu)
    };
    let gib = |n: &str| Some(format!("{n} GiB"));
    let both = "{ ram = \"300MiB\", gpu = \"2GiB\" }";
    assert_eq!(memory(both, "{ gpu = \"3GiB\" }"), ("300 MiB".into(), gib("3")));
    assert_eq!(memory(both, "{ gpu = false }"), ("300 MiB".into(), None));
    assert_eq!(memory(both, "\"50MiB\""), ("50 MiB".into(), None));
    assert_eq!(memory("\"50MiB\"", "{ gpu = \"1GiB\" }"), ("50 MiB".into(), gib("1")));
}
