//! Rows of the requests to a program: `ready`, `warm_up`, `probe`, `trim`, `sleep`, `wake` and `stop`.

use std::time::Duration;

use super::{Key, Kind, LONGEST, MS, Target, key};
use crate::{
    ExternalSpec, ProbeRule, ProbeSpec, ReadySpec, ServiceRequest, StepRequest, StepSpec,
    StopSignal, StopSpec, TrimSignal, TrimSpec, WarmUpRequest, WarmUpSpec, WhileLeased,
};

/// The largest number of failed probes in a row that a rule may state.
pub(crate) const MAX_FAILURES: u64 = 1000;

pub(crate) fn failures(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The words of [`WhileLeased`].
pub(crate) const WHILE_LEASED: &[&str] = &["report", "restart"];

pub(crate) fn while_leased(i: usize) -> WhileLeased {
    [WhileLeased::Report, WhileLeased::Restart][i]
}

/// The content of `probe`.
#[derive(Debug)]
pub(crate) struct ProbeDraft {
    pub(crate) http: Option<String>,
    pub(crate) connect: bool,
    pub(crate) every: Duration,
    /// Without one, [`ProbeSpec::TIMEOUT`], or `every` where that is shorter.
    pub(crate) timeout: Option<Duration>,
    pub(crate) rule: ProbeRule,
}

impl Target for ProbeDraft {
    type Spec = ProbeSpec;
}

impl Default for ProbeDraft {
    fn default() -> Self {
        Self {
            http: None,
            connect: false,
            every: ProbeSpec::EVERY,
            timeout: None,
            rule: ProbeRule::default(),
        }
    }
}

impl ProbeDraft {
    /// None unless exactly one of `http` and `connect` is given.
    pub(crate) fn finish(self) -> Option<ProbeSpec> {
        let how = match (self.http, self.connect) {
            (Some(path), false) => ReadySpec::Http(path),
            (None, true) => ReadySpec::Connect,
            _ => return None,
        };
        let timeout = self.timeout.unwrap_or(self.every.min(ProbeSpec::TIMEOUT));
        Some(ProbeSpec { how, every: self.every, timeout, rule: self.rule })
    }
}

pub(crate) const PROBE: &[Key<ProbeDraft>] = &[
    key!(
        "http",
        "",
        "`GET` of this path on `{port}` or `{socket}` answers 200.",
        Kind::Text(|p, v| p.http = Some(v))
    ),
    key!(
        "connect",
        "false",
        "A connection to `{port}` or `{socket}` succeeds.",
        Kind::Bool(|p, v| p.connect = v)
    ),
    key!(
        "every",
        "\"10s\"",
        "Time between probes.",
        Kind::Duration(MS, LONGEST, |p: &ProbeSpec| Some(p.every), |p, v| p.every = v)
    ),
    key!(
        "timeout",
        "\"2s\"",
        "A probe that takes longer fails; where `every` is shorter than the default, without it `every`.",
        Kind::Duration(MS, LONGEST, |p: &ProbeSpec| Some(p.timeout), |p, v| p.timeout = Some(v))
    ),
    key!(
        "failures",
        "3",
        "This many failed probes in a row take the component out of service.",
        Kind::Count(
            1,
            MAX_FAILURES,
            |p: &ProbeSpec| Some(p.rule.failures.into()),
            |p, v| {
                p.rule.failures = failures(v);
            }
        )
    ),
    key!(
        "while_leased",
        "\"report\"",
        "The action on failed probes while clients hold leases on the component or its dependents: `report` keeps the component, which may be too busy for a client to answer, reports the failure in `status`, `why` and the events, and probes once more when the last lease has ended; `restart` stops the component when the last of these leases has ended, and revokes the remaining leases after `stop_deadline`.",
        Kind::Word(WHILE_LEASED, |p, i| p.rule.while_leased = while_leased(i))
    ),
];

/// The content of `trim`.
#[derive(Debug, Default)]
pub(crate) struct TrimDraft {
    pub(crate) http: Option<String>,
    pub(crate) signal: Option<TrimSignal>,
}

impl Target for TrimDraft {
    type Spec = TrimSpec;
}

impl TrimDraft {
    /// None unless exactly one of `http` and `signal` is given.
    pub(crate) fn finish(self) -> Option<TrimSpec> {
        match (self.http, self.signal) {
            (Some(path), None) => Some(TrimSpec::Http(path)),
            (None, Some(signal)) => Some(TrimSpec::Signal(signal)),
            _ => None,
        }
    }
}

pub(crate) const TRIM: &[Key<TrimDraft>] = &[
    key!(
        "http",
        "",
        "`POST` of this path, without a body, on `{port}` or `{socket}`; it answers 2xx within 10 s.",
        Kind::Text(|t, v| t.http = Some(v))
    ),
    key!(
        "signal",
        "",
        "The signal sent to the program's first process, if that handles it (by default HUP, USR1 and USR2 end a program).",
        Kind::Word(TrimSignal::WORDS, |t, i| t.signal = Some(TrimSignal::ALL[i]))
    ),
];

/// The content of `sleep` and of `wake`.
#[derive(Debug, Default)]
pub(crate) struct StepDraft {
    pub(crate) command: Option<Vec<String>>,
    pub(crate) http: Option<String>,
    pub(crate) signal: Option<TrimSignal>,
    pub(crate) timeout: Option<Duration>,
}

impl Target for StepDraft {
    type Spec = StepSpec;
}

impl StepDraft {
    /// None unless exactly one of `command`, `http` and `signal` is given.
    ///
    /// # Errors
    /// When `http` is no request, in words.
    pub(crate) fn finish(self) -> Result<Option<StepSpec>, String> {
        let how = match (self.command, self.http, self.signal) {
            (Some(command), None, None) => StepRequest::Command(command),
            (None, Some(text), None) => StepRequest::Http(ServiceRequest::parse_or_post(&text)?),
            (None, None, Some(signal)) => StepRequest::Signal(signal),
            _ => return Ok(None),
        };
        let timeout = self.timeout.unwrap_or(StepSpec::TIMEOUT);
        Ok(Some(StepSpec { how, timeout }))
    }
}

/// The keys of a step of which exactly one is stated.
pub(crate) const STEP_WAYS: [&str; 3] = ["command", "http", "signal"];

pub(crate) const STEP: &[Key<StepDraft>] = &[
    key!(
        "command",
        "",
        "A program and its arguments, with the place-holders, the environment and the folder of the component's `command`; it ends with code 0 when the step is done.",
        Kind::Texts(|s, v| s.command = Some(v))
    ),
    key!(
        "http",
        "",
        "A request without a body on `{port}` or `{socket}`: a method and a path such as `PUT /sleep`, or a path, which is posted; it answers 2xx when the step is done.",
        Kind::Name(|s, v| s.http = Some(v))
    ),
    key!(
        "signal",
        "",
        "The signal sent to the program's first process, if that handles it. It has no answer: the program sleeps when its memory has fallen to `asleep`, or stopped falling by `timeout`, and is awake when its `probe` answers.",
        Kind::Word(TrimSignal::WORDS, |s, i| s.signal = Some(TrimSignal::ALL[i]))
    ),
    key!(
        "timeout",
        "\"30s\"",
        "A request that takes longer has failed. A wake has no longer than a load takes, but 500 ms.",
        Kind::Duration(MS, LONGEST, |s: &StepSpec| Some(s.timeout), |s, v| s.timeout = Some(v))
    ),
];

/// The content of `stop`.
#[derive(Debug, Default)]
pub(crate) struct StopDraft {
    pub(crate) command: Option<Vec<String>>,
    pub(crate) http: Option<String>,
    pub(crate) signal: Option<StopSignal>,
}

impl Target for StopDraft {
    type Spec = StopSpec;
}

impl StopDraft {
    /// None unless exactly one of `command`, `http` and `signal` is given.
    pub(crate) fn finish(self) -> Option<StopSpec> {
        match (self.command, self.http, self.signal) {
            (Some(command), None, None) => Some(StopSpec::Command(command)),
            (None, Some(path), None) => Some(StopSpec::Http(path)),
            (None, None, Some(signal)) => Some(StopSpec::Signal(signal)),
            _ => None,
        }
    }
}

pub(crate) const STOP: &[Key<StopDraft>] = &[
    key!(
        "command",
        "",
        "A program and its arguments, with the place-holders, the environment and the folder of the component's `command`; it ends with code 0.",
        Kind::Texts(|s, v| s.command = Some(v))
    ),
    key!(
        "http",
        "",
        "`POST` of this path, without a body, on `{port}` or `{socket}`; it answers 2xx, or closes the connection without an answer.",
        Kind::Text(|s, v| s.http = Some(v))
    ),
    key!(
        "signal",
        "",
        "The signal sent to the program's first process.",
        Kind::Word(StopSignal::WORDS, |s, i| s.signal = Some(StopSignal::ALL[i]))
    ),
];

/// The content of `external`.
#[derive(Debug, Default)]
pub(crate) struct ExternalDraft {
    pub(crate) url: Option<String>,
    pub(crate) probe: Option<ProbeDraft>,
    pub(crate) wake: Option<String>,
    pub(crate) sleep: Option<String>,
}

impl Target for ExternalDraft {
    type Spec = ExternalSpec;
}

pub(crate) const EXTERNAL: &[Key<ExternalDraft>] = &[
    key!(
        "url",
        "",
        "Its address: `http://HOST`, `http://HOST:PORT` or `tcp://HOST:PORT`. Required.",
        Kind::Name(|e, v| e.url = Some(v))
    ),
    key!(
        "probe",
        "",
        "The probe of readiness and health, with the keys of `probe`; without it, a connection.",
        Kind::Probe(|e, v| e.probe = Some(v))
    ),
    key!(
        "wake",
        "",
        "The request that begins a load: a method and a path such as `POST /wake`, without a body; it answers 2xx.",
        Kind::Name(|e, v| e.wake = Some(v))
    ),
    key!(
        "sleep",
        "",
        "The request that is an unload, such as `POST /sleep`; it answers 2xx within `stop_deadline`. With `asleep` it is also how the service is put to sleep.",
        Kind::Name(|e, v| e.sleep = Some(v))
    ),
];

/// The content of `ready` as a table.
#[derive(Debug, Default)]
pub(crate) struct ReadyDraft {
    pub(crate) stdout: Option<String>,
    pub(crate) http: Option<String>,
}

impl Target for ReadyDraft {
    type Spec = ReadySpec;
}

pub(crate) const READY: &[Key<ReadyDraft>] = &[
    key!(
        "stdout",
        "",
        "A line of standard output contains this text.",
        Kind::Text(|r, v| r.stdout = Some(v))
    ),
    key!(
        "http",
        "",
        "`GET` of this path on `{port}` or `{socket}` answers 200.",
        Kind::Text(|r, v| r.http = Some(v))
    ),
];

/// The words that `ready` may be.
pub(crate) const READY_WORDS: &[&str] = &["started", "connect", "line"];

/// The content of `warm_up`.
#[derive(Debug, Default)]
pub(crate) struct WarmUpDraft {
    pub(crate) http: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) call: Option<String>,
    pub(crate) timeout: Option<Duration>,
}

impl Target for WarmUpDraft {
    type Spec = WarmUpSpec;
}

impl WarmUpDraft {
    /// None unless exactly one of `http` and `call` is given, `body` with `http` alone. Without a timeout, the default, or
    /// `load_deadline` where that is shorter.
    pub(crate) fn finish(self, load_deadline: Option<Duration>) -> Option<WarmUpSpec> {
        let how = match (self.http, self.body, self.call) {
            (Some(path), body, None) => WarmUpRequest::Http { path, body },
            (None, None, Some(text)) => WarmUpRequest::Call(text),
            _ => return None,
        };
        let default = load_deadline.map_or(WarmUpSpec::TIMEOUT, |d| d.min(WarmUpSpec::TIMEOUT));
        Some(WarmUpSpec { how, timeout: self.timeout.unwrap_or(default) })
    }
}

/// The keys of a warm-up request of which exactly one is stated.
pub(crate) const WARM_UP_WAYS: [&str; 2] = ["http", "call"];

pub(crate) const WARM_UP: &[Key<WarmUpDraft>] = &[
    key!(
        "http",
        "",
        "A path on `{port}` or `{socket}`, requested with `GET`, or with `POST` where there is a `body`; it answers 2xx.",
        Kind::Name(|w, v| w.http = Some(v))
    ),
    key!(
        "body",
        "",
        "The body of the request by `http`: sent as `application/json` where it is a JSON object or list, else as `text/plain`.",
        Kind::Text(|w, v| w.body = Some(v))
    ),
    key!(
        "call",
        "",
        "`protocol = \"stdio\"`: the text of a call, which is answered without an error.",
        Kind::Text(|w, v| w.call = Some(v))
    ),
    key!(
        "timeout",
        "\"30s\"",
        "A request that takes longer has failed. It is a part of the load, which ends within `load_deadline`; where that is shorter than the default, without it `load_deadline`.",
        Kind::Duration(MS, LONGEST, |w: &WarmUpSpec| Some(w.timeout), |w, v| w.timeout = Some(v))
    ),
];
