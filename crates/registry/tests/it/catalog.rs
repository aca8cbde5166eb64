//! The catalog: errors with names, plans, conflicts, great depth.

use majordomo_core::{ComponentId, ComponentKey, Priority};
use majordomo_registry::{
    Catalog, CatalogError, ComponentSpec, ConflictPolicy, LoaderSpec, PoolSpec,
};

pub(crate) fn id(name: &str) -> ComponentId {
    ComponentId::new(name).unwrap()
}

/// `"c: a b | after d | not e"` as a specification.
pub(crate) fn spec(line: &str) -> ComponentSpec {
    let (name, rest) = line.split_once(':').unwrap_or((line, ""));
    let loader = LoaderSpec::Builtin { factory: name.to_owned() };
    let mut spec = ComponentSpec::new(id(name), loader);
    for part in rest.split('|') {
        let mut words: Vec<&str> = part.split_whitespace().collect();
        let list = match words.first() {
            Some(&"after") => &mut spec.after,
            Some(&"not") => &mut spec.conflicts,
            Some(&"refuse") => {
                spec.conflict_policy = ConflictPolicy::Refuse;
                continue;
            }
            Some(&"core") => {
                spec.priority = Priority::Core;
                continue;
            }
            _ => &mut spec.dependencies,
        };
        if matches!(words.first(), Some(&("after" | "not"))) {
            words.remove(0);
        }
        list.extend(words.into_iter().map(id));
    }
    spec
}

pub(crate) fn specs(lines: &[&str]) -> Vec<ComponentSpec> {
    lines.iter().map(|line| spec(line)).collect()
}

fn catalog(lines: &[&str]) -> Catalog {
    Catalog::build(specs(lines), vec![], None).unwrap()
}

fn keys(catalog: &Catalog, names: &str) -> Vec<ComponentKey> {
    names.split_whitespace().map(|n| catalog.key(n).unwrap()).collect()
}

fn names(catalog: &Catalog, keys: &[ComponentKey]) -> String {
    keys.iter().map(|k| catalog.id(*k).as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn all_errors_are_reported_with_names() {
    let check = |lines: &[&str], want: &[&str]| {
        let errors = match Catalog::build_all(specs(lines), vec![], None) {
            Ok(_) => vec![],
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(errors, want, "{lines:?}");
    };
    check(&["a: b", "b"], &[]);
    check(
        &["voice", "clock: voise", "voice"],
        &[
            "component \"voice\" is declared twice; keep one of them",
            "component \"clock\" names \"voise\" in dependencies, which does not exist; did you mean \"voice\"?",
        ],
    );
    check(
        &["a: | after weather", "b: | not c"],
        &[
            "component \"a\" names \"weather\" in after, which does not exist; declare it, or remove the name",
            "component \"b\" names \"c\" in conflicts, which does not exist; declare it, or remove the name",
        ],
    );
    check(&["a: a"], &["component \"a\" depends on itself; remove one of these dependencies"]);
    check(
        &["x: a", "a: b", "b: c x", "c: a", "p: | after q", "q: p"],
        &[
            "dependencies form a cycle: x -> a -> b -> x; remove one of these dependencies",
            "dependencies form a cycle: p -> q -> p; remove one of these dependencies",
        ],
    );
    check(
        &["a: | not a"],
        &["component \"a\" conflicts with itself; remove its own name from conflicts"],
    );
    check(
        &["top: left right", "left: l", "right: r", "l: | not r", "r", "over: top"],
        &[
            "component \"top\" can never load: it needs \"l\" and \"r\", which conflict; remove the conflict, or one of the dependencies",
        ],
    );
    check(
        &["a: b | not b", "b"],
        &[
            "component \"a\" can never load: it needs \"b\" and conflicts with it; remove the conflict, or one of the dependencies",
        ],
    );
    check(
        &["a: low | core", "b: | core | not low", "low"],
        &[
            "\"b\" and \"low\" conflict, but both are CORE or needed by a CORE component; lower the priority of one of them",
        ],
    );
}

#[test]
fn plans_load_and_unload_in_waves() {
    let c = catalog(&[
        "app: ui net",
        "ui: gpu",
        "net",
        "gpu: | after log",
        "log",
        "other: net | after app",
    ]);
    let check = |unload: bool, set: &str, want: &str| {
        let set = keys(&c, set);
        let plan = if unload { c.plan_unload(&set) } else { c.plan_load(&set) };
        let waves: Vec<String> = plan.waves().map(|w| names(&c, w)).collect();
        assert_eq!(waves.join(" / "), want);
        assert_eq!(plan.waves().flatten().copied().collect::<Vec<_>>(), plan.order());
    };
    check(false, "", "");
    check(false, "app", "net gpu / ui / app");
    check(false, "app log app", "net log / gpu / ui / app");
    check(false, "other app", "net gpu / ui / app / other");
    check(false, "other", "net / other");
    check(true, "net", "other / app / net");
    check(true, "gpu log", "app / ui / gpu / log");
    assert_eq!(names(&c, &c.closure(&keys(&c, "app"))), "net gpu ui app");
    assert_eq!(names(&c, &c.dependent_closure(&keys(&c, "net"))), "net app other");
    assert_eq!(names(&c, c.dependents(keys(&c, "net")[0])), "app other");
}

#[test]
fn conflicts_are_symmetric_and_the_stricter_side_wins() {
    let c = catalog(&["a: | not b c", "b: | not a", "c: | refuse", "d"]);
    let side = |from: &str, to: &str| {
        let to = c.key(to).unwrap();
        c.conflicts(c.key(from).unwrap()).iter().find(|x| x.with == to).map(|x| x.policy)
    };
    assert_eq!(side("a", "b"), Some(ConflictPolicy::Replace));
    assert_eq!(side("b", "a"), Some(ConflictPolicy::Replace));
    assert_eq!(side("c", "a"), Some(ConflictPolicy::Refuse));
    assert_eq!(side("a", "c"), Some(ConflictPolicy::Refuse));
    assert_eq!(side("b", "c"), None);
    assert_eq!(c.conflict_pairs().len(), 2);
    let [a, b, cc, d] = keys(&c, "a b c d")[..] else { panic!() };
    assert_eq!(c.conflicts_within(&[d, cc, a]), [(a, cc)]);
    assert_eq!(c.conflicts_within(&[b, cc, d]), []);
}

#[test]
fn key_of_a_removed_name_is_not_reused() {
    let first = catalog(&["a", "b", "c"]);
    let second = Catalog::build(specs(&["d", "c"]), vec![], Some(&first)).unwrap();
    let third = Catalog::build(specs(&["b", "a", "c"]), vec![], Some(&second)).unwrap();
    assert_eq!(second.len(), 4);
    assert_eq!(second.key("a"), None);
    assert_eq!(second.id(ComponentKey(0)).as_str(), "a");
    assert!(second.spec(ComponentKey(0)).is_none());
    assert_eq!(names(&second, &second.keys().collect::<Vec<_>>()), "c d");
    assert_eq!(third.key("b"), first.key("b"));
    assert!(third.spec(ComponentKey(9)).is_none());
    // A tombstone is no target.
    let gone = Catalog::build(specs(&["b: a"]), vec![], Some(&first));
    assert!(matches!(gone, Err(CatalogError::Unknown { .. })));
}

#[test]
fn unknown_pool_is_created() {
    let mut own = spec("a");
    own.pool = "gpu".into();
    let mut ml = spec("b");
    ml.pool = "ml".into();
    let budget = Some(majordomo_core::ByteSize::gib(1));
    let pool = PoolSpec { name: "ml".into(), budget, declared: false };
    let c = Catalog::build(vec![own, ml, spec("c")], vec![pool], None).unwrap();
    let of = |name: &str| &c.pools()[c.pool(c.key(name).unwrap())];
    assert_eq!((&*of("a").name, of("a").budget), ("gpu", None));
    assert_eq!((&*of("b").name, of("b").budget), ("ml", budget));
    assert_eq!(&*of("c").name, "general");
    assert_eq!(c.pools().len(), 5);
}

#[test]
fn nearest_name_is_suggested() {
    let c = catalog(&["vision", "voice", "ocr"]);
    assert_eq!(c.nearest("vsion").map(ComponentId::as_str), Some("vision"));
    assert_eq!(c.nearest("Vision").map(ComponentId::as_str), Some("vision"));
    assert_eq!(c.nearest("weather"), None);
}

#[test]
fn a_chain_of_100_000_works() {
    const N: usize = 100_000;
    let name = |i: usize| id(&format!("c{i}"));
    let mut chain: Vec<ComponentSpec> = (0..N)
        .map(|i| {
            let loader = LoaderSpec::Builtin { factory: String::new() };
            let mut s = ComponentSpec::new(name(i), loader);
            s.dependencies.extend((i + 1 < N).then(|| name(i + 1)));
            s
        })
        .collect();
    chain[0].conflicts.push(name(N - 1));
    let errors = Catalog::build_all(chain.clone(), vec![], None).unwrap_err();
    assert!(
        matches!(&errors[..], [CatalogError::ConflictInClosure { component, .. }] if *component == name(0)),
        "{errors:?}"
    );
    chain[0].conflicts.clear();
    let c = Catalog::build(chain.clone(), vec![], None).unwrap();
    let first = c.key("c0").unwrap();
    let plan = c.plan_load(&[first]);
    assert_eq!(plan.waves().len(), N);
    assert_eq!(plan.order().last(), Some(&first));
    let last = c.key("c99999").unwrap();
    assert_eq!(c.plan_unload(&[last]).order().first(), Some(&first));
    chain[N - 1].dependencies.push(name(0));
    let Err(CatalogError::Cycle(path)) = Catalog::build(chain, vec![], None) else { panic!() };
    assert_eq!(path.len(), N + 1);
    let text = CatalogError::Cycle(path).to_string();
    assert!(text.contains("c0 -> c1 -> ") && text.contains("(99989 more)"), "{text}");
}
