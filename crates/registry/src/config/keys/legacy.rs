//! Rows of `[legacy]`, and of an entry of the predecessor's JSON file.

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, Priority};

use super::{Key, Kind, Target, key};

/// The content of `[legacy]`.
#[derive(Debug, Default)]
pub(crate) struct LegacyDraft {
    pub(crate) file: Option<String>,
    pub(crate) command: Option<Vec<String>>,
}

impl Target for LegacyDraft {
    type Spec = ();
}

pub(crate) const LEGACY: &[Key<LegacyDraft>] = &[
    key!(
        "file",
        "",
        "The predecessor's `components.json`, relative to this file's folder. Required.",
        Kind::Text(|l, v| l.file = Some(v))
    ),
    key!(
        "command",
        "",
        "Runs every entry of that file as a process: program and arguments with `{name}`, `{import_path}` and `{import_function}` filled in from the entry, and the place-holders of a component's `command`. Without it, entries are Python functions.",
        Kind::Texts(|l, v| l.command = Some(v))
    ),
];

/// An entry of the predecessor's file.
#[derive(Debug, Default)]
pub(crate) struct LegacyEntry {
    pub(crate) priority: Option<Priority>,
    pub(crate) memory: Option<ByteSize>,
    pub(crate) load_time: Option<Duration>,
    pub(crate) keywords: Vec<String>,
    pub(crate) dependencies: Vec<ComponentId>,
    pub(crate) conflicts: Vec<ComponentId>,
    pub(crate) preload_triggers: Vec<String>,
    pub(crate) lazy_init: Option<bool>,
    pub(crate) import_path: Option<String>,
    pub(crate) import_function: Option<String>,
    pub(crate) description: String,
}

impl Target for LegacyEntry {
    type Spec = ();
}

/// 16 TiB in MiB.
const LARGEST_MIB: f64 = (16u64 << 20) as f64;
/// A day in milliseconds.
const DAY_MS: f64 = 86_400_000.0;

/// An entry of the predecessor's JSON.
pub(crate) const LEGACY_ENTRY: &[Key<LegacyEntry>] = &[
    key!(
        "priority",
        "",
        "The importance of the component. Required.",
        Kind::Word(Priority::WORDS, |e, i| e.priority = Some(Priority::ALL[i]))
    ),
    key!(
        "estimated_memory_mb",
        "100",
        "Expected memory in MiB.",
        Kind::Number(0.004, LARGEST_MIB, |e, v| e.memory = Some(ByteSize::mib(1).scaled(v)))
    ),
    key!(
        "estimated_load_time_ms",
        "100",
        "Expected load time in milliseconds.",
        Kind::Number(0.0, DAY_MS, |e, v| e.load_time = Some(Duration::from_secs_f64(v / 1000.0)))
    ),
    key!(
        "intent_keywords",
        "[]",
        "Words and phrases in a command that mean that the component is needed.",
        Kind::Phrases(|e, v| e.keywords = v)
    ),
    key!(
        "dependencies",
        "[]",
        "Components that must be ready before this one, and as long as it is ready.",
        Kind::Names(|e, v| e.dependencies = v)
    ),
    key!(
        "conflicts",
        "[]",
        "Components that must not run at the same time as this one; either side may state it.",
        Kind::Names(|e, v| e.conflicts = v)
    ),
    key!(
        "preload_triggers",
        "[]",
        "Words and phrases in a command after which the component is likely to be needed.",
        Kind::Phrases(|e, v| e.preload_triggers = v)
    ),
    key!(
        "arm64_optimized",
        "false",
        "Accepted, without effect, as in the predecessor.",
        Kind::Bool(|_, _| ())
    ),
    key!(
        "lazy_init",
        "true",
        "Load on the first demand; false loads the component at start if it fits.",
        Kind::Bool(|e, v| e.lazy_init = Some(v))
    ),
    key!(
        "import_path",
        "\"main\"",
        "The Python module of the import function.",
        Kind::Text(|e, v| e.import_path = Some(v))
    ),
    key!(
        "import_function",
        "",
        "The import function; without it, `import_` and the component's name.",
        Kind::Text(|e, v| e.import_function = Some(v))
    ),
    key!("description", "\"\"", "A description for people.", Kind::Text(|e, v| e.description = v)),
];
