//! The immutable catalog: names ↔ keys, the dependency graph, conflicts, and plans over them.
//!
//! Keys are dense and append-only: a removed component leaves a tombstone, and the same name comes back
//! to the same key.

use std::collections::BTreeMap;
use std::sync::Arc;

use majordomo_core::{ComponentId, ComponentKey};

use crate::{ComponentSpec, ConflictPolicy, PoolSpec, WELL_KNOWN_POOLS};

/// Why specifications make no catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// Two components with one name.
    #[error("component \"{0}\" stands twice")]
    Duplicate(ComponentId),
    /// A dependency, `after` or conflict that names no component.
    #[error("component \"{component}\" names \"{target}\", which does not exist")]
    Unknown {
        /// The component that names it.
        component: ComponentId,
        /// The name.
        target: ComponentId,
    },
    /// Dependencies that lead back to their start.
    #[error("dependencies form a cycle: {}", .0.iter().map(ComponentId::as_str).collect::<Vec<_>>().join(" -> "))]
    Cycle(Vec<ComponentId>),
}

/// One side of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The other component.
    pub with: ComponentKey,
    /// The policy in force: `refuse` on either side wins.
    pub policy: ConflictPolicy,
}

#[derive(Clone, Debug)]
struct Entry {
    id: ComponentId,
    spec: Option<Arc<ComponentSpec>>,
    dependencies: Vec<ComponentKey>,
    dependents: Vec<ComponentKey>,
    after: Vec<ComponentKey>,
    conflicts: Vec<Conflict>,
    pool: usize,
    rank: u32,
    config_hash: u64,
}

/// Every component of a configuration, with keys.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    entries: Vec<Entry>,
    by_name: BTreeMap<ComponentId, ComponentKey>,
    pools: Vec<PoolSpec>,
}

impl Catalog {
    /// Builds a catalog. `prev` keeps the keys of the names that it knows.
    ///
    /// # Errors
    /// The first problem found; `check` in the configuration reader reports all.
    pub fn build(
        specs: Vec<ComponentSpec>,
        pools: Vec<PoolSpec>,
        prev: Option<&Self>,
    ) -> Result<Self, CatalogError> {
        let mut c = Self::default();
        for name in WELL_KNOWN_POOLS {
            c.pools.push(PoolSpec { name: Arc::from(name), budget: None, declared: false });
        }
        for p in pools {
            match c.pools.iter_mut().find(|q| q.name == p.name) {
                Some(q) => *q = p,
                None => c.pools.push(p),
            }
        }
        let entry = |id: ComponentId| Entry {
            id,
            spec: None,
            dependencies: vec![],
            dependents: vec![],
            after: vec![],
            conflicts: vec![],
            pool: 3,
            rank: 0,
            config_hash: 0,
        };
        if let Some(prev) = prev {
            for e in &prev.entries {
                c.by_name.insert(e.id.clone(), ComponentKey::from_index(c.entries.len()));
                c.entries.push(entry(e.id.clone()));
            }
        }
        for spec in specs {
            let next = ComponentKey::from_index(c.entries.len());
            let key = *c.by_name.entry(spec.id.clone()).or_insert(next);
            if key == next {
                c.entries.push(entry(spec.id.clone()));
            }
            let e = &mut c.entries[key.index()];
            if e.spec.is_some() {
                return Err(CatalogError::Duplicate(spec.id));
            }
            e.pool = match c.pools.iter().position(|p| p.name == spec.pool) {
                Some(i) => i,
                None => {
                    c.pools.push(PoolSpec {
                        name: spec.pool.clone(),
                        budget: None,
                        declared: false,
                    });
                    c.pools.len() - 1
                }
            };
            e.spec = Some(Arc::new(spec));
        }
        let find = |c: &Self, s: &ComponentSpec, t: &ComponentId| {
            c.by_name
                .get(t)
                .copied()
                .filter(|k| c.entries[k.index()].spec.is_some())
                .ok_or_else(|| CatalogError::Unknown { component: s.id.clone(), target: t.clone() })
        };
        for i in 0..c.entries.len() {
            let Some(s) = c.entries[i].spec.clone() else { continue };
            let key = ComponentKey::from_index(i);
            for d in &s.dependencies {
                let k = find(&c, &s, d)?;
                if !c.entries[i].dependencies.contains(&k) {
                    c.entries[i].dependencies.push(k);
                    c.entries[k.index()].dependents.push(key);
                }
            }
            for d in &s.after {
                let k = find(&c, &s, d)?;
                c.entries[i].after.push(k);
            }
            for d in &s.conflicts {
                let k = find(&c, &s, d)?;
                let other = c.spec(k).map_or(ConflictPolicy::Replace, |o| o.conflict_policy);
                let policy = if s.conflict_policy == ConflictPolicy::Refuse
                    || other == ConflictPolicy::Refuse
                {
                    ConflictPolicy::Refuse
                } else {
                    ConflictPolicy::Replace
                };
                for (a, b) in [(key, k), (k, key)] {
                    let list = &mut c.entries[a.index()].conflicts;
                    if !list.iter().any(|x| x.with == b) {
                        list.push(Conflict { with: b, policy });
                    }
                }
            }
        }
        // Kahn's algorithm over dependencies and `after`.
        let n = c.entries.len();
        let mut indegree: Vec<usize> =
            c.entries.iter().map(|e| e.dependencies.len() + e.after.len()).collect();
        let mut followers: Vec<Vec<usize>> = vec![vec![]; n];
        for (i, e) in c.entries.iter().enumerate() {
            for d in e.dependencies.iter().chain(&e.after) {
                followers[d.index()].push(i);
            }
        }
        let mut ready: std::collections::BTreeSet<usize> =
            (0..n).filter(|&i| indegree[i] == 0).collect();
        let mut rank = 0;
        while let Some(i) = ready.pop_first() {
            c.entries[i].rank = rank;
            rank += 1;
            for &f in &followers[i] {
                indegree[f] -= 1;
                if indegree[f] == 0 {
                    ready.insert(f);
                }
            }
        }
        if (rank as usize) < n {
            return Err(CatalogError::Cycle(
                c.entries
                    .iter()
                    .zip(&indegree)
                    .filter(|(_, d)| **d > 0)
                    .map(|(e, _)| e.id.clone())
                    .collect(),
            ));
        }
        Ok(c)
    }

    /// The number of keys, tombstones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The key of a name that has a specification.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<ComponentKey> {
        self.by_name.get(name).copied().filter(|k| self.spec(*k).is_some())
    }

    /// The name of a key; also of a tombstone.
    #[must_use]
    pub fn id(&self, key: ComponentKey) -> &ComponentId {
        &self.entries[key.index()].id
    }

    /// The specification of a key; none for a tombstone or a key of a later catalog.
    #[must_use]
    pub fn spec(&self, key: ComponentKey) -> Option<&Arc<ComponentSpec>> {
        self.entries.get(key.index())?.spec.as_ref()
    }

    /// The keys that have a specification, ascending.
    pub fn keys(&self) -> impl Iterator<Item = ComponentKey> + '_ {
        self.entries
            .iter()
            .enumerate()
            .filter(|(_, e)| e.spec.is_some())
            .map(|(i, _)| ComponentKey::from_index(i))
    }

    /// Direct hard dependencies.
    #[must_use]
    pub fn dependencies(&self, key: ComponentKey) -> &[ComponentKey] {
        &self.entries[key.index()].dependencies
    }

    /// Components that depend on it directly.
    #[must_use]
    pub fn dependents(&self, key: ComponentKey) -> &[ComponentKey] {
        &self.entries[key.index()].dependents
    }

    /// Components that, when loaded in the same plan, come before it.
    #[must_use]
    pub fn after(&self, key: ComponentKey) -> &[ComponentKey] {
        &self.entries[key.index()].after
    }

    /// Components it must not run beside.
    #[must_use]
    pub fn conflicts(&self, key: ComponentKey) -> &[Conflict] {
        &self.entries[key.index()].conflicts
    }

    /// The pools; the well-known ones come first.
    #[must_use]
    pub fn pools(&self) -> &[PoolSpec] {
        &self.pools
    }

    /// The position of a component's pool in [`Self::pools`].
    #[must_use]
    pub fn pool(&self, key: ComponentKey) -> usize {
        self.entries[key.index()].pool
    }

    /// The position in one fixed order in which every component comes after its dependencies and `after`.
    #[must_use]
    pub fn rank(&self, key: ComponentKey) -> u32 {
        self.entries[key.index()].rank
    }

    /// A hash of what a measured footprint depends on: loader and version. Stable across processes.
    #[must_use]
    pub fn config_hash(&self, key: ComponentKey) -> u64 {
        self.entries[key.index()].config_hash
    }

    /// The set with all its hard dependencies, each once, dependencies first.
    #[must_use]
    pub fn closure(&self, set: &[ComponentKey]) -> Vec<ComponentKey> {
        self.reach(set, |e| &e.dependencies)
    }

    /// The set with everything that depends on it, each once, dependencies first.
    #[must_use]
    pub fn dependent_closure(&self, set: &[ComponentKey]) -> Vec<ComponentKey> {
        self.reach(set, |e| &e.dependents)
    }

    fn reach(
        &self,
        set: &[ComponentKey],
        next: impl Fn(&Entry) -> &Vec<ComponentKey>,
    ) -> Vec<ComponentKey> {
        let mut seen = std::collections::BTreeSet::new();
        let mut stack: Vec<ComponentKey> = set.to_vec();
        while let Some(k) = stack.pop() {
            if seen.insert(k) {
                stack.extend(next(&self.entries[k.index()]));
            }
        }
        let mut out: Vec<_> = seen.into_iter().collect();
        out.sort_by_key(|k| (self.rank(*k), *k));
        out
    }
}
