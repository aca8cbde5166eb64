//! Names of components for IDs of models.
//!
//! A component's name is `[a-z0-9][a-z0-9_-]{0,63}`; an ID is any text, and stays usable as an alias. Invariant: names
//! differ from each other, and from every ID, alias and selector of another model.

use std::collections::HashSet;

const MAX_NAME: usize = 64;
/// The longest alias, in bytes.
const MAX_ALIAS: usize = 256;

pub(super) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// Whether clients can use a text as a name of a component.
pub(super) fn is_alias(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ALIAS && text.bytes().all(|b| b.is_ascii_graphic())
}

/// One name for each ID. `taken` are texts that are used as names otherwise.
pub(super) fn assign(ids: &[&str], taken: &HashSet<String>) -> Vec<String> {
    let mut used: HashSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    used.extend(taken.iter().cloned());
    let mut assigned = HashSet::new();
    let mut names = Vec::new();
    for id in ids {
        let base = if is_name(id) && !taken.contains(*id) { (*id).to_owned() } else { made_of(id) };
        let is_own = |name: &str| name == *id && !taken.contains(name);
        let is_free = |name: &str, assigned: &HashSet<String>| {
            !assigned.contains(name) && (is_own(name) || !used.contains(name))
        };
        let mut name = base.clone();
        let mut n = 2;
        while !is_free(&name, &assigned) {
            let end = format!("-{n}");
            let start = base.get(..MAX_NAME - end.len()).unwrap_or(&base);
            name = format!("{}{end}", start.trim_end_matches(['-', '_']));
            n += 1;
        }
        assigned.insert(name.clone());
        names.push(name);
    }
    names
}

fn made_of(id: &str) -> String {
    let mut name = String::new();
    for c in id.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name = name.trim_matches(['-', '_']);
    let name = name.get(..MAX_NAME).unwrap_or(name).trim_end_matches(['-', '_']);
    if name.is_empty() { "model".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ids: &[&str], taken: &[&str], names: &[&str]) {
        let taken = taken.iter().map(|t| (*t).to_owned()).collect();
        let made = assign(ids, &taken);
        assert_eq!(made, names);
        assert!(made.iter().all(|name| is_name(name)), "{made:?}");
    }

    #[test]
    fn names_are_made_of_ids_and_differ() {
        check(&["qwen", "Qwen2.5 7B", "a/b:c"], &[], &["qwen", "qwen2-5-7b", "a-b-c"]);
        check(&["A.b", "a-b", "a b"], &[], &["a-b-2", "a-b", "a-b-3"]);
        check(&["模型", "...", "_x"], &[], &["model", "model-2", "x"]);
        check(&["GPT-4"], &["gpt-4"], &["gpt-4-2"]);
        let long = "x".repeat(80);
        check(
            &[&long, &format!("{long}y")],
            &[],
            &[&"x".repeat(64), &format!("{}-2", "x".repeat(62))],
        );
    }
}
