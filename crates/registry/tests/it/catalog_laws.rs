//! Laws of the catalog on random graphs, against a naive model.

use std::collections::{BTreeMap, BTreeSet};

use majordomo_core::ComponentKey;
use majordomo_registry::{Catalog, CatalogError, ComponentSpec, LoaderSpec};
use proptest::prelude::*;

use crate::catalog::id;

type Edges = Vec<(usize, usize)>;

fn build(
    n: usize,
    dependencies: &Edges,
    after: &Edges,
    conflicts: &Edges,
) -> Result<Catalog, Vec<CatalogError>> {
    let name = |i: usize| id(&format!("n{i}"));
    let mut specs: Vec<ComponentSpec> = (0..n)
        .map(|i| ComponentSpec::new(name(i), LoaderSpec::Builtin { factory: String::new() }))
        .collect();
    for (a, b) in dependencies {
        specs[*a].dependencies.push(name(*b));
    }
    for (a, b) in after {
        specs[*a].after.push(name(*b));
    }
    for (a, b) in conflicts {
        specs[*a].conflicts.push(name(*b));
    }
    Catalog::build_all(specs, vec![], None)
}

fn edges(n: usize, most: usize) -> impl Strategy<Value = Edges> {
    prop::collection::vec((0..n, 0..n), 0..most)
}

/// Reachability by repetition until nothing is new.
fn naive_closure(n: usize, edges: &Edges, from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::from([from]);
    for _ in 0..n {
        for (a, b) in edges {
            if reached.contains(a) {
                reached.insert(*b);
            }
        }
    }
    reached
}

const N: usize = 12;

proptest! {
    #[test]
    fn plans_respect_every_edge(
        dependencies in edges(N, 20),
        after in edges(N, 6),
        set in prop::collection::vec(0..N, 0..4),
    ) {
        // Downward edges only: no cycle.
        let down = |edges: Edges| -> Edges { edges.into_iter().filter(|(a, b)| a > b).collect() };
        let (dependencies, after) = (down(dependencies), down(after));
        let c = build(N, &dependencies, &after, &vec![]).unwrap();
        let set: Vec<_> = set.into_iter().map(ComponentKey::from_index).collect();
        let plan = c.plan_load(&set);
        let wave_of: BTreeMap<usize, usize> = plan
            .waves()
            .enumerate()
            .flat_map(|(w, keys)| keys.iter().map(move |k| (k.index(), w)))
            .collect();
        prop_assert_eq!(wave_of.len(), plan.order().len());
        let want: BTreeSet<usize> =
            set.iter().flat_map(|k| naive_closure(N, &dependencies, k.index())).collect();
        prop_assert_eq!(wave_of.keys().copied().collect::<BTreeSet<_>>(), want.clone());
        prop_assert_eq!(c.closure(&set).into_iter().map(ComponentKey::index).collect::<BTreeSet<_>>(), want);
        for (a, b) in dependencies.iter().chain(&after) {
            prop_assert!(c.rank(ComponentKey::from_index(*a)) > c.rank(ComponentKey::from_index(*b)));
            if let (Some(a), Some(b)) = (wave_of.get(a), wave_of.get(b)) {
                prop_assert!(a > b);
            }
        }
        // No wave could have started earlier.
        for (member, wave) in &wave_of {
            let held_up = dependencies.iter().chain(&after).any(|(a, b)| {
                a == member && wave_of.get(b).is_some_and(|w| w + 1 == *wave)
            });
            prop_assert!(*wave == 0 || held_up);
        }
        let unload = c.plan_unload(&set);
        let position = |k: usize| unload.order().iter().position(|o| o.index() == k);
        for (a, b) in dependencies.iter().chain(&after) {
            if let (Some(a), Some(b)) = (position(*a), position(*b)) {
                prop_assert!(a < b);
            }
        }
        for key in &set {
            let up: Edges = dependencies.iter().map(|(a, b)| (*b, *a)).collect();
            for dependent in naive_closure(N, &up, key.index()) {
                prop_assert!(position(dependent).is_some());
            }
        }
    }

    #[test]
    fn cycles_are_found_and_real(dependencies in edges(N, 16), after in edges(N, 6)) {
        let both: Edges = dependencies.iter().chain(&after).copied().collect();
        let cyclic = both.iter().any(|(a, b)| naive_closure(N, &both, *b).contains(a));
        match build(N, &dependencies, &after, &vec![]) {
            Ok(_) => prop_assert!(!cyclic),
            Err(errors) => {
                prop_assert!(cyclic);
                for error in errors {
                    let CatalogError::Cycle(path) = error else { panic!("{error}") };
                    prop_assert!(path.len() >= 2);
                    prop_assert_eq!(path.first(), path.last());
                    let inner: BTreeSet<_> = path[1..].iter().collect();
                    prop_assert_eq!(inner.len(), path.len() - 1, "a name stands twice in {:?}", path);
                    for link in path.windows(2) {
                        let at = |i: usize| link[i].as_str()[1..].parse::<usize>().unwrap();
                        prop_assert!(both.contains(&(at(0), at(1))), "{:?}", path);
                    }
                }
            }
        }
    }

    #[test]
    fn conflicts_inside_closures_are_exactly_those(
        dependencies in edges(N, 20),
        conflicts in edges(N, 80),
    ) {
        let dependencies: Edges = dependencies.into_iter().filter(|(a, b)| a > b).collect();
        let conflicts: Edges = conflicts.into_iter().filter(|(a, b)| a != b).collect();
        let closures: Vec<_> = (0..N).map(|i| naive_closure(N, &dependencies, i)).collect();
        let want: BTreeSet<(usize, usize)> = conflicts
            .iter()
            .filter(|(a, b)| closures.iter().any(|c| c.contains(a) && c.contains(b)))
            .map(|(a, b)| (*a.min(b), *a.max(b)))
            .collect();
        let errors = build(N, &dependencies, &vec![], &conflicts).err().unwrap_or_default();
        let number = |name: &majordomo_core::ComponentId| name.as_str()[1..].parse::<usize>().unwrap();
        let mut found = BTreeSet::new();
        for error in errors {
            let CatalogError::ConflictInClosure { component, first, second } = error else {
                panic!("{error}")
            };
            let (c, a, b) = (number(&component), number(&first), number(&second));
            prop_assert!(closures[c].contains(&a) && closures[c].contains(&b));
            found.insert((a, b));
        }
        prop_assert_eq!(found, want);
    }

    #[test]
    fn keys_are_append_only(chain in prop::collection::vec(prop::collection::btree_set(0usize..20, 0..12), 1..8)) {
        let mut known: BTreeMap<usize, ComponentKey> = BTreeMap::new();
        let mut previous: Option<Catalog> = None;
        for generation in chain {
            let specs = generation
                .iter()
                .map(|i| ComponentSpec::new(id(&format!("n{i}")), LoaderSpec::Builtin { factory: String::new() }))
                .collect();
            let next = Catalog::build(specs, vec![], previous.as_ref()).unwrap();
            for i in 0..20 {
                let key = next.key(&format!("n{i}"));
                prop_assert_eq!(key.is_some(), generation.contains(&i));
                if let Some(key) = key {
                    prop_assert_eq!(*known.entry(i).or_insert(key), key);
                }
            }
            prop_assert_eq!(next.len(), known.len());
            for (i, key) in &known {
                let name = format!("n{i}");
                prop_assert_eq!(next.id(*key).as_str(), name.as_str());
                prop_assert_eq!(next.spec(*key).is_some(), generation.contains(i));
            }
            prop_assert_eq!(next.keys().count(), generation.len());
            previous = Some(next);
        }
    }
}
