//! Errors of calls.
#![expect(missing_docs, reason = "members that say all by their names have no comment")]

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, Refusal, printable};

use majordomo_registry::ComponentSpec;

use crate::process::Exit;

/// Why a program takes no more calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallsEnded {
    #[error("it {0}")]
    Exited(Exit),
    #[error("it is being stopped")]
    Stopping,
    #[error("it closed its standard input")]
    ClosedInput,
    #[error("it closed its standard output")]
    ClosedOutput,
    #[error("it answered none of its last calls")]
    NoAnswer,
}

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The component has no protocol of requests.
    #[error("{component} takes no calls: {way_out}")]
    NotCallable {
        component: ComponentId,
        /// How the component is used instead.
        way_out: String,
    },
    #[error("the object of a call is no JSON object: {why}")]
    BadObject { why: String },
    #[error(
        "{component}: the request has {len}, and its lines may have {max} (max_line of the component)"
    )]
    RequestTooLong { component: ComponentId, len: ByteSize, max: ByteSize },
    #[error(
        "{component}: the answer has {len}, and its lines may have {max} (max_line of the component)"
    )]
    AnswerTooLong { component: ComponentId, len: ByteSize, max: ByteSize },
    /// As many calls as may wait for their turn do.
    #[error(
        "{component}: {waiting} calls wait for their turn already; call again later, or raise concurrent of the component"
    )]
    QueueFull { component: ComponentId, waiting: usize },
    #[error("{component}: no answer within {waited:?}{}", at(*began))]
    Deadline {
        component: ComponentId,
        waited: Duration,
        /// Whether the request was with the program.
        began: bool,
    },
    /// The program answered with an error.
    #[error("{component} answered with an error: {}", printable(message))]
    Answered { component: ComponentId, message: String },
    /// The program takes no more calls.
    #[error("{component}: the call has no answer, because {source}")]
    Ended { component: ComponentId, source: CallsEnded },
    /// There was no lease for the call.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// How a component without the protocol is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    /// It is a value of a Rust type.
    Value,
    /// It has an address, which is known while it runs.
    Address(Option<String>),
    /// It is a program without an address.
    Nothing,
}

impl CallError {
    pub(crate) fn not_callable(component: &ComponentId, instead: Instead) -> Self {
        let way_out = match instead {
            Instead::Value => "it is a value inside the manager's process, which a lease gives to that program alone".to_owned(),
            Instead::Address(Some(url)) => format!("lease it, and use its address, {url}"),
            Instead::Address(None) => "lease it, and use the address in the lease".to_owned(),
            Instead::Nothing => "its program has no protocol and no address; with protocol = \"stdio\" it answers lines of JSON".to_owned(),
        };
        Self::NotCallable { component: component.clone(), way_out }
    }

    /// The error of every call of a component with this specification; none when it takes calls.
    #[must_use]
    pub fn of_spec(spec: &ComponentSpec) -> Option<Self> {
        let instead = match spec.program() {
            Some(program) if program.stdio().is_some() => return None,
            Some(program) if program.has_endpoint() => Instead::Address(None),
            Some(_) => Instead::Nothing,
            None => match spec.service() {
                Some(service) => Instead::Address(Some(service.url.to_string())),
                None => Instead::Value,
            },
        };
        Some(Self::not_callable(&spec.id, instead))
    }
}

fn at(began: bool) -> &'static str {
    if began {
        ""
    } else {
        ": until then it waited for the component, or for other calls (concurrent of the component)"
    }
}

impl CallError {
    /// The component, where there is one; a refusal names its own.
    #[must_use]
    pub fn component(&self) -> Option<&ComponentId> {
        match self {
            Self::NotCallable { component, .. }
            | Self::RequestTooLong { component, .. }
            | Self::AnswerTooLong { component, .. }
            | Self::QueueFull { component, .. }
            | Self::Deadline { component, .. }
            | Self::Answered { component, .. }
            | Self::Ended { component, .. } => Some(component),
            Self::BadObject { .. } | Self::Refused(_) => None,
        }
    }

    /// The codes of errors that only calls have.
    pub const CODES: [&str; 7] = [
        "not_callable",
        "call_too_large",
        "answer_too_large",
        "call_queue_full",
        "call_deadline_exceeded",
        "call_failed",
        "call_ended",
    ];

    /// A stable word for the kind of error: one of [`Self::CODES`], `bad_value`, or the refusal's.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotCallable { .. } => "not_callable",
            Self::BadObject { .. } => "bad_value",
            Self::RequestTooLong { .. } => "call_too_large",
            Self::AnswerTooLong { .. } => "answer_too_large",
            Self::QueueFull { .. } => "call_queue_full",
            Self::Deadline { .. } => "call_deadline_exceeded",
            Self::Answered { .. } => "call_failed",
            Self::Ended { .. } => "call_ended",
            Self::Refused(refusal) => refusal.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_a_call_is_listed() {
        let component = || ComponentId::new("c").unwrap();
        let (len, max, waited) = (ByteSize(2), ByteSize(1), Duration::ZERO);
        let errors = [
            CallError::not_callable(&component(), Instead::Nothing),
            CallError::RequestTooLong { component: component(), len, max },
            CallError::AnswerTooLong { component: component(), len, max },
            CallError::QueueFull { component: component(), waiting: 1 },
            CallError::Deadline { component: component(), waited, began: true },
            CallError::Answered { component: component(), message: String::new() },
            CallError::Ended { component: component(), source: CallsEnded::Stopping },
        ];
        assert_eq!(errors.map(|error| error.code()), CallError::CODES);
    }
}
