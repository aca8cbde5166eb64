//! Third-party dependencies: each has a row, with its reason, in the ADR that lists them.

use toml_edit::Item;

use super::Findings;
use crate::project::Project;

const TABLE: &str = "docs/adr/0003-third-party-dependencies.md";

pub(super) fn check(project: &Project, findings: &mut Findings) {
    let dependencies: Vec<_> = project
        .workspace
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies")?.as_table_like())
        .into_iter()
        .flat_map(|table| table.iter())
        .filter(|(_, item)| item.get("path").and_then(Item::as_str).is_none())
        .map(|(name, _)| name)
        .collect();
    let Some(text) = project.file(TABLE) else {
        findings.error(TABLE, 0, "missing");
        return;
    };
    let rows: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
        .collect();
    for name in &dependencies {
        if !rows.contains(name) {
            findings.error(
                TABLE,
                0,
                format!("`{name}` is a dependency of the workspace and has no row"),
            );
        }
    }
    for name in &rows {
        if !dependencies.contains(name) {
            findings
                .note(TABLE, format!("`{name}` has a row and is no dependency of the workspace"));
        }
    }
    for name in &dependencies {
        let is_used = project.packages.iter().any(|package| {
            package.dependencies().iter().any(|dependency| dependency.name == *name)
        });
        if !is_used {
            findings.note("Cargo.toml", format!("no crate uses `{name}`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn table_and_workspace_agree() {
        let workspace = "[workspace]\n[workspace.dependencies]\nmajordomo-core = { path = \"crates/core\" }\n\
            redb = \"4\"\nserde = { version = \"1\" }\n";
        let user = "[package]\nname = \"majordomo-core\"\n[dependencies]\nserde.workspace = true\n";
        let table = "| crate | why |\n|---|---|\n| `flume` | x |\n| `serde` | x |\n";
        testing::check(
            check,
            &[("Cargo.toml", workspace), ("crates/core/Cargo.toml", user), (TABLE, table)],
            &[
                "`redb` is a dependency",
                "`flume` has a row",
                "note: Cargo.toml: no crate uses `redb`",
            ],
        );
    }
}
