//! Components that must not run at the same time, and the components for which that makes loading impossible.
//!
//! Knows keys and the dependency graph, no names. Every pair is listed once, smaller key first.

use fixedbitset::FixedBitSet;
use majordomo_core::ComponentKey;

use super::graph::LoadGraph;
use crate::ConflictPolicy;

/// One side of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The other component.
    pub with: ComponentKey,
    /// The policy in force: `refuse` on either side wins.
    pub policy: ConflictPolicy,
}

/// Conflicts by key, symmetric, each other side once, ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct ConflictTable {
    rows: Vec<Box<[Conflict]>>,
    pairs: Vec<(ComponentKey, ComponentKey)>,
}

impl ConflictTable {
    /// From declared pairs, either way round and repeated or not, without self-conflicts.
    pub(super) fn new(
        len: usize,
        declared: &[(ComponentKey, ComponentKey)],
        policy_of: impl Fn(ComponentKey) -> ConflictPolicy,
    ) -> Self {
        let mut pairs: Vec<_> = declared.iter().map(|(a, b)| (*a.min(b), *a.max(b))).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let mut rows: Vec<Vec<Conflict>> = vec![Vec::new(); len];
        for (a, b) in &pairs {
            let refused = [*a, *b].into_iter().any(|k| policy_of(k) == ConflictPolicy::Refuse);
            let policy = if refused { ConflictPolicy::Refuse } else { ConflictPolicy::Replace };
            rows[a.index()].push(Conflict { with: *b, policy });
            rows[b.index()].push(Conflict { with: *a, policy });
        }
        for row in &mut rows {
            row.sort_unstable_by_key(|c| c.with);
        }
        Self { rows: rows.into_iter().map(Vec::into_boxed_slice).collect(), pairs }
    }

    pub(super) fn row(&self, key: ComponentKey) -> &[Conflict] {
        &self.rows[key.index()]
    }

    pub(super) fn pairs(&self) -> &[(ComponentKey, ComponentKey)] {
        &self.pairs
    }

    /// For each conflicting pair that one component's closure holds both sides of: the pair and the
    /// first such component in `order`.
    ///
    /// One pass over the graph for every 64 pairs: bit i of a component's two words says whether its
    /// closure holds the one or the other side of pair i.
    pub(super) fn inside_closures(
        &self,
        graph: &LoadGraph,
        order: &[ComponentKey],
    ) -> Vec<(ComponentKey, ComponentKey, ComponentKey)> {
        let mut found = Vec::new();
        let mut sides = vec![[0u64; 2]; graph.len];
        for batch in self.pairs.chunks(64) {
            sides.fill([0; 2]);
            for (bit, (a, b)) in batch.iter().enumerate() {
                sides[a.index()][0] |= 1 << bit;
                sides[b.index()][1] |= 1 << bit;
            }
            let mut reported = 0u64;
            for key in order {
                let mut own = sides[key.index()];
                for dependency in graph.dependencies.row(*key) {
                    let theirs = sides[dependency.index()];
                    own = [own[0] | theirs[0], own[1] | theirs[1]];
                }
                sides[key.index()] = own;
                let mut both = own[0] & own[1] & !reported;
                reported |= both;
                while both != 0 {
                    let (a, b) = batch[both.trailing_zeros() as usize];
                    found.push((*key, a, b));
                    both &= both - 1;
                }
            }
        }
        found.sort_unstable_by_key(|(key, a, b)| (*a, *b, *key));
        found
    }

    /// The pairs with both sides in a set.
    pub(super) fn within<'a>(
        &'a self,
        set: &'a FixedBitSet,
    ) -> impl Iterator<Item = (ComponentKey, ComponentKey)> + 'a {
        self.pairs.iter().copied().filter(|(a, b)| set[a.index()] && set[b.index()])
    }
}
