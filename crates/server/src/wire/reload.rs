//! The changes of a reload, setting by setting.
//!
//! Owns the comparison: both configurations as JSON, member by member, under the names of the columns
//! `field` and `key` of `docs/configuration.md`. Values of environment variables are never sent.
#![expect(missing_docs, reason = "members that say all by their names have no comment")]

use std::sync::Arc;

use majordomo::{ByteSize, ComponentId, GatewaySpec};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Warning;

/// `POST /v1/reload`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reload {
    /// Only say what would change.
    pub dry_run: bool,
}

/// The changes that a reload made, or would make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Whether this only says what would change.
    pub dry_run: bool,
    pub added: Vec<ComponentId>,
    /// Components that are gone.
    pub removed: Vec<ComponentId>,
    /// Components that are configured differently.
    pub changed: Vec<ComponentId>,
    /// All three with what becomes of them, by name.
    pub components: Vec<ComponentChange>,
    /// Settings of the manager and of the server that differ.
    pub settings: Vec<SettingChange>,
    /// Warnings about the file.
    pub warnings: Vec<Warning>,
}

/// How a component differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is configured differently.
    Changed,
}

/// A component that is configured differently, is new, or is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentChange {
    pub component: ComponentId,
    /// How it differs.
    pub change: ChangeKind,
    /// The settings that differ, for one that is configured differently.
    pub settings: Vec<SettingChange>,
    /// The consequence for the component, in words.
    pub effect: String,
}

/// A setting that differs. Sizes and spans are texts such as `256 MiB` and `5 s`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettingChange {
    pub name: String,
    /// Its value before.
    pub from: Value,
    /// Its value after.
    pub to: Value,
    /// Whether it takes effect only when the server is started again.
    pub needs_restart: bool,
}

impl Reloaded {
    /// From the manager's own account.
    #[must_use]
    pub fn new(r: &majordomo::Reloaded, dry_run: bool) -> Self {
        let fixed = r.needs_restart();
        let mut settings = differences(&*r.before, &*r.after);
        for setting in &mut settings {
            setting.needs_restart = fixed.contains(&setting.name.as_str());
        }
        settings.extend(of_gateway(r));
        Self {
            dry_run,
            added: r.added.clone(),
            removed: r.removed.clone(),
            changed: r.changed.clone(),
            components: r.components.iter().map(ComponentChange::from).collect(),
            settings,
            warnings: r.warnings.iter().map(Warning::from).collect(),
        }
    }
}

/// The settings of the gateway that differ. Its listeners are opened at the start.
fn of_gateway(r: &majordomo::Reloaded) -> Vec<SettingChange> {
    let named = |spec: &Option<Arc<GatewaySpec>>| json!({ "gateway": spec.as_deref() });
    let (before, after) = (named(&r.gateway_before), named(&r.gateway_after));
    let is_new = r.gateway_before.is_none() != r.gateway_after.is_none();
    let mut settings = differences(&before, &after);
    for setting in &mut settings {
        setting.needs_restart = is_new || setting.name.starts_with("gateway.listen");
    }
    settings
}

impl From<&majordomo::Change> for ComponentChange {
    fn from(c: &majordomo::Change) -> Self {
        let (change, settings) = match (&c.before, &c.after) {
            (Some(a), Some(b)) => (ChangeKind::Changed, differences(&**a, &**b)),
            (None, _) => (ChangeKind::Added, Vec::new()),
            (_, None) => (ChangeKind::Removed, Vec::new()),
        };
        Self { component: c.component.clone(), change, settings, effect: c.effect.to_string() }
    }
}

/// The members in which two of a kind differ, by name.
fn differences<T: Serialize>(before: &T, after: &T) -> Vec<SettingChange> {
    let flat = |of: &T| {
        let mut out = Map::new();
        flatten("", serde_json::to_value(of).unwrap_or_default(), &mut out);
        out
    };
    let (mut before, mut after) = (flat(before), flat(after));
    let mut names: Vec<_> = before.keys().chain(after.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    let mut out = Vec::new();
    for name in names {
        let take = |of: &mut Map<String, Value>| of.remove(&name).unwrap_or_default();
        let (from, to) = (take(&mut before), take(&mut after));
        if from == to {
            continue;
        }
        // They may be secrets.
        let is_hidden = name.contains(".env.");
        let masked = |value: Value| match value {
            Value::Null => Value::Null,
            _ if is_hidden => "(hidden)".into(),
            value => value,
        };
        let bare = ["loader.", "route."].iter().find_map(|group| name.strip_prefix(group));
        let name = bare.map_or(name.clone(), str::to_owned);
        let (from, to) = (masked(from), masked(to));
        out.push(SettingChange { name, from, to, needs_restart: false });
    }
    out
}

/// Members of members get names with dots; spans and sizes become texts.
fn flatten(name: &str, value: Value, out: &mut Map<String, Value>) {
    let Value::Object(members) = value else {
        let value = match value.as_u64() {
            Some(bytes) if is_size(name) => ByteSize(bytes).to_string().into(),
            _ => value,
        };
        out.insert(name.to_owned(), value);
        return;
    };
    if let Some(span) = span(&members) {
        out.insert(name.to_owned(), span.into());
        return;
    }
    for (member, value) in members {
        let full = if name.is_empty() { member } else { format!("{name}.{member}") };
        flatten(&full, value, out);
    }
}

/// The settings whose numbers are bytes.
fn is_size(name: &str) -> bool {
    matches!(name, "memory" | "memory_limit" | "memory.budget.bytes" | "server.max_body")
}

fn span(members: &Map<String, Value>) -> Option<String> {
    let (secs, nanos) = (members.get("secs")?.as_u64()?, members.get("nanos")?.as_u64()?);
    let whole = members.len() == 2 && nanos == 0;
    Some(if whole {
        format!("{secs} s")
    } else {
        format!("{} ms", secs as f64 * 1e3 + nanos as f64 / 1e6)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use majordomo::{ComponentSpec, Config};
    use std::time::Duration;

    #[test]
    fn settings_by_name() {
        let before = Config::default();
        let mut after = before.clone();
        after.deadlines.load = Duration::from_millis(1500);
        after.memory.budget = majordomo::BudgetSetting::Bytes(ByteSize::mib(3));
        let found: Vec<_> = differences(&before, &after)
            .into_iter()
            .map(|c| format!("{} {} {}", c.name, c.from, c.to))
            .collect();
        assert_eq!(
            found,
            [
                "deadlines.load \"60 s\" \"1500 ms\"",
                "memory.budget.bytes null \"3 MiB\"",
                "memory.budget.share 0.6 null",
            ]
        );
    }

    #[test]
    fn values_of_environment_variables_are_never_sent() {
        let spec = |value: &str| {
            let mut spec = ComponentSpec::process("a", &["true"]).unwrap();
            if let majordomo::LoaderSpec::Process(p) = &mut spec.loader {
                p.env.insert("KEY".into(), value.into());
            }
            spec
        };
        let found = differences(&spec("one"), &spec("two"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&*found[0].name, &found[0].to), ("env.KEY", &"(hidden)".into()));
    }
}
