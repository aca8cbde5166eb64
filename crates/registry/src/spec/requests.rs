//! Requests to a running program: to warm up, to trim its memory, to sleep and to wake, and to end before TERM.

use std::fmt;
use std::time::Duration;

use majordomo_core::quoted;

use super::ServiceRequest;

/// Characters of a call's text that messages show.
const SHOWN: usize = 40;

/// A type of signals that may be declared, with their names in a configuration.
macro_rules! signals {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[cfg_attr(feature = "serde", serde(rename_all = "UPPERCASE"))]
        pub enum $name {
            $(
                #[doc = concat!("`SIG", $word, "`.")]
                $variant,
            )+
        }

        impl $name {
            /// Every signal that may be declared.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];
            /// Their names in a configuration, in the order of [`Self::ALL`].
            pub const WORDS: &[&str] = &[$($word),+];

            /// Its name without `SIG`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                Self::WORDS[self as usize]
            }
        }
    };
}

signals! {
    /// A signal that programs use for requests of their own. Programs that install no handler end by some of them,
    /// so a signal is sent only to a process that handles it, where the system shows that.
    TrimSignal { Hup = "HUP", Usr1 = "USR1", Usr2 = "USR2", Winch = "WINCH" }
}

/// The request to a process to trim its memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum TrimSpec {
    /// `POST` of this path on the program's port or socket, which answers 2xx.
    Http(String),
    /// This signal, to the first process of the program.
    Signal(TrimSignal),
}

signals! {
    /// A signal by which programs are asked to end in their own way; TERM follows it in any case.
    StopSignal {
        Int = "INT",
        Quit = "QUIT",
        Hup = "HUP",
        Usr1 = "USR1",
        Usr2 = "USR2",
        Winch = "WINCH",
    }
}

/// The request to a process to end, before TERM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum StopSpec {
    /// A program and its arguments, run like [`ProcessSpec::command`](super::ProcessSpec::command): with its environment, place-holders and folder.
    Command(Vec<String>),
    /// `POST` of this path on the program's port or socket, which answers 2xx.
    Http(String),
    /// This signal, to the first process of the program.
    Signal(StopSignal),
}

/// The request to a program to sleep, or to wake again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct StepSpec {
    /// How the program is asked.
    pub how: StepRequest,
    /// The request has failed when it takes longer. Default 30 s.
    pub timeout: Duration,
}

impl StepSpec {
    pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

    /// A request with the default timeout.
    #[must_use]
    pub fn new(how: StepRequest) -> Self {
        Self { how, timeout: Self::TIMEOUT }
    }
}

/// How a program is asked to sleep or to wake.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum StepRequest {
    /// A program and its arguments, run like the command of [`StopSpec::Command`]; the step has ended when it ends with code 0.
    Command(Vec<String>),
    /// This request on the program's port or socket, whose answer ends the step.
    Http(ServiceRequest),
    /// This signal, to the first process of the program. It has no answer: the program sleeps when its memory has fallen to
    /// what it is expected to be, and is awake when its probe answers.
    Signal(TrimSignal),
}

/// The request whose answer a program is ready with: it makes the program do once what its first client would wait for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct WarmUpSpec {
    /// How the program is asked.
    pub how: WarmUpRequest,
    /// The load has failed when the answer takes longer. Default 30 s, or the component's `load_deadline` where that is shorter.
    pub timeout: Duration,
}

impl WarmUpSpec {
    pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

    /// A request with the default timeout.
    #[must_use]
    pub fn new(how: WarmUpRequest) -> Self {
        Self { how, timeout: Self::TIMEOUT }
    }
}

/// How a program is asked to warm up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum WarmUpRequest {
    /// A request on the program's port or socket, which answers 2xx.
    Http {
        /// Its path, which begins with `/`, with the query.
        path: String,
        /// Posted, as JSON where it is an object or a list of JSON, else as text; without one, the request is `GET`.
        body: Option<String>,
    },
    /// A call of this text, with [`Protocol::Stdio`](super::Protocol::Stdio). An answer that is an error fails the load.
    Call(String),
}

impl WarmUpRequest {
    /// The method of a request by HTTP.
    #[must_use]
    pub const fn method(body: Option<&String>) -> &'static str {
        if body.is_some() { "POST" } else { "GET" }
    }
}

/// `POST /path`, or the beginning of the text of a call.
impl fmt::Display for WarmUpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { path, body } => write!(f, "{} {path}", Self::method(body.as_ref())),
            Self::Call(text) => {
                let start: String = text.chars().take(SHOWN).collect();
                write!(f, "the call {}", quoted(&start))
            }
        }
    }
}
