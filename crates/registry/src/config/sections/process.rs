//! Programs: their command, place-holders, readiness and probe.
//!
//! Owns what a process specification must have to be started at all. Does not start anything and does not
//! look programs up: that is the loader's, at the time of loading.

use majordomo_core::quoted;

use super::super::fill::suggest;
use super::super::keys::component::ComponentDraft;
use super::super::node::{Member, Node, Value};
use super::super::source::{Report, shorten};
use crate::template::{self, TemplateError};
use crate::{LoaderSpec, ProcessSpec, ReadySpec, TrimSpec};

/// A program's own place-holders, for suggestions.
const PLACE_HOLDERS: [&str; 3] = ["port", "socket", "state_dir"];
/// Filled in from a legacy entry.
const TEMPLATE_HOLDERS: [&str; 3] = ["name", "import_path", "import_function"];

/// Checks and completes a process as it was read.
pub(super) fn finish(
    report: &mut Report<'_>,
    member: &Member<'_>,
    draft: &mut ComponentDraft,
) -> ProcessSpec {
    let node = &member.node;
    let mut process = std::mem::take(&mut draft.process);
    match node.get("command") {
        Some(command) => check_command(report, command, &process.command, &[]),
        None => {
            let message = format!("component {} has no command", quoted(&shorten(&member.key)));
            let help = Some("write command = [\"program\", \"argument\"]".to_owned());
            report.error("missing-key", &member.key_span, message, help);
        }
    }
    if let Some(env) = node.get("env") {
        for variable in env.node.members() {
            check_variable(report, &variable.key, &variable.key_span);
            if let Value::Text(value) = &variable.node.value {
                check_holders(report, value, &variable.node, &[]);
            }
        }
    }
    if let Some(allowed) = node.get("env_allow") {
        for item in items(&allowed.node) {
            if let Value::Text(name) = &item.value {
                check_variable(report, name, &item.span);
            }
        }
    }
    for (key, path) in [("cwd", &process.cwd), ("socket", &process.socket)] {
        let empty = path.as_ref().is_some_and(|path| path.as_os_str().is_empty());
        if let Some(member) = node.get(key).filter(|_| empty) {
            let help = Some("name it, or leave the key out".to_owned());
            report.error("empty-path", &member.node.span, format!("{key} is empty"), help);
        }
    }
    if let Some(draft) = draft.probe.take() {
        let span = node.get("probe").map_or(&member.key_span, |m| &m.node.span);
        let sound = node.get("probe").is_some_and(|m| matches!(m.node.value, Value::Table(_)));
        process.probe = draft.finish();
        if process.probe.is_none() && sound {
            let message = "probe must say either http or connect".to_owned();
            let help = Some("such as { http = \"/health\" } or { connect = true }".to_owned());
            report.error("bad-value", span, message, help);
        }
    }
    if let Some(draft) = draft.trim.take() {
        let span = node.get("trim").map_or(&member.key_span, |m| &m.node.span);
        process.trim = draft.finish();
        if process.trim.is_none() {
            let message = "trim must say one way: http or signal".to_owned();
            let help = Some("such as { http = \"/trim\" } or { signal = \"USR1\" }".to_owned());
            report.error("bad-value", span, message, help);
        }
    }
    check_network(report, member, &process);
    process
}

fn items<'n>(node: &'n Node<'n>) -> &'n [Node<'n>] {
    match &node.value {
        Value::List(items) => items,
        _ => &[],
    }
}

/// Probes and readiness over the network need an address that the program knows too.
fn check_network(report: &mut Report<'_>, member: &Member<'_>, process: &ProcessSpec) {
    let addressed = process.has_endpoint();
    let probe = process.probe.as_ref().map(|p| &p.how);
    let asked = |how: &ReadySpec| match how {
        ReadySpec::Connect => Some(None),
        ReadySpec::Http(path) => Some(Some(path.clone())),
        _ => None,
    };
    let trimmed = match &process.trim {
        Some(TrimSpec::Http(path)) => Some(Some(path.clone())),
        _ => None,
    };
    let over_network =
        [("ready", asked(&process.ready)), ("probe", probe.and_then(asked)), ("trim", trimmed)];
    for (key, how) in over_network {
        let span = member.node.get(key).map_or(&member.key_span, |m| &m.node.span);
        let Some(path) = how else { continue };
        if !addressed {
            let message =
                format!("{key} asks over the network, but no address is given to the program");
            let help =
                Some("use {port} or {socket} in command or env, or state its port".to_owned());
            report.error("no-address", span, message, help);
        }
        if let Some(path) = &path
            && (!path.starts_with('/')
                || path.contains(|c: char| c.is_whitespace() || c.is_control()))
        {
            let message = format!("{} is no path of a URL", quoted(&shorten(path)));
            let help = Some("it starts with / and has no blanks".to_owned());
            report.error("bad-value", span, message, help);
        }
    }
    if let Some(probe) = &process.probe
        && probe.timeout > probe.every
        && let Some(member) = member.node.get("probe")
    {
        let message = format!(
            "the probe's timeout, {:?}, is longer than the time between probes, {:?}",
            probe.timeout, probe.every
        );
        report.error("out-of-range", &member.node.span, message, None);
    }
}

/// Checks the template of `[legacy]`.
pub(super) fn check_template(report: &mut Report<'_>, member: &Member<'_>, command: &[String]) {
    check_command(report, member, command, &TEMPLATE_HOLDERS);
}

fn check_command(report: &mut Report<'_>, member: &Member<'_>, command: &[String], more: &[&str]) {
    let list = items(&member.node);
    // A value that is no list was reported already.
    let empty = matches!(&member.node.value, Value::List(list) if list.is_empty())
        || command.first().is_some_and(|program| program.trim().is_empty());
    if empty {
        let help = Some("the first item is the program".to_owned());
        report.error("bad-value", &member.node.span, "command names no program".to_owned(), help);
    }
    for item in list {
        if let Value::Text(text) = &item.value {
            check_holders(report, text, item, more);
        }
    }
}

fn check_variable(report: &mut Report<'_>, name: &str, span: &std::ops::Range<usize>) {
    if name.is_empty() || name.contains(['=', '\0']) {
        let message = format!("{} is no name of an environment variable", quoted(&shorten(name)));
        report.error("bad-name", span, message, None);
    }
}

fn check_holders(report: &mut Report<'_>, text: &str, node: &Node<'_>, more: &[&str]) {
    if text.contains('\0') {
        let message = "a program cannot be given the character NUL".to_owned();
        report.error("bad-value", &node.span, message, None);
    }
    let known = || PLACE_HOLDERS.iter().chain(more).copied();
    for piece in template::pieces(text) {
        let (message, help) = match piece {
            Ok(_) => continue,
            Err(TemplateError::Unknown(name)) if more.contains(&name) => continue,
            Err(TemplateError::Unknown(name)) => {
                let of_dependencies = ["NAME.port", "NAME.socket", "NAME.url"];
                let all = || {
                    let all = known().chain(of_dependencies).map(|k| format!("{{{k}}}"));
                    all.collect::<Vec<_>>().join(", ")
                };
                let same = known().find(|k| k.eq_ignore_ascii_case(name));
                let near = same.map(|k| format!("did you mean \"{k}\"?"));
                let help = near.or_else(|| suggest(name, known())).unwrap_or_else(|| {
                    format!("there are {}; {{{{ and }}}} stand for braces", all())
                });
                (format!("unknown place-holder {}", quoted(&shorten(name))), help)
            }
            Err(brace @ TemplateError::Brace(_)) => {
                (brace.to_string(), "{{ and }} stand for braces".to_owned())
            }
        };
        report.error("bad-place-holder", &node.span, message, Some(help));
    }
}

/// A legacy entry as a process. What the entry says stands for itself: its braces are no place-holders.
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
