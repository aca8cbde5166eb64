//! `clippy.toml`: one part shared by every crate, and no hash tables where order decides.
//!
//! Clippy reads only the nearest file, so each crate has a copy; the root's is the original.

use toml_edit::Document;

use super::{Findings, layers};
use crate::project::Project;

const ORIGINAL: &str = "clippy.toml";
const BEGIN: &str = "# shared: begin";
const END: &str = "# shared: end";
const UNORDERED: &[&str] = &["std::collections::HashMap", "std::collections::HashSet"];

/// Appended where `layers` says that order decides.
const ORDERED_PART: &str = "disallowed-types = [
    { path = \"std::collections::HashMap\", reason = \"its order is random; the same inputs must give the same effects: BTreeMap\" },
    { path = \"std::collections::HashSet\", reason = \"its order is random; the same inputs must give the same effects: BTreeSet\" },
]
";

pub(super) fn check(project: &Project, findings: &mut Findings) {
    let Some(original) = project.file(ORIGINAL).and_then(shared_part) else {
        findings.error(ORIGINAL, 0, format!("no part between `{BEGIN}` and `{END}`"));
        return;
    };
    for package in &project.packages {
        let path = format!("{}/{ORIGINAL}", package.folder);
        let Some(text) = project.file(&path) else {
            findings.error(&path, 0, "missing: `cargo xtask tidy --bless` writes it");
            continue;
        };
        if shared_part(text) != Some(original) {
            findings.error(
                &path,
                0,
                "the shared part differs from the root's: `cargo xtask tidy --bless` rewrites it",
            );
        }
        let parsed = match Document::parse(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                findings.error(&path, 0, format!("is no TOML: {error}"));
                continue;
            }
        };
        let disallowed: Vec<_> = parsed
            .get("disallowed-types")
            .and_then(|list| list.as_array())
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                entry
                    .as_inline_table()
                    .map_or_else(|| entry.as_str(), |table| table.get("path")?.as_str())
            })
            .collect();
        if layers::find(&package.short).is_some_and(|row| row.is_ordered) {
            for unordered in UNORDERED {
                if !disallowed.contains(unordered) {
                    findings.error(
                        &path,
                        0,
                        format!("`{unordered}` must be a disallowed type here"),
                    );
                }
            }
        }
    }
}

/// Every crate's file as it should be: the root's shared part, then what the crate has of its own.
pub(super) fn derived(project: &Project) -> Vec<(String, String)> {
    let Some(shared) = project.file(ORIGINAL).and_then(shared_part) else { return Vec::new() };
    let mut derived = Vec::new();
    for package in &project.packages {
        let path = format!("{}/{ORIGINAL}", package.folder);
        let own = match project.file(&path) {
            Some(text) => text.split_once(END).map_or("", |(_, own)| own.trim_start_matches('\n')),
            None if layers::find(&package.short).is_some_and(|row| row.is_ordered) => ORDERED_PART,
            None => "",
        };
        derived.push((path, format!("{shared}\n{own}")));
    }
    derived
}

fn shared_part(text: &str) -> Option<&str> {
    let begin = text.find(BEGIN)?;
    let end = text.find(END)? + END.len();
    text.get(begin..end)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const ROOT: &str = "# shared: begin\nallow-unwrap-in-tests = true\n# shared: end\n";
    const ENGINE: &str = "[package]\nname = \"majordomo-engine\"\n";

    #[test]
    fn what_bless_writes_passes() {
        let files = [("clippy.toml", ROOT), ("crates/engine/Cargo.toml", ENGINE)];
        testing::check(check, &files, &["crates/engine/clippy.toml: missing"]);
        let owned = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        let mut owned: std::collections::BTreeMap<_, _> =
            owned.chain([("Cargo.toml".to_owned(), "[workspace]".to_owned())]).collect();
        let project = Project::from_files(std::path::PathBuf::new(), owned.clone()).unwrap();
        owned.extend(derived(&project));
        let files: Vec<_> =
            owned.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        testing::check(check, &files, &[]);
    }

    #[test]
    fn departures_are_found() {
        let copy = "# shared: begin\nallow-unwrap-in-tests = false\n# shared: end\n\
            disallowed-types = [{ path = \"std::collections::HashMap\", reason = \"x\" }]\n";
        let files = [
            ("clippy.toml", ROOT),
            ("crates/engine/Cargo.toml", ENGINE),
            ("crates/engine/clippy.toml", copy),
        ];
        testing::check(
            check,
            &files,
            &["the shared part differs", "`std::collections::HashSet` must be"],
        );
    }
}
