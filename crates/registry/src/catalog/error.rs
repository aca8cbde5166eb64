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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CatalogError {
    /// Two components with one name.
    Duplicate(ComponentId),
    /// A dependency, `after` or conflict that names no component.
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
    Cycle(Vec<ComponentId>),
    /// A component that lists itself among its conflicts.
    SelfConflict(ComponentId),
    /// A component that can never load: it needs two that must not run beside each other.
    ConflictInClosure {
        /// The component.
        component: ComponentId,
        /// One side of the conflict.
        first: ComponentId,
        /// The other side.
        second: ComponentId,
    },
    /// Two components that are CORE, or needed by CORE ones, and must not run beside each other.
    CoreConflict {
        /// One side.
        first: ComponentId,
        /// The other side.
        second: ComponentId,
    },
}

impl CatalogError {
    /// A fixed word for the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Duplicate(_) => "duplicate",
            Self::Unknown { .. } => "unknown-component",
            Self::Cycle(path) if path.len() == 2 => "self-dependency",
            Self::Cycle(_) => "cycle",
            Self::SelfConflict(_) => "self-conflict",
            Self::ConflictInClosure { .. } => "conflict-in-closure",
            Self::CoreConflict { .. } => "core-conflict",
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::Duplicate(id) => format!("component \"{id}\" stands twice"),
            Self::Unknown { component, relation, target, .. } => format!(
                "component \"{component}\" names \"{target}\" in {relation}, which does not exist"
            ),
            Self::Cycle(path) if path.len() == 2 => {
                format!("component \"{}\" needs itself", path[0])
            }
            Self::Cycle(path) => format!("components need each other in a cycle: {}", chain(path)),
            Self::SelfConflict(id) => format!("component \"{id}\" conflicts with itself"),
            Self::ConflictInClosure { component, first, second }
                if component == first || component == second =>
            {
                let other = if component == first { second } else { first };
                format!(
                    "component \"{component}\" can never load: it needs \"{other}\" and conflicts with it"
                )
            }
            Self::ConflictInClosure { component, first, second } => format!(
                "component \"{component}\" can never load: it needs \"{first}\" and \"{second}\", which conflict"
            ),
            Self::CoreConflict { first, second } => format!(
                "\"{first}\" and \"{second}\" conflict, but both are CORE or needed by a CORE component"
            ),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn way_out(&self) -> String {
        match self {
            Self::Unknown { did_you_mean: Some(name), .. } => format!("did you mean \"{name}\"?"),
            Self::Unknown { .. } => "declare it, or take the name out".to_owned(),
            Self::Duplicate(_) => "keep one of them".to_owned(),
            Self::Cycle(_) => "take one of the links away".to_owned(),
            Self::SelfConflict(_) => "take its own name out of conflicts".to_owned(),
            Self::ConflictInClosure { .. } => {
                "take away the conflict, or one of the dependencies".to_owned()
            }
            Self::CoreConflict { .. } => "lower the priority of one of them".to_owned(),
        }
    }
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.way_out())
    }
}

impl std::error::Error for CatalogError {}

/// A cycle in words; a long one keeps its ends.
fn chain(names: &[ComponentId]) -> String {
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
