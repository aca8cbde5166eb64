//! The components that labels stand for, and how much was learned about each label.
//!
//! Labels number the components that outcomes have used; keys number the components of the catalog. Does not know
//! models. Invariant: both directions of the mapping agree.

use std::collections::BTreeMap;
use std::sync::Arc;

use majordomo_core::{ComponentId, ComponentKey};

/// The mapping between labels and keys, with facts by label.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    names: Arc<[ComponentId]>,
    /// By label; `None` for a component that is not in the catalog.
    keys: Vec<Option<ComponentKey>>,
    /// By component key.
    labels: Vec<Option<u32>>,
    /// By label: too few outcomes used it for the model to overrule its keywords.
    is_new: Vec<bool>,
    /// By label: outcomes of negated texts have taught the model what a negation means for it.
    knows_negation: Vec<bool>,
}

impl Labels {
    pub(crate) fn new(
        names: &[ComponentId],
        by_name: &BTreeMap<ComponentId, ComponentKey>,
    ) -> Self {
        let keys: Vec<_> = names.iter().map(|name| by_name.get(name).copied()).collect();
        let n_keys = by_name.values().map(|key| key.index() + 1).max().unwrap_or(0);
        let mut labels = vec![None; n_keys];
        for (label, key) in keys.iter().enumerate() {
            if let Some(key) = key {
                labels[key.index()] = Some(label as u32);
            }
        }
        Self { names: names.into(), keys, labels, ..Self::default() }
    }

    /// Replaces the facts by label.
    pub(crate) fn set_facts(&mut self, is_new: Vec<bool>, knows_negation: Vec<bool>) {
        (self.is_new, self.knows_negation) = (is_new, knows_negation);
    }

    /// The components by label.
    pub(crate) fn names(&self) -> &[ComponentId] {
        &self.names
    }

    pub(crate) fn key(&self, label: u32) -> Option<ComponentKey> {
        self.keys.get(label as usize).copied().flatten()
    }

    /// The keys in the order of the labels.
    pub(crate) fn keys(&self) -> &[Option<ComponentKey>] {
        &self.keys
    }

    pub(crate) fn label(&self, key: ComponentKey) -> Option<u32> {
        self.labels.get(key.index()).copied().flatten()
    }

    pub(crate) fn is_new(&self, label: u32) -> bool {
        self.is_new.get(label as usize).copied().unwrap_or(true)
    }

    pub(crate) fn knows_negation(&self, label: u32) -> bool {
        self.knows_negation.get(label as usize).copied().unwrap_or(false)
    }

    /// How many labels enough outcomes have used.
    pub(crate) fn n_known(&self) -> usize {
        self.is_new.iter().filter(|is_new| !**is_new).count()
    }
}
