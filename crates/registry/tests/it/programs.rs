//! Keys of programs besides their command and addresses: protocol, stop, trim, probes.

use std::time::Duration;

use majordomo_core::ByteSize;
use majordomo_registry::{
    LoaderSpec, ProcessSpec, ReadySpec, ServiceRequest, StdinMode, StdioSpec, StepRequest,
    StopSignal, StopSpec, TrimSignal, TrimSpec, WarmUpRequest, parse_toml,
};

use crate::config::{check, with};

#[test]
fn protocol_decides_about_readiness_and_standard_input() {
    let declared = |lines: &str| {
        let text = with(&format!("command = [\"x\"]\n{lines}"));
        let loaded = parse_toml(&text, "c.toml", None).unwrap_or_else(|e| panic!("{lines}: {e}"));
        loaded.specs[0].program().unwrap().clone()
    };
    let plain = declared("");
    assert_eq!((plain.stdio(), &plain.ready), (None, &ReadySpec::Started));
    assert_eq!(declared("protocol = \"none\"\nstdin = \"hold\"").stdin, StdinMode::Hold);
    let stdio = declared("protocol = \"stdio\"");
    assert_eq!(stdio.stdio(), Some(&StdioSpec::default()));
    assert_eq!((&stdio.ready, stdio.stdin), (&ReadySpec::Line, StdinMode::Hold));
    assert_eq!(declared("protocol = \"stdio\"\nstdin = \"hold\""), stdio);
    let bounded = declared(
        "protocol = \"stdio\"\nconcurrent = 4\nmax_line = \"64KiB\"\ncall_deadline = \"5s\"\nready = \"started\"",
    );
    let bounds = StdioSpec {
        concurrent: 4,
        max_line: ByteSize::kib(64),
        call_deadline: Duration::from_secs(5),
    };
    assert_eq!((bounded.stdio(), &bounded.ready), (Some(&bounds), &ReadySpec::Started));
    let code = ProcessSpec::new(["x"]).answers_lines(StdioSpec::default());
    assert_eq!((code.stdin_mode(), code.ready), (stdio.stdin_mode(), stdio.ready));
}

#[test]
fn keys_that_contradict_the_protocol_are_errors() {
    let wrong = |lines: &str, want: &[&str]| {
        check(&with(&format!("command = [\"x\"]\n{lines}")), want);
    };
    wrong(
        "protocol = \"stdio\"\nstdin = \"empty\"",
        &[
            "4:1 no-protocol stdin is empty, and protocol = \"stdio\" writes requests to it | remove stdin: the protocol holds it open",
        ],
    );
    wrong(
        "ready = \"line\"",
        &[
            "3:9 no-protocol ready = \"line\" is a line of protocol = \"stdio\", which the program does not have | add the protocol, or write ready = { stdout = \"part of a line\" }",
        ],
    );
    for line in ["concurrent = 2", "max_line = \"1MiB\"", "call_deadline = \"1s\""] {
        let key = line.split(' ').next().unwrap();
        let want = format!(
            "3:1 no-protocol {key} belongs to protocol = \"stdio\", which the program does not have | add the protocol, or remove the key"
        );
        wrong(line, &[&want]);
    }
    wrong(
        "protocol = \"stdio\"\nconcurrent = 0",
        &["4:14 out-of-range concurrent must lie within 1 and 1024"],
    );
    wrong(
        "protocol = \"http\"",
        &["3:12 bad-value \"http\" is not a value of protocol | use one of none, stdio"],
    );
    check(
        &with("loader = \"builtin\"\nprotocol = \"stdio\""),
        &[
            "3:1 foreign-key protocol belongs to loader = \"process\", not to \"builtin\" | remove it, or change the loader",
        ],
    );
}

#[test]
fn stop_is_declared_by_command_path_or_signal() {
    let declared = |lines: &str| {
        let loaded = parse_toml(&with(lines), "c.toml", None).unwrap();
        loaded.specs[0].program().unwrap().clone()
    };
    let command = "command = [\"x\", \"{port}\"]\nstop = { command = [\"y\", \"{port}\"] }";
    let want = StopSpec::Command(vec!["y".to_owned(), "{port}".to_owned()]);
    assert_eq!(declared(command).stop, Some(want));
    let http = "command = [\"x\", \"{socket}\"]\nstop = { http = \"/end\" }";
    assert_eq!(declared(http).stop, Some(StopSpec::Http("/end".into())));
    let signal = "command = [\"x\"]\nstop = { signal = \"INT\" }";
    assert_eq!(declared(signal).stop, Some(StopSpec::Signal(StopSignal::Int)));
    let wrong = |stop: &str, want: &[&str]| {
        check(&with(&format!("command = [\"x\"]\nstop = {stop}")), want);
    };
    wrong(
        "{ signal = \"TERM\" }",
        &[
            "3:19 bad-value \"TERM\" is not a value of signal | use one of INT, QUIT, HUP, USR1, USR2, WINCH",
        ],
    );
    wrong(
        "{ http = \"/end\" }",
        &[
            "3:8 no-address stop asks over the network, but no address is given to the program | use {port} or {socket} in command or env, or state its port",
        ],
    );
    wrong(
        "{ command = [\"y\", \"{port}\"] }",
        &[
            "3:20 no-address stop uses {port}, which the program itself is not given | use {port} in command or env, or state its address",
        ],
    );
    wrong(
        "{ command = [] }",
        &["3:20 bad-value the command of stop has no program | the first item is the program"],
    );
    wrong(
        "{ command = [\"{prot}\"] }",
        &["3:20 bad-place-holder unknown place-holder \"prot\" | did you mean \"port\"?"],
    );
    for none_or_two in ["{}", "{ http = \"/t\", signal = \"HUP\" }"] {
        wrong(
            none_or_two,
            &[
                "3:8 bad-value stop needs one of command, http and signal | such as { command = [\"redis-cli\", \"-p\", \"{port}\", \"shutdown\"] }",
            ],
        );
    }
    let unknown = "command = [\"x\"]\nstop = { command = [\"y\", \"{db.port}\"] }";
    let loaded = parse_toml(&with(unknown), "c.toml", None).unwrap_err().to_string();
    assert!(loaded.contains("db"), "{loaded}");
}

#[test]
fn trim_is_declared_by_http_or_signal() {
    let declared = |lines: &str| {
        let loaded = parse_toml(&with(lines), "c.toml", None).unwrap();
        let LoaderSpec::Process(process) = &loaded.specs[0].loader else { panic!("a process") };
        process.trim.clone()
    };
    assert_eq!(declared("command = [\"x\"]"), None);
    let http = "command = [\"x\", \"{socket}\"]\ntrim = { http = \"/trim\" }";
    assert_eq!(declared(http), Some(TrimSpec::Http("/trim".into())));
    let signal = "command = [\"x\"]\ntrim = { signal = \"USR2\" }";
    assert_eq!(declared(signal), Some(TrimSpec::Signal(TrimSignal::Usr2)));
    let wrong = |trim: &str, want: &[&str]| {
        check(&with(&format!("command = [\"x\"]\ntrim = {trim}")), want);
    };
    wrong(
        "{ signal = \"KILL\" }",
        &["3:19 bad-value \"KILL\" is not a value of signal | use one of HUP, USR1, USR2, WINCH"],
    );
    wrong(
        "{ signal = \"SIGUSR1\" }",
        &[
            "3:19 bad-value \"SIGUSR1\" is not a value of signal | use one of HUP, USR1, USR2, WINCH",
        ],
    );
    wrong(
        "{ signal = \"usr1\" }",
        &["3:19 bad-value \"usr1\" is not a value of signal | did you mean \"USR1\"?"],
    );
    wrong(
        "{ http = \"trim\" }",
        &[
            "3:8 no-address trim asks over the network, but no address is given to the program | use {port} or {socket} in command or env, or state its port",
            "3:8 bad-value \"trim\" is not a path of a URL | it starts with / and has no whitespace",
        ],
    );
    for neither_or_both in ["{}", "{ http = \"/t\", signal = \"HUP\" }"] {
        wrong(
            neither_or_both,
            &[
                "3:8 bad-value trim needs either http or signal | such as { http = \"/trim\" } or { signal = \"USR1\" }",
            ],
        );
    }
    check(
        &with("loader = \"builtin\"\ntrim = { signal = \"HUP\" }"),
        &[
            "3:1 foreign-key trim belongs to loader = \"process\", not to \"builtin\" | remove it, or change the loader",
        ],
    );
}

#[test]
fn wrong_kind_of_value_is_reported_with_the_right_one() {
    let wrong = |lines: &str, want: &str| {
        check(&with(&format!("command = [\"x\", \"{{port}}\"]\n{lines}")), &[want]);
    };
    wrong(
        "ready = \"http\"",
        "3:9 bad-value \"http\" alone is not a value of ready | write ready = { http = \"/health\" }",
    );
    wrong(
        "ready = \"stdout\"",
        "3:9 bad-value \"stdout\" alone is not a value of ready | write ready = { stdout = \"listening\" }",
    );
    wrong(
        "probe = \"/up\"",
        "3:9 wrong-type probe must be a table of keys, not text | write probe = { http = \"/up\" }",
    );
    wrong(
        "trim = \"/trim\"",
        "3:8 wrong-type trim must be a table of keys, not text | write trim = { http = \"/trim\" }",
    );
    wrong(
        "env = [\"A=b\"]",
        "3:7 wrong-type env must be a table of texts, not a list | write env = { NAME = \"value\" }",
    );
    // In quotation marks it would be as wrong.
    wrong(
        "restart = true",
        "3:11 wrong-type restart must be one of \"on-demand\", \"on-failure\", \"always\", \"never\", not true or false",
    );
    check(
        &with("command = [\"x\", \"{PORT}\"]"),
        &["2:17 bad-place-holder unknown place-holder \"PORT\" | did you mean \"port\"?"],
    );
    check(
        "[[components]]\nname = \"a\"\n",
        &[
            "1:1 wrong-type [components] must be a table, not a list | write [components.NAME] for each",
        ],
    );
}

#[test]
fn command_in_one_text_is_reported_with_the_list() {
    check(
        &with("command = \"sleep 10\""),
        &[
            "2:11 wrong-type command must be a list of texts, not text | write program and arguments one by one: [\"sleep\", \"10\"]",
        ],
    );
    check(
        &with("command = \"a | b\""),
        &[
            "2:11 wrong-type command must be a list of texts, not text | write program and arguments one by one; where a shell is needed: [\"sh\", \"-c\", \"a | b\"]",
        ],
    );
}

#[test]
fn advised_value_is_accepted() {
    let advised = |line: &str| -> Option<String> {
        let file = with(&format!("{line}\ncommand = [\"x\"]"));
        let file = if line.starts_with("command") { with(line) } else { file };
        let refused = parse_toml(&file, "c.toml", None).expect_err("it is refused");
        let first = refused.as_slice().first().expect("a problem");
        first.suggestion.clone()
    };
    for (line, advice) in [
        ("memory = 10.5", "write the unit: \"10.5MiB\""),
        ("memory = 314572800", "write the unit: \"314572800B\""),
        ("memory = \"10\"", "write the unit: \"10MiB\""),
        ("keywords = \"music, song\"", "put it in brackets: [\"music\", \"song\"]"),
        ("lazy_init = \"no\"", "write false, without quotation marks"),
        ("pinned = 1", "write true, without quotation marks"),
        ("port = \"8080\"", "write 8080"),
        ("port = 8080.0", "write 8080"),
        ("load_time = 0.5", "write the unit: \"500ms\""),
        ("ready = \"/health\"", "write ready = { http = \"/health\" }"),
        (
            "command = 'sh -c \"echo hi | cat\"'",
            "write program and arguments one by one: [\"sh\", \"-c\", \"echo hi | cat\"]",
        ),
    ] {
        assert_eq!(advised(line).as_deref(), Some(advice), "{line}");
    }
    assert_eq!(advised("memory = 0"), None);
    assert_eq!(advised("memory = \"0\""), None);
}

#[test]
fn stop_deadline_beyond_the_shutdown_is_a_warning() {
    let manager = "[manager]\nshutdown_deadline = \"20s\"\n";
    let component =
        |name: &str, lines: &str| format!("[components.{name}]\nloader = \"builtin\"\n{lines}\n");
    let alone = format!("{manager}{}", component("a", "stop_deadline = \"1min\""));
    check(
        &alone,
        &[
            "5:17 warning stop-deadline component \"a\" may take 1m to stop, longer than shutdown_deadline, which is 20s: a shutdown kills it before | raise shutdown_deadline to more than 1m",
        ],
    );
    let chain = |db: &str| {
        let db = component("db", &format!("stop_deadline = \"{db}\""));
        let app = component("app", "dependencies = [\"db\"]\nstop_deadline = \"9s\"");
        format!("{manager}{db}{app}{}", component("beside", "stop_deadline = \"19s\""))
    };
    check(&chain("11s"), &[]);
    check(
        &chain("12s"),
        &[
            "3:13 warning stop-deadline components that stop one after another (app, db) may take 21s, longer than shutdown_deadline, which is 20s: a shutdown kills the last of them | raise shutdown_deadline to more than 21s",
        ],
    );
    // Without a stated deadline most programs stop at once.
    let deep: String = (0..9)
        .map(|i| {
            let needs =
                if i == 0 { String::new() } else { format!("dependencies = [\"c{}\"]", i - 1) };
            component(&format!("c{i}"), &needs)
        })
        .collect();
    check(&format!("{manager}{deep}"), &[]);
}

#[test]
fn unstated_timeout_of_a_probe_is_no_longer_than_the_time_between_probes() {
    let probe = |lines: &str| {
        let text = format!("[components.c]\ncommand = [\"x\", \"{{port}}\"]\nprobe = {lines}\n");
        let loaded = parse_toml(&text, "c.toml", None).unwrap_or_else(|e| panic!("{text}{e}"));
        loaded.specs[0].program().unwrap().probe.clone().unwrap()
    };
    let ms = std::time::Duration::from_millis;
    assert_eq!(probe("{ connect = true, every = \"1s\" }").timeout, ms(1000));
    assert_eq!(probe("{ connect = true, every = \"1ms\" }").timeout, ms(1));
    assert_eq!(probe("{ connect = true, every = \"2s\" }").timeout, ms(2000));
    assert_eq!(probe("{ connect = true }").timeout, ms(2000));
    // The error of a probe without a request names what is missing, and no timeout that the file does not state.
    check(
        "[components.c]\ncommand = [\"x\", \"{port}\"]\nprobe = { every = \"1s\" }\n",
        &[
            "3:9 bad-value probe needs either http or connect | such as { http = \"/health\" } or { connect = true }",
        ],
    );
}

#[test]
fn sleep_and_wake_are_declared_by_request_command_or_signal() {
    let read = |lines: &str| {
        let text = with(&format!("{lines}\nasleep = \"10MiB\""));
        let loaded = parse_toml(&text, "c.toml", None).unwrap_or_else(|e| panic!("{e}"));
        let program = loaded.specs[0].program().unwrap();
        [&program.sleep, &program.wake].map(|step| step.clone().unwrap())
    };
    let http = |text| StepRequest::Http(ServiceRequest::parse(text).unwrap());
    let [sleep, wake] = read(
        "command = [\"x\", \"{port}\"]\nsleep = { http = \"PUT /nap?level=1\", timeout = \"5s\" }\nwake = { http = \"/rise\" }",
    );
    assert_eq!((sleep.how, sleep.timeout.as_secs()), (http("PUT /nap?level=1"), 5));
    assert_eq!((wake.how, wake.timeout.as_secs()), (http("POST /rise"), 30));
    let [sleep, wake] =
        read("command = [\"x\"]\nsleep = { signal = \"USR1\" }\nwake = { command = [\"y\"] }");
    assert_eq!(sleep.how, StepRequest::Signal(TrimSignal::Usr1));
    assert_eq!(wake.how, StepRequest::Command(vec!["y".to_owned()]));
}

#[test]
fn program_that_sleeps_states_how_it_wakes_and_what_it_holds() {
    let wrong = |lines: &str, want: &[&str]| {
        check(&with(&format!("command = [\"x\", \"{{port}}\"]\n{lines}")), want);
    };
    let help = "such as sleep = { http = \"POST /sleep\" }, wake = { http = \"POST /wake\" } and asleep = \"100MiB\"";
    let (sleep, wake) = ("sleep = { http = \"/s\" }", "wake = { http = \"/w\" }");
    wrong(sleep, &[&format!("3:9 missing-key sleep needs wake and asleep too | {help}")]);
    wrong(
        &format!("{sleep}\n{wake}"),
        &[&format!("3:9 missing-key sleep needs asleep too | {help}")],
    );
    wrong(
        "asleep = \"1MiB\"",
        &[&format!("3:10 missing-key asleep needs sleep and wake too | {help}")],
    );
    let rest = format!("{wake}\nasleep = \"1MiB\"");
    wrong(
        &format!("sleep = {{}}\n{rest}"),
        &[
            "3:9 bad-value sleep needs one of command, http and signal | such as sleep = { http = \"POST /sleep\" }",
        ],
    );
    wrong(
        &format!("sleep = {{ http = \"HEAD /s\" }}\n{rest}"),
        &[
            "3:18 bad-value sleep is no request: it begins with one of POST, PUT, GET, DELETE | such as \"POST /sleep\"",
        ],
    );
    wrong(
        &format!("{sleep}\n{wake}\nasleep = \"2GiB\""),
        &[
            "5:10 bad-value asleep is no less than memory, so a sleep frees nothing | state what stays while the component sleeps",
        ],
    );
    wrong(
        &format!("{sleep}\n{wake}\nasleep = {{ gpu = \"1MiB\" }}"),
        &[
            "5:12 unknown-pool memory states no bytes of pool \"gpu\" | state its bytes in memory, too",
        ],
    );
    check(
        &with(&format!("command = [\"x\"]\n{sleep}\n{rest}")),
        &[
            "3:9 no-address sleep asks over the network, but no address is given to the program | use {port} or {socket} in command or env, or state its port",
            "4:8 no-address wake asks over the network, but no address is given to the program | use {port} or {socket} in command or env, or state its port",
        ],
    );
    check(
        &with(
            "external = { url = \"http://x\", sleep = \"POST /s\" }\nmemory = \"1GiB\"\nasleep = \"1MiB\"",
        ),
        &[&format!("4:10 missing-key asleep needs wake too | {help}")],
    );
}

#[test]
fn request_to_warm_up_is_by_http_or_a_call() {
    let read = |lines: &str| {
        let loaded = parse_toml(&with(lines), "c.toml", None).unwrap_or_else(|e| panic!("{e}"));
        let warm_up = loaded.specs[0].program().unwrap().warm_up.clone().unwrap();
        (warm_up.how.to_string(), warm_up.timeout.as_secs(), warm_up.how)
    };
    let program = "command = [\"x\", \"{port}\"]";
    let (words, timeout, _) = read(&format!("{program}\nwarm_up = {{ http = \"/go?n=1\" }}"));
    assert_eq!((words.as_str(), timeout), ("GET /go?n=1", 30));
    let (words, timeout, how) = read(&format!(
        "{program}\nload_deadline = \"9s\"\nwarm_up = {{ http = \"/go\", body = \"\" }}"
    ));
    assert_eq!((words.as_str(), timeout), ("POST /go", 9), "within the load");
    assert_eq!(how, WarmUpRequest::Http { path: "/go".to_owned(), body: Some(String::new()) });
    let (words, timeout, _) = read(
        "command = [\"x\"]\nprotocol = \"stdio\"\nwarm_up = { call = \"hello\", timeout = \"2s\" }",
    );
    assert_eq!((words.as_str(), timeout), ("the call \"hello\"", 2));
}

#[test]
fn request_to_warm_up_needs_one_way_an_address_or_protocol_and_a_time_within_the_load() {
    let wrong = |lines: &str, want: &str| {
        check(&with(&format!("command = [\"x\", \"{{port}}\"]\n{lines}")), &[want]);
    };
    let ways = "3:11 bad-value warm_up needs either http, with or without body, or call | such as { http = \"/answer\", body = \"hello\" } or { call = \"hello\" }";
    for inner in ["", " timeout = \"1s\" ", " body = \"a\" ", " http = \"/a\", call = \"a\" "] {
        wrong(&format!("warm_up = {{{inner}}}"), ways);
    }
    wrong(
        "warm_up = { http = \"a b\" }",
        "3:11 bad-value \"a b\" is not a path of a URL | it starts with / and has no whitespace",
    );
    wrong(
        "warm_up = { call = \"a\" }",
        "3:20 no-protocol warm_up.call is a call of protocol = \"stdio\", which the program does not have | add the protocol, or write { http = \"/path\" }",
    );
    wrong(
        "warm_up = { http = \"/a\", timeout = \"2min\" }\nload_deadline = \"1min\"",
        "3:36 out-of-range the timeout of warm_up, 120s, is longer than load_deadline, 60s | the request is a part of the load: shorten it, or raise load_deadline",
    );
    check(
        &with("command = [\"x\"]\nwarm_up = { http = \"/a\" }"),
        &[
            "3:11 no-address warm_up asks over the network, but no address is given to the program | use {port} or {socket} in command or env, or state its port",
        ],
    );
}
