//! The protocol of a program: which keys go together with it, and the defaults that depend on it.

use super::super::keys::protocol::ProtocolDraft;
use super::super::node::Member;
use super::super::source::Report;
use crate::{ProcessSpec, Protocol, ReadySpec, StdinMode, StdioSpec};

/// Completes a process by its protocol.
pub(super) fn finish(
    report: &mut Report<'_>,
    member: &Member<'_>,
    draft: ProtocolDraft,
    process: &mut ProcessSpec,
) {
    let span = |key: &str| member.node.get(key).map_or(&member.key_span, |m| &m.key_span);
    process.stdin = draft.stdin.unwrap_or_default();
    if !draft.is_stdio {
        process.ready = draft.ready.unwrap_or_default();
        let foreign = [
            ("concurrent", draft.concurrent.is_some()),
            ("max_line", draft.max_line.is_some()),
            ("call_deadline", draft.call_deadline.is_some()),
        ];
        for (key, _) in foreign.into_iter().filter(|(_, is_stated)| *is_stated) {
            let message =
                format!("{key} belongs to protocol = \"stdio\", which the program does not have");
            let help = Some("add the protocol, or remove the key".to_owned());
            report.error("no-protocol", span(key), message, help);
        }
        return;
    }
    if draft.stdin == Some(StdinMode::Empty) {
        let message = "stdin is empty, and protocol = \"stdio\" writes requests to it".to_owned();
        let help = Some("remove stdin: the protocol holds it open".to_owned());
        report.error("no-protocol", span("stdin"), message, help);
    }
    let defaults = StdioSpec::default();
    process.stdin = StdinMode::Hold;
    process.ready = draft.ready.unwrap_or(ReadySpec::Line);
    process.protocol = Protocol::Stdio(StdioSpec {
        concurrent: draft.concurrent.unwrap_or(defaults.concurrent),
        max_line: draft.max_line.unwrap_or(defaults.max_line),
        call_deadline: draft.call_deadline.unwrap_or(defaults.call_deadline),
    });
}
