//! The reference of the configuration for people, in Markdown; made from the table of keys.

use std::fmt::Write;

use majordomo_core::{Config, Domain, Setting};

use super::keys::component::COMPONENT;
use super::keys::gateway::{GATEWAY, SELECTOR, TOKEN};
use super::keys::legacy::{LEGACY, LEGACY_ENTRY};
use super::keys::pool::POOL;
use super::keys::requests::{EXTERNAL, PROBE, STEP, STOP, TRIM, WARM_UP};
use super::keys::{Key, Kind, Target};
use super::settings_of;

/// A configuration that shows most keys.
const EXAMPLE: &str = include_str!("example.toml");

/// The text of `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut out = format!("{INTRODUCTION}\n```toml\n{EXAMPLE}```\n");
    settings(&mut out, "manager", MANAGER);
    settings(&mut out, "intents", INTENTS);
    settings(&mut out, "server", SERVER);
    section(&mut out, "`[gateway]`", GATEWAY_INTRODUCTION, GATEWAY);
    section(&mut out, "`[gateway.tokens.NAME]`", TOKENS, TOKEN);
    section(&mut out, "`[gateway.selectors.NAME]`", SELECTORS, SELECTOR);
    section(&mut out, "`[pools.NAME]`", POOLS, POOL);
    out += INHERITANCE;
    section(&mut out, "`[components.NAME]`", COMPONENTS, COMPONENT);
    out += MEMORY;
    out += PLACE_HOLDERS;
    section(&mut out, "`warm_up`", WARMING_UP, WARM_UP);
    section(&mut out, "`probe`", "Either `http` or `connect`.", PROBE);
    section(&mut out, "`trim`", TRIMMING, TRIM);
    section(&mut out, "`sleep` and `wake`", SLEEPING, STEP);
    section(&mut out, "`stop`", STOPPING, STOP);
    out += LINES;
    section(&mut out, "`external`", SERVICES, EXTERNAL);
    section(&mut out, "`[legacy]`", LEGACY_INTRODUCTION, LEGACY);
    section(&mut out, "The predecessor's JSON", JSON, LEGACY_ENTRY);
    out
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from the declarations of settings and the tables of keys; a test compares them. After a change:
MAJORDOMO_BLESS=1 cargo test -p majordomo-registry reference -->

A configuration is a TOML file. `majordomo check CONFIG` reports every problem at once,
with line, column and a solution; `majordomo schema` prints a JSON schema for editors.

- Names of components and pools: `[a-z0-9][a-z0-9_-]{0,63}`.
- Sizes: a number and a unit, `\"300MiB\"`, `\"1.5GiB\"` (2^20 and 2^30 bytes; `MB` and `GB` are decimal); within 4 KiB and 16 TiB.
- Durations: whole numbers with units, `\"80ms\"`, `\"5s\"`, `\"2min\"`, `\"1h 30m\"`; at most 30 days.
- Priorities: `CORE`, `HIGH`, `MEDIUM`, `LOW`. Levels of pressure: `LOW`, `MEDIUM`, `HIGH`, `CRITICAL`, `EMERGENCY`.
- Paths (`cwd`, `socket`, a `command` with `/` in its program, the `[legacy]` file) are relative to the folder of the
  configuration file, wherever the manager was started. Programs run in that folder too, unless `cwd` names another, so that
  the relative paths among their arguments and in their environment start there as well.
- A file that another user owns, may write to or may replace (through a folder) is refused, because it names the programs to run:
  see [operating.md](operating.md#files-and-who-may-touch-them).
";
const MANAGER: &str = "Settings of the manager. The last column is the field of `majordomo::Config`, which is also the \
    name in the answer of a reload.";
const INTENTS: &str = "From a command's text to the components that it needs: by keywords, and by models that learn \
    from the components that commands really used.";
const SERVER: &str =
    "The socket API of `majordomo serve`: its limits, and the leases that other processes hold.";
const GATEWAY_INTRODUCTION: &str = "The data plane: clients of components connect here as they would to the component itself, and a request \
    loads the component ([gateway.md](gateway.md)). Without this section nothing listens. A reload takes over everything but `listen`.";
const TOKENS: &str = "A token opens components to its holder; it never opens the socket API, whose tokens open no component here.";
const SELECTORS: &str = "A name for several components. It may be any text of 1 to 256 visible characters that no component and no alias has.";
const POOLS: &str = "A pool bounds the memory of its components. `vision`, `audio`, `ml` and `general` exist without \
    being declared, and without a budget.";
const INHERITANCE: &str = "
## `[defaults]` and `[templates.NAME]`

Both have the keys of a component, so that alike components take a line or two each. `[defaults]` applies to every component of
this file, a template to the components (and the templates) that name it with `template = \"NAME\"`.

```toml
[defaults]
priority = \"LOW\"
ready = { http = \"/ready\" }

[defaults.env]
PATH = \"{config_dir}/venv/bin:/usr/local/bin:/usr/bin:/bin\"
OMP_NUM_THREADS = \"2\"

[templates.python]
command = [\"venv/bin/python\", \"{name}.py\", \"{port}\"]
probe = { http = \"/health\", every = \"10s\" }

[templates.model]
template = \"python\"
memory = \"300MiB\"
load_time = \"2s\"

[components.embed]
template = \"model\"

[components.listen]
template = \"model\"
memory = \"500MiB\"
env = { OMP_NUM_THREADS = \"4\" }

[components.faces]
template = \"python\"
probe = false
env = { OMP_NUM_THREADS = false }
```

- **Precedence**: the component's own keys, then those of its template, then those of the template that this one uses, and so
  on, then `[defaults]`. `majordomo check --resolved CONFIG` prints each component with all its keys and the table and line of each.
- **Lists are replaced**, not joined: `keywords = [\"a\"]` in a component drops the inherited keywords.
- **`env`, `probe`, `memory` and `asleep` are merged key by key**: the nearer value wins, the other keys stay (with `connect`, an inherited
  `http` of `probe` is dropped, and the reverse; a plain size of `memory` or `asleep` replaces all of it). Every other table is replaced.
- **`false` removes an inherited value**, `env = { NAME = false }` an inherited variable: the key then has its default. (Keys that are themselves true or false are set by it.)
- **`{name}`** is the component's name, in every text of a component: `command`, `env`, `cwd`, `socket`, `ready`, `keywords`, ...
  It is filled in when the file is read. `{{` and `}}` stand for braces in `command` and `env`; in other
  texts they stay as they are, so `{{name}}` is not filled in there, and keeps both braces.
- `[defaults]` has none of `template`, `port`, `listen` and `aliases`. Its keys for one kind of loader, such as `env`, do not apply to components of
  another kind.
- A reload that changes a template or a default changes every component that inherits the value. The components of a
  `[legacy]` file inherit nothing.
";
const COMPONENTS: &str = "The loader follows from the keys that only one kind has (`command` and others: a process; `module`: \
    Python; `factory`: a Rust factory; `model`: Core ML); otherwise write `loader`.";
const MEMORY: &str = "
### `memory` in several pools

A component that needs main memory and memory of a graphics card states both:

```toml
[pools.gpu]
budget = \"8GiB\"
accounting = \"declared\"

[components.chat]
command = [\"llm-runner\", \"{port}\"]
memory = { ram = \"300MiB\", gpu = \"1.5GiB\" }
```

`ram` is what a plain size is: the component's bytes in its `pool`, measured while it runs, by default 100 MiB. Every other key is
a pool with `accounting = \"declared\"`, whose bytes are not measured: they are booked as declared from before the load until the
component is down. The component is loaded when it fits in every one of these budgets, and only components that hold
what is missing are evicted for it.
";
const PLACE_HOLDERS: &str = "
### Place-holders of `command` and `env`

| place-holder | value |
|---|---|
| `{port}` | the program's own port on 127.0.0.1 or ::1: `port`, or a free one |
| `{socket}` | the path of the program's own Unix socket: `socket`, or one in the state directory |
| `{state_dir}` | a directory of the component's own in the state directory |
| `{name}` | the component's name |
| `{config_dir}` | the folder of the configuration file, absolute |
| `{NAME.port}`, `{NAME.socket}` | the same of the component `NAME`, a direct or indirect dependency |
| `{NAME.url}` | the URL of that dependency: `http://127.0.0.1:PORT` (or `http://[::1]:PORT`), or `unix:PATH` without a port |
| `{{`, `}}` | braces |

They are filled in at each start. A program also finds the URL of each dependency that has a port or a socket in the variable
`MAJORDOMO_NAME_URL`, with the name in capitals and `_` for `-`, unless `env` sets that variable.
";
const TRIMMING: &str = "Either `http` or `signal`. A program is asked to trim at memory pressure, above its `memory_limit`, and by \
    `majordomo trim`; a failed request is recorded as an event and in the component's log.";
const SLEEPING: &str = "One of `command`, `http` and `signal`, and `timeout`. A component that sleeps keeps its process, its address and the connections \
    of its clients, and holds as much memory as `asleep` states. It is put to sleep when memory is needed, where that loses less than its unload, and woken by the next demand. \
    A request that fails ends the component instead; after two failures it is not put to sleep again until its configuration changes. \
    See [write-a-component.md](write-a-component.md#sleep).";
const WARMING_UP: &str = "Either `http`, with or without `body`, or `call`. The request is sent once `ready` holds, and the component is ready when the whole answer \
    has been read (at most 64 MiB of it). A program that takes no connection yet is asked again. Another answer, an error or none within `timeout` fails the load. \
    The time of the request is a part of the load time, and a stage of `majordomo why --load NAME`. A wake sends no such request.";
const STOPPING: &str = "One of `command`, `http` and `signal`, for a program that loses data at TERM. The program has half of `stop_deadline` to end \
    after it; then, or at once when the request fails, TERM follows, and KILL at the end of `stop_deadline`. The output of `command`, and \
    a failure, are in the component's log. A load that is cancelled is stopped by TERM.";
const SERVICES: &str = "A service that runs elsewhere, such as a model server on another machine. A load sends `wake` and then probes until the \
    service answers, within `load_deadline`; an unload, and the shutdown of the manager, send `sleep`. A `sleep` that fails is logged, and the \
    component is unloaded all the same. Clients and dependents get `url` (`{NAME.url}`). `memory` is what the service takes of a pool \
    or of this machine, by default nothing. TLS is not supported.";
const LINES: &str = "
## `protocol = \"stdio\"`

For a program that is no server. The manager writes a request as one line to its standard input: `{\"id\":7,\"text\":\"...\"}` or
`{\"id\":7,\"object\":{...}}`. The program answers with one line on its standard output: `{\"id\":7,\"answer\":...}` with any JSON, or
`{\"id\":7,\"error\":\"message\"}`; it flushes each line. Before that it writes `{\"ready\":true}`, once it is able to answer, unless `ready` states
another condition. All other lines of standard output, and all of standard error, go to its log. At the end of its standard input
it ends; TERM follows after half of `stop_deadline`. Calls come by `majordomo call`, `POST /v1/components/NAME/call` and a
lease ([api.md](api.md#calls), [ADR 0029](adr/0029-programs-that-are-no-servers.md)).

```toml
[components.sentiment]
command = [\"venv/bin/python\", \"sentiment.py\"]
protocol = \"stdio\"
```
";
const LEGACY_INTRODUCTION: &str = "Adds the predecessor's components to those of this file.";
const JSON: &str =
    "A flat object of entries by name; a file whose name ends in `.json` is read in this format.";

fn settings(out: &mut String, table: &str, introduction: &str) {
    let _ = write!(
        out,
        "\n## `[{table}]`\n\n{introduction}\n\n| key | value | default | meaning | field |\n|---|---|---|---|---|\n"
    );
    let defaults = Config::default();
    for setting in settings_of(table) {
        let default = defaults.get(setting).to_toml();
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | `{}` |",
            setting.key,
            allowed(setting),
            default.map_or("none".into(), |default| code(&default)),
            super::description(setting),
            setting.path,
        );
    }
}

/// The allowed values of a setting.
fn allowed(setting: &Setting) -> String {
    let range = setting.domain.range().replace(" and ", " to ");
    let mut text = match &setting.domain {
        Domain::Bool => "`true`, `false`".into(),
        Domain::Word(words) => one_of(words),
        Domain::Size { .. } => "size".into(),
        Domain::Budget { .. } => format!("size, or share {range}"),
        Domain::Duration { .. } => format!("duration {range}"),
        Domain::Count { .. } => format!("integer {range}"),
        Domain::Number { .. } => format!("number {range}"),
        other => unreachable!("no words for {other:?}"),
    };
    if !setting.unit.is_empty() {
        let _ = write!(text, " {}", setting.unit);
    }
    let bound = setting.at_most.and_then(|name| {
        Config::settings().find(|other| (other.section, other.name) == (setting.section, name))
    });
    if let Some(bound) = bound {
        let _ = write!(text, ", at most `{}`", bound.key);
    }
    text
}

fn one_of(words: &[&str]) -> String {
    words.iter().map(|w| format!("`\"{w}\"`")).collect::<Vec<_>>().join(", ")
}

fn section<T: Target>(out: &mut String, title: &str, introduction: &str, keys: &[Key<T>]) {
    let _ = write!(
        out,
        "\n## {title}\n\n{introduction}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
    );
    for key in keys {
        let default = if key.default.is_empty() { "none".into() } else { code(key.default) };
        let _ = writeln!(out, "| `{}` | {} | {default} | {} |", key.name, kind(&key.kind), key.doc);
    }
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn kind<T: Target>(kind: &Kind<T>) -> String {
    match kind {
        Kind::Bool(_) => "`true`, `false`".into(),
        Kind::Word(words, _) => one_of(words),
        Kind::Words(words, _) => format!("list of {}", one_of(words)),
        Kind::Text(_) | Kind::Name(_) => "text".into(),
        Kind::Size(..) => "size".into(),
        Kind::Memory(..) => "size, or table of sizes by pool".into(),
        Kind::Duration(min, ..) if min.is_zero() => "duration".into(),
        Kind::Duration(min, ..) => format!("duration from {min:?}"),
        Kind::Count(min, max, ..) => format!("integer {min} to {max}"),
        Kind::Counts(min, max, _) => format!("list of integers {min} to {max}"),
        Kind::Number(min, max, _) => format!("number {min} to {max}"),
        Kind::Names(_) => "list of component names".into(),
        Kind::Phrases(_) => "list of words and phrases".into(),
        Kind::Texts(_) => "list of texts".into(),
        Kind::TextMap(_) => "table of texts".into(),
        Kind::Params(_) => "table of values".into(),
        Kind::Listen(_) => "list of addresses".into(),
        Kind::Addresses(_) => "list of IP addresses".into(),
        Kind::Tokens(_) | Kind::Selectors(_) => "tables by name".into(),
        Kind::Ready(_) => "word or table".into(),
        Kind::Probe(_)
        | Kind::Trim(_)
        | Kind::Step(_)
        | Kind::WarmUp(_)
        | Kind::Stop(_)
        | Kind::External(_) => "table".into(),
    }
}
