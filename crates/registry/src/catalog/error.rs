//! Why specifications make no catalog.
//!
//! Every variant carries the names that a message needs; positions in files belong to the reader.

use std::fmt;

use majordomo_core::ComponentId;

/// The list in a specification that names other components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// `dependencies`.
    Dependencies,
    /// `after`.
    After,
    /// `conflicts`.
    Conflicts,
}

impl Relation {
    /// The key in configuration files.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Dependencies => "dependencies",
            Self::After => "after",
            Self::Conflicts => "conflicts",
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// Why specifications make no catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// Two components with one name.
    #[error("component \"{0}\" stands twice; names must be unique")]
    Duplicate(ComponentId),
    /// A dependency, `after` or conflict that names no component.
    #[error("component \"{component}\" names \"{target}\" in {relation}, which does not exist{}", hint(.did_you_mean.as_ref()))]
    Unknown {
        /// The component that names it.
        component: ComponentId,
        /// Where it names it.
        relation: Relation,
        /// The name.
        target: ComponentId,
        /// The nearest name there is.
        did_you_mean: Option<ComponentId>,
    },
    /// Dependencies and `after` that lead back to their start; the first name stands again at the end.
    #[error("components need each other in a cycle: {}; take one of the links away", path(.0))]
    Cycle(Vec<ComponentId>),
    /// A component that lists itself among its conflicts.
    #[error("component \"{0}\" conflicts with itself; take its own name out of conflicts")]
    SelfConflict(ComponentId),
    /// A component that can never load: it needs two that must not run beside each other.
    #[error(
        "component \"{component}\" can never load: it needs both \"{first}\" and \"{second}\" (or is one of them), which conflict"
    )]
    ConflictInClosure {
        /// The component.
        component: ComponentId,
        /// One side of the conflict.
        first: ComponentId,
        /// The other side.
        second: ComponentId,
    },
    /// Two components that are CORE, or needed by CORE ones, and must not run beside each other.
    #[error(
        "\"{first}\" and \"{second}\" conflict, but both are CORE or needed by a CORE component; one of them must not be"
    )]
    CoreConflict {
        /// One side.
        first: ComponentId,
        /// The other side.
        second: ComponentId,
    },
}

fn hint(nearest: Option<&ComponentId>) -> String {
    nearest.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

/// A cycle in words; a long one keeps its ends.
fn path(names: &[ComponentId]) -> String {
    const ENDS: usize = 6;
    let join = |part: &[ComponentId]| {
        part.iter().map(ComponentId::as_str).collect::<Vec<_>>().join(" -> ")
    };
    if names.len() <= 2 * ENDS + 1 {
        return join(names);
    }
    let (head, tail) = (&names[..ENDS], &names[names.len() - ENDS..]);
    format!("{} -> ({} more) -> {}", join(head), names.len() - 2 * ENDS, join(tail))
}
