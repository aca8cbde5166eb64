//! The commands of a day: rows of `split TAB label TAB text`, and the component that each label
//! stands for.
//!
//! A label that is the name of a component stands for it. The others stand, in the order of their
//! number of rows, for the components that no label names, in the order of the configuration. Texts
//! to learn from may have several labels; a command of a day has one, and other rows are left out
//! and counted.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use majordomo_sim::Rng;

use crate::intents::data::DataSet;

/// The component of each label: its place in the list of components.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LabelMap {
    pub(super) places: BTreeMap<String, usize>,
    /// Labels without a component, with their number of rows.
    pub(super) left_out: Vec<(String, usize)>,
}

impl LabelMap {
    /// `counts` has the number of rows of each label.
    pub(super) fn new(counts: &BTreeMap<String, usize>, components: &[String]) -> Self {
        let mut map = Self::default();
        let mut unnamed: Vec<(&String, usize)> = Vec::new();
        for (label, n) in counts {
            match components.iter().position(|c| c == label) {
                Some(place) => drop(map.places.insert(label.clone(), place)),
                None => unnamed.push((label, *n)),
            }
        }
        unnamed.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let named: Vec<usize> = map.places.values().copied().collect();
        let mut free = (0..components.len()).filter(|place| !named.contains(place));
        for (label, n) in unnamed {
            match free.next() {
                Some(place) => drop(map.places.insert(label.clone(), place)),
                None => map.left_out.push((label.clone(), n)),
            }
        }
        map
    }
}

/// Texts by component.
#[derive(Clone, Debug, Default)]
pub(super) struct Commands {
    pub(super) map: LabelMap,
    /// Texts to learn from, each with the places of its components.
    pub(super) train: Vec<(String, Vec<usize>)>,
    /// Texts of a day, by the place of the component.
    test: Vec<Vec<String>>,
    /// Rows of a day without exactly one label, and rows with a label that stands for no component.
    pub(super) n_left_out: usize,
}

impl Commands {
    /// Reads a table, gzipped where its name ends so.
    pub(super) fn read(path: &Path, components: &[String]) -> anyhow::Result<Self> {
        Self::new(&DataSet::read_rows(path)?, components)
            .with_context(|| format!("{} has no day in it", path.display()))
    }

    fn new(set: &DataSet, components: &[String]) -> anyhow::Result<Self> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let all = || set.train.iter().chain(&set.valid).chain(&set.test);
        for row in all() {
            if let [label] = row.labels[..] {
                *counts.entry(set.labels[label as usize].clone()).or_default() += 1;
            }
        }
        let map = LabelMap::new(&counts, components);
        let places = |labels: &[u32]| -> Option<Vec<usize>> {
            labels.iter().map(|l| map.places.get(&set.labels[*l as usize]).copied()).collect()
        };
        let mut train = Vec::new();
        let mut test = vec![Vec::new(); components.len()];
        let mut n_left_out = 0;
        for row in &set.train {
            match places(&row.labels) {
                Some(places) => train.push((row.text.clone(), places)),
                None => n_left_out += 1,
            }
        }
        for row in set.scored() {
            match places(&row.labels).as_deref() {
                Some([place]) => test[*place].push(row.text.clone()),
                _ => n_left_out += 1,
            }
        }
        ensure!(
            test.iter().any(|texts| !texts.is_empty()),
            "no row of split test is about a component; the components are {}",
            components.join(", ")
        );
        Ok(Self { map, train, test, n_left_out })
    }

    /// Whether there is a text for a component.
    pub(super) fn has(&self, place: usize) -> bool {
        self.test.get(place).is_some_and(|texts| !texts.is_empty())
    }
}

/// Draws texts without repetition, as long as there are others.
pub(super) struct Draw<'a> {
    commands: &'a Commands,
    rest: Vec<Vec<&'a str>>,
    rng: Rng,
}

impl<'a> Draw<'a> {
    pub(super) fn new(commands: &'a Commands, rng: Rng) -> Self {
        Self { commands, rest: vec![Vec::new(); commands.test.len()], rng }
    }

    /// A text for a component that has some.
    pub(super) fn next(&mut self, place: usize) -> &'a str {
        let rest = &mut self.rest[place];
        if rest.is_empty() {
            rest.extend(self.commands.test[place].iter().map(String::as_str));
        }
        rest.swap_remove(self.rng.below(rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn labels_that_name_no_component_are_mapped_by_frequency() {
        let components = names(&["chat", "listen", "read"]);
        let counts = [("music", 5), ("read", 1), ("clock", 9), ("rare", 2)];
        let counts = counts.iter().map(|(label, n)| ((*label).to_owned(), *n)).collect();
        let map = LabelMap::new(&counts, &components);
        let place = |label: &str| map.places.get(label).copied();
        assert_eq!((place("read"), place("clock"), place("music")), (Some(2), Some(0), Some(1)));
        assert_eq!(map.left_out, [("rare".to_owned(), 2)]);
    }

    #[test]
    fn texts_repeat_only_when_all_were_used() {
        let rows = "train\ta\tx\nvalid\ta\ty\ntest\ta\tone\ntest\ta\ttwo\ntest\ta,b\tboth\ntest\tb\tthree\n";
        let set = DataSet::parse_rows("x", rows).unwrap();
        let commands = Commands::new(&set, &names(&["a", "b"])).unwrap();
        assert_eq!((commands.train.len(), commands.n_left_out), (1, 1));
        assert!(commands.has(1) && !commands.has(2));
        let mut draw = Draw::new(&commands, Rng::new(&[1]));
        let mut twice: Vec<_> = (0..4).map(|_| draw.next(0)).collect();
        let (first, second) = twice.split_at_mut(2);
        first.sort_unstable();
        second.sort_unstable();
        assert_eq!((&*first, &*second), (&["one", "two"][..], &["one", "two"][..]));
        let error = Commands::new(&set, &names(&[])).unwrap_err().to_string();
        assert!(error.contains("no row of split test"), "{error}");
    }
}
