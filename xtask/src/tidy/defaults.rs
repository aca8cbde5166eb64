//! `docs/defaults.md`: derived from the settings' code, so that code, its documentation and the table agree.
//!
//! Owns a reader of just as much Rust as a file of plain `Config` structs holds: fields with `///`, and
//! `impl Default` with one value a field. What a field's documentation says after "default" must contain the
//! value that `impl Default` gives it.

mod source;
mod value;

use anyhow::{Context, Result};

use super::Findings;
use crate::project::Project;
use source::{Field, Source};

const CODE: &str = "crates/core/src/config.rs";
const TABLE: &str = "docs/defaults.md";
const ROOT: &str = "Config";
const HEAD: &str = "# Defaults

Every setting, its default and its range. Written by `cargo xtask tidy --bless` from the documentation in
`crates/core/src/config.rs`; `cargo xtask tidy` fails when code, documentation and this table disagree.
";

pub(super) fn check(project: &Project, findings: &mut Findings) {
    let Some(text) = project.file(CODE) else {
        findings.error(CODE, 0, "missing");
        return;
    };
    let source = Source::read(text);
    let table = render(&source, findings);
    if project.file(TABLE) != Some(table.as_str()) {
        findings.error(
            TABLE,
            0,
            format!("differs from {CODE}: `cargo xtask tidy --bless` rewrites it"),
        );
    }
}

/// The table as it should be.
pub(super) fn derived(project: &Project) -> Result<Vec<(String, String)>> {
    let text = project.file(CODE).with_context(|| format!("{CODE} is missing"))?;
    Ok(vec![(TABLE.to_owned(), render(&Source::read(text), &mut Findings::default()))])
}

fn render(source: &Source<'_>, findings: &mut Findings) -> String {
    let mut table = HEAD.to_owned();
    render_struct(source, ROOT, "", &mut table, findings);
    table
}

/// One section for each struct that is a field of another; `prefix` is the way to it.
fn render_struct(
    source: &Source<'_>,
    name: &str,
    prefix: &str,
    table: &mut String,
    findings: &mut Findings,
) {
    let Some(fields) = source.structs.get(name) else {
        findings.error(CODE, 0, format!("`pub struct {name}` is not found"));
        return;
    };
    let (sections, settings): (Vec<_>, Vec<_>) =
        fields.iter().partition(|field| source.structs.contains_key(field.kind));
    if !settings.is_empty() {
        table.push_str("\n| setting | default | meaning |\n|---|---|---|\n");
    }
    for field in settings {
        let Some((meaning, default)) = split_default(&field.docs) else {
            findings.error(
                CODE,
                field.line,
                format!("the documentation of `{name}::{}` states no default", field.name),
            );
            continue;
        };
        compare(source, name, field, &default, findings);
        table.push_str(&format!("| `{prefix}{}` | {default} | {meaning} |\n", field.name));
    }
    for field in sections {
        table.push_str(&format!(
            "\n## `{prefix}{}`: {}\n",
            field.name,
            lower_first(field.docs.trim_end_matches('.'))
        ));
        render_struct(source, field.kind, &format!("{prefix}{}.", field.name), table, findings);
    }
}

fn compare(
    source: &Source<'_>,
    name: &str,
    field: &Field<'_>,
    stated: &str,
    findings: &mut Findings,
) {
    let Some(code) = source.defaults.get(&(name, field.name)) else {
        findings.error(
            CODE,
            field.line,
            format!("`impl Default for {name}` gives `{}` no value", field.name),
        );
        return;
    };
    match value::in_words(code, field.kind, source) {
        Some(words) if value::contains(stated, &words) => {}
        Some(words) => findings.error(
            CODE,
            field.line,
            format!(
                "`{name}::{}`: the documentation says default {stated}, the code says {words}",
                field.name
            ),
        ),
        None => findings.note(
            CODE,
            format!("`{name}::{}`: `{code}` is not understood and not compared", field.name),
        ),
    }
}

/// The documentation without what it says of the default, and that. It stands as a sentence of its own
/// ("Default: 2 s.") or at the end of one ("Range 1..=4, default 1.2.").
fn split_default(docs: &str) -> Option<(String, String)> {
    let (position, marker) = ["Default: ", "Default ", ", default "]
        .iter()
        .find_map(|marker| docs.find(marker).map(|position| (position, *marker)))?;
    let before = docs.get(..position)?;
    let stated = docs.get(position + marker.len()..)?;
    let end = stated.find(". ").unwrap_or(stated.trim_end_matches('.').len());
    let default = stated.get(..end)?.to_owned();
    let after = stated.get(end + 1..).unwrap_or("").trim();
    let stop = if marker.starts_with(',') { "." } else { "" };
    let meaning = format!("{}{stop} {after}", before.trim_end()).trim().to_owned();
    Some((meaning.replace('|', "\\|"), default.replace('|', "\\|")))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const SOURCE: &str = "//! Settings.
/// All.
#[derive(Default)]
pub struct Config {
    /// The queue of demands.
    pub queue: QueueConfig,
}

/// Which goes first.
#[derive(Default)]
pub enum PolicyKind {
    Gdsf,
    /// Least recently used.
    #[default]
    Lru,
}

/// The queue.
pub struct QueueConfig {
    /// Demands that may wait. Default 1024. More are refused.
    pub capacity: usize,
    /// Wait a
    /// while. Range 1..=4, default 5 min.
    #[serde(skip)]
    pub ageing: Duration,
    /// Which. Default LRU.
    pub policy: PolicyKind,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { capacity: 1_024, ageing: Duration::from_secs(300), policy: PolicyKind::default() }
    }
}
";

    const TABLE_GOOD: &str = "
## `queue`: the queue of demands

| setting | default | meaning |
|---|---|---|
| `queue.capacity` | 1024 | Demands that may wait. More are refused. |
| `queue.ageing` | 5 min | Wait a while. Range 1..=4. |
| `queue.policy` | LRU | Which. |
";

    #[test]
    fn the_table_follows_the_code() {
        testing::check(check, &[(CODE, SOURCE), (TABLE, &format!("{HEAD}{TABLE_GOOD}"))], &[]);
    }

    #[test]
    fn code_and_documentation_that_disagree_are_found() {
        let other = SOURCE
            .replace("1_024", "2_048")
            .replace("from_secs(300)", "from_millis(300)")
            .replace("Which. Default LRU.", "Which.");
        testing::check(
            check,
            &[(CODE, &other), (TABLE, TABLE_GOOD)],
            &[
                "config.rs:21: `QueueConfig::capacity`: the documentation says default 1024, the code says 2048",
                "config.rs:25: `QueueConfig::ageing`: the documentation says default 5 min, the code says 300 ms",
                "`QueueConfig::policy` states no default",
                "docs/defaults.md: differs",
            ],
        );
    }
}
