//! The specification of a program: how it is started, when it is ready, and how it takes requests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use majordomo_core::ByteSize;

use super::{ProbeSpec, StepRequest, StepSpec, StopSpec, TrimSpec, WarmUpSpec};
use crate::template::{self, EndpointPart, PlaceHolder};

/// The standard input of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum StdinMode {
    /// End of file at once.
    #[default]
    Empty,
    /// An open pipe without data, for programs that exit at end of file.
    Hold,
}

/// The condition under which a process counts as ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum ReadySpec {
    /// As soon as the program runs.
    #[default]
    Started,
    /// When a line of its standard output contains this text.
    Stdout(String),
    /// When a TCP connection to `{port}` on 127.0.0.1, or to `{socket}`, succeeds.
    Connect,
    /// When `GET` of this path on `{port}` (or `{socket}`) answers 200.
    Http(String),
    /// At the line `{"ready":true}` of [`Protocol::Stdio`].
    Line,
}

/// The protocol in which the manager passes requests to a running program and returns its answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Protocol {
    /// Clients use the program's address.
    #[default]
    None,
    /// Lines of JSON on standard input and standard output.
    Stdio(StdioSpec),
}

/// The bounds of [`Protocol::Stdio`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct StdioSpec {
    /// Requests with the program at a time; further ones wait. Default 1, range 1 to 1024.
    pub concurrent: u32,
    /// Bytes of a request or an answer, each one line. Default 1 MiB.
    pub max_line: ByteSize,
    /// A call ends within this time, the wait for its turn included, unless its caller states another. Default 1 min.
    pub call_deadline: Duration,
}

impl Default for StdioSpec {
    fn default() -> Self {
        Self { concurrent: 1, max_line: ByteSize::mib(1), call_deadline: Duration::from_secs(60) }
    }
}

/// A program that is the component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ProcessSpec {
    /// Program and arguments, no shell. A program with `/` in its name is relative to the manager's base
    /// directory (the configuration file's folder), any other is looked up in `PATH`. Place-holders ([`crate::template`]) are filled in per
    /// incarnation.
    pub command: Vec<String>,
    /// Names of environment variables that are passed on. `PATH`, `HOME`, `LANG`, `LC_ALL`, `TMPDIR` and
    /// `USER` always are.
    pub env_allow: Vec<String>,
    /// Environment variables that are set; the same place-holders as in `command`.
    pub env: BTreeMap<String, String>,
    /// Working directory, relative to the manager's base directory; without one, that directory itself.
    pub cwd: Option<PathBuf>,
    /// A fixed port on 127.0.0.1; without one, a free port where `{port}` is used.
    pub port: Option<u16>,
    /// A fixed path of the Unix socket, relative to the manager's base directory; without one, a path in the state
    /// directory where `{socket}` is used.
    pub socket: Option<PathBuf>,
    /// Standard input; with [`Protocol::Stdio`] it has the requests, whatever stands here.
    pub stdin: StdinMode,
    /// The protocol of requests that come through the manager.
    pub protocol: Protocol,
    /// The condition under which the program counts as ready.
    pub ready: ReadySpec,
    /// The request that is answered before the program counts as ready, after `ready`.
    pub warm_up: Option<Box<WarmUpSpec>>,
    /// The health probe.
    pub probe: Option<ProbeSpec>,
    /// The request to trim; none when the program cannot trim.
    pub trim: Option<TrimSpec>,
    /// The request to sleep: to give back memory until it is woken. Needs `wake`, and
    /// [`ComponentSpec::asleep`](super::ComponentSpec#structfield.asleep).
    pub sleep: Option<Box<StepSpec>>,
    /// The request to become usable again after `sleep`.
    pub wake: Option<Box<StepSpec>>,
    /// The request to end, before TERM.
    pub stop: Option<StopSpec>,
}

impl ProcessSpec {
    /// The texts with place-holders.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let requests = self.request_commands().flat_map(|(_, command)| command);
        self.own_texts().chain(requests.map(String::as_str))
    }

    /// The texts with place-holders that the program itself is given.
    fn own_texts(&self) -> impl Iterator<Item = &str> {
        self.command.iter().chain(self.env.values()).map(String::as_str)
    }

    /// The commands of its requests, by the key of the request.
    pub fn request_commands(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        let stop = match &self.stop {
            Some(StopSpec::Command(command)) => Some(command),
            _ => None,
        };
        let [sleep, wake] = [&self.sleep, &self.wake].map(|step| match step.as_ref()?.how {
            StepRequest::Command(ref command) => Some(command),
            _ => None,
        });
        let all = [("stop", stop), ("sleep", sleep), ("wake", wake)];
        all.into_iter().filter_map(|(key, command)| Some((key, &**command?)))
    }

    /// The bounds of the protocol of lines, if the program has that protocol.
    #[must_use]
    pub const fn stdio(&self) -> Option<&StdioSpec> {
        match &self.protocol {
            Protocol::Stdio(stdio) => Some(stdio),
            Protocol::None => None,
        }
    }

    /// Standard input as the program gets it.
    #[must_use]
    pub const fn stdin_mode(&self) -> StdinMode {
        if self.stdio().is_some() { StdinMode::Hold } else { self.stdin }
    }

    fn uses(&self, place_holder: PlaceHolder<'_>) -> bool {
        self.own_texts().flat_map(template::place_holders).any(|holder| holder == place_holder)
    }

    /// Whether the program has a port.
    #[must_use]
    pub fn has_port(&self) -> bool {
        self.port.is_some() || self.uses(PlaceHolder::Port)
    }

    /// Whether the program has a Unix socket.
    #[must_use]
    pub fn has_socket(&self) -> bool {
        self.socket.is_some() || self.uses(PlaceHolder::Socket)
    }

    /// Whether the program has a port or a socket.
    #[must_use]
    pub fn has_endpoint(&self) -> bool {
        self.has_port() || self.has_socket()
    }

    /// Whether the program's address has this part.
    #[must_use]
    pub fn has(&self, part: EndpointPart) -> bool {
        match part {
            EndpointPart::Port => self.has_port(),
            EndpointPart::Socket => self.has_socket(),
            EndpointPart::Url => self.has_endpoint(),
        }
    }
}
