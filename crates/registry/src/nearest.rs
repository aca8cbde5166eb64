//! "Did you mean": the nearest of the names there are.
//!
//! Optimal string alignment distance (Damerau 1964, restricted: insertions, deletions, substitutions and
//! swaps of neighbours), from `strsim`, at most a third of the word's length: a word that is further away
//! is no misspelling but another word. Ties go to the first name in alphabetical order.

/// Names prepared for many searches.
#[derive(Debug)]
pub(crate) struct NameIndex<'a> {
    names: Vec<Entry<'a>>,
    /// Distances that may still be computed; a file of 100 000 misspelt names must not take minutes.
    left: usize,
}

#[derive(Debug)]
struct Entry<'a> {
    name: &'a str,
    letters: u64,
}

impl<'a> NameIndex<'a> {
    /// An index that computes at most `effort` distances in its life and then finds nothing any more.
    pub(crate) fn new(names: impl IntoIterator<Item = &'a str>, effort: usize) -> Self {
        let names = names.into_iter().map(|name| Entry { name, letters: letters(name) }).collect();
        Self { names, left: effort }
    }

    /// The nearest name, unless it is too far away or the word itself.
    pub(crate) fn nearest(&mut self, word: &str) -> Option<&'a str> {
        let length = word.chars().count();
        // At least one edit, but never the whole word.
        let bound = (length / 3).clamp(1, 4).min(length.saturating_sub(1));
        let own = letters(word);
        let mut best: Option<(usize, &'a str)> = None;
        for entry in &self.names {
            // One edit changes the length by one at most and the set of letters by two.
            if entry.name.len().abs_diff(word.len()) > 4 * bound
                || (entry.letters ^ own).count_ones() as usize > 2 * bound
                || entry.name == word
            {
                continue;
            }
            let Some(left) = self.left.checked_sub(1) else { break };
            self.left = left;
            let distance = strsim::osa_distance(word, entry.name);
            if distance <= bound && best.is_none_or(|b| (distance, entry.name) < b) {
                best = Some((distance, entry.name));
            }
        }
        best.map(|(_, name)| name)
    }
}

/// A bit for each letter that occurs, folded into 64.
fn letters(word: &str) -> u64 {
    word.bytes().fold(0, |set, b| set | 1 << (b & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        NameIndex::new(names, usize::MAX).nearest(word)
    }

    #[test]
    fn finds_misspellings_only() {
        let names = ["vision", "voice", "voice_unlock", "ocr", "asr"];
        let check = |word: &str, want: Option<&str>| {
            assert_eq!(nearest(word, names), want, "{word}");
        };
        check("vison", Some("vision"));
        check("viison", Some("vision"));
        check("viosn", None);
        check("voice_unlok", Some("voice_unlock"));
        check("ocs", Some("ocr"));
        check("Vision", Some("vision"));
        check("weather", None);
        check("", None);
        check("ocr", None);
        check("x", None);
        check("naïve", None);
    }

    #[test]
    fn effort_is_bounded() {
        let mut index = NameIndex::new(["abc", "abd"], 1);
        assert_eq!(index.nearest("abx"), Some("abc"));
        assert_eq!(index.nearest("abx"), None);
    }
}
