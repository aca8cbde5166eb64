//! The project's own lists: commands as people type them in eight languages, and negated commands.
//!
//! Owns the figures: how many commands keywords find by exact words and by all forms, how many commands without
//! one find something, and what negation does to those that have it and those that only look so.

use std::collections::BTreeMap;

use anyhow::Context;
use majordomo_core::{ComponentId, ComponentKey};
use majordomo_predictor::{
    Fit, IntentScratch, KeywordMatcher, KeywordScratch, PredictorConfig, TextPredictor,
};

const LANGUAGES: &str = include_str!("../../../predictor/tests/data/languages.tsv");
const NEGATION: &str = include_str!("../../../predictor/tests/data/negation.tsv");

/// The rows of a list: four columns.
fn rows(list: &str) -> impl Iterator<Item = [&str; 4]> {
    list.lines().filter(|l| !l.starts_with('#')).filter_map(|l| {
        let columns: Vec<&str> = l.split('\t').collect();
        columns.try_into().ok()
    })
}

/// Prints both tables.
pub(crate) fn print() -> anyhow::Result<()> {
    let mut of_language: BTreeMap<&str, Vec<[&str; 4]>> = BTreeMap::new();
    for [language, rest @ ..] in rows(LANGUAGES) {
        of_language.entry(language).or_default().push([language, rest[0], rest[1], rest[2]]);
    }
    println!("language  commands  by exact words  by all forms  without  found all the same");
    let mut sums = [0; 5];
    for (language, rows) in of_language {
        let figures = forms(&rows)?;
        let [n, exact, all, without, wrong] = figures;
        println!("{language:<9} {n:>8} {exact:>15} {all:>13} {without:>8} {wrong:>20}");
        sums.iter_mut().zip(figures).for_each(|(sum, x)| *sum += x);
    }
    let [n, exact, all, without, wrong] = sums;
    println!("{:<9} {n:>8} {exact:>15} {all:>13} {without:>8} {wrong:>20}\n", "sum");
    println!("commands  of  loaded without negation  loaded");
    for (kind, n, keyword, loaded) in negation()? {
        println!("{kind:<9} {n:>2} {keyword:>24} {loaded:>7}");
    }
    Ok(())
}

/// Commands, found by exact words, found by all forms; commands without a keyword, found all the same.
fn forms(rows: &[[&str; 4]]) -> anyhow::Result<[usize; 5]> {
    let components: Vec<&[&str; 4]> = rows.iter().filter(|r| r[1] == "keywords").collect();
    let entries = components
        .iter()
        .enumerate()
        .flat_map(|(i, r)| r[3].split(',').map(move |word| (ComponentKey::from_index(i), word)));
    let matcher = KeywordMatcher::build(entries)?;
    let mut scratch = KeywordScratch::default();
    let mut out = [0; 5];
    for [_, _, expected, text] in rows.iter().filter(|r| r[1] == "command") {
        let found = matcher.find(text, &mut scratch);
        let is_found = |exact: bool| {
            found.hits().iter().any(|h| {
                components[h.component.index()][2] == *expected && (!exact || h.fit == Fit::Exact)
            })
        };
        if *expected == "-" {
            out[3] += 1;
            out[4] += usize::from(!found.is_empty());
        } else {
            out[0] += 1;
            out[1] += usize::from(is_found(true));
            out[2] += usize::from(is_found(false));
        }
    }
    Ok(out)
}

/// By kind: commands, those whose component has a keyword in the text, and those whose component is needed.
fn negation() -> anyhow::Result<Vec<(&'static str, usize, usize, usize)>> {
    let lists: Vec<[&str; 4]> = rows(NEGATION).filter(|r| r[0] == "keywords").collect();
    let ids: Vec<ComponentId> =
        lists.iter().map(|r| ComponentId::new(r[2])).collect::<Result<_, _>>()?;
    let entries = lists
        .iter()
        .enumerate()
        .flat_map(|(i, r)| r[3].split(',').map(move |word| (ComponentKey::from_index(i), word)));
    let matcher = KeywordMatcher::build(entries)?;
    let mut predictor = TextPredictor::new(PredictorConfig::default());
    let keys = (0..ids.len()).map(ComponentKey::from_index);
    predictor.set_catalog(keys.zip(&ids), matcher);
    let mut scratch = IntentScratch::default();
    let mut out = Vec::new();
    for kind in ["negated", "positive"] {
        let (mut n, mut named, mut loaded) = (0, 0, 0);
        for [_, _, expected, text] in rows(NEGATION).filter(|r| r[0] == kind) {
            let key =
                lists.iter().position(|r| r[2] == expected).context("a component of the list")?;
            let is_it = |key_of: ComponentKey| key_of.index() == key;
            let found = predictor.intents(text, &mut scratch);
            n += 1;
            named += usize::from(found.keywords.hits().iter().any(|h| is_it(h.component)));
            loaded += usize::from(found.components.iter().any(|i| is_it(i.component)));
        }
        out.push((kind, n, named, loaded));
    }
    Ok(out)
}
