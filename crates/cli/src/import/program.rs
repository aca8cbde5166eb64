//! A model's program: command, environment, and how it is stopped.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{self, place_holders};
use super::marks;
use super::out::{self, Table};
use super::reader::{Context, Found, Section};

/// Variables that every component has.
const ALWAYS_PASSED: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER"];

/// Whether a program runs the model in a container, which is no child of it.
pub(super) fn is_container(words: &[String]) -> bool {
    let program = words[0].rsplit('/').next().unwrap_or_default();
    ["docker", "podman", "nerdctl"].contains(&program)
}

/// The environment of a model.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// Known when the file is read.
    set: BTreeMap<String, String>,
    /// Filled in by a shell at each start.
    exports: Vec<(String, String)>,
    /// Passed on from the manager's environment.
    passed: Vec<String>,
}

pub(super) fn environment(cx: &mut Context, section: &Section<'_>) -> Variables {
    let mut out = Variables::default();
    let Some(found) = section.get("env") else { return out };
    for (entry, place) in cx.texts(&found) {
        let Some((name, value)) = entry.split_once('=') else {
            cx.wrong(
                &place,
                format!("{} is not NAME=value", majordomo::quoted(&marks::shown(&entry))),
            );
            continue;
        };
        if name.is_empty()
            || name.contains(|c: char| c == '\0' || marks::is_reserved(c))
            || value.contains('\0')
        {
            cx.wrong(
                &place,
                format!("{} is no variable", majordomo::quoted(&marks::shown(&entry))),
            );
            continue;
        }
        let used = marks::variables(value);
        if marks::shown(value) == format!("${{env.{name}}}") {
            out.passed.push(name.to_owned());
        } else if used.is_empty() {
            out.set.insert(name.to_owned(), place_holders(value));
        } else {
            out.passed.extend(used.iter().map(|name| (*name).to_owned()));
            out.exports.push((name.to_owned(), value.to_owned()));
        }
    }
    cx.translated(&found, if out.passed.is_empty() { "env" } else { "env and env_allow" });
    out
}

/// The program and its arguments.
pub(super) fn program(
    cx: &mut Context,
    cmd: &Found<'_>,
    words: &[String],
    is_open: bool,
    variables: &mut Variables,
    table: &mut Table,
) {
    let used: Vec<&str> = words.iter().flat_map(|word| marks::variables(word)).collect();
    let mut detail = "command".to_owned();
    let command = if used.is_empty() && variables.exports.is_empty() {
        words.to_vec()
    } else {
        let exported = variables.exports.iter().flat_map(|(_, value)| marks::variables(value));
        let names: BTreeSet<&str> = used.iter().copied().chain(exported).collect();
        let names: Vec<&str> = names.into_iter().collect();
        detail = format!("command, by a shell that fills in {} at each start", names.join(", "));
        command::by_shell(words, &variables.exports)
    };
    if is_open {
        detail += "; a quotation mark is not closed";
    }
    cx.translated(cmd, detail);
    variables.passed.extend(used.iter().map(|name| (*name).to_owned()));
    let command: Vec<String> = command.iter().map(|word| place_holders(word)).collect();
    table.set("command", out::command("command", &command));
}

/// The keys of a model's environment. Its own list of what is passed on replaces that of `[defaults]`.
pub(super) fn environment_keys(variables: &Variables, defaults: &[&str], table: &mut Table) {
    if !variables.set.is_empty() {
        let entries = variables.set.iter().map(|(name, value)| (name.clone(), out::text(value)));
        let entries: Vec<_> = entries.collect();
        table.set("env", out::inline(&entries));
    }
    if variables.passed.iter().any(|name| !ALWAYS_PASSED.contains(&name.as_str())) {
        let passed = variables.passed.iter().map(String::as_str);
        let all: BTreeSet<&str> = defaults.iter().copied().chain(passed).collect();
        let all: Vec<&str> = all.into_iter().filter(|name| !ALWAYS_PASSED.contains(name)).collect();
        table.set("env_allow", out::list("env_allow", &all));
    }
}

/// How the program is stopped, and within which time in seconds.
pub(super) fn stop(
    cx: &mut Context,
    section: &Section<'_>,
    default: u64,
    variables: &mut Variables,
    table: &mut Table,
) -> u64 {
    let own = section.get("unloadTimeout");
    let stated = own.as_ref().and_then(|found| {
        let seconds = cx.integer(found)?;
        cx.duration(found, seconds)
    });
    let own_seconds = stated.filter(|seconds| *seconds > 0);
    let seconds = own_seconds.unwrap_or(default);
    let mut deadline = seconds;
    if let Some(found) = section.get("cmdStop")
        && let Some(text) = cx.text(&found).filter(|text| !text.trim().is_empty())
        && let Some(request) = stop_request(cx, &found, &text, variables)
    {
        table.set("stop", request);
        // Half of the deadline is for the request: the program has as long as in llama-swap.
        deadline = seconds.saturating_mul(2);
    }
    if let Some(found) = own {
        match own_seconds {
            Some(_) => cx.translated(&found, "stop_deadline"),
            None => cx.not_needed(&found, "0 is the value of the file"),
        }
    }
    if deadline != default {
        table.set("stop_deadline", out::seconds(deadline));
    }
    deadline
}

fn stop_request(
    cx: &mut Context,
    found: &Found<'_>,
    text: &str,
    variables: &mut Variables,
) -> Option<String> {
    let words = command::split(text).words;
    let program = words.first()?.rsplit('/').next().unwrap_or_default();
    if program == "kill" && words.last().is_some_and(|word| word == "${PID}") {
        let options: Vec<&str> = words[1..words.len() - 1].iter().map(String::as_str).collect();
        let name = match options.as_slice() {
            [] => Some("TERM"),
            ["-s" | "-n", name] => Some(*name),
            [name] => name.strip_prefix('-'),
            _ => None,
        };
        let upper = name.unwrap_or_default().to_ascii_uppercase();
        let signal = match upper.strip_prefix("SIG").unwrap_or(&upper) {
            "TERM" | "15" => {
                cx.not_needed(found, "TERM is the first signal");
                return None;
            }
            "INT" | "2" => "INT",
            "QUIT" | "3" => "QUIT",
            "HUP" | "1" => "HUP",
            "USR1" | "10" => "USR1",
            "USR2" | "12" => "USR2",
            _ => {
                cx.not_supported(found, "the signals are INT, QUIT, HUP, USR1 and USR2; TERM is sent, and KILL after stop_deadline");
                return None;
            }
        };
        cx.translated(found, format!("stop = {{ signal = \"{signal}\" }}"));
        return Some(format!("{{ signal = \"{signal}\" }}"));
    }
    if program.eq_ignore_ascii_case("taskkill") || program.eq_ignore_ascii_case("taskkill.exe") {
        cx.not_needed(found, "a command of Windows; TERM is sent here");
        return None;
    }
    if text.contains("${PID}") {
        cx.not_supported(
            found,
            "a command cannot have the process id; TERM is sent, and KILL after stop_deadline",
        );
        return None;
    }
    let used: Vec<String> =
        words.iter().flat_map(|word| marks::variables(word)).map(str::to_owned).collect();
    let words = if used.is_empty() { words } else { command::by_shell(&words, &[]) };
    variables.passed.extend(used);
    let words: Vec<String> = words.iter().map(|word| place_holders(word)).collect();
    cx.translated(found, "stop");
    let list = words.iter().map(|word| out::text(word)).collect::<Vec<_>>().join(", ");
    Some(format!("{{ command = [{list}] }}"))
}
