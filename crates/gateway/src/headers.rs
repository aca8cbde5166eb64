//! Header fields on their way through the gateway.
//!
//! Invariant: no field that is about one connection passes to another (RFC 9110, section 7.6.1), and no client decides what a
//! component learns about where the request came from, unless it is a trusted proxy.

use std::net::IpAddr;

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, LOCATION,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::route::HEADER;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// The token of clients made for Anthropic.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Fields by which a component would let web pages in that the gateway does not know.
const CORS: &str = "access-control-";

/// The circumstances of a request, for its fields.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances<'r> {
    /// The client's address, where it is known.
    pub(crate) client: Option<IpAddr>,
    /// The client is a proxy that is believed.
    pub(crate) is_trusted: bool,
    /// The host as the client named it.
    pub(crate) host: &'r str,
    /// The part of the path that was stripped.
    pub(crate) prefix: Option<&'r str>,
    /// The gateway has tokens: what the client showed is for the gateway.
    pub(crate) has_tokens: bool,
    /// The host by which a service elsewhere is called.
    pub(crate) authority: Option<&'r str>,
    /// The protocol that the connection is to be changed to.
    pub(crate) upgrade: Option<HeaderValue>,
    /// The body's length is not the client's any more.
    pub(crate) is_rewritten: bool,
}

/// The fields of a request as the component gets them.
pub(crate) fn to_component(headers: &mut HeaderMap, now: &Circumstances<'_>) {
    let takes_trailers = headers.get(TE).is_some_and(|te| mentions(te, "trailers"));
    strip_hops(headers);
    for name in [EXPECT, PROXY_AUTHORIZATION] {
        headers.remove(name);
    }
    headers.remove(HEADER);
    if now.is_rewritten {
        headers.remove(CONTENT_LENGTH);
    }
    if now.has_tokens {
        headers.remove(AUTHORIZATION);
        headers.remove(API_KEY);
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    if let Some(protocol) = &now.upgrade {
        headers.insert(UPGRADE, protocol.clone());
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    forwarded(headers, now);
    if let Ok(host) = HeaderValue::from_str(now.authority.unwrap_or(now.host)) {
        headers.insert(HOST, host);
    }
}

fn forwarded(headers: &mut HeaderMap, now: &Circumstances<'_>) {
    if !now.is_trusted {
        let claims = headers.keys().filter(|name| describes_the_client(name)).cloned();
        for name in claims.collect::<Vec<_>>() {
            headers.remove(name);
        }
    }
    if let Some(client) = now.client {
        let before = headers.get_all(&FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok());
        let before: String = before.map(|before| format!("{before}, ")).collect();
        if let Ok(value) = HeaderValue::from_str(&format!("{before}{client}")) {
            headers.insert(FORWARDED_FOR, value);
        }
    }
    if !headers.contains_key(&FORWARDED_HOST)
        && let Ok(value) = HeaderValue::from_str(now.host)
    {
        headers.insert(FORWARDED_HOST, value);
    }
    if !headers.contains_key(&FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if let Some(prefix) = now.prefix {
        let before = text(headers, &FORWARDED_PREFIX).unwrap_or_default();
        if let Ok(value) = HeaderValue::from_str(&format!("{before}{prefix}")) {
            headers.insert(FORWARDED_PREFIX, value);
        }
    }
}

/// Whether a component may read in a field who the client is or what it asked for. Interfaces such as WSGI take `_` for `-`.
fn describes_the_client(name: &HeaderName) -> bool {
    const NAMES: [&str; 4] = ["forwarded", "x-real-ip", "x-original-url", "x-rewrite-url"];
    let name = name.as_str().replace('_', "-");
    name.starts_with("x-forwarded-") || NAMES.contains(&name.as_str())
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The fields of an answer as the client gets them. `prefix` is the part of the path that the component does not know.
pub(crate) fn to_client(
    headers: &mut HeaderMap,
    prefix: Option<&str>,
    upgrade: Option<HeaderValue>,
) {
    // The chunks were read, and a length beside them would cut the answer.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    strip_hops(headers);
    headers.remove(PROXY_AUTHENTICATE);
    let cors = headers.keys().filter(|name| name.as_str().starts_with(CORS)).cloned();
    for name in cors.collect::<Vec<_>>() {
        headers.remove(name);
    }
    if let Some(protocol) = upgrade {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if let Some(prefix) = prefix
        && let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok())
        && location.starts_with('/')
        && !location.starts_with("//")
        && let Ok(value) = HeaderValue::from_str(&format!("{prefix}{location}"))
    {
        headers.insert(LOCATION, value);
    }
}

/// Removes the fields of one connection, and those that the connection names.
fn strip_hops(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            // A client that names one of these would hide it from the component.
            if ![HOST, CONTENT_LENGTH, AUTHORIZATION, ACCEPT_ENCODING].contains(&name) {
                headers.remove(name);
            }
        }
        headers.remove(CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

/// The protocol that a request wants its connection changed to.
pub(crate) fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut connection = headers.get_all(CONNECTION).iter();
    let protocol = headers.get(UPGRADE)?;
    // HTTP/2 in clear is a protocol of one hop.
    let is_h2c = protocol.as_bytes().eq_ignore_ascii_case(b"h2c");
    (!is_h2c && connection.any(|value| mentions(value, "upgrade"))).then(|| protocol.clone())
}

/// Whether a list of words in a field has a word.
fn mentions(value: &HeaderValue, word: &str) -> bool {
    let text = value.to_str().unwrap_or_default();
    text.split(',').any(|one| one.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn now() -> Circumstances<'static> {
        Circumstances {
            client: Some("10.1.2.3".parse().unwrap()),
            is_trusted: false,
            host: "localhost:7422",
            prefix: None,
            has_tokens: false,
            authority: None,
            upgrade: None,
            is_rewritten: false,
        }
    }

    fn sent(fields: &[(&str, &str)], now: &Circumstances<'_>) -> Vec<String> {
        let mut headers = map(fields);
        to_component(&mut headers, now);
        let mut lines: Vec<_> =
            headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn fields_of_one_connection_stay_on_it() {
        let fields = [
            ("connection", "keep-alive, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("x-majordomo-component", "a"),
            ("trailer", "x-sum"),
            ("accept", "*/*"),
        ];
        assert_eq!(
            sent(&fields, &now()),
            [
                "accept: */*",
                "host: localhost:7422",
                "trailer: x-sum",
                "x-forwarded-for: 10.1.2.3",
                "x-forwarded-host: localhost:7422",
                "x-forwarded-proto: http",
            ]
        );
        // Naming the length as one of the connection's would change the body.
        let kept = sent(&[("connection", "content-length"), ("content-length", "3")], &now());
        assert!(kept.contains(&"content-length: 3".to_owned()), "{kept:?}");
    }

    #[test]
    fn only_trusted_proxies_say_where_a_request_came_from() {
        let fields = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "chat.example"),
            ("x-real-ip", "1.1.1.1"),
            ("forwarded", "for=1.1.1.1"),
        ];
        let replaced = sent(&fields, &Circumstances { prefix: Some("/c/a"), ..now() });
        assert_eq!(
            replaced,
            [
                "host: localhost:7422",
                "x-forwarded-for: 10.1.2.3",
                "x-forwarded-host: localhost:7422",
                "x-forwarded-prefix: /c/a",
                "x-forwarded-proto: http",
            ]
        );
        let extended = sent(&fields, &Circumstances { is_trusted: true, ..now() });
        assert!(extended.contains(&"x-forwarded-for: 1.1.1.1, 10.1.2.3".to_owned()));
        assert!(extended.contains(&"x-forwarded-proto: https".to_owned()));
        assert!(extended.contains(&"x-forwarded-host: chat.example".to_owned()));
    }

    #[test]
    fn tokens_are_the_gateways_where_it_has_some() {
        let fields = [("authorization", "Bearer x"), ("x-api-key", "y")];
        assert_eq!(sent(&fields, &now()).len(), 6);
        assert_eq!(sent(&fields, &Circumstances { has_tokens: true, ..now() }).len(), 4);
        let elsewhere = sent(&[], &Circumstances { authority: Some("gpu:8080"), ..now() });
        assert!(elsewhere.contains(&"host: gpu:8080".to_owned()));
    }

    #[test]
    fn upgrades_and_trailers_are_asked_for_again() {
        let headers = map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let upgrade = upgrade_of(&headers);
        assert_eq!(upgrade.as_ref().unwrap(), "websocket");
        let lines = sent(&[("te", "trailers")], &Circumstances { upgrade, ..now() });
        assert!(lines.contains(&"upgrade: websocket".to_owned()), "{lines:?}");
        assert!(lines.contains(&"te: trailers".to_owned()), "{lines:?}");
        assert!(upgrade_of(&map(&[("upgrade", "websocket")])).is_none());
        assert!(upgrade_of(&map(&[("connection", "upgrade"), ("upgrade", "h2c")])).is_none());
    }

    #[test]
    fn answers_lose_their_leave_for_pages_and_locations_get_their_prefix() {
        let answer = |location: &str| {
            let mut headers = map(&[
                ("access-control-allow-origin", "*"),
                ("connection", "close"),
                ("location", location),
                ("content-length", "3"),
            ]);
            to_client(&mut headers, Some("/c/a"), None);
            assert_eq!(headers.len(), 2);
            headers[LOCATION].to_str().unwrap().to_owned()
        };
        assert_eq!(answer("/login"), "/c/a/login");
        assert_eq!(answer("//evil.example/"), "//evil.example/");
        assert_eq!(answer("login"), "login");
        assert_eq!(answer("http://x/"), "http://x/");
    }

    #[test]
    fn client_says_nothing_of_itself_in_any_spelling() {
        let mut headers = map(&[
            ("x-forwarded-user", "admin"),
            ("x_forwarded_for", "10.9.9.9"),
            ("x-original-url", "/admin"),
            ("forwarded", "for=10.9.9.9"),
        ]);
        to_component(&mut headers, &now());
        for name in ["x-forwarded-user", "x_forwarded_for", "x-original-url", "forwarded"] {
            assert!(!headers.contains_key(name), "{name}");
        }
        let fields = [("x-forwarded-for", "10.9.9.9"), ("x-forwarded-for", "10.8.8.8")];
        let mut headers = map(&fields);
        to_component(&mut headers, &Circumstances { is_trusted: true, ..now() });
        let all: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        assert_eq!(all, ["10.9.9.9, 10.8.8.8, 10.1.2.3"]);
    }

    #[test]
    fn length_beside_chunks_is_not_passed_on() {
        let mut headers = map(&[("content-length", "2"), ("transfer-encoding", "chunked")]);
        to_client(&mut headers, None, None);
        assert!(headers.is_empty(), "{headers:?}");
    }
}
