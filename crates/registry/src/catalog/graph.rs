//! The graph of components on dense keys: who must be ready before whom.
//!
//! Owns the adjacency tables and shows them to petgraph as a graph. Knows keys only, no names and no
//! specifications. Every walk keeps its own stack: of petgraph only `toposort` and `kosaraju_scc` are
//! used; `tarjan_scc` and `is_cyclic_directed` recurse and overflow on deep graphs.

use std::collections::VecDeque;
use std::iter::Chain;
use std::slice::Iter;

use fixedbitset::FixedBitSet;
use majordomo_core::ComponentKey;
use petgraph::Direction;
use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::visit::{
    GraphBase, IntoNeighbors, IntoNeighborsDirected, IntoNodeIdentifiers, Visitable,
};

/// Targets by key, in one flat array (compressed rows).
#[derive(Clone, Debug, Default)]
pub(super) struct Adjacency {
    starts: Vec<u32>,
    targets: Vec<ComponentKey>,
}

impl Adjacency {
    /// Rows of `n` keys from pairs (source, target); within a row the pairs' order is kept and a
    /// repeated target dropped.
    pub(super) fn from_pairs(n: usize, pairs: &[(ComponentKey, ComponentKey)]) -> Self {
        let mut starts = vec![0u32; n + 1];
        for (source, _) in pairs {
            starts[source.index() + 1] += 1;
        }
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        let mut fill = starts.clone();
        let mut targets = vec![ComponentKey(0); pairs.len()];
        for (source, target) in pairs {
            let at = &mut fill[source.index()];
            targets[*at as usize] = *target;
            *at += 1;
        }
        let mut rows = Self { starts, targets };
        rows.drop_repeats();
        rows
    }

    /// Rows are short, except a provider of thousands; so the test is by a mark per target and row.
    fn drop_repeats(&mut self) {
        let n = self.starts.len() - 1;
        let mut marked_by = vec![u32::MAX; n];
        let mut kept = 0u32;
        let mut begin = 0usize;
        for row in 0..n {
            let end = self.starts[row + 1] as usize;
            for at in begin..end {
                let target = self.targets[at];
                if marked_by[target.index()] != row as u32 {
                    marked_by[target.index()] = row as u32;
                    self.targets[kept as usize] = target;
                    kept += 1;
                }
            }
            begin = end;
            self.starts[row + 1] = kept;
        }
        self.targets.truncate(kept as usize);
    }

    /// The same edges from the targets' side.
    pub(super) fn reversed(&self) -> Self {
        let n = self.starts.len().saturating_sub(1);
        let mut pairs = Vec::with_capacity(self.targets.len());
        for row in 0..n {
            let source = ComponentKey::from_index(row);
            pairs.extend(self.row(source).iter().map(|target| (*target, source)));
        }
        Self::from_pairs(n, &pairs)
    }

    /// The targets of one key.
    pub(super) fn row(&self, key: ComponentKey) -> &[ComponentKey] {
        let i = key.index();
        &self.targets[self.starts[i] as usize..self.starts[i + 1] as usize]
    }
}

/// Hard dependencies and `after`, in both directions.
#[derive(Clone, Debug, Default)]
pub struct LoadGraph {
    pub(super) len: usize,
    pub(super) dependencies: Adjacency,
    pub(super) dependents: Adjacency,
    pub(super) after: Adjacency,
    pub(super) followers: Adjacency,
}

impl LoadGraph {
    /// The graph of `len` keys from pairs (component, what it needs) and (component, what it comes after).
    #[must_use]
    pub fn new(
        len: usize,
        dependencies: &[(ComponentKey, ComponentKey)],
        after: &[(ComponentKey, ComponentKey)],
    ) -> Self {
        let dependencies = Adjacency::from_pairs(len, dependencies);
        let after = Adjacency::from_pairs(len, after);
        Self {
            len,
            dependents: dependencies.reversed(),
            followers: after.reversed(),
            dependencies,
            after,
        }
    }

    /// Every key after everything that it depends on or comes `after`; none when there is a cycle.
    #[must_use]
    pub fn order(&self) -> Option<Vec<ComponentKey>> {
        toposort(self, None).ok().map(|order| order.into_iter().map(ComponentKey).collect())
    }

    /// One shortest cycle, `[a, b, .., a]` along "needs", for each group of components that need each
    /// other; empty when there is none. Starts at the group's smallest key; groups by that key.
    #[must_use]
    pub fn cycles(&self) -> Vec<Vec<ComponentKey>> {
        let mut group_of = vec![u32::MAX; self.len];
        let mut starts = Vec::new();
        for (group, members) in kosaraju_scc(self).into_iter().enumerate() {
            let smallest = members.iter().copied().min().map(ComponentKey);
            for member in &members {
                group_of[*member as usize] = group as u32;
            }
            if let Some(start) = smallest
                && (members.len() > 1 || self.providers(start).any(|p| p == start))
            {
                starts.push(start);
            }
        }
        starts.sort_unstable();
        starts.into_iter().map(|start| self.shortest_cycle(start, &group_of)).collect()
    }

    fn shortest_cycle(&self, start: ComponentKey, group_of: &[u32]) -> Vec<ComponentKey> {
        let mut came_from = std::collections::BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        'search: while let Some(key) = queue.pop_front() {
            for provider in self.providers(key) {
                if group_of[provider.index()] != group_of[start.index()] {
                    continue;
                }
                if let std::collections::btree_map::Entry::Vacant(slot) = came_from.entry(provider)
                {
                    slot.insert(key);
                    if provider == start {
                        break 'search;
                    }
                    queue.push_back(provider);
                }
            }
        }
        let mut path = vec![start];
        let mut at = start;
        while let Some(previous) = came_from.get(&at) {
            path.push(*previous);
            at = *previous;
            if at == start {
                break;
            }
        }
        path.reverse();
        path
    }

    /// The dependencies of a key, and the components that it follows.
    fn providers(&self, key: ComponentKey) -> impl Iterator<Item = ComponentKey> + '_ {
        self.dependencies.row(key).iter().chain(self.after.row(key)).copied()
    }
}

/// The neighbours of a key, as petgraph's node numbers.
#[derive(Debug)]
pub struct Neighbors<'a>(Chain<Iter<'a, ComponentKey>, Iter<'a, ComponentKey>>);

impl Iterator for Neighbors<'_> {
    type Item = u32;
    fn next(&mut self) -> Option<u32> {
        self.0.next().map(|key| key.0)
    }
}

// An edge leads from a provider to what needs it, so that a topological order is a load order.
impl GraphBase for LoadGraph {
    type NodeId = u32;
    type EdgeId = ();
}

impl Visitable for LoadGraph {
    type Map = FixedBitSet;
    fn visit_map(&self) -> FixedBitSet {
        FixedBitSet::with_capacity(self.len)
    }
    fn reset_map(&self, map: &mut FixedBitSet) {
        map.clear();
        map.grow(self.len);
    }
}

impl IntoNodeIdentifiers for &LoadGraph {
    type NodeIdentifiers = std::iter::Rev<std::ops::Range<u32>>;
    // From the last key down: `toposort` reverses its finishing order, so unrelated keys come out ascending.
    fn node_identifiers(self) -> Self::NodeIdentifiers {
        (0..self.len as u32).rev()
    }
}

impl<'a> IntoNeighbors for &'a LoadGraph {
    type Neighbors = Neighbors<'a>;
    fn neighbors(self, node: u32) -> Neighbors<'a> {
        self.neighbors_directed(node, Direction::Outgoing)
    }
}

impl<'a> IntoNeighborsDirected for &'a LoadGraph {
    type NeighborsDirected = Neighbors<'a>;
    fn neighbors_directed(self, node: u32, direction: Direction) -> Neighbors<'a> {
        let key = ComponentKey(node);
        let (first, second) = match direction {
            Direction::Outgoing => (&self.dependents, &self.followers),
            Direction::Incoming => (&self.dependencies, &self.after),
        };
        Neighbors(first.row(key).iter().chain(second.row(key)))
    }
}
