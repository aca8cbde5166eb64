//! Checks across components: unknown names, cycles, conflicts, budgets, load times; and phrases as they are matched.
//!
//! Owns turning the catalog's errors into problems with places, and the sums over budgets. Does not know
//! keys and types. Looks places up only when something is wrong, so that a valid file pays nothing.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use majordomo_core::{BudgetSetting, ByteSize, ComponentId, ComponentKey, Priority};

use super::node::Value;
use super::phrases;
use super::sections::{Declared, Draft};
use super::source::Report;
use super::{Finding, Look};
use crate::problem::Severity;
use crate::{Catalog, CatalogError, Relation};

/// Checks a draft; problems go to the report of the file in question.
pub(crate) fn whole(
    reports: &mut [Report<'_>],
    draft: &Draft<'_>,
    machine_limit: Option<ByteSize>,
    look: Look<'_>,
) {
    for declared in &draft.components {
        if let Some(found) = look(&declared.spec, declared.legacy) {
            reports[declared.file].heir = Some(declared.spec.id.to_string());
            let keys = ["command", "loader", "module", "model"];
            let stated = keys.iter().find_map(|key| declared.keys.get(key));
            let span = stated.map_or(declared.name_span, |m| &m.node.span);
            let Finding { severity, code, message, suggestion } = found;
            reports[declared.file].add(severity, code, span, message, Some(suggestion));
            reports[declared.file].heir = None;
        }
    }
    let clean = reports.iter().all(Report::is_clean);
    if draft.components.is_empty() && clean {
        let message = "no component is declared".to_owned();
        let help = Some("declare one: [components.NAME]".to_owned());
        reports[0].add(Severity::Warning, "no-component", &(0..0), message, help);
    }
    phrases::check(reports, &draft.components);
    super::gateway::check(reports, draft);
    let specs = draft.components.iter().map(|c| c.spec.clone()).collect();
    match Catalog::build_shared(specs, draft.pools.clone(), None) {
        Ok(catalog) => {
            budgets(reports, draft, &catalog, machine_limit);
            load_times(reports, draft, &catalog);
            super::stopping::check(reports, draft, &catalog);
        }
        Err(errors) => {
            let places = Places::new(draft);
            for error in errors {
                let (file, span) = places.place(&error);
                reports[file].error(error.code(), &span, error.what(), Some(error.way_out()));
            }
        }
    }
}

/// Components by name, for places.
struct Places<'d> {
    by_name: HashMap<&'d ComponentId, &'d Declared<'d>>,
}

impl<'d> Places<'d> {
    fn new(draft: &'d Draft<'d>) -> Self {
        let by_name = draft.components.iter().map(|c| (&c.spec.id, c)).collect();
        Self { by_name }
    }

    /// Where a component lists another; the component's name when the list does not.
    fn list_item(
        &self,
        component: &ComponentId,
        relation: Relation,
        target: &ComponentId,
    ) -> (usize, Range<usize>) {
        let Some(declared) = self.by_name.get(component) else { return (0, 0..0) };
        let list = declared.keys.get(relation.key()).map(|m| &m.node.value);
        let items = match list {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        let is_target = |v: &Value<'_>| matches!(v, Value::Text(t) if *t == target.as_str());
        let item = items.iter().find(|item| is_target(&item.value));
        (declared.file, item.map_or(declared.name_span, |item| &item.span).clone())
    }

    fn name(&self, component: &ComponentId) -> (usize, Range<usize>) {
        self.by_name.get(component).map_or((0, 0..0), |d| (d.file, d.name_span.clone()))
    }

    /// Where a component's command or environment has a text; the component's name when the text comes from
    /// elsewhere.
    fn text_with(&self, component: &ComponentId, part: &str) -> (usize, Range<usize>) {
        let Some(declared) = self.by_name.get(component) else { return (0, 0..0) };
        let command = declared.keys.get("command").map(|m| &m.node.value);
        let items = match command {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        let variables = declared.keys.get("env").map_or(&[][..], |m| m.node.members());
        let mut texts = items.iter().chain(variables.iter().map(|m| &m.node));
        let has = |v: &Value<'_>| matches!(v, Value::Text(t) if t.contains(part));
        let found = texts.find(|node| has(&node.value));
        (declared.file, found.map_or(declared.name_span, |node| &node.span).clone())
    }

    fn fixed_address(&self, component: &ComponentId) -> (usize, Range<usize>) {
        let Some(declared) = self.by_name.get(component) else { return (0, 0..0) };
        let stated = ["port", "socket"].iter().find_map(|key| declared.keys.get(key));
        (declared.file, stated.map_or(declared.name_span, |m| &m.node.span).clone())
    }

    /// The first of these lists that really has the item.
    fn link(&self, links: [(&ComponentId, Relation, &ComponentId); 2]) -> (usize, Range<usize>) {
        let place = |(from, relation, to)| self.list_item(from, relation, to);
        let first = place(links[0]);
        if first == self.name(links[0].0) { place(links[1]) } else { first }
    }

    fn place(&self, error: &CatalogError) -> (usize, Range<usize>) {
        match error {
            CatalogError::Duplicate(id) => self.name(id),
            CatalogError::Unknown { component, relation, target, .. } => {
                self.list_item(component, *relation, target)
            }
            CatalogError::Cycle(path) => {
                let (first, second) = (&path[0], &path[1]);
                let relations = [Relation::Dependencies, Relation::After];
                self.link(relations.map(|relation| (first, relation, second)))
            }
            CatalogError::SelfConflict(id) => self.list_item(id, Relation::Conflicts, id),
            CatalogError::ConflictInClosure { component, .. }
            | CatalogError::SameVariable { component, .. } => self.name(component),
            CatalogError::Endpoint { component, dependency, part, .. } => {
                self.text_with(component, &format!("{{{dependency}.{}}}", part.word()))
            }
            CatalogError::SameAddress { second, .. } => self.fixed_address(second),
            CatalogError::CoreConflict { first, second } => self
                .link([(first, Relation::Conflicts, second), (second, Relation::Conflicts, first)]),
        }
    }
}

/// A budget, and how binding it is.
struct Limit {
    bytes: ByteSize,
    name: String,
    /// An error when the budget was stated, a warning when it is the default.
    severity: Severity,
    span: Option<Range<usize>>,
}

fn budgets(
    reports: &mut [Report<'_>],
    draft: &Draft<'_>,
    catalog: &Catalog,
    machine_limit: Option<ByteSize>,
) {
    let total = match draft.config.memory.budget {
        BudgetSetting::Bytes(bytes) => Some(bytes),
        BudgetSetting::Share(share) => machine_limit.map(|limit| limit.scaled(share)),
    };
    let total = total.map(|bytes| Limit {
        bytes,
        name: "the total budget".to_owned(),
        severity: if draft.is_budget_stated { Severity::Error } else { Severity::Warning },
        span: draft.budget_span.clone(),
    });
    let pools: Vec<(bool, Option<Limit>)> = catalog
        .pools()
        .iter()
        .map(|pool| {
            let limit = |bytes| Limit {
                bytes,
                name: format!("the budget of pool \"{}\"", pool.name),
                severity: Severity::Error,
                span: None,
            };
            (pool.declared, pool.budget.map(limit))
        })
        .collect();
    let margin = draft.config.memory.estimate_margin;
    for (declared, key) in draft.components.iter().zip(catalog.keys()) {
        let (other_memory, pool) = &pools[catalog.pool(key)];
        let limits = [pool.as_ref(), total.as_ref().filter(|_| !other_memory)];
        for limit in limits.into_iter().flatten() {
            if declared.spec.memory.scaled(margin) > limit.bytes {
                too_large(reports, declared, limit, margin);
            }
        }
        for (pool, bytes) in catalog.apart(key) {
            if let Some(limit) = pools[*pool].1.as_ref().filter(|limit| *bytes > limit.bytes) {
                let name = &catalog.pools()[*pool].name;
                too_large_apart(reports, declared, name, *bytes, limit);
            }
        }
    }
    let stays = |key: &ComponentKey| {
        catalog.spec(*key).is_some_and(|s| s.priority == Priority::Core || s.pinned)
    };
    let staying = catalog.closure(&catalog.keys().filter(stays).collect::<Vec<_>>());
    for (i, (_, limit)) in pools.iter().enumerate() {
        let bytes = |key: &ComponentKey| {
            let own = memory(catalog, *key);
            let apart = catalog.apart(*key).iter().filter(|(pool, _)| *pool == i);
            let own = if catalog.pool(*key) == i { own } else { ByteSize::ZERO };
            own + apart.map(|(_, bytes)| *bytes).sum::<ByteSize>()
        };
        if let Some(limit) = limit {
            too_many(reports, draft, catalog, limit, &staying, &bytes);
        }
    }
    if let Some(limit) = &total {
        let is_ram = |key: &ComponentKey| !pools[catalog.pool(*key)].0;
        let bytes = |key: &ComponentKey| {
            if is_ram(key) { memory(catalog, *key) } else { ByteSize::ZERO }
        };
        too_many(reports, draft, catalog, limit, &staying, &bytes);
    }
}

/// Loads that take longer than they may, or than a demand waits.
fn load_times(reports: &mut [Report<'_>], draft: &Draft<'_>, catalog: &Catalog) {
    let show = humantime::format_duration;
    let deadlines = &draft.config.deadlines;
    for (declared, key) in draft.components.iter().zip(catalog.keys()) {
        let name = &declared.spec.id;
        let load_time = declared.spec.load_time;
        let may_take = declared.spec.load_deadline.unwrap_or(deadlines.load);
        let stated = ["load_time", "estimated_load_time_ms"];
        let stated = stated.iter().find_map(|k| declared.keys.get(k));
        let span = stated.map_or(declared.name_span, |m| &m.node.span);
        let mut warn = |message: String, help: String| {
            reports[declared.file].add(Severity::Warning, "load-time", span, message, Some(help));
        };
        if load_time > may_take {
            let message = format!(
                "component \"{name}\" takes {} to load, longer than its load_deadline of {}: no load of it can end",
                show(load_time),
                show(may_take)
            );
            warn(message, "raise its load_deadline, or correct its load_time".to_owned());
        }
        let all = time_to_load(catalog, key);
        if all > deadlines.demand {
            let with = if all > load_time { " with its dependencies" } else { "" };
            let message = format!(
                "component \"{name}\" takes {}{with} to load, longer than demand_deadline, which is {}: the first demand waits that long, and is refused if its own deadline is shorter",
                show(all),
                show(deadlines.demand)
            );
            let help = "load it at start (lazy_init = false) and keep it (pinned = true), or raise demand_deadline";
            warn(message, help.to_owned());
        }
    }
}

/// The declared load times of a component and its dependencies along the longest chain.
fn time_to_load(catalog: &Catalog, key: ComponentKey) -> Duration {
    let mut ready_in: HashMap<ComponentKey, Duration> = HashMap::new();
    for member in catalog.closure(&[key]) {
        let before = catalog.dependencies(member).iter().filter_map(|d| ready_in.get(d));
        let before = before.max().copied().unwrap_or_default();
        let own = catalog.spec(member).map_or(Duration::ZERO, |s| s.load_time);
        ready_in.insert(member, before + own);
    }
    ready_in.into_values().max().unwrap_or_default()
}

/// A component that does not fit a budget even alone, or not with the margin of its first load.
fn too_large(reports: &mut [Report<'_>], declared: &Declared<'_>, limit: &Limit, margin: f64) {
    let memory = declared.spec.memory;
    let stated = ["memory", "estimated_memory_mb"].iter().find_map(|k| declared.keys.get(k));
    let span = stated.map_or(declared.name_span, |m| &m.node.span);
    let name = &declared.spec.id;
    let (severity, message) = if memory > limit.bytes {
        let message = format!(
            "component \"{name}\" needs {memory}, more than {}, which is {}",
            limit.name, limit.bytes
        );
        (limit.severity, message)
    } else {
        let message = format!(
            "component \"{name}\" needs {memory}, with the margin of {margin} on first loads {}, more than {}, which is {}",
            memory.scaled(margin),
            limit.name,
            limit.bytes
        );
        (Severity::Warning, message)
    };
    let help = Some("raise the budget, or correct the component's memory".to_owned());
    reports[declared.file].add(severity, "over-budget", span, message, help);
}

/// A component whose declared bytes of a pool besides its own exceed the pool's budget.
fn too_large_apart(
    reports: &mut [Report<'_>],
    declared: &Declared<'_>,
    pool: &str,
    bytes: ByteSize,
    limit: &Limit,
) {
    let stated = declared.keys.get("memory").and_then(|memory| memory.node.get(pool));
    let span = stated.map_or(declared.name_span, |member| &member.node.span);
    let message = format!(
        "component \"{}\" needs {bytes} of pool \"{pool}\", more than {}, which is {}",
        declared.spec.id, limit.name, limit.bytes
    );
    let help = Some("raise the pool's budget, or correct the component's memory".to_owned());
    reports[declared.file].add(limit.severity, "over-budget", span, message, help);
}

fn memory(catalog: &Catalog, key: ComponentKey) -> ByteSize {
    catalog.spec(key).map_or(ByteSize::ZERO, |s| s.memory)
}

/// Components that stay once loaded and together exceed a budget.
fn too_many(
    reports: &mut [Report<'_>],
    draft: &Draft<'_>,
    catalog: &Catalog,
    limit: &Limit,
    staying: &[ComponentKey],
    memory: &dyn Fn(&ComponentKey) -> ByteSize,
) {
    const SHOWN: usize = 5;
    let mut members: Vec<_> =
        staying.iter().copied().filter(|key| memory(key) > ByteSize::ZERO).collect();
    let sum: ByteSize = members.iter().map(memory).sum();
    if sum <= limit.bytes || members.len() < 2 {
        return; // A single component is reported by `too_large`.
    }
    members.sort_by_key(|key| (std::cmp::Reverse(memory(key)), *key));
    let mut shown: Vec<String> = members
        .iter()
        .take(SHOWN)
        .map(|key| format!("{} {}", catalog.id(*key), memory(key)))
        .collect();
    if members.len() > SHOWN {
        shown.push(format!("{} more", members.len() - SHOWN));
    }
    let message = format!(
        "CORE and pinned components and what they depend on need {sum} ({}), more than {}, which is {}",
        shown.join(", "),
        limit.name,
        limit.bytes
    );
    let help = Some("raise the budget, or make some of them neither CORE nor pinned".to_owned());
    // Keys follow the order of declaration.
    let largest = draft.components.get(members[0].index());
    match (&limit.span, largest) {
        (None, Some(c)) => {
            reports[c.file].add(limit.severity, "over-budget", c.name_span, message, help);
        }
        (span, _) => {
            let span = span.clone().unwrap_or(0..0);
            reports[0].add(limit.severity, "over-budget", &span, message, help);
        }
    }
}
