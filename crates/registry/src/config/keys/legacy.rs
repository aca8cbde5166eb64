//! Rows of `[legacy]`, and of an entry of the predecessor's JSON file.

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, Priority};

use super::{Key, Kind, Target, key};

/// What `[legacy]` says.
#[derive(Debug, Default)]
pub(crate) struct LegacyDraft {
    pub(crate) file: Option<String>,
    pub(crate) command: Option<Vec<String>>,
}

impl Target for LegacyDraft {
    type Spec = ();
}

/// `[legacy]`.
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
        "Runs every entry of that file as a process: program and arguments with `{name}`, `{import_path}` and `{import_function}` filled in from the entry, and the place-holders of a component's `command`. Without it entries are Python functions.",
        Kind::Texts(|l, v| l.command = Some(v))
    ),
];

/// What one entry of the predecessor's file says.
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
        "How much the component matters. Required.",
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
        "Words and phrases in a command that mean this component is needed.",
        Kind::Phrases(|e, v| e.keywords = v)
    ),
    key!(
        "dependencies",
        "[]",
        "Components that must be ready before and while it is.",
        Kind::Names(|e, v| e.dependencies = v)
    ),
    key!(
        "conflicts",
        "[]",
        "Components it must not run beside, whichever side says so.",
        Kind::Names(|e, v| e.conflicts = v)
    ),
    key!(
        "preload_triggers",
        "[]",
        "Words and phrases after which it is likely to be needed.",
        Kind::Phrases(|e, v| e.preload_triggers = v)
    ),
    key!(
        "arm64_optimized",
        "false",
        "Accepted and without effect, as it was.",
        Kind::Bool(|_, _| ())
    ),
    key!(
        "lazy_init",
        "true",
        "Load on first demand; false loads it at start if it fits.",
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
        "The import function; without it `import_` and the component's name.",
        Kind::Text(|e, v| e.import_function = Some(v))
    ),
    key!("description", "\"\"", "What it is, for people.", Kind::Text(|e, v| e.description = v)),
];
