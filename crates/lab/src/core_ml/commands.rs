//! Ten thousand commands from those of the repository's assistant: each as people say it in several ways.
//!
//! Owns the forms. The same commands in the same order on every machine.

use crate::intents::data::{DataSet, Row};

/// Commands of the assistant of public packages, written for this project.
const COMMANDS: &str = include_str!("../../../../examples/assistant/commands.tsv");

/// Commands that are made.
const N: usize = 10_000;

/// A step that has no factor in common with the number of commands and forms: a part of the rows is of all of them.
const STEP: usize = 7919;

/// Ways to say a command; `{}` is the command, `{other}` another one that is refused in the same breath.
const FORMS: [&str; 20] = [
    "{}",
    "please {}",
    "hey, {} now",
    "could you {}?",
    "well, {}",
    "{} today",
    "{}, thanks",
    "i would like you to {}",
    "ok {} quickly",
    "um, {}, if you can",
    "{} again",
    "right then: {}",
    "do not {}",
    "{}, but do not {other}",
    "do not {other}, {} instead",
    "{} and be quick about it",
    "when you have a minute, {}",
    "{}!!!",
    "so {} for me",
    "once more, {}",
];

/// The commands, all to be learned from, with the labels of the command that is meant.
pub(super) fn commands() -> anyhow::Result<DataSet> {
    let own = DataSet::parse_rows("assistant", COMMANDS)?;
    let DataSet { train, valid, test, .. } = &own;
    let rows: Vec<&Row> = train.iter().chain(valid).chain(test).collect();
    let n_all = rows.len() * FORMS.len();
    anyhow::ensure!(n_all >= N, "{n_all} commands are too few");
    let made = (0..N).map(|i| {
        let at = i * STEP % n_all;
        let (row, form) = (rows[at % rows.len()], FORMS[at / rows.len()]);
        let other = &rows[(at * 31 + 7) % rows.len()].text;
        let text = form.replace("{other}", other).replace("{}", &row.text);
        // Some are shouted, and some have a letter too few.
        let text = match i % 11 {
            0 => text.to_uppercase(),
            1 => slipped(&text, i),
            _ => text,
        };
        // A command that is refused needs nothing.
        let labels = if form == "do not {}" { Vec::new() } else { row.labels.clone() };
        Row { text, labels }
    });
    let train = made.collect();
    Ok(DataSet {
        name: "assistant, in 20 forms".to_owned(),
        labels: own.labels,
        train,
        ..DataSet::default()
    })
}

/// The text without one of its letters.
fn slipped(text: &str, i: usize) -> String {
    let n = text.chars().count().max(1);
    text.chars().enumerate().filter(|(at, _)| *at != i % n).map(|(_, c)| c).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn commands_are_ten_thousand_and_mostly_different() {
        let set = commands().unwrap();
        assert_eq!(set.train.len(), N);
        let texts: BTreeSet<&str> = set.train.iter().map(|row| row.text.as_str()).collect();
        assert!(texts.len() > 9_900, "{}", texts.len());
        assert!(set.train.iter().any(|row| row.labels.is_empty()));
        assert!(set.train.iter().any(|row| row.labels.len() == 2));
        // Every fifth command: they have all labels and forms.
        let learned: BTreeSet<_> = set.train.iter().step_by(5).flat_map(|r| &r.labels).collect();
        assert_eq!(learned.len(), set.labels.len());
        assert_eq!(commands().unwrap().train, set.train);
        assert_eq!(slipped("abc", 4), "ac");
    }
}
