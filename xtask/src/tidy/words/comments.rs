//! Two rules about comments: every sentence has a subject, and none repeats the name under it.

use super::parts::parts;
use crate::tidy::Findings;

/// A sentence has a subject: none begins with "What", "Who" or "Whoever" in the sense of "that which".
pub(super) fn check_openings(path: &str, text: &str, is_rust: bool, findings: &mut Findings) {
    const OPENINGS: &[&str] = &["What", "Who", "Whoever"];
    let lines: Vec<&str> = text.lines().collect();
    for (line_idx, line) in lines.iter().enumerate() {
        let Some(prose) = prose_of(line, is_rust) else { continue };
        let continues = line_idx
            .checked_sub(1)
            .and_then(|before| prose_of(lines.get(before)?, is_rust))
            .is_some_and(|before| !ends_sentence(before));
        for (position, opening) in OPENINGS.iter().flat_map(|opening| {
            prose.match_indices(opening).map(move |(position, _)| (position, *opening))
        }) {
            let before = prose.get(..position).unwrap_or("").trim_end();
            let after = prose.get(position + opening.len()..).unwrap_or("");
            let begins = if before.is_empty() { !continues } else { ends_sentence(before) };
            if begins && after.starts_with(' ') && !is_question(after, lines.get(line_idx + 1..)) {
                let message =
                    format!("a sentence that begins with `{opening}` has no subject: name it");
                findings.error(path, line_idx + 1, message);
            }
        }
    }
}

/// The text of a comment, or of a line of prose that is no heading; none if there is none.
fn prose_of(line: &str, is_rust: bool) -> Option<&str> {
    let line = line.trim_start();
    let prose = if is_rust {
        line.strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"))
            .or_else(|| line.strip_prefix("//"))?
    } else {
        if line.starts_with('#') {
            return None;
        }
        line
    };
    let prose = prose.trim_start_matches([' ', '-', '*', '|']).trim_end();
    (!prose.is_empty()).then_some(prose)
}

fn ends_sentence(text: &str) -> bool {
    text.trim_end_matches(['*', '`', ')', '"']).ends_with(['.', '?', '!', ':', '|'])
}

/// Whether the first mark that ends the sentence is a question mark.
fn is_question(rest: &str, following: Option<&[&str]>) -> bool {
    let following = following.unwrap_or(&[]).iter().take(3).copied();
    std::iter::once(rest)
        .chain(following)
        .find_map(|line| line.chars().find(|char| matches!(char, '.' | '?' | '!')))
        == Some('?')
}

/// A documentation comment says more than the name under it.
pub(super) fn check_repetitions(path: &str, text: &str, findings: &mut Findings) {
    const FILLERS: &[&str] = &[
        "a", "an", "and", "by", "for", "in", "is", "its", "new", "of", "on", "or", "s", "that",
        "the", "this", "to",
    ];
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (line_idx, line) in lines.iter().enumerate() {
        let Some(comment) = line.strip_prefix("/// ") else { continue };
        let is_alone = !line_idx
            .checked_sub(1)
            .and_then(|before| lines.get(before))
            .is_some_and(|before| before.starts_with("///"));
        let item = lines
            .get(line_idx + 1..)
            .unwrap_or(&[])
            .iter()
            .find(|line| !line.starts_with("#["))
            .filter(|line| !line.starts_with("//"));
        let Some(item) = item.filter(|_| is_alone) else { continue };
        let names: Vec<String> = item
            .split(|char: char| !char.is_alphanumeric() && char != '_')
            .flat_map(parts)
            .map(|part| stem(&part))
            .collect();
        let says_more = comment
            .split(|char: char| !char.is_alphanumeric() && char != '_')
            .flat_map(parts)
            .filter(|part| !FILLERS.contains(&part.as_str()))
            .map(|part| stem(&part))
            .any(|part| !names.contains(&part));
        if !says_more {
            let message =
                "the comment repeats the name: say more (unit, range, reason) or delete it";
            findings.error(path, line_idx + 1, message);
        }
    }
}

fn stem(word: &str) -> String {
    word.strip_suffix('s').unwrap_or(word).to_owned()
}
