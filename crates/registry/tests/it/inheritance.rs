//! `[defaults]`, `[templates.NAME]` and `{name}`: precedence, merging, removal, and the places of errors.

use std::time::Duration;

use majordomo_core::{ByteSize, Priority};
use majordomo_registry::{
    ComponentSpec, LoaderSpec, ProcessSpec, ReadySpec, parse_toml, resolve_config_with,
};

use crate::config::check;

fn read(text: &str) -> Vec<ComponentSpec> {
    let loaded = parse_toml(text, "c.toml", None).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, vec![], "{text}");
    loaded.specs.iter().map(|spec| ComponentSpec::clone(spec)).collect()
}

fn program(spec: &ComponentSpec) -> &ProcessSpec {
    spec.program().unwrap()
}

/// The variables of a component, `NAME=value` each.
fn env(spec: &ComponentSpec) -> Vec<String> {
    program(spec).env.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn ten_alike_components_take_ten_short_entries() {
    let mut text = String::from(
        "[defaults]\nload_time = \"2s\"\n[defaults.env]\nPATH = \"venv/bin\"\n\
         [templates.python]\ncommand = [\"venv/bin/python\", \"{name}.py\", \"{port}\"]\n\
         cwd = \"{name}\"\nready = { http = \"/{name}/ready\" }\n\
         keywords = [\"use {name}\"]\nenv = { MODEL = \"models/{name}\", BRACES = \"{{name}}\" }\n",
    );
    for idx in 0..10 {
        text += &format!("[components.c{idx}]\ntemplate = \"python\"\n");
    }
    let specs = read(&text);
    assert_eq!(specs.len(), 10);
    for (idx, spec) in specs.iter().enumerate() {
        let file = format!("c{idx}.py");
        assert_eq!(program(spec).command, ["venv/bin/python", &file, "{port}"]);
        assert_eq!(spec.load_time, Duration::from_secs(2));
        assert_eq!(program(spec).ready, ReadySpec::Http(format!("/c{idx}/ready")));
        assert_eq!(program(spec).cwd.as_deref(), Some(std::path::Path::new(&format!("c{idx}"))));
        assert_eq!(spec.keywords, [format!("use c{idx}")]);
        let model = format!("MODEL=models/c{idx}");
        assert_eq!(env(spec), ["BRACES={{name}}", &model, "PATH=venv/bin"]);
    }
}

#[test]
fn component_precedes_its_template_which_precedes_its_own_template_and_defaults() {
    let specs = read(
        "[defaults]\npriority = \"LOW\"\nmemory = \"1MiB\"\nload_time = \"1s\"\nversion = \"d\"\n\
         [templates.near]\ntemplate = \"far\"\nload_time = \"3s\"\n\
         [templates.far]\ncommand = [\"far\"]\nmemory = \"2MiB\"\nload_time = \"2s\"\n\
         [components.a]\ntemplate = \"near\"\nversion = \"a\"\n\
         [components.b]\ncommand = [\"b\"]\n",
    );
    let a = &specs[0];
    assert_eq!((a.priority, a.memory), (Priority::Low, ByteSize::mib(2)));
    assert_eq!((a.load_time, a.version.as_str()), (Duration::from_secs(3), "a"));
    assert_eq!(program(a).command, ["far"]);
    let b = &specs[1];
    assert_eq!((b.priority, b.memory, b.version.as_str()), (Priority::Low, ByteSize::mib(1), "d"));
}

#[test]
fn env_and_probe_are_merged_and_lists_replaced() {
    let specs = read(
        "[defaults.env]\nA = \"d\"\nB = \"d\"\nC = \"d\"\n\
         [templates.t]\ncommand = [\"x\", \"{port}\"]\nkeywords = [\"one\", \"two\"]\nexit_ok = [0, 3]\n\
         probe = { http = \"/h\", every = \"30s\", timeout = \"3s\" }\nenv = { B = \"t\", C = \"t\" }\n\
         [components.a]\ntemplate = \"t\"\nkeywords = [\"three\"]\nexit_ok = []\n\
         probe = { every = \"5s\" }\nenv = { C = \"a\" }\n\
         [components.b]\ntemplate = \"t\"\nprobe = { connect = true }\nenv.C = false\n",
    );
    let (a, b) = (&specs[0], &specs[1]);
    assert_eq!(env(a), ["A=d", "B=t", "C=a"]);
    assert_eq!((&*a.keywords, &*a.exit_ok), (&["three".to_owned()][..], &[][..]));
    let probe = program(a).probe.as_ref().unwrap();
    assert_eq!(probe.how, ReadySpec::Http("/h".into()));
    assert_eq!((probe.every, probe.timeout), (Duration::from_secs(5), Duration::from_secs(3)));
    assert_eq!(env(b), ["A=d", "B=t"]);
    let probe = program(b).probe.as_ref().unwrap();
    assert_eq!((&probe.how, probe.every), (&ReadySpec::Connect, Duration::from_secs(30)));
    assert_eq!(b.keywords, ["one", "two"]);
}

#[test]
fn false_removes_an_inherited_value_and_nothing_else() {
    let specs = read(
        "[defaults]\nidle_timeout = \"5min\"\nidle_park = \"1min\"\npinned = true\n\
         [templates.t]\ncommand = [\"x\", \"{port}\"]\nprobe = { http = \"/h\" }\n\
         [components.a]\ntemplate = \"t\"\nprobe = false\nidle_timeout = false\npinned = false\n",
    );
    let a = &specs[0];
    assert_eq!((&program(a).probe, a.idle_timeout, a.pinned), (&None, None, false));
    assert_eq!(a.idle_park, Some(Duration::from_secs(60)));
    check(
        "[defaults]\nversion = false\n[components.a]\ncommand = [\"x\"]\nprobe = false\nenv = { DEBUG = false }\n",
        &[
            "2:11 nothing-inherited version = false removes an inherited value, and no version is inherited | remove the line",
            "5:9 nothing-inherited probe = false removes an inherited value, and no probe is inherited | remove the line",
            "6:17 nothing-inherited DEBUG = false removes an inherited value, and no DEBUG is inherited | remove the line, or put false in quotation marks",
        ],
    );
    // Nothing lies below [defaults], in an inner table either; that is reported once and not for each heir.
    check(
        "[defaults.env]\nDEBUG = false\nKEPT = \"1\"\n[components.a]\ncommand = [\"x\"]\n[components.b]\ncommand = [\"x\"]\n",
        &[
            "2:9 nothing-inherited DEBUG = false removes an inherited value, and no DEBUG is inherited | remove the line, or put false in quotation marks",
        ],
    );
}

#[test]
fn defaults_of_another_kind_of_loader_do_not_apply() {
    let specs = read(
        "[defaults]\nready = \"started\"\nenv = { A = \"1\" }\nload_time = \"1s\"\n\
         [components.a]\nloader = \"builtin\"\n\
         [components.b]\nmodule = \"m\"\n\
         [components.c]\ncommand = [\"x\"]\n",
    );
    assert_eq!(specs[0].loader, LoaderSpec::Builtin { factory: "a".into() });
    assert!(matches!(specs[1].loader, LoaderSpec::Python { .. }));
    assert_eq!(env(&specs[2]), ["A=1"]);
    assert!(specs.iter().all(|spec| spec.load_time == Duration::from_secs(1)));
    // A default of the kind itself is for components that decide on none.
    let specs = read(
        "[defaults]\ncommand = [\"{name}\"]\n[components.a]\n[components.b]\nloader = \"builtin\"\n",
    );
    assert_eq!(program(&specs[0]).command, ["a"]);
    assert_eq!(specs[1].loader, LoaderSpec::Builtin { factory: "b".into() });
}

#[test]
fn wrong_value_is_reported_once_where_it_stands() {
    check(
        "[defaults]\nload_time = 3\nport = 80\ntemplate = \"t\"\n\
         [templates.t]\nmemory = \"1B\"\nmemroy = \"1MiB\"\ncommand = \"x\"\nready = { stdin = \"up\" }\n\
         [components.a]\ntemplate = \"t\"\n[components.b]\ntemplate = \"t\"\nmax_leases = 0\n",
        &[
            "2:13 wrong-type load_time must be a duration such as \"80ms\", \"5s\" or \"2min\", not an integer | write the unit: \"3s\" or \"3ms\"",
            "3:1 not-a-default port cannot be a default | two components cannot have one port; use {port} in command for a free one",
            "4:1 not-a-default template cannot be a default | the keys of [defaults] apply to every component without it",
            "6:10 out-of-range memory is 1 B; it must lie within 4 KiB and 16 TiB",
            "7:1 unknown-key unknown key \"memroy\" in [templates.t] | did you mean \"memory\"?",
            "8:11 wrong-type command must be a list of texts, not text | write program and arguments one by one: [\"x\"]",
            "9:11 unknown-key unknown key \"stdin\" in ready | known keys are stdout, http",
            "14:14 out-of-range max_leases must lie within 1 and 1048576",
        ],
    );
}

#[test]
fn breach_of_an_inherited_value_names_the_components_that_inherit_it() {
    let template = "[templates.t]\ncommand = [\"x\", \"{prot}\"]\nready = \"connect\"\n";
    let a = "[components.a]\ntemplate = \"t\"\n";
    check(
        &format!(
            "{template}{a}[components.b]\ntemplate = \"t\"\ncommand = [\"y\", \"{{port}}\"]\n"
        ),
        &[
            "2:17 bad-place-holder unknown place-holder \"prot\" (inherited by component \"a\") | did you mean \"port\"?",
            "3:9 no-address ready asks over the network, but no address is given to the program (inherited by component \"a\") | use {port} or {socket} in command or env, or state its port",
        ],
    );
    let five: String =
        (0..5).map(|idx| format!("[components.c{idx}]\ntemplate = \"t\"\n")).collect();
    check(
        &format!("[templates.t]\ncommand = [\"x\"]\nready = \"connect\"\n{five}"),
        &[
            "3:9 no-address ready asks over the network, but no address is given to the program (inherited by components \"c0\", \"c1\", \"c2\", 2 more) | use {port} or {socket} in command or env, or state its port",
        ],
    );
    // Errors among components name the component, and point to the inherited item.
    check(
        "[defaults]\ndependencies = [\"{name}-store\"]\n[components.a]\ncommand = [\"x\"]\n\
         [components.a-store]\ncommand = [\"x\"]\ndependencies = []\n[components.b]\ncommand = [\"x\"]\n",
        &[
            "2:17 unknown-component component \"b\" names \"b-store\" in dependencies, which does not exist | did you mean \"a-store\"?",
        ],
    );
}

#[test]
fn templates_are_named_used_and_free_of_circles() {
    let component = "[components.a]\ncommand = [\"x\"]\n";
    check(
        &format!("[templates.python]\nmemory = \"1MiB\"\n{component}template = \"pyton\"\n"),
        &[
            "1:12 warning unused-template no component uses template \"python\" | write template = \"python\" in a component, or remove it",
            "5:12 unknown-template there is no template \"pyton\" | did you mean \"python\"?",
        ],
    );
    check(
        &format!("{component}template = \"t\"\n"),
        &["3:12 unknown-template there is no template \"t\" | declare it: [templates.t]"],
    );
    check(
        &format!(
            "{component}template = \"s\"\n[templates.s]\ntemplate = \"s\"\n\
             [templates.t]\ntemplate = \"u\"\n[templates.u]\ntemplate = \"t\"\n\
             [components.b]\ntemplate = \"t\"\ncommand = [\"x\"]\n"
        ),
        &[
            "5:12 template-circle templates use each other in a circle: s -> s | remove one of these template keys",
            "7:12 template-circle templates use each other in a circle: t -> u -> t | remove one of these template keys",
            "8:12 warning unused-template no component uses template \"u\" | write template = \"u\" in a component, or remove it",
        ],
    );
    check(
        &format!("[templates.\"My T\"]\n{component}"),
        &[
            "1:12 bad-name \"My T\" is not a valid name: a name cannot start with 'M'; it starts with a-z or 0-9 | call it \"my_t\"",
            "1:12 warning unused-template no component uses template \"My T\" | write template = \"My T\" in a component, or remove it",
        ],
    );
    check(
        "defaults = 3\ntemplates = [1]\n[components.a]\ncommand = [\"x\"]\n",
        &[
            "1:12 wrong-type [defaults] must be a table of keys, not an integer",
            "2:13 wrong-type [templates] must be a table, not a list",
        ],
    );
}

#[test]
fn resolved_component_shows_every_key_with_its_table_and_line() {
    let dir = std::env::temp_dir().join(format!("majordomo-resolved-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("c.toml");
    let text = "[defaults.env]\nA = \"1\"\n[templates.t]\ncommand = [\"x\", \"{name}\"]\n\
                [components.a]\ntemplate = \"t\"\nmemory = \"2MiB\"\nenv = { \"B.C\" = 'a\"b' }\n";
    std::fs::write(&file, text).unwrap();
    let (_, resolved) = resolve_config_with(&file, None, &|_, _| None).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let keys = resolved[0].keys.iter();
    let shown: Vec<String> = keys
        .map(|k| format!("{}={}@{}:{}", k.key, k.value, k.from.as_deref().unwrap_or("-"), k.line))
        .collect();
    assert_eq!(resolved[0].name, "a");
    assert_eq!(
        shown,
        [
            "env.A=\"1\"@defaults:2",
            "env.\"B.C\"=\"a\\\"b\"@-:8",
            "command=[\"x\", \"a\"]@templates.t:4",
            "memory=\"2MiB\"@-:7",
        ]
    );
}
