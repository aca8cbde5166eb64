//! The gateway's section and keys: what is read, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, Config};
use majordomo_registry::{
    ComponentSpec, ConnectionUse, GatewaySpec, ListenAddress, LoadOn, LoadedConfig, Select, Serves,
    parse_toml,
};

use crate::config::problems;

const SERVER: &str = "command = [\"server\", \"{port}\"]";

/// The codes of all problems, each with the line.
fn codes(text: &str) -> Vec<String> {
    let all = problems(text, None);
    let code = |problem: &String| {
        let mut words = problem.split(' ');
        let line = words.next().and_then(|place| place.split(':').next()).unwrap_or_default();
        format!("{line} {}", words.next().unwrap_or_default())
    };
    all.iter().map(code).collect()
}

#[test]
fn every_key_of_the_gateway_is_read() {
    let text = r#"
        [gateway]
        listen = ["127.0.0.1:80", "[::1]:80"]
        hosts = ["box.lan"]
        origins = ["https://chat.example:8443"]
        base_domain = "home.arpa"
        trusted_proxies = ["10.0.0.1", "::1"]
        wait = "30s"
        max_routed_body = "1MiB"
        max_buffered = "2MiB"
        max_connections = 7
        header_time = "1s"
        idle_time = "2s"
        stall_time = "3s"
        answer_time = "4s"
        ignore_paths = ["/ping"]
        use_gap = "0s"
        waiting_page = false
        [gateway.tokens.phone]
        file = "phone.token"
        components = ["a"]
        [gateway.selectors."gpt-4o:latest"]
        components = ["b", "a"]
        select = "warm"
        unlisted = true
        [components.a]
        command = ["server", "{port}"]
        serves = ["chat", "images"]
        aliases = ["org/model:7b"]
        model_name = "m"
        set_params = { temperature = 0.7, "a.b" = [1, true, { c = "d" }] }
        strip_params = ["seed"]
        unlisted = true
        listen = ["0.0.0.0:6379", "run/a.sock"]
        expose = true
        load_on = "connect"
        connection_use = "hold"
        connection_idle = "5s"
        learn_text = "/messages/-1/content"
        max_in_flight = 3
        queue = 0
        [components.b]
        external = { url = "http://gpu:80", probe = { connect = true } }
    "#;
    let loaded = parse_toml(text, "c.toml", None).unwrap_or_else(|e| panic!("{e}"));
    let gateway = loaded.gateway.unwrap();
    assert_eq!(gateway.listen.len(), 2);
    assert_eq!(
        (&*gateway.hosts, &*gateway.base_domain),
        (&["box.lan".to_owned()][..], "home.arpa")
    );
    assert_eq!((gateway.wait, gateway.use_gap), (Some(Duration::from_secs(30)), Duration::ZERO));
    assert_eq!((gateway.max_routed_body, gateway.max_connections), (ByteSize::mib(1), 7));
    assert_eq!(gateway.trusted_proxies.len(), 2);
    assert!(!gateway.waiting_page);
    let token = &gateway.tokens[0];
    assert_eq!((&*token.name, token.file.to_str()), ("phone", Some("phone.token")));
    assert_eq!(token.components.as_ref().unwrap()[0].as_str(), "a");
    let selector = &gateway.selectors[0];
    assert_eq!((&*selector.name, selector.select), ("gpt-4o:latest", Select::Warm));
    assert_eq!(selector.components.len(), 2);
    let route = loaded.specs[0].route();
    assert_eq!(route.serves, [Serves::Chat, Serves::Images]);
    assert_eq!(route.set_params["temperature"], "0.7");
    assert_eq!(route.set_params["a.b"], "[1,true,{\"c\":\"d\"}]");
    assert!(
        matches!(&route.listen[1], ListenAddress::Unix(path) if path.to_str() == Some("run/a.sock"))
    );
    assert_eq!((route.load_on, route.connection_use), (LoadOn::Connect, ConnectionUse::Hold));
    assert_eq!((route.max_in_flight, route.queue), (Some(3), 0));
    assert!(loaded.specs[1].route.is_none());
}

#[test]
fn gateway_is_off_without_its_section_and_has_its_defaults_with_it() {
    let text = format!("[components.a]\n{SERVER}\n");
    assert_eq!(parse_toml(&text, "c.toml", None).unwrap().gateway, None);
    let loaded = parse_toml(&format!("{text}[gateway]\n"), "c.toml", None).unwrap();
    assert_eq!(*loaded.gateway.unwrap(), GatewaySpec::default());
}

#[test]
fn name_for_clients_means_one_thing() {
    let text = format!(
        "[gateway.selectors.fast]\ncomponents = [\"a\"]\n[gateway.selectors.b]\ncomponents = [\"a\"]\n\
        [components.a]\n{SERVER}\naliases = [\"b\", \"x\", \"fast\"]\n[components.b]\n{SERVER}\naliases = [\"x\"]\n"
    );
    assert_eq!(
        codes(&text),
        ["1 gateway-name", "3 gateway-name", "7 gateway-name", "10 gateway-name"]
    );
    let text = format!("[components.a]\n{SERVER}\naliases = [\"a b\", \"\"]\n");
    assert_eq!(codes(&text), ["3 bad-name", "3 bad-name"]);
}

#[test]
fn names_in_tokens_and_selectors_must_exist() {
    let text = format!(
        "[gateway.tokens.t]\nfile = \"t\"\ncomponents = [\"voise\"]\n[gateway.selectors.s]\ncomponents = [\"stranger\"]\n\
        [gateway.selectors.e]\ncomponents = []\n[gateway.tokens.u]\n[components.voice]\n{SERVER}\n"
    );
    assert_eq!(
        codes(&text),
        ["3 unknown-component", "5 unknown-component", "6 bad-value", "8 missing-key",]
    );
    assert!(problems(&text, None)[0].contains("did you mean \"voice\"?"));
}

#[test]
fn address_is_taken_once_and_open_to_others_only_by_leave() {
    let check = |gateway: &str, component: &str, want: &[&str]| {
        let text = format!("[gateway]\n{gateway}\n[components.a]\n{SERVER}\n{component}\n");
        assert_eq!(codes(&text), want, "{text}\n{:?}", problems(&text, None));
    };
    check("listen = [\"0.0.0.0:80\"]", "", &["2 gateway-listen"]);
    check("listen = [\"0.0.0.0:80\"]\n[gateway.tokens.t]\nfile = \"t\"", "", &[]);
    check("listen = [\"/run/a.sock\"]", "", &["2 gateway-listen"]);
    check("listen = []", "", &["2 bad-value"]);
    check("listen = [\"localhost:80\"]", "", &["2 bad-value", "2 bad-value"]);
    check("listen = [\"127.0.0.1:80\", \"127.0.0.1:80\"]", "", &["2 gateway-listen"]);
    check("", "listen = [\"0.0.0.0:81\"]", &["5 gateway-listen"]);
    check("", "listen = [\"0.0.0.0:81\"]\nexpose = true", &[]);
    check("", "listen = [\"127.0.0.1:7422\"]", &["5 gateway-listen"]);
    check("", "listen = [\"127.0.0.1:81\"]\nport = 81", &["5 gateway-listen"]);
    check("", "listen = [\"a/b\"]\nsocket = \"a/b\"", &["5 gateway-listen"]);
    check("", "listen = [\"127.0.0.1:81\"]", &[]);
    let text = format!("[components.a]\n{SERVER}\nlisten = [\"127.0.0.1:81\"]\n");
    assert_eq!(codes(&text), ["3 gateway-listen"], "the gateway is off");
    let text = "[gateway]\n[components.a]\ncommand = [\"x\"]\nlisten = [\"127.0.0.1:81\"]\n";
    assert_eq!(codes(text), ["4 no-address"]);
    let text = "[gateway]\n[components.a]\ncommand = [\"x\"]\nconnection_idle = \"1s\"\n";
    assert_eq!(codes(text), [""; 0], "a default for all components needs no address");
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    let check = |gateway: &str, want: &[&str]| {
        assert_eq!(
            codes(&format!("[gateway]\n{gateway}\n[components.a]\n{SERVER}\n")),
            want,
            "{gateway}"
        );
    };
    check("hosts = [\"http://a\"]", &["2 bad-value"]);
    check("base_domain = \"a:80\"", &["2 bad-value"]);
    check("origins = [\"chat.example\"]", &["2 bad-value"]);
    check("origins = [\"https://chat.example/\"]", &["2 bad-value"]);
    check("trusted_proxies = [\"10.0.0.0/8\"]", &["2 bad-value"]);
    check("ignore_paths = [\"metrics\"]", &["2 bad-value"]);
    check("max_routed_body = \"200MiB\"", &["2 out-of-range"]);
    check("max_connections = 0", &["2 out-of-range"]);
    check("tokens = \"secret\"", &["2 wrong-type"]);
    check("token = \"secret\"", &["2 unknown-key"]);
    let component = |line: &str, want: &str| {
        assert_eq!(codes(&format!("[components.a]\n{SERVER}\n{line}\n")), [want], "{line}");
    };
    component("serves = [\"chatt\"]", "3 bad-value");
    component("serves = \"chat\"", "3 wrong-type");
    component("set_params = { model = \"x\" }", "3 bad-value");
    component("set_params = { \"a..b\" = 1 }", "3 bad-value");
    component("set_params = { a = 2020-01-01 }", "3 bad-value");
    component("set_params = { a = inf }", "3 bad-value");
    component("strip_params = [\"\"]", "3 bad-value");
    component("learn_text = \"messages\"", "3 bad-value");
    component("max_in_flight = 0", "3 out-of-range");
    let text = format!(
        "[defaults]\nlisten = [\"127.0.0.1:1\"]\naliases = [\"x\"]\n[components.a]\n{SERVER}\n"
    );
    assert_eq!(codes(&text).len(), 2, "{:?}", problems(&text, None));
}

#[test]
fn gateway_made_in_code_is_checked_by_the_same_rules() {
    let check = |spec: ComponentSpec, gateway: GatewaySpec| {
        let specs = vec![Arc::new(spec)];
        let checked = LoadedConfig::from_code(
            Config::default(),
            specs,
            vec![],
            Some(Arc::new(gateway)),
            None,
        );
        checked.err().map(|problems| problems.as_slice().iter().map(|p| p.code).collect::<Vec<_>>())
    };
    let spec = || ComponentSpec::process("a", &["server", "{port}"]).unwrap();
    assert_eq!(check(spec(), GatewaySpec::default()), None);
    let mut open = GatewaySpec::default();
    open.listen = vec![ListenAddress::parse("0.0.0.0:1").unwrap()];
    assert_eq!(check(spec(), open), Some(vec!["gateway-listen"]));
    let mut slow = GatewaySpec::default();
    slow.header_time = Duration::ZERO;
    assert_eq!(check(spec(), slow), Some(vec!["out-of-range"]));
    let mut twice = spec();
    twice.route_mut().aliases = vec!["a".to_owned()];
    assert_eq!(check(twice, GatewaySpec::default()), Some(vec!["gateway-name"]));
}
