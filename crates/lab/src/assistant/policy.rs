//! The policies that are compared, and the configuration of each: the assistant's own, with the
//! settings of the policy.

use std::fmt;
use std::str::FromStr;

use anyhow::Context;
use majordomo::ByteSize;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// A way to decide which components stay in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Policy {
    /// Everything loaded and pinned.
    All,
    /// Least recently used, on demand, within the budget.
    Lru,
    /// On demand, without a budget that binds; the player unloads what its idle clock says.
    Idle,
    /// The product without rungs: components are loaded or gone, within the budget.
    TwoState,
    /// The product's defaults, within the budget, with the rungs that the machine offers.
    Product,
    /// The product's defaults, with the budget that gives the mean memory of the idle timeout.
    ProductEqual,
}

impl Policy {
    pub(super) const EVERY: [Self; 6] =
        [Self::All, Self::Lru, Self::Idle, Self::TwoState, Self::Product, Self::ProductEqual];
    /// Those of a measurement that states none.
    pub(super) const USUAL: [Self; 5] =
        [Self::All, Self::Lru, Self::Idle, Self::Product, Self::ProductEqual];
    /// Those of a measurement with memory really short that states none.
    pub(super) const WHEN_SHORT: [Self; 4] = [Self::Lru, Self::Idle, Self::TwoState, Self::Product];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Lru => "lru",
            Self::Idle => "idle",
            Self::TwoState => "two-state",
            Self::Product => "product",
            Self::ProductEqual => "product-equal",
        }
    }

    /// Whether a budget binds it.
    pub(super) const fn is_bound(self) -> bool {
        !matches!(self, Self::All | Self::Idle)
    }

    /// Whether it learns from the uses before the day.
    pub(super) const fn has_history(self) -> bool {
        matches!(self, Self::TwoState | Self::Product | Self::ProductEqual)
    }

    /// Whether components may be parked under it, where the machine offers that.
    pub(super) const fn has_rungs(self) -> bool {
        matches!(self, Self::Product | Self::ProductEqual)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::EVERY.into_iter().find(|p| p.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::EVERY.iter().map(|p| p.name()).collect();
            format!("no policy is called {text:?}; there are {}", names.join(", "))
        })
    }
}

/// A component that a configuration has.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// Whether it is loaded for as long as the server runs.
    pub(super) is_core: bool,
}

/// A budget that no assistant reaches.
const UNBOUND: &str = "95%";

/// The configuration of a policy: `text` with its settings, everything else as it is.
///
/// `budget` binds all but `all` and `idle`.
pub(super) fn configuration(
    text: &str,
    policy: Policy,
    members: &[Member],
    budget: ByteSize,
) -> anyhow::Result<String> {
    let mut file: Table = text.parse().context("the configuration is no TOML")?;
    let manager = table(&mut file, "manager")?;
    let budget = match policy.is_bound() {
        true => format!("{}KiB", budget.bytes() >> 10),
        false => UNBOUND.to_owned(),
    };
    manager.insert("budget".to_owned(), budget.into());
    match policy {
        Policy::All | Policy::Lru | Policy::Idle => {
            manager.insert("policy".to_owned(), "lru".into());
            manager.insert("speculation".to_owned(), false.into());
        }
        Policy::TwoState | Policy::Product | Policy::ProductEqual => {
            manager.remove("policy");
            manager.remove("speculation");
        }
    }
    let manager = table(&mut file, "manager")?;
    manager.remove("park");
    if !policy.has_rungs() {
        manager.insert("park".to_owned(), "never".into());
    }
    let components = table(&mut file, "components")?;
    for member in members {
        let component = table(components, &member.name)?;
        // A timeout of its own would pass on the clock of compressed pauses.
        component.remove("idle_timeout");
        component.remove("idle_park");
        if !policy.has_rungs() {
            component.remove("park");
        }
        if policy == Policy::All {
            // Two that conflict cannot both be loaded.
            component.insert("conflicts".to_owned(), Value::Array(Vec::new()));
            if !member.is_core {
                component.insert("pinned".to_owned(), true.into());
            }
        }
    }
    Ok(file.to_string())
}

fn table<'a>(parent: &'a mut Table, name: &str) -> anyhow::Result<&'a mut Table> {
    let value = parent.entry(name).or_insert_with(|| Value::Table(Table::new()));
    value.as_table_mut().with_context(|| format!("`{name}` of the configuration is no table"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[manager]\npolicy = \"gdsf\"\npark = \"never\"\nload_deadline = \"9s\"\n\
        [components.a]\ncommand = [\"./a\", \"{port}\"]\nconflicts = [\"b\"]\nidle_timeout = \"9s\"\nidle_park = \"9s\"\npark = \"auto\"\n\
        [components.b]\npriority = \"CORE\"\ncommand = [\"b\"]\n";

    fn of(policy: Policy) -> Table {
        let member = |name: &str, is_core| Member { name: name.to_owned(), is_core };
        let members = [member("a", false), member("b", true)];
        configuration(TEXT, policy, &members, ByteSize::mib(5)).unwrap().parse().unwrap()
    }

    #[test]
    fn policies_differ_in_their_settings_alone() {
        for policy in Policy::EVERY {
            let file = of(policy);
            assert_eq!(file["manager"]["load_deadline"].as_str(), Some("9s"));
            assert_eq!(file["components"]["a"]["command"][1].as_str(), Some("{port}"));
            let is_product = policy.has_history();
            let set = |key: &str| file["manager"].get(key).cloned();
            assert_eq!(set("policy"), (!is_product).then(|| "lru".into()));
            assert_eq!(set("speculation"), (!is_product).then(|| false.into()));
            let is_bound = set("budget") == Some("5120KiB".into());
            assert_eq!(is_bound, is_product || policy == Policy::Lru);
            let a = &file["components"]["a"];
            assert_eq!(a.get("pinned").is_some(), policy == Policy::All);
            assert_eq!(a["conflicts"].as_array().unwrap().is_empty(), policy == Policy::All);
            assert!(a.get("idle_timeout").is_none() && a.get("idle_park").is_none());
            assert_eq!(set("park"), (!policy.has_rungs()).then(|| "never".into()));
            assert_eq!(a.get("park").is_some(), policy.has_rungs());
            assert_eq!(policy.name().parse::<Policy>(), Ok(policy));
        }
        assert!("fifo".parse::<Policy>().unwrap_err().contains("product-equal"));
    }
}
