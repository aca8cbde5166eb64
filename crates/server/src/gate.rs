//! The checks of every request, whatever its method and path: host, origin, token, coding, version.
//!
//! A web page can send requests to a local address; it cannot choose the `Host` of its own, and the browser adds
//! its `Origin`. So a request for another host (rebinding), or with any origin, is refused.

use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, HOST, ORIGIN};
use axum::http::request::Parts;
use majordomo::{quoted_start, start_of};

use crate::app::App;
use crate::client::Token;
use crate::peer::Via;
use crate::problem::Problem;
use crate::wire::{VERSION, VERSION_HEADER, understand};

/// Names by which this machine is meant.
const HOSTS: [&str; 4] = ["localhost", "127.0.0.1", "[::1]", "majordomo"];

pub(crate) fn check(app: &App, via: Via, parts: &Parts) -> Result<(), Problem> {
    let text = |name| parts.headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    if let Some(host) = foreign_host(parts) {
        let is_for = match host {
            "" => "names no host".to_owned(),
            host => format!("is for host {}", quoted_start(host)),
        };
        let detail = format!(
            "the request {is_for}; ask for localhost, 127.0.0.1 or [::1] (over TCP through a proxy, let that set Host)"
        );
        return Err(Problem::new("host_forbidden", detail));
    }
    if let Some(origin) = text(ORIGIN) {
        let detail = format!("the request comes from a web page of {}", quoted_start(origin));
        return Err(Problem::new("origin_forbidden", detail));
    }
    if via == Via::Tcp {
        let is_right = app.access.token().is_some_and(|token| is_bearer(parts, &token));
        if !is_right {
            let detail = "over TCP every request needs the header `Authorization: Bearer TOKEN` with the server's token";
            return Err(Problem::new("unauthorized", detail));
        }
    }
    if let Some(coding) = foreign_coding(parts) {
        let detail = format!(
            "the body is encoded as {}; send it as it is, without Content-Encoding",
            quoted_start(coding)
        );
        return Err(Problem::new("unsupported_encoding", detail));
    }
    if let Some(client) = text(VERSION_HEADER.parse().unwrap_or(HOST))
        && !understand(client, VERSION)
    {
        let detail = format!(
            "the client is version {}, the server {VERSION}; restart the server with the client's program, or use the program of version {VERSION}",
            start_of(client)
        );
        return Err(Problem::new("version_mismatch", detail)
            .with("client", &*start_of(client))
            .with("server", VERSION));
    }
    Ok(())
}

/// Whether a request shows the token, once. The name of the scheme is in any case (RFC 9110, section 11.1).
fn is_bearer(parts: &Parts, token: &Token) -> bool {
    let mut shown = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (shown.next(), shown.next()) else { return false };
    let Some((scheme, given)) = value.to_str().unwrap_or_default().split_once(' ') else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && token.is(given.trim())
}

/// A content coding that the request names and that is not supported.
fn foreign_coding(parts: &Parts) -> Option<&str> {
    let named = parts.headers.get_all(CONTENT_ENCODING).iter().map(|v| v.to_str().unwrap_or("?"));
    let mut codings = named.flat_map(|v| v.split(',')).map(str::trim);
    codings.find(|c| !c.is_empty() && !c.eq_ignore_ascii_case("identity"))
}

/// A host that the request is for and that does not mean this machine. A request may name hosts in its target and in
/// its header, and the header more than once: a reader of one of them must see the one that is checked here.
fn foreign_host(parts: &Parts) -> Option<&str> {
    let named = parts.headers.get_all(HOST).iter().map(|v| v.to_str().unwrap_or("?"));
    let target = parts.uri.authority().map(axum::http::uri::Authority::as_str);
    let mut all = named.chain(target).peekable();
    if all.peek().is_none() {
        return Some("");
    }
    all.find(|host| !HOSTS.iter().any(|h| host_of(host).eq_ignore_ascii_case(h)))
}

/// The host without its port.
fn host_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_that_is_named_must_be_this_machine() {
        let check = |uri: &str, hosts: &[&str], want: Option<&str>| {
            let mut request = axum::http::Request::builder().uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(foreign_host(&parts), want, "{uri} {hosts:?}");
        };
        check("/v1", &["localhost"], None);
        check("http://localhost/v1", &[], None);
        check("http://127.0.0.1:7420/v1", &["LOCALHOST:7420"], None);
        check("/v1", &[], Some(""));
        check("/v1", &["evil.example"], Some("evil.example"));
        check("/v1", &["localhost", "evil.example"], Some("evil.example"));
        check("http://evil.example/v1", &["localhost"], Some("evil.example"));
    }

    #[test]
    fn the_token_is_shown_once_by_a_scheme_in_any_case() {
        let token = Token::new("0123456789abcdef").unwrap();
        let check = |values: &[&str], want: bool| {
            let mut request = axum::http::Request::builder().uri("/v1");
            for value in values {
                request = request.header(AUTHORIZATION, *value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(is_bearer(&parts, &token), want, "{values:?}");
        };
        check(&["Bearer 0123456789abcdef"], true);
        check(&["bearer 0123456789abcdef"], true);
        check(&["BEARER   0123456789abcdef"], true);
        check(&["Bearer 0123456789abcdeF"], false);
        check(&["Bearer0123456789abcdef"], false);
        check(&["0123456789abcdef"], false);
        check(&["Basic 0123456789abcdef"], false);
        check(&["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"], false);
        check(&[], false);
    }

    #[test]
    fn codings_that_are_not_supported() {
        let check = |value: &str, want: Option<&str>| {
            let request = axum::http::Request::builder().header(CONTENT_ENCODING, value);
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(foreign_coding(&parts), want, "{value:?}");
        };
        check("identity", None);
        check("Identity, ", None);
        check("gzip", Some("gzip"));
        check("identity, br", Some("br"));
    }

    #[test]
    fn hosts_without_ports() {
        let check = |host, want| assert_eq!(host_of(host), want);
        check("localhost", "localhost");
        check("127.0.0.1:80", "127.0.0.1");
        check("[::1]:7000", "[::1]");
        check("[::1]", "[::1]");
        check("", "");
    }
}
