//! What is checked of every request, whatever its method and path: host, origin, token, version.
//!
//! A web page can send requests to a local address; it cannot choose the `Host` of its own, and the browser tells
//! its `Origin`. So a request for another host (rebinding), or with any origin, is refused.

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;

use crate::app::App;
use crate::connection::Via;
use crate::problem::Problem;
use crate::wire::{VERSION, VERSION_HEADER, understand};

/// Names by which this machine is meant.
const HOSTS: [&str; 4] = ["localhost", "127.0.0.1", "[::1]", "majordomo"];

pub(crate) fn check(app: &App, via: Via, parts: &Parts) -> Result<(), Problem> {
    let text = |name| parts.headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let host = text(HOST)
        .or(parts.uri.authority().map(axum::http::uri::Authority::as_str))
        .unwrap_or_default();
    if !HOSTS.iter().any(|h| host_of(host).eq_ignore_ascii_case(h)) {
        let detail = format!(
            "the request is for host {host:?}; ask for localhost, 127.0.0.1 or [::1] (over TCP through a proxy, let that set Host)"
        );
        return Err(Problem::new("host_forbidden", detail));
    }
    if let Some(origin) = text(ORIGIN) {
        let detail = format!("the request comes from a web page of {origin:?}");
        return Err(Problem::new("origin_forbidden", detail));
    }
    if via == Via::Tcp {
        let given = text(AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer "));
        let right = match (&app.token, given) {
            (Some(token), Some(given)) => token.is(given.trim()),
            _ => false,
        };
        if !right {
            let detail = "over TCP every request needs the header `Authorization: Bearer TOKEN` with the server's token";
            return Err(Problem::new("unauthorized", detail));
        }
    }
    if let Some(client) = text(VERSION_HEADER.parse().unwrap_or(HOST))
        && !understand(client, VERSION)
    {
        let detail = format!(
            "the client is version {client}, the server {VERSION}; restart the server with the client's program, or use the program of version {VERSION}"
        );
        return Err(Problem::new("version_mismatch", detail)
            .with("client", client)
            .with("server", VERSION));
    }
    Ok(())
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
    fn hosts_without_ports() {
        let check = |host, want| assert_eq!(host_of(host), want);
        check("localhost", "localhost");
        check("127.0.0.1:80", "127.0.0.1");
        check("[::1]:7000", "[::1]");
        check("[::1]", "[::1]");
        check("", "");
    }
}
