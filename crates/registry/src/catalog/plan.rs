//! Plans: what a set of components needs, and in which parallel waves it is loaded and unloaded.
//!
//! Knows the graph only. Every provider stands in an earlier wave than what needs it. Walks keep their
//! own stack, so a chain of any length works.

use fixedbitset::FixedBitSet;
use majordomo_core::ComponentKey;

use super::Catalog;
use super::graph::Adjacency;

/// Components in waves: a wave may start when the one before it has ended, its members all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadPlan {
    order: Vec<ComponentKey>,
    /// Where each wave ends in `order`.
    ends: Vec<usize>,
}

impl LoadPlan {
    /// Every component of the plan, wave after wave.
    #[must_use]
    pub fn order(&self) -> &[ComponentKey] {
        &self.order
    }

    /// The waves, first to last; none is empty.
    pub fn waves(&self) -> impl ExactSizeIterator<Item = &[ComponentKey]> + '_ {
        self.ends.iter().enumerate().map(|(i, end)| {
            let begin = if i == 0 { 0 } else { self.ends[i - 1] };
            &self.order[begin..*end]
        })
    }

    /// The same components in the opposite order of waves.
    fn reversed(&self) -> Self {
        let mut reversed = Self { order: Vec::with_capacity(self.order.len()), ends: Vec::new() };
        let mut waves: Vec<&[ComponentKey]> = self.waves().collect();
        waves.reverse();
        for wave in waves {
            reversed.order.extend_from_slice(wave);
            reversed.ends.push(reversed.order.len());
        }
        reversed
    }
}

impl Catalog {
    /// The set with all its hard dependencies, each once, dependencies first.
    #[must_use]
    pub fn closure(&self, set: &[ComponentKey]) -> Vec<ComponentKey> {
        self.reach(set, &self.graph.dependencies)
    }

    /// The set with everything that depends on it, each once, dependencies first.
    #[must_use]
    pub fn dependent_closure(&self, set: &[ComponentKey]) -> Vec<ComponentKey> {
        self.reach(set, &self.graph.dependents)
    }

    /// How the set is loaded: with all its hard dependencies, in waves. Dependencies and, between
    /// members, `after` are respected.
    #[must_use]
    pub fn plan_load(&self, set: &[ComponentKey]) -> LoadPlan {
        self.layers(self.closure(set))
    }

    /// How the set is unloaded: with everything that depends on it, dependents first, in waves.
    #[must_use]
    pub fn plan_unload(&self, set: &[ComponentKey]) -> LoadPlan {
        self.layers(self.dependent_closure(set)).reversed()
    }

    /// The conflicts among the members of a set, each pair once.
    #[must_use]
    pub fn conflicts_within(&self, set: &[ComponentKey]) -> Vec<(ComponentKey, ComponentKey)> {
        let mut members = FixedBitSet::with_capacity(self.len());
        set.iter().for_each(|key| members.insert(key.index()));
        let mut pairs = Vec::new();
        for key in members.ones().map(ComponentKey::from_index) {
            let others = self.conflicts(key).iter().map(|c| c.with);
            pairs.extend(
                others.filter(|o| *o > key && members[o.index()]).map(|other| (key, other)),
            );
        }
        pairs
    }

    fn reach(&self, set: &[ComponentKey], next: &Adjacency) -> Vec<ComponentKey> {
        let mut seen = FixedBitSet::with_capacity(self.len());
        // The list of what was found is at once the queue of what is still to be looked at.
        let mut found: Vec<ComponentKey> = Vec::with_capacity(32);
        found.extend(set.iter().copied().filter(|k| !seen.put(k.index())));
        let mut at = 0;
        while let Some(key) = found.get(at) {
            at += 1;
            let row = next.row(*key);
            found.extend(row.iter().copied().filter(|k| !seen.put(k.index())));
        }
        found.sort_unstable_by_key(|k| self.rank(*k));
        found
    }

    /// Waves of members that stand in order of rank: one later than the latest provider among them.
    fn layers(&self, members: Vec<ComponentKey>) -> LoadPlan {
        let mut waves: Vec<u32> = Vec::with_capacity(members.len());
        let mut sizes: Vec<usize> = Vec::new();
        for (i, key) in members.iter().enumerate() {
            let providers = self.dependencies(*key).iter().chain(self.after(*key));
            let wave = providers
                .filter_map(|p| {
                    let rank = self.rank(*p);
                    members[..i].binary_search_by_key(&rank, |m| self.rank(*m)).ok()
                })
                .map(|at| waves[at] + 1)
                .max()
                .unwrap_or(0);
            waves.push(wave);
            match sizes.get_mut(wave as usize) {
                Some(size) => *size += 1,
                None => sizes.push(1),
            }
        }
        let mut next = Vec::with_capacity(sizes.len());
        let mut total = 0;
        for size in &mut sizes {
            next.push(total);
            total += *size;
            *size = total;
        }
        let mut order = vec![ComponentKey(0); members.len()];
        for (key, wave) in members.into_iter().zip(waves) {
            let at = &mut next[wave as usize];
            order[*at] = key;
            *at += 1;
        }
        LoadPlan { order, ends: sizes }
    }
}
