//! Requests that a component answers: one by its protocol of lines, or one by HTTP at its address.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use majordomo::{AnyLease, CallRequest, ComponentId, Manager, Protocol, ReadySpec, quoted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of an answer that are read.
const MAX_ANSWER: u64 = 64 << 20;

/// A request, if there is one.
#[derive(Debug)]
pub(super) enum Request {
    Call(CallRequest),
    Http { method: String, path: String, body: String },
    None,
}

impl Request {
    /// `TEXT` for a program with the protocol of lines; `/PATH`, `GET /PATH` or `POST /PATH BODY` for one with a port.
    pub(super) fn parse(manager: &Manager, id: &ComponentId, text: &str) -> anyhow::Result<Self> {
        if has_lines(manager, id) {
            return Ok(Self::Call(CallRequest::text(text)));
        }
        let (method, rest) = match text.split_once(' ') {
            _ if text.starts_with('/') => ("GET", text),
            Some((method @ ("GET" | "POST"), rest)) => (method, rest),
            _ => bail!(
                "the request {} of {id} is none: write /PATH, \"GET /PATH\" or \"POST /PATH BODY\"",
                quoted(text)
            ),
        };
        let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
        Ok(Self::Http { method: method.to_owned(), path: path.to_owned(), body: body.to_owned() })
    }

    /// The request by which a component is asked whether it works, or is ready.
    pub(super) fn default_of(manager: &Manager, id: &ComponentId) -> Self {
        let spec = manager.components().into_iter().find(|spec| spec.id == *id);
        let probe = spec.as_ref().and_then(|spec| spec.probe()).map(|probe| &probe.how);
        let ready = spec.as_ref().and_then(|spec| spec.program()).map(|program| &program.ready);
        let path = probe.into_iter().chain(ready).find_map(|how| match how {
            ReadySpec::Http(path) => Some(path.clone()),
            _ => None,
        });
        let by_get = |path| Self::Http { method: "GET".to_owned(), path, body: String::new() };
        path.map_or(Self::None, by_get)
    }

    pub(super) fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Sends it and reads the whole answer.
    pub(super) async fn send(&self, lease: &AnyLease) -> anyhow::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Call(request) => Ok(lease.call(request, None).await.map(drop)?),
            Self::Http { method, path, body } => {
                let endpoint = lease.endpoint().context("it has no address")?;
                let address = endpoint.address().context("it has no port")?;
                http(address, method, path, body).await
            }
        }
    }
}

fn has_lines(manager: &Manager, id: &ComponentId) -> bool {
    let spec = manager.components().into_iter().find(|spec| spec.id == *id);
    let program = spec.as_ref().and_then(|spec| spec.program());
    program.is_some_and(|program| matches!(program.protocol, Protocol::Stdio(_)))
}

async fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await.context("it takes no connection")?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.context("it cannot be written to")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await.context("its answer cannot be read")?;
    let line = answer.split(|b| *b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => bail!("{method} {path} was answered with {}", quoted(&line)),
    }
}
