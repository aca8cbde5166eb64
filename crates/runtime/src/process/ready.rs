//! Asks a program by connection or by HTTP whether it is ready; health probes ask in the same way.
//!
//! A line on standard output, and the start alone, are judged in `loader`.

use std::path::Path;
use std::time::Duration;

use majordomo_core::{LoadStage, Loopback, quoted};
use majordomo_registry::ReadySpec;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::Endpoint;
use super::http;
use crate::load_clock::LoadClock;
use crate::polling::Pauses;

/// One attempt may take this long; a program that accepts and never answers is asked again then.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Whether the means asks the program over its endpoint.
pub(super) fn needs_endpoint(how: &ReadySpec) -> bool {
    matches!(how, ReadySpec::Connect | ReadySpec::Http(_))
}

/// The condition of readiness, in words.
pub(super) fn words(how: &ReadySpec, endpoint: &Endpoint) -> String {
    let place = match endpoint {
        Endpoint { port: Some(port), .. } => format!("127.0.0.1:{port} or [::1]:{port}"),
        Endpoint { socket: Some(socket), .. } => socket.display().to_string(),
        _ => "nowhere".into(),
    };
    match how {
        ReadySpec::Stdout(text) => format!("a line with {} on its standard output", quoted(text)),
        ReadySpec::Line => {
            "the line {\"ready\":true} on its standard output; it must flush its lines".into()
        }
        ReadySpec::Connect => format!("a connection to {place}"),
        ReadySpec::Http(path) => format!("GET {path} on {place} to answer 200"),
        _ => "its start".into(),
    }
}

/// Asks once; bounded by the caller.
pub(super) async fn ask(how: &ReadySpec, endpoint: &Endpoint) -> Result<(), String> {
    ask_watched(how, endpoint, || ()).await
}

/// The same; calls `connected` once the program takes a connection.
async fn ask_watched(
    how: &ReadySpec,
    endpoint: &Endpoint,
    connected: impl Fn(),
) -> Result<(), String> {
    match how {
        ReadySpec::Connect => match (endpoint.port, &endpoint.socket) {
            (Some(port), _) => TcpStream::connect((endpoint.host.ip(), port)).await.map(drop),
            (None, socket) => {
                let socket = socket.as_deref().unwrap_or(Path::new(""));
                UnixStream::connect(socket).await.map(drop)
            }
        }
        .map(|()| connected())
        .map_err(|e| format!("it takes no connection: {e}")),
        ReadySpec::Http(path) => {
            match http::request_watched(endpoint, "GET", path, connected).await {
                Ok(200) => Ok(()),
                Ok(status) => Err(format!("it answered {status} instead of 200")),
                Err(why) => Err(why.to_string()),
            }
        }
        _ => Ok(()),
    }
}

/// Asks again and again, with pauses by the `usual` time of a load, until the answer is good, and gives the address at which it
/// was. The caller bounds the time.
pub(super) async fn until_good(
    how: &ReadySpec,
    endpoint: &Endpoint,
    usual: Option<Duration>,
    clock: &LoadClock,
) -> Loopback {
    let pauses = Pauses::begin(usual);
    let connected = || clock.reached(LoadStage::PortOpen);
    loop {
        for host in places(endpoint) {
            let endpoint = Endpoint { host, ..endpoint.clone() };
            if matches!(timeout(ATTEMPT, ask_watched(how, &endpoint, connected)).await, Ok(Ok(())))
            {
                return host;
            }
        }
        pauses.pause().await;
    }
}

/// Where a program is looked for.
pub(super) fn places(endpoint: &Endpoint) -> impl Iterator<Item = Loopback> {
    let n = if endpoint.port.is_some() { Loopback::ALL.len() } else { 1 };
    Loopback::ALL.into_iter().take(n)
}
