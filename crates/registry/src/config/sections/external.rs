//! Services that run elsewhere: from a draft to a specification.

use std::ops::Range;

use majordomo_core::{ByteSize, quoted};

use super::super::keys::RAM;
use super::super::keys::component::ComponentDraft;
use super::super::node::{Member, Value};
use super::super::source::{Report, shorten};
use crate::rules::PROBE_EXAMPLE;
use crate::{ExternalSpec, ServiceRequest, ServiceUrl};

/// Completes a service as it was read; none when its URL is missing or wrong.
pub(super) fn finish(
    report: &mut Report<'_>,
    member: &Member<'_>,
    draft: &mut ComponentDraft,
) -> Option<ExternalSpec> {
    // A table of pools need not name main memory.
    let states_ram = |memory: &Member<'_>| {
        !matches!(memory.node.value, Value::Table(_)) || memory.node.get(RAM).is_some()
    };
    if !member.node.get("memory").is_some_and(states_ram) {
        draft.spec.memory = ByteSize::ZERO;
    }
    let table = member.node.get("external");
    let span = |key: &str| -> Range<usize> {
        let value = table.and_then(|table| table.node.get(key)).map(|m| &m.node.span);
        value.or(table.map(|table| &table.key_span)).unwrap_or(&member.key_span).clone()
    };
    let external = draft.external.take().unwrap_or_default();
    let mut read = |key: &str, text: Option<String>| {
        let request = ServiceRequest::parse(&text?);
        let wrong = |why| (format!("{key} is no request: {why}"), "such as \"POST /sleep\"");
        request
            .map_err(wrong)
            .map_err(|(message, help)| {
                report.error("bad-value", &span(key), message, Some(help.to_owned()));
            })
            .ok()
    };
    let (wake, sleep) = (read("wake", external.wake), read("sleep", external.sleep));
    let Some(url) = external.url else {
        // A value that is wrong by itself was reported.
        if table.is_none_or(|table| table.node.get("url").is_none()) {
            let message = format!("component {} has no URL", quoted(&shorten(&member.key)));
            let help = "write external = { url = \"http://HOST:PORT\" }";
            report.error("missing-key", &span("url"), message, Some(help.to_owned()));
        }
        return None;
    };
    let url = ServiceUrl::parse(&url).map_err(|why| {
        let message = format!("{} is not the URL of a service", quoted(&shorten(&url)));
        report.error("bad-value", &span("url"), message, Some(why));
    });
    let mut service = ExternalSpec::new(url.ok()?);
    if let Some(probe) = external.probe {
        match probe.finish() {
            Some(probe) => service.probe = probe,
            None => {
                let message = "probe needs either http or connect".to_owned();
                report.error("bad-value", &span("probe"), message, Some(PROBE_EXAMPLE.to_owned()));
            }
        }
    }
    (service.wake, service.sleep) = (wake, sleep);
    Some(service)
}
