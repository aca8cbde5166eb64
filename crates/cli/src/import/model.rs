//! One model as a component.
//!
//! Owns the keys of a model. Does not know the models beside it: names, exclusions and fixed ports that several models share are
//! worked out by [`super::translate`].

use std::path::Path;

use super::command;
use super::document::Node;
use super::marks;
use super::out::{self, Table};
use super::problem::Problem;
use super::program;
use super::proxy::{Address, Port};
use super::reader::{Context, Found, Section};
use super::report::{Outcome, shown};
use super::requests;
use super::serves::serves;
use super::size::{self, Size};

/// Settings of the file that models inherit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inherited<'a> {
    /// Seconds; 0 for never.
    pub ttl: u64,
    /// Seconds.
    pub unload_timeout: u64,
    /// Variables that every component gets.
    pub env_allow: &'a [&'a str],
    /// Where relative paths of models start.
    pub folder: &'a Path,
}

/// A model whose macros are filled in.
#[derive(Debug)]
pub(super) struct Prepared {
    pub id: String,
    pub line: usize,
    pub node: Node,
    /// The names that clients use besides the ID, each with its line.
    pub aliases: Vec<(String, usize)>,
    /// The name of its component.
    pub name: String,
    /// No component is made of it.
    pub is_left_out: bool,
}

/// A component with what other models decide.
#[derive(Debug)]
pub(super) struct Translated {
    pub table: Table,
    pub size: Size,
    /// The port that the file states.
    pub port: Option<u16>,
    /// Seconds.
    pub stop_deadline: u64,
    /// The commands of a container: its memory is not a child's.
    pub is_container: bool,
}

pub(super) fn translate(
    cx: &mut Context,
    model: &Prepared,
    inherited: &Inherited<'_>,
) -> Option<Translated> {
    let section = Section { path: vec!["models".to_owned(), model.id.clone()], node: &model.node };
    let mut table = Table::new(format!("components.{}", model.name));
    if model.id != model.name {
        table.comments.push(format!("llama-swap: {}", model.id));
    }
    let n_problems = cx.problems.len();
    let cmd = section.get("cmd").filter(|found| !found.node.is_null());
    let text = match &cmd {
        Some(cmd) => cx.text(cmd)?,
        None => String::new(),
    };
    let command::Words { words, is_open } = command::split(&text);
    if let Some(cmd) = cmd.as_ref().filter(|_| words.iter().any(|word| word.contains('\0'))) {
        cx.wrong(cmd, "has the character NUL");
        return None;
    }
    let address = match address(cx, &section, &words)? {
        Ok(address) if words.is_empty() && address.is_local() => {
            leave_out(cx, model, &section, "it has no cmd; state the program");
            return None;
        }
        Ok(address) => address,
        Err(why) => {
            leave_out(cx, model, &section, why);
            return None;
        }
    };
    describe(cx, &section, &mut table);
    names(cx, &section, model, &mut table, &words);
    let size = size::estimate(&model.id, &words, inherited.folder);
    let is_container = program::is_container(&words);
    let program = cmd.as_ref();
    let port = match address.port {
        Port::Fixed(port) if address.is_local() => Some(port),
        _ => None,
    };
    let mut stop_deadline = 0;
    if let Some(cmd) = program.filter(|_| address.is_local()) {
        let mut variables = program::environment(cx, &section);
        program::program(cx, cmd, &words, is_open, &mut variables, &mut table);
        if let Some(port) = port {
            table.set("port", port.to_string());
        }
        ready(cx, &section, &address, &mut table);
        let default = inherited.unload_timeout;
        stop_deadline = program::stop(cx, &section, default, &mut variables, &mut table);
        program::environment_keys(&variables, inherited.env_allow, &mut table);
    } else {
        elsewhere(cx, &section, program, &address, &mut table);
    }
    idle(cx, &section, inherited, &mut table);
    requests::bodies(cx, &section, &model.id, &mut table);
    requests::requests(cx, &section, &model.id, &mut table);
    (cx.problems.len() == n_problems).then_some(Translated {
        table,
        size,
        port,
        stop_deadline,
        is_container,
    })
}

fn describe(cx: &mut Context, section: &Section<'_>, table: &mut Table) {
    let (name, description) = (section.get("name"), section.get("description"));
    let mut parts = Vec::new();
    for found in [&name, &description].into_iter().flatten() {
        match cx.known_text(found) {
            Some(text) if !text.trim().is_empty() => {
                parts.push(text.trim().to_owned());
                cx.translated(found, "description");
            }
            _ => cx.not_needed(found, "it is empty"),
        }
    }
    if !parts.is_empty() {
        table.set("description", out::text(&parts.join(": ")));
    }
}

/// The names of a model, and the lists that it stands in.
fn names(
    cx: &mut Context,
    section: &Section<'_>,
    model: &Prepared,
    table: &mut Table,
    words: &[String],
) {
    let kinds = serves(cx, section, &model.id, words);
    table.set_with("serves", out::list("serves", &kinds.0), kinds.1);
    let mut aliases: Vec<String> = Vec::new();
    for name in std::iter::once(&model.id).chain(model.aliases.iter().map(|(alias, _)| alias)) {
        if *name != model.name && super::names::is_alias(name) && !aliases.contains(name) {
            aliases.push(name.clone());
        }
    }
    if !aliases.is_empty() {
        table.set("aliases", out::list("aliases", &aliases));
    }
    if let Some(found) = section.get("aliases") {
        cx.translated(&found, "aliases");
    }
    if let Some(found) = section.get("useModelName") {
        match cx.known_text(&found).filter(|name| !name.is_empty()) {
            Some(name) => {
                table.set("model_name", out::text(&name));
                cx.translated(&found, "model_name");
            }
            None => cx.not_needed(&found, "it is empty"),
        }
    }
    if let Some(found) = section.get("unlisted") {
        if cx.truth(&found) == Some(true) {
            table.set("unlisted", "true");
            cx.translated(&found, "unlisted");
        } else {
            cx.not_needed(&found, "it is the default");
        }
    }
    if let Some(found) = section.get("metadata") {
        cx.not_supported(&found, "/v1/models has no members of your own");
    }
}

/// Reports a model that has no component, and remembers why in case that there is none at all.
fn leave_out(cx: &mut Context, model: &Prepared, section: &Section<'_>, why: &str) {
    cx.report.add(Outcome::NotSupported, &section.path, model.line, format!("left out: {why}"));
    let what = format!("{}: {why}", shown(&section.path));
    cx.left_out.push(Problem::at(model.line, what));
}

/// Where the model's server listens; the reason why the model has to be left out; none after a problem.
fn address(
    cx: &mut Context,
    section: &Section<'_>,
    words: &[String],
) -> Option<Result<Address, &'static str>> {
    let has_port = words.iter().any(|word| word.contains(marks::PORT));
    let local = |port| {
        let host = "localhost".to_owned();
        Some(Ok(Address { is_tls: false, host, port, path: String::new() }))
    };
    let Some(proxy) = section.get("proxy").filter(|found| !found.node.is_null()) else {
        if words.is_empty() {
            return Some(Err("it has neither cmd nor proxy; state the program"));
        }
        // Without ${PORT}, llama-swap takes the port 5800 or refuses the file, by its version.
        return match port_option(words) {
            _ if has_port => local(Port::Free),
            Some(port) => local(Port::Fixed(port)),
            None => Some(Err(
                "its cmd has no ${PORT}, and the model no proxy, so its port is not known; add one of them",
            )),
        };
    };
    let text = cx.text(&proxy)?;
    if let Some(name) = marks::variables(&text).first() {
        cx.wrong(
            &proxy,
            format!("the environment variable {name} is not set; set it for the import"),
        );
        return None;
    }
    let address = match Address::parse(&text) {
        Ok(address) => address,
        Err(why) => {
            cx.wrong(&proxy, why);
            return None;
        }
    };
    if address.port == Port::Free && !has_port {
        return Some(Err("its proxy has ${PORT}, and its cmd has not; add it there"));
    }
    if address.is_tls {
        return Some(Err("TLS to a component is not supported; state an http:// URL"));
    }
    if !address.is_local() {
        return Some(match address.port {
            Port::Fixed(_) => Ok(address),
            Port::Free => Err(
                "its proxy has ${PORT} of another machine, where no port can be chosen; state one",
            ),
        });
    }
    if words.is_empty() {
        return Some(Ok(address));
    }
    let detail = match address.port {
        Port::Free => "{port}: a free port at each start".to_owned(),
        Port::Fixed(port) if has_port => format!("port = {port}, which ${{PORT}} in cmd is, too"),
        Port::Fixed(port) => format!("port = {port}"),
    };
    if !address.is_reached() {
        let host = &address.host;
        cx.not_supported(
            &proxy,
            format!("{detail}; the program must listen at 127.0.0.1 or ::1, not only at {host}"),
        );
    } else if address.path.is_empty() {
        cx.translated(&proxy, detail);
    } else {
        let path = &address.path;
        cx.not_supported(
            &proxy,
            format!("{detail}; requests are not sent below {path}, only the probe of readiness is"),
        );
    }
    Some(Ok(address))
}

/// The port that an option of the command states, of the program or of its container.
fn port_option(words: &[String]) -> Option<u16> {
    const NAMES: [&str; 5] = ["--port", "--listen-port", "--http-port", "-p", "--publish"];
    words.iter().enumerate().find_map(|(i, word)| {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, value),
            None => (word.as_str(), words.get(i + 1)?.as_str()),
        };
        if !NAMES.contains(&name) {
            return None;
        }
        // A container has `[IP:]PORT:INNER`.
        let port = match value.rsplit(':').nth(1) {
            Some(port) => port,
            None => value,
        };
        port.parse().ok().filter(|port| *port > 0)
    })
}
/// When the program counts as ready.
fn ready(cx: &mut Context, section: &Section<'_>, address: &Address, table: &mut Table) {
    let found = section.get("checkEndpoint").filter(|found| !found.node.is_null());
    let path = match &found {
        Some(found) => match cx.known_text(found) {
            Some(path) => path.trim().to_owned(),
            None => return,
        },
        None => "/health".to_owned(),
    };
    if path == "none" {
        table.set("ready", "\"connect\"");
        if let Some(found) = &found {
            cx.translated(found, "ready = \"connect\": as soon as the port takes a connection");
        }
        return;
    }
    let path = address.request(&path);
    if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        if let Some(found) = &found {
            cx.wrong(found, "is no path of a request; write one without spaces, such as /health");
        }
        return;
    }
    let value = format!("{{ http = {} }}", out::text(&path));
    match &found {
        Some(found) => {
            table.set("ready", value);
            cx.translated(found, "ready");
        }
        None => table.set("ready", value),
    }
}

/// A server that another machine runs.
fn elsewhere(
    cx: &mut Context,
    section: &Section<'_>,
    cmd: Option<&Found<'_>>,
    address: &Address,
    table: &mut Table,
) {
    let proxy = section.get("proxy");
    let Port::Fixed(port) = address.port else { return };
    let check = section.get("checkEndpoint").filter(|found| !found.node.is_null());
    let path = check.as_ref().map_or(Some("/health".to_owned()), |found| cx.known_text(found));
    let probe = match path.as_deref().map(str::trim) {
        Some("none") | None => "{ connect = true }".to_owned(),
        Some(path) => format!("{{ http = {} }}", out::text(&address.request(path))),
    };
    let url = out::text(&format!("http://{}:{port}", address.host));
    table.set_with(
        "external",
        format!("{{ url = {url}, probe = {probe} }}"),
        "not started by the manager: it runs on another machine",
    );
    if let Some(found) = &proxy {
        cx.translated(found, "external: the server is probed, and neither started nor stopped");
    }
    if let Some(found) = &check {
        cx.translated(found, "probe of external");
    }
    if let Some(cmd) = cmd {
        cx.not_supported(cmd, "its server is on another machine, so no program is started");
    }
    for key in ["cmdStop", "unloadTimeout", "env"] {
        if let Some(found) = section.get(key) {
            cx.not_supported(&found, "no program is started");
        }
    }
}

fn idle(cx: &mut Context, section: &Section<'_>, inherited: &Inherited<'_>, table: &mut Table) {
    let found = section.get("ttl").filter(|found| !found.node.is_null());
    let own = found.as_ref().and_then(|found| Some((found, cx.integer(found)?)));
    let seconds = match own {
        None | Some((_, -1)) => inherited.ttl,
        Some((found, seconds)) => match cx.duration(found, seconds) {
            Some(seconds) => seconds,
            None => return,
        },
    };
    if let Some((found, own)) = own {
        match (own, seconds) {
            (-1, _) => cx.not_needed(found, "-1 is the value of globalTTL"),
            (_, 0) => cx.not_needed(
                found,
                "without idle_timeout a component is unloaded only when its memory is needed",
            ),
            _ => cx.translated(found, "idle_timeout"),
        }
    }
    if seconds > 0 {
        table.set("idle_timeout", out::seconds(seconds));
    }
}
