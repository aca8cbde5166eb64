//! Addresses of programs that other programs receive: the conditions under which an address is known.
//!
//! Owns the rules about place-holders for dependencies, the variables with their URLs, and fixed addresses. Knows no
//! running program.

use std::collections::{BTreeMap, BTreeSet};

use fixedbitset::FixedBitSet;
use majordomo_core::ComponentKey;

use super::{Catalog, CatalogError, EndpointProblem};
use crate::ProcessSpec;
use crate::template::{self, EndpointPart, PlaceHolder};

impl Catalog {
    /// The program of a component that is one.
    fn process(&self, key: ComponentKey) -> Option<&ProcessSpec> {
        self.spec(key)?.program()
    }

    /// Needs ranks.
    pub(super) fn check_endpoints(&self, errors: &mut Vec<CatalogError>) {
        for key in self.keys() {
            self.check_place_holders(key, errors);
        }
        self.check_variables(errors);
        let port = |p: &ProcessSpec| p.port.map(|port| format!("the port {port}"));
        self.check_fixed(port, errors);
        let socket = |p: &ProcessSpec| p.socket.as_ref().map(|s| format!("the socket {s:?}"));
        self.check_fixed(socket, errors);
    }

    fn check_place_holders(&self, key: ComponentKey, errors: &mut Vec<CatalogError>) {
        let Some(process) = self.process(key) else { return };
        let uses: BTreeSet<_> = process
            .texts()
            .flat_map(template::place_holders)
            .filter_map(|holder| match holder {
                PlaceHolder::Dependency { name, part } => Some((name, part)),
                _ => None,
            })
            .collect();
        if uses.is_empty() {
            return;
        }
        let mut needed = FixedBitSet::with_capacity(self.len());
        self.closure(&[key]).into_iter().filter(|k| *k != key).for_each(|k| {
            needed.insert(k.index());
        });
        for (name, part) in uses {
            let problem = match self.key(name) {
                None => EndpointProblem::Unknown { did_you_mean: self.nearest(name).cloned() },
                Some(k) if k == key => EndpointProblem::Itself,
                Some(k) if !needed[k.index()] => EndpointProblem::NoDependency,
                Some(k) => match self.spec(k) {
                    Some(spec) if spec.has_address(part) => continue,
                    Some(spec) if spec.program().is_some() || spec.service().is_some() => {
                        EndpointProblem::NoSuchPart
                    }
                    _ => EndpointProblem::NoProcess,
                },
            };
            let (component, dependency) = (self.id(key).clone(), name.to_owned());
            errors.push(CatalogError::Endpoint { component, dependency, part, problem });
        }
    }

    /// Two dependencies of one program whose URLs would stand in one variable.
    fn check_variables(&self, errors: &mut Vec<CatalogError>) {
        let mut by_variable: BTreeMap<String, Vec<ComponentKey>> = BTreeMap::new();
        for key in self.keys() {
            if self.spec(key).is_some_and(|spec| spec.has_address(EndpointPart::Url)) {
                by_variable.entry(template::url_variable(self.id(key))).or_default().push(key);
            }
        }
        for (variable, keys) in by_variable.into_iter().filter(|(_, keys)| keys.len() > 1) {
            // By dependent: the first provider that claims the variable.
            let mut claimed: BTreeMap<ComponentKey, ComponentKey> = BTreeMap::new();
            for key in keys {
                let dependents = self.dependent_closure(&[key]).into_iter();
                let mut is_reported = false;
                for dependent in dependents.filter(|k| *k != key && self.process(*k).is_some()) {
                    let first = *claimed.entry(dependent).or_insert(key);
                    if first == key || std::mem::replace(&mut is_reported, true) {
                        continue;
                    }
                    errors.push(CatalogError::SameVariable {
                        component: self.id(dependent).clone(),
                        first: self.id(first).clone(),
                        second: self.id(key).clone(),
                        variable: variable.clone(),
                    });
                }
            }
        }
    }

    /// Two components with one fixed address, which may run beside each other.
    fn check_fixed(
        &self,
        address: impl Fn(&ProcessSpec) -> Option<String>,
        errors: &mut Vec<CatalogError>,
    ) {
        let mut by_address: BTreeMap<String, Vec<ComponentKey>> = BTreeMap::new();
        for key in self.keys() {
            if let Some(address) = self.process(key).and_then(&address) {
                by_address.entry(address).or_default().push(key);
            }
        }
        for (address, keys) in by_address {
            for (i, second) in keys.iter().enumerate() {
                let rivals = self.conflicts(*second);
                let apart = |first: &ComponentKey| rivals.iter().any(|c| c.with == *first);
                if let Some(first) = keys[..i].iter().find(|first| !apart(first)) {
                    errors.push(CatalogError::SameAddress {
                        first: self.id(*first).clone(),
                        second: self.id(*second).clone(),
                        address: address.clone(),
                    });
                }
            }
        }
    }
}
