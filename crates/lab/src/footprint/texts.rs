//! Texts to learn: of a table, or made up. Made-up ones use words of their own for each component and many rare words, so
//! that the model knows as many n-grams as one of real texts.

use anyhow::{Context, ensure};

use super::{Args, Rows};

/// Texts that are taught to the running server: enough for a retrain.
const LATER: usize = 120;

pub(super) fn rows(args: &Args) -> anyhow::Result<Rows> {
    let (n, n_components) = (args.outcomes as usize, args.components as usize);
    let mut all: Vec<(String, String)> = match &args.texts {
        None => (0..n + LATER).map(|i| made_up(i, n_components)).collect(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            let fields = text.lines().map(|line| line.rsplitn(3, '\t').collect::<Vec<_>>());
            let rows = fields.filter(|f| f.len() > 1 && f.get(2).is_none_or(|s| *s == "train"));
            let rows = rows.map(|f| (f[1].to_owned(), f[0].to_owned()));
            let all: Vec<_> = rows.filter(|row| !row.0.is_empty()).collect();
            spread(all, n + LATER)
        }
    };
    ensure!(all.len() > 2 * LATER, "{} texts are too few", all.len());
    let later = all.split_off(all.len() - LATER);
    let of_rows = all.iter().chain(&later).flat_map(|row| row.0.split(','));
    let mut components: Vec<String> = of_rows.map(str::to_owned).collect();
    components.sort();
    components.dedup();
    components.extend((components.len()..n_components).map(|i| format!("spare{i}")));
    Ok(Rows { components, taught: all, later })
}

/// At most `n` rows, from all of the table.
fn spread(rows: Vec<(String, String)>, n: usize) -> Vec<(String, String)> {
    let len = rows.len();
    let keep = |i: usize| len <= n || (i * n) / len != ((i + 1) * n) / len;
    let mut rows: Vec<_> =
        rows.into_iter().enumerate().filter(|(i, _)| keep(*i)).map(|r| r.1).collect();
    // Tables are sorted by component; a step that has no factor in common with the number of rows mixes them.
    let (n, step) = (rows.len(), 7919);
    let mut at = 0;
    for i in (1..n).rev() {
        at = (at + step) % (i + 1);
        rows.swap(i, at);
    }
    rows
}

/// The `i`-th made-up text and its component.
pub(crate) fn made_up(i: usize, n_components: usize) -> (String, String) {
    let component = i % n_components;
    let verb = word(component, 3);
    let object = word(1000 + component * 20 + (i / 7) % 20, 4);
    let (one, other) = (word(10_000 + i, 3), word(50_000 + i * 31 % 997, 2));
    (format!("component{component}"), format!("please {verb} the {object} {one} for {other}"))
}

/// A pronounceable word, different for different numbers.
fn word(number: usize, n_syllables: usize) -> String {
    const CONSONANTS: &[u8] = b"bdfgklmnprstvz";
    const VOWELS: &[u8] = b"aeiou";
    let mut rest = number.wrapping_mul(2_654_435_761) % 343_000;
    let mut out = String::new();
    for _ in 0..n_syllables {
        out.push(char::from(CONSONANTS[rest % CONSONANTS.len()]));
        out.push(char::from(VOWELS[rest / CONSONANTS.len() % VOWELS.len()]));
        rest /= CONSONANTS.len() * VOWELS.len();
    }
    out
}
