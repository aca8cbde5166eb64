//! The factories of a manager, and the check that builtins and factories match.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use majordomo_core::{ComponentId, quoted};
use majordomo_registry::{ComponentSpec, LoaderSpec, Problem};
use majordomo_runtime::{CORE_ML_FACTORY, Factory};

/// A factory, as it was registered.
#[derive(Clone, Debug)]
struct Registration {
    /// Its name in specifications; none where the component that it was given for is no builtin.
    name: Option<String>,
    /// The component that it was given for; none for a factory by name.
    component: Option<ComponentId>,
    factory: Factory,
}

/// Factories in the order of their registration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Factories(Vec<Registration>);

/// The name of a builtin's factory.
fn factory_name(spec: &ComponentSpec) -> Option<&str> {
    match &spec.loader {
        LoaderSpec::Builtin { factory } => Some(factory),
        _ => None,
    }
}

impl Factories {
    pub(crate) fn add_for(&mut self, spec: &ComponentSpec, factory: Factory) {
        let name = factory_name(spec).map(str::to_owned);
        self.0.push(Registration { name, component: Some(spec.id.clone()), factory });
    }

    pub(crate) fn add_named(&mut self, name: &str, factory: Factory) {
        self.0.push(Registration { name: Some(name.to_owned()), component: None, factory });
    }

    /// Removes the factory that was given for a component.
    pub(crate) fn remove_for(&mut self, component: &ComponentId) {
        self.0.retain(|r| r.component.as_ref() != Some(component));
    }

    /// The factories by name, as the shell looks them up; that of Core ML components, whose models are below `base_dir`,
    /// where this build and system have it.
    pub(crate) fn by_name(&self, base_dir: &Path) -> BTreeMap<String, Factory> {
        let named = self.0.iter().filter_map(|r| Some((r.name.clone()?, r.factory.clone())));
        let core_ml = crate::core_ml::factory(base_dir);
        let core_ml = core_ml.map(|factory| (CORE_ML_FACTORY.to_owned(), factory));
        named.chain(core_ml).collect()
    }

    /// Problems of the registrations themselves: a component that is no builtin, and two factories of one name.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut seen = BTreeSet::new();
        let of = |registration: &Registration| match (&registration.name, &registration.component) {
            (None, Some(component)) => Some(Problem::in_code(
                "no-builtin",
                format!(
                    "a factory is registered for component \"{component}\", which is no builtin"
                ),
                "make its specification with ComponentSpec::builtin, or add it without a factory",
            )),
            (Some(name), _) if !seen.insert(name.clone()) => Some(Problem::in_code(
                "duplicate-factory",
                format!("two factories are registered as {}", quoted(name)),
                "keep one of them",
            )),
            _ => None,
        };
        self.0.iter().filter_map(of).collect()
    }

    /// Factories that no component uses.
    pub(crate) fn unused(&self, specs: &[Arc<ComponentSpec>]) -> Vec<Problem> {
        let used: BTreeSet<&str> = specs.iter().filter_map(|s| factory_name(s)).collect();
        let names: BTreeSet<&str> = self.0.iter().filter_map(|r| r.name.as_deref()).collect();
        let of = |name: &&str| {
            let message = format!("no component is a builtin of the factory {}", quoted(name));
            Problem::in_code("no-builtin", message, "add the component, or remove the factory")
        };
        names.difference(&used).map(of).collect()
    }

    /// Builtins whose factory is missing.
    pub(crate) fn missing(&self, specs: &[Arc<ComponentSpec>]) -> Vec<Problem> {
        let known: BTreeSet<&str> = self.0.iter().filter_map(|r| r.name.as_deref()).collect();
        let missing = specs.iter().filter_map(|spec| Some((spec, factory_name(spec)?)));
        missing
            .filter(|(_, name)| !known.contains(name))
            .map(|(spec, name)| {
                let registered = match known.is_empty() {
                    true => "none".to_owned(),
                    false => known.iter().copied().collect::<Vec<_>>().join(", "),
                };
                let message = format!(
                    "component \"{}\" is a builtin, and no factory is registered as {} (registered: {registered})",
                    spec.id,
                    quoted(name)
                );
                Problem::in_code(
                    "no-factory",
                    message,
                    "register one with the builder, or start the component as a program: command = [\"program\"]",
                )
            })
            .collect()
    }
}
