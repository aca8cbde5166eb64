//! Why a catalog cannot be built.
//!
//! Every variant carries the names that a message needs; positions in files belong to the reader.

use std::fmt;

use majordomo_core::ComponentId;

use crate::template::EndpointPart;

/// The list in a specification that names other components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the variants are keys of a specification")]
pub enum Relation {
    Dependencies,
    After,
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

/// Why a place-holder for the address of another component has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointProblem {
    /// No component has the name.
    Unknown {
        /// The nearest existing name.
        did_you_mean: Option<ComponentId>,
    },
    /// The place-holder names the component itself.
    Itself,
    /// The component does not depend on the named one, which may not be running.
    NoDependency,
    /// The named component is no process.
    NoProcess,
    /// The component has no such address.
    NoSuchPart,
}

/// Why a catalog cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of the components in the message")]
#[non_exhaustive]
pub enum CatalogError {
    /// Two components with one name.
    Duplicate(ComponentId),
    /// A dependency, `after` or conflict that names no component.
    Unknown {
        component: ComponentId,
        /// The list with the name.
        relation: Relation,
        target: ComponentId,
        /// The nearest existing name.
        did_you_mean: Option<ComponentId>,
    },
    /// Dependencies and `after` that lead back to their start; the first name stands again at the end.
    Cycle(Vec<ComponentId>),
    /// A component that lists itself among its conflicts.
    SelfConflict(ComponentId),
    /// A component that can never load: it needs two that conflict.
    ConflictInClosure { component: ComponentId, first: ComponentId, second: ComponentId },
    /// Two conflicting components that are CORE, or needed by CORE components.
    CoreConflict { first: ComponentId, second: ComponentId },
    /// A place-holder for the address of another component that has no value.
    Endpoint {
        /// The component with the place-holder in its command or environment.
        component: ComponentId,
        /// The name in the place-holder.
        dependency: String,
        part: EndpointPart,
        problem: EndpointProblem,
    },
    /// Two dependencies whose URLs would be in one environment variable of the component.
    SameVariable {
        /// The component that depends on both.
        component: ComponentId,
        first: ComponentId,
        second: ComponentId,
        variable: String,
    },
    /// Two components with the same fixed address that may run at the same time.
    SameAddress {
        first: ComponentId,
        second: ComponentId,
        /// The address in words.
        address: String,
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
            Self::Endpoint { problem: EndpointProblem::Unknown { .. }, .. } => "unknown-component",
            Self::Endpoint { .. } => "bad-place-holder",
            Self::SameVariable { .. } => "same-variable",
            Self::SameAddress { .. } => "same-address",
        }
    }

    /// The problem in words.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::Duplicate(id) => format!("component \"{id}\" is declared twice"),
            Self::Unknown { component, relation, target, .. } => format!(
                "component \"{component}\" names \"{target}\" in {relation}, which does not exist"
            ),
            Self::Cycle(path) if path.len() == 2 => {
                format!("component \"{}\" depends on itself", path[0])
            }
            Self::Cycle(path) => format!("dependencies form a cycle: {}", chain(path)),
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
            Self::Endpoint { component, dependency, part, problem } => {
                let holder = format!("{{{dependency}.{}}}", part.word());
                match problem {
                    EndpointProblem::Unknown { .. } => {
                        format!("{holder} names no component: there is no \"{dependency}\"")
                    }
                    EndpointProblem::Itself => format!("{holder} is the component's own address"),
                    EndpointProblem::NoDependency => format!(
                        "{holder} may not be known: \"{component}\" does not depend on \"{dependency}\""
                    ),
                    EndpointProblem::NoProcess => {
                        format!("{holder} does not exist: \"{dependency}\" is not a process")
                    }
                    EndpointProblem::NoSuchPart => format!(
                        "{holder} does not exist: \"{dependency}\" has {}",
                        match part {
                            EndpointPart::Port => "no port",
                            EndpointPart::Socket => "no socket",
                            EndpointPart::Url => "neither port nor socket",
                        }
                    ),
                }
            }
            Self::SameVariable { component, first, second, variable } => format!(
                "component \"{component}\" needs \"{first}\" and \"{second}\", whose URLs would both be in {variable}"
            ),
            Self::SameAddress { first, second, address } => {
                format!("\"{first}\" and \"{second}\" have the same fixed address, {address}")
            }
        }
    }

    /// The solution in words.
    #[must_use]
    pub fn way_out(&self) -> String {
        match self {
            Self::Unknown { did_you_mean: Some(name), .. } => format!("did you mean \"{name}\"?"),
            Self::Unknown { .. } => "declare it, or remove the name".to_owned(),
            Self::Duplicate(_) => "keep one of them".to_owned(),
            Self::Cycle(_) => "remove one of these dependencies".to_owned(),
            Self::SelfConflict(_) => "remove its own name from conflicts".to_owned(),
            Self::ConflictInClosure { .. } => {
                "remove the conflict, or one of the dependencies".to_owned()
            }
            Self::CoreConflict { .. } => "lower the priority of one of them".to_owned(),
            Self::Endpoint { dependency, part, problem, .. } => match problem {
                EndpointProblem::Unknown { did_you_mean: Some(name) } => {
                    format!("did you mean \"{{{name}.{}}}\"?", part.word())
                }
                EndpointProblem::Unknown { did_you_mean: None } => {
                    "declare the component, or write {{ and }} for braces".to_owned()
                }
                EndpointProblem::Itself => "write {port} or {socket}".to_owned(),
                EndpointProblem::NoDependency => {
                    format!("add it: dependencies = [\"{dependency}\"]")
                }
                EndpointProblem::NoProcess => {
                    "only a component with a command has an address".to_owned()
                }
                EndpointProblem::NoSuchPart => match part {
                    EndpointPart::Socket => format!(
                        "use {{socket}} in the command or env of \"{dependency}\", or state its socket"
                    ),
                    EndpointPart::Port | EndpointPart::Url => format!(
                        "use {{port}} in the command or env of \"{dependency}\", or state its port"
                    ),
                },
            },
            Self::SameVariable { .. } => "rename one of them".to_owned(),
            Self::SameAddress { second, .. } => {
                format!("change one of them, or never run both: conflicts = [\"{second}\"]")
            }
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
