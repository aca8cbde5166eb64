//! Programs: from a draft to a specification, and the template of the predecessor's entries.
//!
//! Does not start anything and does not look programs up: that is the loader's, at the time of loading.

use majordomo_core::quoted;

use super::super::keys::component::ComponentDraft;
use super::super::keys::requests::StepDraft;
use super::super::node::{Member, Value};
use super::super::source::{Report, shorten};
use super::{breaches, protocol};
use crate::rules::{self, PROBE_EXAMPLE};
use crate::{LoaderSpec, ProcessSpec, StepRequest, StepSpec, TrimSignal};

/// Filled in from a legacy entry.
const TEMPLATE_HOLDERS: [&str; 3] = ["name", "import_path", "import_function"];

/// Completes a process as it was read.
pub(super) fn finish(
    report: &mut Report<'_>,
    member: &Member<'_>,
    draft: &mut ComponentDraft,
) -> ProcessSpec {
    let node = &member.node;
    let mut process = std::mem::take(&mut draft.process);
    if node.get("command").is_none() {
        let message = format!("component {} has no command", quoted(&shorten(&member.key)));
        let help = Some("write command = [\"program\", \"argument\"]".to_owned());
        report.error("missing-key", &member.key_span, message, help);
    }
    protocol::finish(report, member, std::mem::take(&mut draft.protocol), &mut process);
    if let Some(warm_up) = draft.warm_up.take() {
        let span = node.get("warm_up").map_or(&member.key_span, |m| &m.node.span);
        process.warm_up = warm_up.finish(draft.spec.load_deadline).map(Box::new);
        if process.warm_up.is_none() {
            let message = "warm_up needs either http, with or without body, or call".to_owned();
            let help = "such as { http = \"/answer\", body = \"hello\" } or { call = \"hello\" }";
            report.error("bad-value", span, message, Some(help.to_owned()));
        }
    }
    if let Some(draft) = draft.probe.take() {
        let span = node.get("probe").map_or(&member.key_span, |m| &m.node.span);
        let sound = node.get("probe").is_some_and(|m| matches!(m.node.value, Value::Table(_)));
        process.probe = draft.finish();
        if process.probe.is_none() && sound {
            let message = "probe needs either http or connect".to_owned();
            report.error("bad-value", span, message, Some(PROBE_EXAMPLE.to_owned()));
        }
    }
    if let Some(draft) = draft.trim.take() {
        let span = node.get("trim").map_or(&member.key_span, |m| &m.node.span);
        process.trim = draft.finish();
        if process.trim.is_none() {
            let message = "trim needs either http or signal".to_owned();
            let help = Some("such as { http = \"/trim\" } or { signal = \"USR1\" }".to_owned());
            report.error("bad-value", span, message, help);
        }
    }
    process.sleep = step(report, member, "sleep", draft.sleep.take());
    process.wake = step(report, member, "wake", draft.wake.take());
    if let Some(draft) = draft.stop.take() {
        let span = node.get("stop").map_or(&member.key_span, |m| &m.node.span);
        process.stop = draft.finish();
        if process.stop.is_none() {
            let message = "stop needs one of command, http and signal".to_owned();
            let help = "such as { command = [\"redis-cli\", \"-p\", \"{port}\", \"shutdown\"] }";
            report.error("bad-value", span, message, Some(help.to_owned()));
        }
    }
    process
}

/// The request to sleep or to wake. One that is wrong, and reported, stands for itself: it is not missing.
fn step(
    report: &mut Report<'_>,
    member: &Member<'_>,
    key: &'static str,
    draft: Option<StepDraft>,
) -> Option<Box<StepSpec>> {
    let table = member.node.get(key)?;
    let wrong = || StepSpec::new(StepRequest::Signal(TrimSignal::Usr1));
    let step = match draft.map(StepDraft::finish) {
        Some(Ok(Some(step))) => step,
        Some(Ok(None)) => {
            let message = format!("{key} needs one of command, http and signal");
            let help = format!("such as {key} = {{ http = \"POST /{key}\" }}");
            report.error("bad-value", &table.node.span, message, Some(help));
            wrong()
        }
        Some(Err(why)) => {
            let span = table.node.get("http").map_or(&table.node.span, |http| &http.node.span);
            let help = format!("such as \"POST /{key}\"");
            report.error("bad-value", span, format!("{key} is no request: {why}"), Some(help));
            wrong()
        }
        None => wrong(),
    };
    Some(Box::new(step))
}

/// Checks the command of `[legacy]`, which may have the place-holders of an entry.
pub(super) fn check_template(report: &mut Report<'_>, legacy: &Member<'_>, command: &[String]) {
    breaches(report, legacy, rules::check_command(command, &TEMPLATE_HOLDERS));
}

/// A legacy entry as a process. Braces in the entry's own texts are no place-holders.
pub(super) fn from_template(
    template: &[String],
    name: &str,
    module: &str,
    function: &str,
) -> LoaderSpec {
    let values = [name, module, function].map(|v| v.replace('{', "{{").replace('}', "}}"));
    let fill = |text: &String| {
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        'text: while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            for (holder, value) in TEMPLATE_HOLDERS.iter().zip(&values) {
                let after = rest.strip_prefix('{').and_then(|r| r.strip_prefix(*holder));
                if let Some(after) = after.and_then(|r| r.strip_prefix('}')) {
                    out.push_str(value);
                    rest = after;
                    continue 'text;
                }
            }
            // A doubled brace, or a place-holder that is filled in later: both stay as they are.
            let doubled = rest.starts_with("{{") || rest.starts_with("}}");
            let (kept, after) = rest.split_at(if doubled { 2 } else { 1 });
            out.push_str(kept);
            rest = after;
        }
        out.push_str(rest);
        out
    };
    let command = template.iter().map(fill).collect();
    LoaderSpec::Process(ProcessSpec { command, ..ProcessSpec::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_literally() {
        let template = ["run", "{name}", "{{name}}", "{import_path}:{import_function}", "-p{port}"];
        let template = template.map(String::from);
        let LoaderSpec::Process(process) = from_template(&template, "ocr", "a{b", "f") else {
            panic!()
        };
        assert_eq!(process.command, ["run", "ocr", "{{name}}", "a{{b:f", "-p{port}"]);
    }
}
