//! Models that llama-swap never runs beside each other, and what stands for that here.
//!
//! Owns groups, the matrix and the default (one model at a time), as pairs of models. Where the memory of both models of a
//! pair is known, and the device that it is taken from, the budget decides instead. The other pairs are kept: as a pool
//! with room for one where all of a set exclude each other, else as `conflicts`.

use std::collections::{BTreeMap, BTreeSet};

use super::document::Value;
use super::matrix;
use super::reader::{Context, Found, Section};

/// The models as they are known when groups are read.
#[derive(Debug)]
pub(super) struct Models<'m> {
    pub ids: Vec<&'m str>,
    /// Whether a budget bounds the model: its memory is known, and on which device.
    pub is_bounded: Vec<bool>,
    /// Whether the device is stated, so that budgets decide where memory is known.
    pub by_budget: bool,
}

impl Models<'_> {
    fn find(&self, id: &str) -> Option<usize> {
        self.ids.iter().position(|known| *known == id)
    }

    fn detail(&self, members: impl IntoIterator<Item = usize>) -> (bool, &'static str) {
        if !self.by_budget {
            let kept = "kept: such models exclude each other here, too; with --gpu-memory SIZE or --cpu-only, budgets replace it";
            return (true, kept);
        }
        if members.into_iter().all(|model| self.is_bounded[model]) {
            return (
                false,
                "budgets replace it: models run beside each other as their memory allows",
            );
        }
        (
            true,
            "budgets replace it, except for models whose memory is not known: these still exclude others",
        )
    }
}

/// Pairs of models that never run beside each other (the smaller first), and models that no other one may evict.
#[derive(Debug, Default)]
pub(super) struct Exclusions {
    pub pairs: BTreeSet<(usize, usize)>,
    pub pinned: BTreeSet<usize>,
}

#[derive(Debug)]
struct Group {
    members: Vec<usize>,
    swap: bool,
    exclusive: bool,
    persistent: bool,
}

/// Reads groups or the matrix, wherever the file has them.
pub(super) fn read(cx: &mut Context, root: &Section<'_>, models: &Models<'_>) -> Exclusions {
    let routing = root.get("routing").map(|found| found.section());
    let router = routing.as_ref().and_then(|routing| routing.get("router"));
    let settings = router.as_ref().and_then(|router| router.section().get("settings"));
    let engine = router.as_ref().and_then(|router| router.section().get("use"));
    let new = |key: &str| settings.as_ref().and_then(|settings| settings.section().get(key));
    let is_stated = |found: &Option<Found<'_>>| {
        found.as_ref().is_some_and(|found| !found.node.members().is_empty())
    };
    let (old_groups, old_matrix) = (root.get("groups"), root.get("matrix"));
    let (mut groups, mut matrix) = (new("groups"), new("matrix"));
    let is_old = is_stated(&old_groups) || is_stated(&old_matrix);
    if is_old && (is_stated(&groups) || is_stated(&matrix) || engine.is_some()) {
        let found = old_groups.as_ref().filter(|_| is_stated(&old_groups)).or(old_matrix.as_ref());
        if let Some(found) = found {
            cx.wrong(found, "the file has routing.router, too, and llama-swap takes only one of both; remove one");
        }
        return Exclusions::default();
    }
    if is_old {
        (groups, matrix) = (old_groups, old_matrix);
        if let (true, Some(found)) = (is_stated(&groups) && is_stated(&matrix), &matrix) {
            cx.wrong(
                found,
                "the file has groups, too, and llama-swap takes only one of both; remove one",
            );
            return Exclusions::default();
        }
    }
    let chosen = engine.as_ref().and_then(|found| cx.known_text(found));
    let use_matrix = match chosen.as_deref() {
        None => is_old && is_stated(&matrix),
        Some("matrix") => true,
        Some("group") => false,
        Some(_) => {
            if let Some(found) = &engine {
                cx.wrong(found, "write group or matrix");
            }
            return Exclusions::default();
        }
    };
    if let Some(found) = &engine {
        cx.not_needed(found, "it only chooses between groups and matrix");
    }
    let unused = if use_matrix { groups.take() } else { matrix.take() };
    if let Some(found) = unused {
        cx.not_needed(&found, "routing.router.use chooses the other one");
    }
    match (use_matrix, matrix, groups) {
        (true, Some(found), _) => read_matrix(cx, &found, models),
        (true, None, _) => {
            if let Some(found) = &engine {
                cx.wrong(found, "there is no matrix in routing.router.settings");
            }
            Exclusions::default()
        }
        (false, _, groups) => read_groups(cx, groups.as_ref(), models),
    }
}

fn read_groups(cx: &mut Context, groups: Option<&Found<'_>>, models: &Models<'_>) -> Exclusions {
    let mut all: Vec<Group> = Vec::new();
    let mut group_of: BTreeMap<usize, String> = BTreeMap::new();
    if let Some(groups) = groups
        && cx.is_table(groups)
    {
        for found in groups.section().all() {
            if cx.is_table(&found) {
                all.push(read_group(cx, &found, models, &mut group_of));
            }
        }
    }
    let rest: Vec<usize> =
        (0..models.ids.len()).filter(|model| !group_of.contains_key(model)).collect();
    all.push(Group { members: rest, swap: true, exclusive: true, persistent: false });
    let mut out = Exclusions::default();
    let mut exclude = |a: usize, b: usize| {
        out.pairs.insert((a.min(b), a.max(b)));
    };
    for (i, group) in all.iter().enumerate() {
        if group.swap {
            for (n, a) in group.members.iter().enumerate() {
                group.members[n + 1..].iter().for_each(|b| exclude(*a, *b));
            }
        }
        // Otherwise one of both may be loaded beside the other.
        let excludes = |group: &Group| group.exclusive && !group.persistent;
        for other in all[i + 1..].iter().filter(|other| excludes(group) && excludes(other)) {
            for a in &group.members {
                other.members.iter().for_each(|b| exclude(*a, *b));
            }
        }
    }
    let pinned =
        all.iter().filter(|group| group.persistent && (!group.swap || group.members.len() < 2));
    out.pinned = pinned.flat_map(|group| group.members.iter().copied()).collect();
    out
}

fn read_group(
    cx: &mut Context,
    found: &Found<'_>,
    models: &Models<'_>,
    group_of: &mut BTreeMap<usize, String>,
) -> Group {
    let section = found.section();
    let mut members = Vec::new();
    let listed = section.get("members");
    for (id, place) in listed.as_ref().map(|found| cx.texts(found)).unwrap_or_default() {
        match models.find(&id) {
            None => cx.report.remarks.push(format!(
                "line {}: the group {} has a member {}, which is no model; it was left out",
                place.line,
                majordomo::quoted(found.key()),
                majordomo::quoted(&id)
            )),
            Some(model) => match group_of.insert(model, found.key().to_owned()) {
                Some(other) => cx.wrong(
                    &place,
                    format!(
                        "the model {} is in the group {} already",
                        majordomo::quoted(&id),
                        majordomo::quoted(&other)
                    ),
                ),
                None => members.push(model),
            },
        }
    }
    let (is_kept, detail) = models.detail(members.iter().copied());
    let say = |cx: &mut Context, found: &Found<'_>, is_kept: bool, detail: &str| match is_kept {
        true => cx.translated(found, detail),
        false => cx.not_needed(found, detail),
    };
    if let Some(listed) = &listed {
        say(cx, listed, is_kept, detail);
    }
    const BESIDE: &str = "components run beside each other as the budget allows";
    let truth = |cx: &mut Context, key: &str, default: bool| {
        let stated = section.get(key);
        let value = stated.as_ref().and_then(|found| cx.truth(found)).unwrap_or(default);
        (stated, value)
    };
    let (swap_at, swap) = truth(cx, "swap", true);
    let (exclusive_at, exclusive) = truth(cx, "exclusive", true);
    let (persistent_at, persistent) = truth(cx, "persistent", false);
    for (stated, value) in [(swap_at, swap), (exclusive_at, exclusive)] {
        if let Some(found) = stated {
            let detail = if value { detail } else { BESIDE };
            say(cx, &found, value && is_kept, detail);
        }
    }
    if let Some(found) = persistent_at {
        match (persistent, swap && members.len() > 1) {
            (false, _) => cx.not_needed(&found, "it is the default"),
            (true, false) => {
                cx.translated(&found, "pinned = true: once loaded, a member is not evicted");
            }
            (true, true) => cx
                .not_supported(&found, "members exclude each other, so none of them can be pinned"),
        }
    }
    Group { members, swap, exclusive, persistent }
}

fn read_matrix(cx: &mut Context, found: &Found<'_>, models: &Models<'_>) -> Exclusions {
    let section = found.section();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    if let Some(vars) = section.get("vars")
        && cx.is_table(&vars)
    {
        for var in vars.section().all() {
            let Some(id) = cx.known_text(&var) else { continue };
            match models.find(&id) {
                Some(model) => drop(names.insert(var.key().to_owned(), model)),
                None => cx.wrong(&var, format!("there is no model {}", majordomo::quoted(&id))),
            }
        }
        cx.not_needed(&vars, "it only abbreviates names for the sets");
    }
    if let Some(costs) = section.get("evict_costs") {
        cx.not_needed(&costs, "eviction weighs load times and expected uses, which are learned");
    }
    let mut sets = Vec::new();
    let mut places = Vec::new();
    let listed = section.get("sets");
    if let Some(listed) = &listed
        && cx.is_table(listed)
    {
        for set in listed.section().all() {
            if let Some(expression) = cx.known_text(&set) {
                sets.push((set.key().to_owned(), expression));
                places.push(set);
            }
        }
    }
    if sets.is_empty() {
        cx.wrong(found, "the matrix has no sets; add one");
        return Exclusions::default();
    }
    let model = |name: &str| names.get(name).copied().or_else(|| models.find(name));
    let beside = match matrix::pairs(&sets, &model) {
        Ok(pairs) => pairs.pairs,
        Err((set, why)) => {
            cx.wrong(&places[set], why);
            return Exclusions::default();
        }
    };
    let (is_kept, detail) = models.detail(0..models.ids.len());
    if let Some(listed) = &listed {
        let detail = format!("{detail}; pair by pair");
        if is_kept { cx.translated(listed, detail) } else { cx.not_needed(listed, detail) }
    }
    let mut out = Exclusions::default();
    for a in 0..models.ids.len() {
        out.pairs.extend(
            (a + 1..models.ids.len()).map(|b| (a, b)).filter(|pair| !beside.contains(pair)),
        );
    }
    out
}

/// How the pairs that are kept are written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// Sets of which one member runs at a time.
    pub one_at_a_time: Vec<Vec<usize>>,
    /// By model: those that it conflicts with, each pair once.
    pub conflicts: BTreeMap<usize, Vec<usize>>,
}

/// The smallest set that becomes a pool; the pairs of a smaller one are few.
const MIN_POOL: usize = 4;

/// Chooses for each pair. `fixed` are pairs that must be `conflicts`.
pub(super) fn kept(pairs: &BTreeSet<(usize, usize)>, fixed: &BTreeSet<(usize, usize)>) -> Kept {
    let mut rivals: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (a, b) in pairs {
        rivals.entry(*a).or_default().insert(*b);
        rivals.entry(*b).or_default().insert(*a);
    }
    let mut out = Kept::default();
    let mut pooled: BTreeSet<usize> = BTreeSet::new();
    for (model, others) in &rivals {
        if pooled.contains(model) || others.len() + 1 < MIN_POOL {
            continue;
        }
        let is_closed = others.iter().all(|other| {
            let of_other = &rivals[other];
            of_other.len() == others.len()
                && others.iter().all(|o| o == other || of_other.contains(o))
        });
        if is_closed {
            let set: Vec<usize> = std::iter::once(*model).chain(others.iter().copied()).collect();
            pooled.extend(&set);
            out.one_at_a_time.push(set);
        }
    }
    for (a, b) in pairs.union(fixed) {
        if !pooled.contains(a) || fixed.contains(&(*a, *b)) {
            out.conflicts.entry(*a).or_default().push(*b);
        }
    }
    out
}

/// Whether a value is a list, as profiles were in old files.
pub(super) const fn is_list(value: &Value) -> bool {
    matches!(value, Value::List(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::document;

    const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

    fn of(text: &str) -> (Exclusions, Context) {
        let root = document::read(text).unwrap().0.unwrap();
        let models = Models { ids: IDS.to_vec(), is_bounded: vec![false; 5], by_budget: false };
        let mut cx = Context::default();
        let out = read(&mut cx, &Section::root(&root), &models);
        (out, cx)
    }

    fn pairs(text: &str) -> String {
        let (out, cx) = of(text);
        assert!(cx.problems.is_empty(), "{:?}", cx.problems);
        let pairs = out.pairs.iter().map(|(a, b)| format!("{}{}", IDS[*a], IDS[*b]));
        pairs.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn without_groups_one_model_runs_at_a_time() {
        assert_eq!(pairs("x: 1"), "ab ac ad ae bc bd be cd ce de");
    }

    #[test]
    fn groups_exclude_by_swap_and_by_both_being_exclusive() {
        let text = "groups:\n  one: {swap: false, exclusive: true, members: [a, b]}\n  two: {exclusive: false, members: [c, d]}\n";
        // e is alone in the default group; c and d may be loaded beside all others.
        assert_eq!(pairs(text), "ae be cd");
        let text = "groups:\n  keep: {swap: false, persistent: true, members: [a]}\n";
        assert_eq!(pairs(text), "bc bd be cd ce de");
        assert_eq!(of(text).0.pinned.len(), 1);
    }

    #[test]
    fn the_matrix_excludes_what_no_set_has_together() {
        let text = "routing:\n  router:\n    use: matrix\n    settings:\n      matrix:\n        vars: {x: c}\n        sets: {s: 'a & (b | x)', t: 'd & e'}\n";
        assert_eq!(pairs(text), "ad ae bc bd be cd ce");
    }

    #[test]
    fn contradicting_files_are_problems() {
        #[track_caller]
        fn check(text: &str, part: &str) {
            let (_, cx) = of(text);
            assert!(cx.problems.iter().any(|p| p.message.contains(part)), "{:?}", cx.problems);
        }
        check("groups: {g: {members: [a]}}\nmatrix: {sets: {s: a}}", "groups, too");
        check(
            "groups: {g: {members: [a]}}\nrouting: {router: {use: group}}",
            "routing.router, too",
        );
        check("groups: {g: {members: [a]}, h: {members: [a]}}", "in the group \"g\" already");
        check("routing: {router: {use: magic}}", "group or matrix");
        check("matrix: {sets: {s: 'a & z'}}", "no model \"z\"");
    }

    #[test]
    fn closed_sets_become_pools_and_other_pairs_conflicts() {
        let all = |n: usize| {
            (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b))).collect::<BTreeSet<_>>()
        };
        let made = kept(&all(5), &BTreeSet::new());
        assert_eq!(made, Kept { one_at_a_time: vec![vec![0, 1, 2, 3, 4]], ..Kept::default() });
        let made = kept(&all(3), &BTreeSet::new());
        assert_eq!(made.conflicts, BTreeMap::from([(0, vec![1, 2]), (1, vec![2])]));
        let made = kept(&all(5), &BTreeSet::from([(1, 3)]));
        assert_eq!(made.conflicts, BTreeMap::from([(1, vec![3])]));
        let mut open = all(5);
        open.remove(&(0, 4));
        assert!(kept(&open, &BTreeSet::new()).one_at_a_time.is_empty());
    }
}
