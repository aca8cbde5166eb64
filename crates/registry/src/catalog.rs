//! The immutable catalog: names ↔ keys, specifications, pools, conflicts and the order of loading.
//!
//! Knows neither files nor loaded components. Keys are dense and append-only: a removed component
//! leaves a tombstone, and the same name comes back to the same key through any chain of rebuilds. A
//! catalog that exists has no cycle, no dangling name and no component that conflicts with its own
//! closure.

mod conflicts;
mod endpoints;
mod error;
mod fingerprint;
mod graph;
mod plan;

use std::collections::HashMap;
use std::sync::Arc;

use fixedbitset::FixedBitSet;
use majordomo_core::{ByteSize, ComponentId, ComponentKey, Priority};

pub use self::conflicts::Conflict;
pub use self::error::{CatalogError, EndpointProblem, Relation};
pub use self::graph::LoadGraph;
pub use self::plan::LoadPlan;

use self::conflicts::ConflictTable;
use crate::nearest::NameIndex;
use crate::{ComponentSpec, PoolSpec, WELL_KNOWN_POOLS};

/// Distances that one build may compute for its "did you mean": about a second.
const SUGGESTION_EFFORT: usize = 2_000_000;

#[derive(Clone, Debug)]
struct Entry {
    id: ComponentId,
    spec: Option<Arc<ComponentSpec>>,
    pool: usize,
    /// Declared bytes of other pools, by position.
    apart: Vec<(usize, ByteSize)>,
    /// The same while it sleeps, where that is stated.
    apart_asleep: Vec<(usize, ByteSize)>,
    config_hash: u64,
}

/// Every component of a configuration, with keys.
///
/// Methods that take a key panic when it is not from this catalog or an earlier one of its chain, except
/// [`Self::spec`].
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    entries: Vec<Entry>,
    by_name: HashMap<ComponentId, ComponentKey>,
    pools: Vec<PoolSpec>,
    graph: LoadGraph,
    conflicts: ConflictTable,
    rank: Vec<u32>,
}

impl Catalog {
    /// Builds a catalog. `prev` keeps the keys of the names that it knows; new names get new keys in the
    /// order of `specs`.
    ///
    /// # Errors
    /// The first problem found; [`Self::build_all`] returns all.
    pub fn build(
        specs: Vec<ComponentSpec>,
        pools: Vec<PoolSpec>,
        prev: Option<&Self>,
    ) -> Result<Self, CatalogError> {
        Self::build_all(specs, pools, prev).map_err(|mut errors| errors.swap_remove(0))
    }

    /// Builds a catalog as [`Self::build`] does.
    ///
    /// # Errors
    /// Every problem: first duplicates, then names in order of keys, cycles, conflicts. There is at
    /// least one. Conflicts inside closures are looked for only when there is no cycle.
    pub fn build_all(
        specs: Vec<ComponentSpec>,
        pools: Vec<PoolSpec>,
        prev: Option<&Self>,
    ) -> Result<Self, Vec<CatalogError>> {
        Self::build_shared(specs.into_iter().map(Arc::new).collect(), pools, prev)
    }

    /// As [`Self::build_all`], from specifications that are shared already.
    ///
    /// # Errors
    /// As [`Self::build_all`].
    pub fn build_shared(
        specs: Vec<Arc<ComponentSpec>>,
        pools: Vec<PoolSpec>,
        prev: Option<&Self>,
    ) -> Result<Self, Vec<CatalogError>> {
        let mut errors = Vec::new();
        let mut catalog = Self::default();
        catalog.intern(specs, pools, prev, &mut errors);
        catalog.link(&mut errors);
        match catalog.graph.order() {
            Some(order) => catalog.settle(&order, &mut errors),
            None => errors.extend(catalog.graph.cycles().into_iter().map(|cycle| {
                CatalogError::Cycle(cycle.into_iter().map(|k| catalog.id(k).clone()).collect())
            })),
        }
        if errors.is_empty() { Ok(catalog) } else { Err(errors) }
    }

    /// Gives every name its key.
    fn intern(
        &mut self,
        specs: Vec<Arc<ComponentSpec>>,
        pools: Vec<PoolSpec>,
        prev: Option<&Self>,
        errors: &mut Vec<CatalogError>,
    ) {
        let open = |name: Arc<str>| PoolSpec { name, budget: None, declared: false };
        // The ledger books by position: a pool keeps its position in the whole chain, and one that is gone keeps
        // what its bytes are, since some may still be booked in it.
        self.pools = match prev {
            Some(prev) => {
                prev.pools.iter().map(|p| PoolSpec { budget: None, ..p.clone() }).collect()
            }
            None => WELL_KNOWN_POOLS.into_iter().map(|name| open(Arc::from(name))).collect(),
        };
        for pool in pools {
            match self.pools.iter_mut().find(|p| p.name == pool.name) {
                Some(known) => *known = pool,
                None => self.pools.push(pool),
            }
        }
        let mut pool_of: HashMap<Arc<str>, usize> =
            self.pools.iter().enumerate().map(|(i, p)| (p.name.clone(), i)).collect();
        if let Some(prev) = prev {
            self.by_name.clone_from(&prev.by_name);
            self.entries = prev.entries.iter().map(|e| Entry { spec: None, ..e.clone() }).collect();
        }
        self.entries.reserve(specs.len());
        self.by_name.reserve(specs.len());
        for spec in specs {
            let next = ComponentKey::from_index(self.entries.len());
            let key = *self.by_name.entry(spec.id.clone()).or_insert(next);
            if key == next {
                self.entries.push(Entry {
                    id: spec.id.clone(),
                    spec: None,
                    pool: 0,
                    apart: Vec::new(),
                    apart_asleep: Vec::new(),
                    config_hash: 0,
                });
            }
            let entry = &mut self.entries[key.index()];
            if entry.spec.is_some() {
                errors.push(CatalogError::Duplicate(spec.id.clone()));
                continue;
            }
            let mut position = |name: &Arc<str>| {
                *pool_of.entry(name.clone()).or_insert_with(|| {
                    self.pools.push(open(name.clone()));
                    self.pools.len() - 1
                })
            };
            entry.pool = position(&spec.pool);
            entry.apart =
                spec.memory_in.iter().map(|(name, bytes)| (position(name), *bytes)).collect();
            let asleep = spec.asleep.iter().flat_map(|asleep| &asleep.memory_in);
            entry.apart_asleep = asleep.map(|(name, bytes)| (position(name), *bytes)).collect();
            entry.config_hash = fingerprint::of(&spec);
            entry.spec = Some(spec);
        }
    }

    /// Turns the names in specifications into edges between keys.
    fn link(&mut self, errors: &mut Vec<CatalogError>) {
        let mut suggestions: Option<NameIndex<'_>> = None;
        let mut edges: [Vec<(ComponentKey, ComponentKey)>; 3] = Default::default();
        for (i, entry) in self.entries.iter().enumerate() {
            let Some(spec) = &entry.spec else { continue };
            let lists = [
                (Relation::Dependencies, &spec.dependencies),
                (Relation::After, &spec.after),
                (Relation::Conflicts, &spec.conflicts),
            ];
            for ((relation, names), edges) in lists.into_iter().zip(&mut edges) {
                for name in names {
                    match self.key(name.as_str()) {
                        Some(key) => edges.push((ComponentKey::from_index(i), key)),
                        None => {
                            let index = suggestions.get_or_insert_with(|| {
                                NameIndex::new(self.names(), SUGGESTION_EFFORT)
                            });
                            let nearest = index.nearest(name.as_str());
                            errors.push(CatalogError::Unknown {
                                component: spec.id.clone(),
                                relation,
                                target: name.clone(),
                                did_you_mean: nearest
                                    .and_then(|n| Some(self.id(self.key(n)?).clone())),
                            });
                        }
                    }
                }
            }
        }
        let [dependencies, after, mut conflicts] = edges;
        conflicts.retain(|(a, b)| {
            if a == b {
                errors.push(CatalogError::SelfConflict(self.id(*a).clone()));
            }
            a != b
        });
        self.graph = LoadGraph::new(self.entries.len(), &dependencies, &after);
        self.conflicts = ConflictTable::new(self.entries.len(), &conflicts, |key| {
            self.entries[key.index()]
                .spec
                .as_ref()
                .map_or_else(Default::default, |s| s.conflict_policy)
        });
    }

    /// Fixes the ranks, and looks for conflicts that would make components unloadable.
    fn settle(&mut self, order: &[ComponentKey], errors: &mut Vec<CatalogError>) {
        self.rank = vec![0; order.len()];
        for (rank, key) in order.iter().enumerate() {
            self.rank[key.index()] = rank as u32;
        }
        self.check_endpoints(errors);
        let mut reported = std::collections::BTreeSet::new();
        for (component, a, b) in self.conflicts.inside_closures(&self.graph, order) {
            reported.insert((a, b));
            errors.push(CatalogError::ConflictInClosure {
                component: self.id(component).clone(),
                first: self.id(a).clone(),
                second: self.id(b).clone(),
            });
        }
        if self.conflicts.pairs().is_empty() {
            return;
        }
        let core: Vec<_> = self
            .keys()
            .filter(|k| self.spec(*k).is_some_and(|s| s.priority == Priority::Core))
            .collect();
        let mut together = FixedBitSet::with_capacity(self.len());
        for key in self.closure(&core) {
            together.insert(key.index());
        }
        for (a, b) in self.conflicts.within(&together).filter(|pair| !reported.contains(pair)) {
            errors.push(CatalogError::CoreConflict {
                first: self.id(a).clone(),
                second: self.id(b).clone(),
            });
        }
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

    /// Direct hard dependencies, each once, in the specification's order.
    #[must_use]
    pub fn dependencies(&self, key: ComponentKey) -> &[ComponentKey] {
        self.graph.dependencies.row(key)
    }

    /// Components that depend on it directly, ascending.
    #[must_use]
    pub fn dependents(&self, key: ComponentKey) -> &[ComponentKey] {
        self.graph.dependents.row(key)
    }

    /// Components that, when loaded in the same plan, come before it.
    #[must_use]
    pub fn after(&self, key: ComponentKey) -> &[ComponentKey] {
        self.graph.after.row(key)
    }

    /// Components that must not run at the same time, ascending; either side may state it.
    #[must_use]
    pub fn conflicts(&self, key: ComponentKey) -> &[Conflict] {
        self.conflicts.row(key)
    }

    /// Every conflicting pair once, smaller key first, ascending.
    #[must_use]
    pub fn conflict_pairs(&self) -> &[(ComponentKey, ComponentKey)] {
        self.conflicts.pairs()
    }

    /// The pools; the well-known ones come first, then the declared ones. A pool keeps
    /// its position in every catalog that is built from this one.
    #[must_use]
    pub fn pools(&self) -> &[PoolSpec] {
        &self.pools
    }

    /// The position of a component's pool in [`Self::pools`].
    #[must_use]
    pub fn pool(&self, key: ComponentKey) -> usize {
        self.entries[key.index()].pool
    }

    /// The declared bytes of a component in pools besides its own, with the positions of these pools.
    #[must_use]
    pub fn apart(&self, key: ComponentKey) -> &[(usize, ByteSize)] {
        &self.entries[key.index()].apart
    }

    /// The bytes of a component in pools besides its own while it sleeps: as stated; all that it declares, where nothing is.
    #[must_use]
    pub fn apart_asleep(&self, key: ComponentKey) -> &[(usize, ByteSize)] {
        let entry = &self.entries[key.index()];
        match entry.spec.as_ref().is_some_and(|spec| spec.asleep.is_some()) {
            true => &entry.apart_asleep,
            false => &entry.apart,
        }
    }

    /// The position in one fixed order in which every component comes after its dependencies and `after`.
    #[must_use]
    pub fn rank(&self, key: ComponentKey) -> u32 {
        self.rank[key.index()]
    }

    /// A hash of what a measured footprint depends on: loader and version. The same in every process
    /// and build.
    #[must_use]
    pub fn config_hash(&self, key: ComponentKey) -> u64 {
        self.entries[key.index()].config_hash
    }

    /// The name nearest to a word that names no component; none when nothing is near.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&ComponentId> {
        let nearest = NameIndex::new(self.names(), usize::MAX).nearest(name)?;
        Some(self.id(self.key(nearest)?))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|e| e.spec.is_some()).map(|e| e.id.as_str())
    }
}
