//! The sections of both formats: from a tree to settings, pools and specifications.
//!
//! Owns the rules among the keys of one table. Rules among components are in `check`.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use majordomo_core::{ComponentId, Config, quoted};

use super::fill::{component_id, fill, mismatch, suggest};
use super::inherit::{Keys, Layers};
use super::keys::component::{COMPONENT, ComponentDraft, LOADER_KEYS, is_shared};
use super::keys::gateway::GATEWAY;
use super::keys::legacy::{LEGACY, LEGACY_ENTRY, LegacyDraft, LegacyEntry};
use super::keys::pool::POOL;
use super::node::{Member, Node, Value};
use super::settings_of;
use super::source::{Report, shorten};
use crate::rules::{self, Breach, Place};
use crate::{ComponentSpec, GatewaySpec, LoaderSpec, PoolSpec, RouteSpec};

mod external;
mod process;
mod protocol;

/// The sections of the TOML file.
pub(crate) const SECTIONS: [&str; 9] = [
    "manager",
    "intents",
    "server",
    "gateway",
    "pools",
    "defaults",
    "templates",
    "components",
    "legacy",
];

/// The tables that hold settings of the manager.
const SETTINGS: [&str; 3] = ["manager", "intents", "server"];

/// The result of reading so far.
#[derive(Debug, Default)]
pub(crate) struct Draft<'n> {
    pub(crate) config: Config,
    /// Whether the budget is stated, and not the default.
    pub(crate) is_budget_stated: bool,
    /// The place of the stated budget in the file.
    pub(crate) budget_span: Option<Range<usize>>,
    pub(crate) pools: Vec<PoolSpec>,
    pub(crate) gateway: Option<DeclaredGateway<'n>>,
    pub(crate) layers: Layers<'n>,
    pub(crate) components: Vec<Declared<'n>>,
}

/// The gateway and where it stands.
#[derive(Debug)]
pub(crate) struct DeclaredGateway<'n> {
    pub(crate) spec: Arc<GatewaySpec>,
    pub(crate) member: &'n Member<'n>,
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
    /// Its keys, with the inherited ones.
    pub(crate) keys: Keys<'n>,
}

/// How entries of a legacy file become components.
#[derive(Debug, Default)]
pub(crate) struct LegacyMapping {
    pub(crate) file: PathBuf,
    pub(crate) command: Option<Vec<String>>,
}

/// Reads the sections of a TOML file and returns the legacy file to read next, if one is named.
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
    settings(report, root, draft);
    if let Some(section) = root.get("pools") {
        for member in table(report, "[pools]", &section.node) {
            draft.pools.extend(pool(report, member));
        }
    }
    draft.gateway = root.get("gateway").map(|member| {
        let mut spec = GatewaySpec::default();
        fill(report, &"[gateway]", &member.node, GATEWAY, &mut spec);
        DeclaredGateway { spec: Arc::new(spec), member }
    });
    draft.layers = Layers::read(report, root);
    if let Some(section) = root.get("components") {
        let members = table(report, "[components]", &section.node);
        draft.components.reserve(members.len());
        for member in members {
            report.heir = Some(member.key.to_string());
            let keys = draft.layers.merge(report, member);
            if let Some(spec) = component(report, keys.member(), &draft.pools) {
                let (spec, name_span) = (Arc::new(spec), &member.key_span);
                draft.components.push(Declared { spec, file: 0, legacy: false, name_span, keys });
            }
        }
        report.heir = None;
    }
    draft.layers.report_unused(report);
    root.get("legacy").and_then(|section| legacy(report, section))
}

pub(super) fn table<'n>(
    report: &mut Report<'_>,
    place: &str,
    node: &'n Node<'n>,
) -> &'n [Member<'n>] {
    if !matches!(node.value, Value::Table(_)) {
        let help = (place == "[components]").then(|| "write [components.NAME] for each".to_owned());
        mismatch(report, &place, node, "a table", help);
    }
    node.members()
}

fn folder_of(file: &str) -> PathBuf {
    Path::new(file).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Reads the tables of settings.
fn settings(report: &mut Report<'_>, root: &Node<'_>, draft: &mut Draft<'_>) {
    for table in SETTINGS {
        if let Some(section) = root.get(table) {
            let place = format!("[{table}]");
            fill(report, &place, &section.node, &settings_of(table), &mut draft.config);
        }
    }
    let budget = root.get("manager").and_then(|manager| manager.node.get("budget"));
    draft.budget_span = budget.map(|m| m.node.span.clone());
    draft.is_budget_stated = budget.is_some();
    // Values outside their ranges were reported and not taken: what is left are settings that exceed each other.
    for problem in draft.config.problems() {
        let bound = problem.exceeded.as_ref().map(|(bound, _)| *bound);
        let stated = [Some(problem.setting), bound].into_iter().flatten().find_map(|setting| {
            root.get(setting.table).and_then(|table| table.node.get(setting.key))
        });
        let span = stated.map_or(&root.span, |m| &m.node.span);
        let message = problem.named(|setting| setting.key);
        report.error("out-of-range", span, message, None);
    }
}

/// Reports the rules that a specification breaks, at their places in the component's table. A key whose value was
/// reported while it was read is not reported again.
fn breaches(report: &mut Report<'_>, member: &Member<'_>, breaches: Vec<Breach<'_>>) {
    let whole = |key: Option<&str>| key.and_then(|key| member.node.get(key)).map(|m| &m.node.span);
    let placed = breaches.into_iter().map(|breach| {
        let (key, span) = match breach.place {
            Place::Key(key) => (Some(key), None),
            Place::Item(key, idx) => (None, member.node.get(key).and_then(|m| item(m, idx))),
            Place::Member(key, name) => {
                let variable = member.node.get(key).and_then(|m| m.node.get(name));
                (None, variable.map(|m| &m.key_span))
            }
            Place::Value(key, name) => {
                let variable = member.node.get(key).and_then(|m| m.node.get(name));
                (None, variable.map(|m| &m.node.span))
            }
        };
        let is_known = match (key, whole(key)) {
            (Some(_), Some(span)) => report.has_problem_in(span),
            // Left out, and reported as missing where it is required.
            (Some(_), None) => true,
            (None, _) => false,
        };
        (breach, span.or(whole(key)).unwrap_or(&member.key_span), is_known)
    });
    // Several breaches of one key are all reported.
    let placed: Vec<_> = placed.collect();
    for (Breach { code, message, help, .. }, span, is_known) in placed {
        if !is_known {
            report.error(code, span, message, help);
        }
    }
}

/// The place of a text of a list. Items of another type were reported and are not counted.
fn item<'n>(list: &'n Member<'n>, idx: usize) -> Option<&'n Range<usize>> {
    let Value::List(items) = &list.node.value else { return None };
    let mut texts = items.iter().filter(|item| matches!(item.value, Value::Text(_)));
    texts.nth(idx).map(|item| &item.span)
}

fn pool(report: &mut Report<'_>, member: &Member<'_>) -> Option<PoolSpec> {
    // Pools follow the rules of component names.
    let name = component_id(report, &member.key, &member.key_span);
    let name = name.as_ref().map_or("", ComponentId::as_str);
    let mut pool = PoolSpec { name: Arc::from(name), budget: None, declared: false };
    fill(report, &format_args!("[pools.{}]", member.key), &member.node, POOL, &mut pool);
    if let Some((message, help)) = rules::unbounded_pool(&pool) {
        report.error("missing-key", &member.key_span, message, Some(help.to_owned()));
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
    if let Some(name) = draft.pool.take() {
        match rules::unknown_pool(&name, pools) {
            Some((message, help)) => {
                let span = member.node.get("pool").map_or(&member.key_span, |m| &m.node.span);
                report.error("unknown-pool", span, message, Some(help));
            }
            None => {
                let declared = pools.iter().find(|pool| *pool.name == *name);
                draft.spec.pool = declared.map_or_else(|| Arc::from(name), |p| p.name.clone());
            }
        }
    }
    if member.node.get("asleep").is_some() {
        // A wrong value was reported, and is not missing.
        draft.spec.asleep.get_or_insert_default();
    }
    // A route with nothing but defaults is no route.
    draft.spec.route = draft.spec.route.take().filter(|route| **route != RouteSpec::default());
    breaches(report, member, rules::check_memory(&draft.spec, pools));
    if let Some(loader) = loader(report, member, &mut draft) {
        draft.spec.loader = loader;
        breaches(report, member, rules::check(&draft.spec));
    }
    (!nameless).then_some(draft.spec)
}

/// The kind of loader: stated, or by the first key that only one kind has.
fn loader(
    report: &mut Report<'_>,
    member: &Member<'_>,
    draft: &mut ComponentDraft,
) -> Option<LoaderSpec> {
    let has = |key: &&str| member.node.get(key).is_some();
    let implied = || LOADER_KEYS.iter().find(|(_, keys)| keys.iter().any(has));
    let Some(kind) = draft.loader.or_else(|| implied().map(|(kind, _)| *kind)) else {
        // A `loader` that is there was wrong and reported; a value that is no table too.
        if !has(&"loader") && matches!(member.node.value, Value::Table(_)) {
            let message = format!("component {} has no loader", quoted(&shorten(&member.key)));
            let help = "write command = [\"program\", \"argument\"], or loader = \"builtin\"";
            report.error("missing-key", &member.key_span, message, Some(help.to_owned()));
        }
        return None;
    };
    for (other, keys) in LOADER_KEYS.iter().filter(|(other, _)| *other != kind) {
        let foreign = keys.iter().filter(|key| !is_shared(key, kind));
        for stray in foreign.filter_map(|k| member.node.get(k)) {
            let message =
                format!("{} belongs to loader = \"{other}\", not to \"{kind}\"", stray.key);
            let help = Some("remove it, or change the loader".to_owned());
            report.error("foreign-key", &stray.key_span, message, help);
        }
    }
    let name = draft.spec.id.as_str();
    Some(match kind {
        "process" => LoaderSpec::Process(process::finish(report, member, draft)),
        "external" => LoaderSpec::External(external::finish(report, member, draft)?),
        "coreml" => {
            if !has(&"model") {
                let message = format!("component {} has no model", quoted(name));
                let help = Some("write model = \"folder/name.mlmodelc\"".to_owned());
                report.error("missing-key", &member.key_span, message, help);
                return None;
            }
            LoaderSpec::CoreMl(std::mem::take(&mut draft.core_ml))
        }
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
    if let Some(command) = &draft.command {
        process::check_template(report, section, command);
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
        let before = report.n_added();
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
            let message = format!("component \"{id}\" is declared twice: in {place}");
            let help = Some("keep one of them".to_owned());
            report.error("duplicate", &member.key_span, message, help);
            continue;
        }
        let sound = report.n_added() == before;
        let spec = Arc::new(from_legacy(report, id, entry, mapping, sound.then_some(member)));
        draft.components.push(Declared {
            spec,
            file,
            legacy: true,
            name_span: &member.key_span,
            keys: Keys::Own(member),
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
