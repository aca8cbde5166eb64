//! Services that run elsewhere.

use majordomo_core::ByteSize;
use majordomo_registry::{
    ComponentSpec, ExternalSpec, ProbeSpec, ReadySpec, ServiceRequest, ServiceUrl, parse_toml,
};

use crate::config::{check, with};

fn declared(lines: &str) -> ComponentSpec {
    let loaded =
        parse_toml(&with(lines), "c.toml", None).unwrap_or_else(|e| panic!("{lines}: {e}"));
    (*loaded.specs[0]).clone()
}

#[test]
fn service_is_declared_by_its_url() {
    let spec = declared("external = { url = \"http://gpu-box:8080\" }");
    let url = ServiceUrl::parse("http://gpu-box:8080").unwrap();
    assert_eq!(spec, ComponentSpec::external("c", ExternalSpec::new(url)).unwrap());
    assert_eq!(
        (spec.memory, spec.probe().unwrap().how.clone()),
        (ByteSize::ZERO, ReadySpec::Connect)
    );
    let spec = declared(
        "memory = \"2GiB\"\nexternal = { url = \"http://[::1]\", probe = { http = \"/up\" }, wake = \"POST /wake\", sleep = \"PUT /sleep?now\" }",
    );
    let service = spec.service().unwrap();
    assert_eq!((service.url.host(), service.url.port()), ("::1", 80));
    assert_eq!(service.url.to_string(), "http://[::1]:80");
    assert_eq!(service.probe, ProbeSpec::new(ReadySpec::Http("/up".into())));
    assert_eq!(service.wake, Some(ServiceRequest::parse("POST /wake").unwrap()));
    assert_eq!(service.sleep.as_ref().unwrap().to_string(), "PUT /sleep?now");
    assert_eq!(spec.memory, ByteSize::gib(2));
}

#[test]
fn wrong_services_are_reported_at_their_places() {
    let wrong =
        |external: &str, want: &str| check(&with(&format!("external = {external}")), &[want]);
    let url = |url: &str, why: &str| {
        let column = 20;
        let want = format!("2:{column} bad-value \"{url}\" is not the URL of a service | {why}");
        wrong(&format!("{{ url = \"{url}\" }}"), &want);
    };
    url(
        "https://a",
        "https is not supported: there is no TLS in this program; state the http URL of a proxy on this machine",
    );
    url("a:80", "it begins with http:// or tcp://");
    url("tcp://a", "tcp needs a port: tcp://HOST:PORT");
    url("http://a:0", "its port is a number from 1 to 65535");
    url("http://a:99999", "its port is a number from 1 to 65535");
    url("http://a/b", "it has a host and a port only; paths belong to probe, wake and sleep");
    url("http://user@a", "it has a host and a port only; paths belong to probe, wake and sleep");
    url("http://", "its host is a name, an IPv4 address, or an IPv6 address in brackets");
    for host in
        ["[]", "[a]", "[::1", "[::1 x]", "[::1\u{7f}]", "[fe80::1%]", "[fe80::1% a]", "[::1][::1]"]
    {
        let why = "its host is a name, an IPv4 address, or an IPv6 address in brackets";
        assert_eq!(ServiceUrl::parse(&format!("http://{host}:80")), Err(why.to_owned()), "{host}");
    }
    let zoned = ServiceUrl::parse("http://[fe80::1%eth0]:80").unwrap();
    assert_eq!(zoned.host(), "fe80::1%eth0");
    url("http://a b", "its host is a name, an IPv4 address, or an IPv6 address in brackets");
    wrong(
        "{}",
        "2:1 missing-key component \"c\" has no URL | write external = { url = \"http://HOST:PORT\" }",
    );
    wrong(
        "{ url = \"http://a\", wake = \"/wake\" }",
        "2:39 bad-value wake is no request: it begins with one of POST, PUT, GET, DELETE | such as \"POST /sleep\"",
    );
    wrong(
        "{ url = \"http://a\", sleep = \"POST sleep\" }",
        "2:40 bad-value sleep is no request: its path starts with / and has no whitespace | such as \"POST /sleep\"",
    );
    wrong(
        "{ url = \"tcp://a:1\", sleep = \"POST /sleep\" }",
        "2:41 bad-value sleep asks by HTTP, and the URL is tcp://a:1 | state an http:// URL, or remove it",
    );
    check(
        &with("external = { url = \"http://a\" }\ncommand = [\"x\"]"),
        &[
            "2:1 foreign-key external belongs to loader = \"external\", not to \"process\" | remove it, or change the loader",
        ],
    );
}

#[test]
fn dependent_may_use_the_url_of_a_service_and_no_other_part() {
    let text = |part: &str| {
        format!(
            "[components.db]\nexternal = {{ url = \"tcp://10.0.0.1:6379\" }}\n[components.app]\ncommand = [\"x\", \"{{db.{part}}}\"]\ndependencies = [\"db\"]\n"
        )
    };
    parse_toml(&text("url"), "c.toml", None).unwrap();
    let error = parse_toml(&text("port"), "c.toml", None).unwrap_err().to_string();
    assert!(error.contains("db"), "{error}");
}
