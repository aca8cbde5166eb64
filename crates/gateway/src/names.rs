//! Names that clients use, and what each of them means.
//!
//! Invariant: a name has one meaning; where several could apply, a component's own name comes before an alias, and an alias before
//! a selector. The check of a configuration refuses such names.

use std::collections::BTreeMap;
use std::sync::Arc;

use majordomo::{ComponentId, ComponentSpec, GatewaySpec, SelectorSpec};

/// The meaning of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'n> {
    /// One component.
    Component(&'n ComponentId),
    /// One of several components.
    Selector(&'n SelectorSpec),
}

#[derive(Clone, Copy, Debug)]
enum Meaning {
    Component(usize),
    Selector(usize),
}

/// All names, by what clients write.
#[derive(Debug, Default)]
pub(crate) struct Names {
    components: Vec<ComponentId>,
    selectors: Vec<SelectorSpec>,
    by_name: BTreeMap<String, Meaning>,
}

impl Names {
    pub(crate) fn new(components: &[Arc<ComponentSpec>], gateway: &GatewaySpec) -> Self {
        let mut by_name = BTreeMap::new();
        // The first meaning of a name stays.
        for (idx, spec) in components.iter().enumerate() {
            by_name.entry(spec.id.to_string()).or_insert(Meaning::Component(idx));
        }
        for (idx, spec) in components.iter().enumerate() {
            for alias in &spec.route().aliases {
                by_name.entry(alias.clone()).or_insert(Meaning::Component(idx));
            }
        }
        for (idx, selector) in gateway.selectors.iter().enumerate() {
            by_name.entry(selector.name.clone()).or_insert(Meaning::Selector(idx));
        }
        let components = components.iter().map(|spec| spec.id.clone()).collect();
        Self { components, selectors: gateway.selectors.clone(), by_name }
    }

    /// The meaning of a name as a client wrote it.
    pub(crate) fn find(&self, name: &str) -> Option<Target<'_>> {
        // Clients made for Ollama call a name without a tag so.
        let untagged = || self.by_name.get(name.strip_suffix(":latest")?);
        Some(match *self.by_name.get(name).or_else(untagged)? {
            Meaning::Component(idx) => Target::Component(&self.components[idx]),
            Meaning::Selector(idx) => Target::Selector(&self.selectors[idx]),
        })
    }

    pub(crate) fn selectors(&self) -> &[SelectorSpec] {
        &self.selectors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_name_comes_before_alias_and_alias_before_selector() {
        let spec = |name: &str, aliases: &[&str]| {
            let mut spec = ComponentSpec::process(name, &["server", "{port}"]).unwrap();
            spec.route_mut().aliases = aliases.iter().map(ToString::to_string).collect();
            Arc::new(spec)
        };
        let specs = [spec("a", &["b", "gpt"]), spec("b", &["fast"])];
        let mut gateway = GatewaySpec::default();
        for name in ["gpt", "fast", "any"] {
            gateway.selectors.push(SelectorSpec::new(name.to_owned()));
        }
        let names = Names::new(&specs, &gateway);
        let component = |name: &str| match names.find(name) {
            Some(Target::Component(id)) => id.to_string(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!([component("a"), component("b"), component("gpt")], ["a", "b", "a"]);
        assert_eq!(component("fast"), "b");
        assert!(matches!(names.find("any"), Some(Target::Selector(s)) if s.name == "any"));
        assert_eq!(component("gpt:latest"), "a");
        assert!(names.find("a:7b").is_none() && names.find(":latest").is_none());
        assert!(names.find("A").is_none() && names.find("").is_none());
    }
}
