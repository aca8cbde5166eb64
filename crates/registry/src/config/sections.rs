//! The sections of both formats: from a tree to settings, pools and specifications.
//!
//! Owns what the keys of one table mean together. Does not know other components; that is `check`.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use majordomo_core::{ComponentId, Config, quoted};

use super::fill::{component_id, fill, mismatch, suggest};
use super::keys::component::{COMPONENT, ComponentDraft, LOADER_KEYS};
use super::keys::intents::INTENTS;
use super::keys::legacy::{LEGACY, LEGACY_ENTRY, LegacyDraft, LegacyEntry};
use super::keys::manager::MANAGER;
use super::keys::pool::POOL;
use super::keys::server::SERVER;
use super::node::{Member, Node, Value};
use super::source::{Report, shorten};
use crate::{ComponentSpec, LoaderSpec, PoolSpec, WELL_KNOWN_POOLS};

mod process;

/// The sections of the TOML file.
pub(crate) const SECTIONS: [&str; 6] =
    ["manager", "intents", "server", "pools", "components", "legacy"];

/// What was read so far.
#[derive(Debug, Default)]
pub(crate) struct Draft<'n> {
    pub(crate) config: Config,
    /// Where `[manager]` states the budget.
    pub(crate) budget_span: Option<Range<usize>>,
    pub(crate) pools: Vec<PoolSpec>,
    pub(crate) components: Vec<Declared<'n>>,
}

/// A component and where it stands.
#[derive(Debug)]
pub(crate) struct Declared<'n> {
    pub(crate) spec: Arc<ComponentSpec>,
    /// The file, by position among the reports.
    pub(crate) file: usize,
    /// It stands in the predecessor's file.
    pub(crate) legacy: bool,
    pub(crate) name_span: &'n Range<usize>,
    pub(crate) node: &'n Node<'n>,
}

/// How entries of a legacy file become components.
#[derive(Debug, Default)]
pub(crate) struct LegacyMapping {
    pub(crate) file: PathBuf,
    pub(crate) command: Option<Vec<String>>,
}

/// Reads the sections of a TOML file; hands back the legacy file to read next, if one is named.
pub(crate) fn read_toml<'n>(
    report: &mut Report<'_>,
    root: &'n Node<'n>,
    draft: &mut Draft<'n>,
) -> Option<LegacyMapping> {
    for member in root.members().iter().filter(|m| !SECTIONS.contains(&&*m.key)) {
        let message = format!("unknown section {}", quoted(&shorten(&member.key)));
        let help = suggest(&member.key, SECTIONS)
            .unwrap_or_else(|| format!("sections are {}", SECTIONS.join(", ")));
        report.error("unknown-key", &member.key_span, message, Some(help));
    }
    if let Some(section) = root.get("manager") {
        manager(report, &section.node, draft);
    }
    if let Some(section) = root.get("intents") {
        fill(report, &"[intents]", &section.node, INTENTS, &mut draft.config);
    }
    if let Some(section) = root.get("server") {
        fill(report, &"[server]", &section.node, SERVER, &mut draft.config.server);
    }
    if let Some(section) = root.get("pools") {
        for member in table(report, "[pools]", &section.node) {
            draft.pools.extend(pool(report, member));
        }
    }
    if let Some(section) = root.get("components") {
        let members = table(report, "[components]", &section.node);
        draft.components.reserve(members.len());
        for member in members {
            if let Some(spec) = component(report, member, &draft.pools) {
                let (spec, name_span) = (Arc::new(spec), &member.key_span);
                draft.components.push(Declared {
                    spec,
                    file: 0,
                    legacy: false,
                    name_span,
                    node: &member.node,
                });
            }
        }
    }
    root.get("legacy").and_then(|section| legacy(report, section))
}

fn table<'n>(report: &mut Report<'_>, place: &str, node: &'n Node<'n>) -> &'n [Member<'n>] {
    if !matches!(node.value, Value::Table(_)) {
        let help = (place == "[components]").then(|| "write [components.NAME] for each".to_owned());
        mismatch(report, &place, node, "a table", help);
    }
    node.members()
}

fn folder_of(file: &str) -> PathBuf {
    Path::new(file).parent().map(Path::to_path_buf).unwrap_or_default()
}

fn manager(report: &mut Report<'_>, node: &Node<'_>, draft: &mut Draft<'_>) {
    fill(report, &"[manager]", node, MANAGER, &mut draft.config);
    draft.budget_span = node.get("budget").map(|m| m.node.span.clone());
    let span_of = |keys: [&str; 2]| {
        keys.into_iter().find_map(|k| node.get(k)).map_or(&node.span, |m| &m.node.span)
    };
    let loads = &draft.config.loads;
    if loads.kept_for_demands > loads.max_concurrent {
        let span = span_of(["loads_kept_for_demands", "max_concurrent_loads"]);
        let message = format!(
            "loads_kept_for_demands is {}, more than max_concurrent_loads, which is {}",
            loads.kept_for_demands, loads.max_concurrent
        );
        report.error("out-of-range", span, message, None);
    }
    let back_off = &draft.config.back_off;
    if back_off.base > back_off.max {
        let span = span_of(["back_off", "back_off_max"]);
        let message = format!(
            "back_off is {:?}, more than back_off_max, which is {:?}",
            back_off.base, back_off.max
        );
        report.error("out-of-range", span, message, None);
    }
}

fn pool(report: &mut Report<'_>, member: &Member<'_>) -> Option<PoolSpec> {
    // Pools follow the rules of component names.
    let name = component_id(report, &member.key, &member.key_span);
    let name = name.as_ref().map_or("", ComponentId::as_str);
    let mut pool = PoolSpec { name: Arc::from(name), budget: None, declared: false };
    fill(report, &format_args!("[pools.{}]", member.key), &member.node, POOL, &mut pool);
    if pool.declared && pool.budget.is_none() {
        let message = format!("pool {} has accounting = \"declared\" and no budget", quoted(name));
        let help = "without a budget nothing bounds it; state one".to_owned();
        report.error("missing-key", &member.key_span, message, Some(help));
    }
    (!name.is_empty()).then_some(pool)
}

/// A component with an error in it is made all the same, so that references to it do not dangle.
fn component(
    report: &mut Report<'_>,
    member: &Member<'_>,
    pools: &[PoolSpec],
) -> Option<ComponentSpec> {
    let id = component_id(report, &member.key, &member.key_span);
    let nameless = id.is_none();
    let id = id.or_else(|| ComponentId::new("nameless").ok())?;
    let mut draft = ComponentDraft::new(id);
    let place = format_args!("[components.{}]", member.key);
    fill(report, &place, &member.node, COMPONENT, &mut draft);
    if let Some(wanted) = draft.pool.take() {
        match pools.iter().find(|p| *p.name == *wanted) {
            Some(pool) => draft.spec.pool = pool.name.clone(),
            None if WELL_KNOWN_POOLS.contains(&&*wanted) => draft.spec.pool = Arc::from(wanted),
            None => {
                let known = pools.iter().map(|p| &*p.name).chain(WELL_KNOWN_POOLS);
                let help = suggest(&wanted, known)
                    .unwrap_or_else(|| format!("declare it: [pools.{}]", shorten(&wanted)));
                let span = member.node.get("pool").map_or(&member.key_span, |m| &m.node.span);
                let message = format!("there is no pool {}", quoted(&shorten(&wanted)));
                report.error("unknown-pool", span, message, Some(help));
            }
        }
    }
    draft.spec.loader = loader(report, member, &mut draft)?;
    (!nameless).then_some(draft.spec)
}

/// The kind of loader: stated, or told by the first key that only one kind has.
fn loader(
    report: &mut Report<'_>,
    member: &Member<'_>,
    draft: &mut ComponentDraft,
) -> Option<LoaderSpec> {
    let has = |key: &&str| member.node.get(key).is_some();
    let told = || LOADER_KEYS.iter().find(|(_, keys)| keys.iter().any(has));
    let Some(kind) = draft.loader.or_else(|| told().map(|(kind, _)| *kind)) else {
        // A `loader` that is there was wrong and reported; a value that is no table too.
        if !has(&"loader") && matches!(member.node.value, Value::Table(_)) {
            let message = format!("component {} has no loader", quoted(&shorten(&member.key)));
            let help = "write command = [\"program\", \"argument\"], or loader = \"builtin\"";
            report.error("missing-key", &member.key_span, message, Some(help.to_owned()));
        }
        return Some(draft.spec.loader.clone());
    };
    for (other, keys) in LOADER_KEYS.iter().filter(|(other, _)| *other != kind) {
        for stray in keys.iter().filter_map(|k| member.node.get(k)) {
            let message =
                format!("{} belongs to loader = \"{other}\", not to \"{kind}\"", stray.key);
            let help = Some("take it out, or change the loader".to_owned());
            report.error("foreign-key", &stray.key_span, message, help);
        }
    }
    let name = draft.spec.id.as_str();
    Some(match kind {
        "process" => LoaderSpec::Process(process::finish(report, member, draft)),
        "python" => {
            if !has(&"module") {
                let message =
                    format!("component {} has no module for its Python function", quoted(name));
                let help = Some("write module = \"main\"".to_owned());
                report.error("missing-key", &member.key_span, message, help);
            }
            let function = draft.function.take().unwrap_or_else(|| format!("import_{name}"));
            LoaderSpec::Python { module: draft.module.take().unwrap_or_default(), function }
        }
        _ => {
            LoaderSpec::Builtin { factory: draft.factory.take().unwrap_or_else(|| name.to_owned()) }
        }
    })
}

fn legacy(report: &mut Report<'_>, section: &Member<'_>) -> Option<LegacyMapping> {
    let mut draft = LegacyDraft::default();
    fill(report, &"[legacy]", &section.node, LEGACY, &mut draft);
    if let (Some(command), Some(member)) = (&draft.command, section.node.get("command")) {
        process::check_template(report, member, command);
    }
    let Some(file) = draft.file else {
        if section.node.get("file").is_none() {
            let help = Some("write file = \"components.json\"".to_owned());
            let message = "[legacy] names no file".to_owned();
            report.error("missing-key", &section.key_span, message, help);
        }
        return None;
    };
    let file = folder_of(&report.source.name).join(file);
    Some(LegacyMapping { file, command: draft.command })
}

/// Reads the predecessor's flat map of entries.
pub(crate) fn read_legacy<'n>(
    report: &mut Report<'_>,
    file: usize,
    root: &'n Node<'n>,
    mapping: &LegacyMapping,
    draft: &mut Draft<'n>,
) {
    let Value::Table(members) = &root.value else {
        return mismatch(report, &"the file", root, "an object of components by name", None);
    };
    let mut seen: HashMap<ComponentId, usize> =
        draft.components.iter().map(|c| (c.spec.id.clone(), c.file)).collect();
    for member in members {
        let id = component_id(report, &member.key, &member.key_span);
        let mut entry = LegacyEntry::default();
        let place = format!("component {}", quoted(&member.key));
        let before = report.problems.len();
        fill(report, &place, &member.node, LEGACY_ENTRY, &mut entry);
        if entry.priority.is_none()
            && member.node.get("priority").is_none()
            && matches!(member.node.value, Value::Table(_))
        {
            let message = format!("component {} has no priority", quoted(&shorten(&member.key)));
            let help = Some("write \"priority\": \"MEDIUM\"".to_owned());
            report.error("missing-key", &member.key_span, message, help);
        }
        let Some(id) = id else { continue };
        if let Some(first) = seen.insert(id.clone(), file) {
            let place = if first == file { "this file" } else { "the TOML file too" };
            let message = format!("component \"{id}\" stands twice: in {place}");
            let help = Some("keep one of them".to_owned());
            report.error("duplicate", &member.key_span, message, help);
            continue;
        }
        let sound = report.problems.len() == before;
        let spec = Arc::new(from_legacy(report, id, entry, mapping, sound.then_some(member)));
        draft.components.push(Declared {
            spec,
            file,
            legacy: true,
            name_span: &member.key_span,
            node: &member.node,
        });
    }
}

fn from_legacy(
    report: &mut Report<'_>,
    id: ComponentId,
    entry: LegacyEntry,
    mapping: &LegacyMapping,
    sound: Option<&Member<'_>>,
) -> ComponentSpec {
    let module = entry.import_path.unwrap_or_else(|| "main".to_owned());
    let function = entry.import_function.unwrap_or_else(|| format!("import_{id}"));
    if let Some(member) = sound
        && [&module, &function].iter().any(|t| t.trim().is_empty())
    {
        let message = format!("component \"{id}\" has an empty import path or function");
        let help = Some("name it, or leave the key out".to_owned());
        report.error("bad-value", &member.key_span, message, help);
    }
    let loader = match &mapping.command {
        Some(template) => process::from_template(template, id.as_str(), &module, &function),
        None => LoaderSpec::Python { module, function },
    };
    let mut spec = ComponentSpec::new(id, loader);
    spec.description = entry.description;
    spec.priority = entry.priority.unwrap_or(spec.priority);
    spec.memory = entry.memory.unwrap_or(spec.memory);
    spec.load_time = entry.load_time.unwrap_or(spec.load_time);
    spec.keywords = entry.keywords;
    spec.dependencies = entry.dependencies;
    spec.conflicts = entry.conflicts;
    spec.preload_triggers = entry.preload_triggers;
    spec.lazy_init = entry.lazy_init.unwrap_or(spec.lazy_init);
    spec
}
