//! Documents: README, CHANGELOG, architecture and decision records, and that their links and paths exist.
//!
//! The README's table of crates is derived from their manifests, between two marks.

use super::Findings;
use crate::project::Project;

const README: &str = "README.md";
const CHANGELOG: &str = "CHANGELOG.md";
const ARCHITECTURE: &str = "docs/architecture.md";
/// The map, and the path of a command.
const WITH_PATHS: &[&str] = &[ARCHITECTURE, "docs/path-of-a-command.md"];
const MAX_ARCHITECTURE_LINES: usize = 300;
const INDEX: &str = "docs/README.md";
const DECISIONS: &str = "docs/adr/";

/// Between these lines of the README stands the table of crates.
const CRATES_BEGIN: &str = "<!-- crates: begin (written by `cargo xtask tidy --bless`) -->\n";
const CRATES_END: &str = "<!-- crates: end -->";

/// The first commands of a newcomer, in this order.
const FIRST_COMMANDS: &[&str] = &["cargo run --release -- demo", "cargo xtask test"];

/// The sections of a decision record.
const SECTIONS: &[&str] =
    &["## Context", "## Decision", "## Consequences", "## What would change our mind"];

pub(super) fn check(project: &Project, findings: &mut Findings) {
    match project.file(README) {
        Some(text) => {
            let commands: Vec<_> = commands(text).into_iter().take(FIRST_COMMANDS.len()).collect();
            if commands != FIRST_COMMANDS {
                findings.error(
                    README,
                    0,
                    format!("opens with {FIRST_COMMANDS:?}, not {commands:?}"),
                );
            }
            if with_crates(project, text).as_deref() != Some(text) {
                findings.error(
                    README,
                    0,
                    "the table of crates is out of date or lost its marks: `cargo xtask tidy --bless`",
                );
            }
        }
        None => findings.error(README, 0, "missing"),
    }
    match project.file(CHANGELOG) {
        Some(text) if text.lines().any(|line| line == "## [Unreleased]") => {}
        Some(_) => findings.error(CHANGELOG, 0, "has no `## [Unreleased]`"),
        None => findings.error(CHANGELOG, 0, "missing"),
    }
    match project.file(ARCHITECTURE).map(|text| text.lines().count()) {
        Some(n_lines) if n_lines > MAX_ARCHITECTURE_LINES => {
            findings.error(
                ARCHITECTURE,
                0,
                format!("{n_lines} lines; {MAX_ARCHITECTURE_LINES} are enough for a map"),
            );
        }
        Some(_) => {}
        None => findings.error(ARCHITECTURE, 0, "missing"),
    }
    check_decisions(project, findings);
    for (path, text) in project.files.iter().filter(|(path, _)| path.ends_with(".md")) {
        check_links(project, path, text, findings);
    }
    for path in WITH_PATHS {
        if let Some(text) = project.file(path) {
            check_paths(project, path, text, findings);
        }
    }
    check_index(project, findings);
}

/// Every page beside the index has a link in it.
fn check_index(project: &Project, findings: &mut Findings) {
    let index = project.file(INDEX).unwrap_or_default();
    for path in project.files.keys().filter(|path| path.as_str() != INDEX) {
        let name = path.strip_prefix("docs/").filter(|name| !name.contains('/'));
        if let Some(name) = name.filter(|name| !index.contains(&format!("]({name})"))) {
            findings.error(INDEX, 0, format!("has no link to `{name}`"));
        }
    }
}

/// Every relative link leads to a file or folder of the tree.
fn check_links(project: &Project, path: &str, text: &str, findings: &mut Findings) {
    for (line_idx, line) in text.lines().enumerate() {
        for link in line.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let target = link.0.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains(':') {
                continue;
            }
            if !resolved(path, target).is_some_and(|target| exists(project, &target)) {
                findings.error(path, line_idx + 1, format!("the link to `{target}` leads nowhere"));
            }
        }
    }
}

/// A link's target from the root, if it does not leave the tree.
fn resolved(path: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn exists(project: &Project, path: &str) -> bool {
    let folder = format!("{}/", path.trim_end_matches('/'));
    project.file(path).is_some() || project.files.keys().any(|file| file.starts_with(&folder))
}

/// The map and the path of a command name files and folders; each of them exists.
fn check_paths(project: &Project, page: &str, text: &str, findings: &mut Findings) {
    const FOLDERS: &[&str] = &["crates/", "docs/", "xtask/"];
    for (line_idx, line) in text.lines().enumerate() {
        let words = line.split(|char: char| char.is_whitespace() || "`,;:()|".contains(char));
        for word in words {
            // Figures leave out `crates` and `src`: `engine/admit.rs`.
            let path = match word.split_once('/') {
                _ if FOLDERS.iter().any(|folder| word.starts_with(folder)) => word.to_owned(),
                Some((name, file)) if file.ends_with(".rs") => format!("crates/{name}/src/{file}"),
                _ => continue,
            };
            if !exists(project, path.trim_end_matches('.')) {
                findings.error(page, line_idx + 1, format!("`{word}` does not exist"));
            }
        }
    }
}

/// The README with its table of crates as it should be.
pub(super) fn derived(project: &Project) -> Vec<(String, String)> {
    let text = project.file(README).and_then(|text| with_crates(project, text));
    text.map(|text| (README.to_owned(), text)).into_iter().collect()
}

fn with_crates(project: &Project, readme: &str) -> Option<String> {
    let (before, rest) = readme.split_once(CRATES_BEGIN)?;
    let (_, after) = rest.split_once(CRATES_END)?;
    let mut table = "| crate | what it is |\n|---|---|\n".to_owned();
    for package in project.packages.iter().filter(|package| package.folder.starts_with("crates/")) {
        let about =
            package.manifest.get("package").and_then(|table| table.get("description")?.as_str());
        table.push_str(&format!(
            "| [`{}`]({}) | {} |\n",
            package.name,
            package.folder,
            about.unwrap_or("")
        ));
    }
    Some(format!("{before}{CRATES_BEGIN}{table}{CRATES_END}{after}"))
}

/// The commands in the fenced blocks of a document, without prompts and comments.
fn commands(text: &str) -> Vec<&str> {
    let mut is_block = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if is_block && !line.trim().is_empty() {
            let line = line.trim_start_matches("$ ");
            commands.push(line.split(" #").next().unwrap_or(line).trim());
        }
    }
    commands
}

fn check_decisions(project: &Project, findings: &mut Findings) {
    let mut previous = None;
    for (path, text) in &project.files {
        let Some(name) = path.strip_prefix(DECISIONS) else { continue };
        let number =
            name.split_once('-').map(|(number, _)| number).filter(|number| number.len() == 4);
        let Some(number) = number.filter(|_| name.ends_with(".md")) else {
            findings.error(path, 0, "a decision record is called NNNN-slug.md");
            continue;
        };
        // Files come sorted, so a number that stands twice stands side by side.
        if previous == Some(number) {
            findings.error(path, 0, format!("the number {number} is taken"));
        }
        previous = Some(number);
        if !text.starts_with(&format!("# {number}: ")) {
            findings.error(path, 1, format!("opens with `# {number}: ` and its title"));
        }
        for section in SECTIONS {
            if !text.lines().any(|line| line == *section) {
                findings.error(path, 0, format!("has no `{section}`"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const README_GOOD: &str = "# M\n<!-- crates: begin (written by `cargo xtask tidy --bless`) -->\n| crate | what it is |\n|---|---|\n\
        <!-- crates: end -->\n```sh\ncargo run --release -- demo   # the main job\n\n$ cargo xtask test\n```\n```sh\nother\n```\n";
    const DECISION: &str =
        "# 0001: A\n## Context\n## Decision\n## Consequences\n## What would change our mind\n";

    #[test]
    fn good_documents_pass() {
        testing::check(
            check,
            &[
                (README, README_GOOD),
                (CHANGELOG, "# Changelog\n## [Unreleased]\n"),
                (ARCHITECTURE, "# Architecture\n"),
                (INDEX, "[map](architecture.md)\n"),
                ("docs/adr/0001-a.md", DECISION),
            ],
            &[],
        );
    }

    #[test]
    fn links_and_paths_that_lead_nowhere_are_reported() {
        let text = "[a](../README.md#x) [b](adr) [c](https://x.y/z) [d](#here)\n[e](missing.md)\n[f](../../up.md)\n";
        let map = "| `docs/adr/0001-a.md`, crates/core/ | `docs/gone.rs` |\n  core/lost.rs\n";
        testing::check(
            check,
            &[
                ("crates/core/Cargo.toml", "[package]\nname = \"majordomo-core\"\n"),
                (
                    README,
                    README_GOOD
                        .replace(
                            "<!-- crates: end",
                            "| [`majordomo-core`](crates/core) |  |\n<!-- crates: end",
                        )
                        .as_str(),
                ),
                (CHANGELOG, "# Changelog\n## [Unreleased]\n"),
                (ARCHITECTURE, map),
                (INDEX, "[map](architecture.md)\n[path](path-of-a-command.md)\n"),
                ("docs/adr/0001-a.md", DECISION),
                ("docs/demo.md", text),
                ("docs/path-of-a-command.md", "```text\ncore/left.rs    Engine::handle\n```\n"),
            ],
            &[
                "docs/demo.md:2: the link to `missing.md` leads nowhere",
                "docs/demo.md:3: the link to `../../up.md` leads nowhere",
                "docs/architecture.md:1: `docs/gone.rs` does not exist",
                "docs/architecture.md:2: `core/lost.rs` does not exist",
                "docs/path-of-a-command.md:2: `core/left.rs` does not exist",
                "docs/README.md: has no link to `demo.md`",
            ],
        );
    }

    #[test]
    fn each_departure_is_found() {
        let swapped = "```\ncargo xtask test\ncargo run --release -- demo\n```\n";
        let long = "line\n".repeat(MAX_ARCHITECTURE_LINES + 1);
        let partial = DECISION.replace("## Consequences\n", "");
        testing::check(
            check,
            &[
                ("crates/core/Cargo.toml", "[package]\nname = \"majordomo-core\"\n"),
                (README, swapped),
                (ARCHITECTURE, long.as_str()),
                (INDEX, "[map](architecture.md)\n"),
                ("docs/adr/0001-a.md", DECISION),
                ("docs/adr/0001-b.md", partial.as_str()),
                ("docs/adr/0002-c.md", DECISION),
                ("docs/adr/notes.md", ""),
            ],
            &[
                "README.md: opens with",
                "the table of crates is out of date or lost",
                "CHANGELOG.md: missing",
                "301 lines",
                "the number 0001 is taken",
                "has no `## Consequences`",
                "opens with `# 0002: `",
                "NNNN-slug.md",
            ],
        );
    }
}
