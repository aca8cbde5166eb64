//! Addresses of programs: their own, and those of dependencies in place-holders.

use majordomo_registry::{Catalog, CatalogError, ComponentSpec, LoaderSpec, ProcessSpec};

use crate::config::{check, with};

/// `c` depends on `mid`, which depends on `db`, and has this command and environment.
fn dependent(text: &str) -> String {
    format!(
        "[components.c]\ndependencies = [\"mid\"]\ncommand = [\"x\", {text:?}]\n\
         [components.mid]\ndependencies = [\"db\", \"unix\", \"rust\"]\ncommand = [\"x\"]\n\
         [components.db]\ncommand = [\"x\", \"{{port}}\"]\n\
         [components.unix]\nsocket = \"run/s\"\ncommand = [\"x\"]\n\
         [components.rust]\nloader = \"builtin\"\n\
         [components.other]\nport = 99\ncommand = [\"x\"]\n"
    )
}

#[test]
fn place_holders_of_dependencies_are_checked() {
    let good = ["{db.port}", "{db.url}", "{unix.socket}", "{unix.url}", "{{no.port}}"];
    for text in good {
        check(&dependent(text), &[]);
    }
    let wrong = |text: &str, want: &str| check(&dependent(text), &[want]);
    wrong(
        "--db={dbb.port}",
        "3:17 unknown-component {dbb.port} names no component: there is no \"dbb\" | did you mean \"{db.port}\"?",
    );
    wrong(
        "{elsewhere.url}",
        "3:17 unknown-component {elsewhere.url} names no component: there is no \"elsewhere\" | declare the component, or write {{ and }} for braces",
    );
    wrong(
        "{c.port}",
        "3:17 bad-place-holder {c.port} is the component's own address | write {port} or {socket}",
    );
    wrong(
        "{other.port}",
        "3:17 bad-place-holder {other.port} may not be known: \"c\" does not depend on \"other\" | add it: dependencies = [\"other\"]",
    );
    wrong(
        "{rust.url}",
        "3:17 bad-place-holder {rust.url} does not exist: \"rust\" is not a process | only a component with a command has an address",
    );
    wrong(
        "{db.socket}",
        "3:17 bad-place-holder {db.socket} does not exist: \"db\" has no socket | use {socket} in the command or env of \"db\", or state its socket",
    );
    wrong(
        "{unix.port}",
        "3:17 bad-place-holder {unix.port} does not exist: \"unix\" has no port | use {port} in the command or env of \"unix\", or state its port",
    );
    wrong(
        "{mid.url}",
        "3:17 bad-place-holder {mid.url} does not exist: \"mid\" has neither port nor socket | use {port} in the command or env of \"mid\", or state its port",
    );
    wrong(
        "{db.host}",
        "3:17 bad-place-holder unknown place-holder \"db.host\" | there are {port}, {socket}, {state_dir}, {name}, {config_dir}, {NAME.port}, {NAME.socket}, {NAME.url}; write {{ and }} for braces",
    );
}

#[test]
fn place_holders_in_the_environment_are_found_there() {
    let text = "[components.c]\ncommand = [\"x\"]\nenv = { A = \"a\", DB = \"{db.url}\" }\n\
        [components.db]\ncommand = [\"x\", \"{port}\"]\n";
    check(
        text,
        &[
            "3:23 bad-place-holder {db.url} may not be known: \"c\" does not depend on \"db\" | add it: dependencies = [\"db\"]",
        ],
    );
}

#[test]
fn fixed_addresses_are_checked() {
    check(&with("command = [\"x\"]\nport = 8188\nready = \"connect\""), &[]);
    check(
        &with("command = [\"x\"]\nport = 0"),
        &["3:8 out-of-range port must lie within 1 and 65535"],
    );
    check(
        &with("command = [\"x\"]\nport = 70000"),
        &["3:8 out-of-range port must lie within 1 and 65535"],
    );
    check(
        &with("command = [\"x\"]\nsocket = \"\""),
        &["3:10 empty-path socket is empty | name it, or leave the key out"],
    );
    let two = |key: &str, more: &str| {
        format!(
            "[components.a]\ncommand = [\"x\"]\n{key}\n[components.b]\ncommand = [\"x\"]\n{key}\n{more}"
        )
    };
    check(
        &two("port = 8188", ""),
        &[
            "6:8 same-address \"a\" and \"b\" have the same fixed address, the port 8188 | change one of them, or never run both: conflicts = [\"b\"]",
        ],
    );
    check(
        &two("socket = \"s\"", ""),
        &[
            "6:10 same-address \"a\" and \"b\" have the same fixed address, the socket \"s\" | change one of them, or never run both: conflicts = [\"b\"]",
        ],
    );
    check(&two("port = 8188", "conflicts = [\"a\"]"), &[]);
}

#[test]
fn urls_of_two_dependencies_in_one_variable_are_an_error() {
    let text = |last: &str| {
        format!(
            "[components.a-b]\ncommand = [\"x\", \"{{port}}\"]\n[components.a_b]\ncommand = [\"x\", \"{last}\"]\n\
             [components.c]\ndependencies = [\"a-b\", \"a_b\"]\ncommand = [\"x\"]\n"
        )
    };
    check(
        &text("{port}"),
        &[
            "5:13 same-variable component \"c\" needs \"a-b\" and \"a_b\", whose URLs would both be in MAJORDOMO_A_B_URL | rename one of them",
        ],
    );
    check(&text("no address"), &[]);
}

#[test]
fn addresses_of_a_program_made_in_code_are_checked() {
    let mut spec = ComponentSpec::process("c", &["x", "{db.port}"]).unwrap();
    let error = Catalog::build(vec![spec.clone()], Vec::new(), None).unwrap_err();
    assert!(matches!(error, CatalogError::Endpoint { .. }), "{error}");
    spec.loader =
        LoaderSpec::Process(ProcessSpec { command: vec!["x".into()], ..Default::default() });
    Catalog::build(vec![spec], Vec::new(), None).unwrap();
}
