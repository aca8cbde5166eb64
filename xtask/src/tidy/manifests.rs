//! Manifests: what is stated once, in the workspace, and how packages are named.
//!
//! Owns the rules of single manifests; edges between crates are `layers`'.

use toml_edit::{Item, TableLike};

use super::Findings;
use crate::project::{Package, Project};

/// Fields that every package takes from the workspace.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "repository"];

/// The package that `cargo run` means.
const DEFAULT_MEMBER: &str = "crates/cli";

pub(super) fn check(project: &Project, findings: &mut Findings) {
    for package in &project.packages {
        check_package(package, findings);
    }
    if project.has_package(DEFAULT_MEMBER) {
        let members: Vec<_> = project
            .workspace
            .get("workspace")
            .and_then(|workspace| workspace.get("default-members")?.as_array())
            .map(|members| members.iter().filter_map(|member| member.as_str()).collect())
            .unwrap_or_default();
        if members != [DEFAULT_MEMBER] {
            findings.error("Cargo.toml", 0, format!("default-members must be [\"{DEFAULT_MEMBER}\"]: `cargo run -- demo` is the first command of the README"));
        }
    }
}

fn check_package(package: &Package, findings: &mut Findings) {
    let path = format!("{}/Cargo.toml", package.folder);
    let expected = match package.short.as_str() {
        "xtask" | "majordomo" => package.short.clone(),
        short => format!("majordomo-{short}"),
    };
    if package.name != expected {
        findings.error(
            &path,
            0,
            format!("the package is called `{}`; its folder asks for `{expected}`", package.name),
        );
    }
    let is_in_crates =
        package.folder.strip_prefix("crates/").is_some_and(|rest| !rest.contains('/'));
    if !is_in_crates && package.folder != "xtask" {
        findings.error(&path, 0, "crates stand side by side in `crates`");
    }
    if !is_inherited(package.manifest.get("lints")) {
        findings.error(&path, 0, "`[lints] workspace = true` is missing");
    }
    let stated = package.manifest.get("package").and_then(Item::as_table_like);
    for field in INHERITED {
        if !is_inherited(stated.and_then(|table| table.get(field))) {
            findings.error(&path, 0, format!("`{field}.workspace = true` is missing"));
        }
    }
    if stated.is_none_or(|table| !table.contains_key("description")) {
        findings.error(&path, 0, "the package has no description");
    }
    for dependency in package.dependencies() {
        // A crate's tests switch on its own features so; without a version, `cargo publish` drops the edge.
        let is_itself = dependency.is_dev && dependency.name == package.name;
        if !is_itself && !is_inherited(Some(dependency.item)) {
            findings.error(&path, 0, format!("`{}` states its own source: versions and paths live in [workspace.dependencies]", dependency.name));
        }
    }
}

fn is_inherited(item: Option<&Item>) -> bool {
    item.and_then(Item::as_table_like)
        .and_then(|table: &dyn TableLike| table.get("workspace")?.as_bool())
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const GOOD: &str = "[package]\nname = \"majordomo-cli\"\ndescription = \"x\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        repository.workspace = true\n[dependencies]\nserde = { workspace = true }\n\
        [lints]\nworkspace = true\n";

    #[test]
    fn a_good_manifest_passes() {
        let workspace = "[workspace]\ndefault-members = [\"crates/cli\"]\n";
        testing::check(check, &[("Cargo.toml", workspace), ("crates/cli/Cargo.toml", GOOD)], &[]);
    }

    #[test]
    fn crate_may_enable_its_own_features_for_its_tests() {
        let own =
            "[dev-dependencies]\nmajordomo-cli = { path = \".\", features = [\"x\"] }\n[lints]";
        let workspace = "[workspace]\ndefault-members = [\"crates/cli\"]\n";
        let manifest = GOOD.replace("[lints]", own);
        testing::check(
            check,
            &[("Cargo.toml", workspace), ("crates/cli/Cargo.toml", &manifest)],
            &[],
        );
    }

    #[test]
    fn each_departure_is_found() {
        let bad = GOOD
            .replace("majordomo-cli", "majordomo-cl")
            .replace("edition.workspace = true", "edition = \"2021\"")
            .replace("{ workspace = true }", "\"1\"")
            .replace("[lints]\nworkspace = true", "[lints.rust]\nunsafe_code = \"allow\"");
        testing::check(
            check,
            &[("crates/cli/Cargo.toml", bad.as_str())],
            &[
                "its folder asks for `majordomo-cli`",
                "`[lints] workspace = true` is missing",
                "`edition.workspace = true` is missing",
                "`serde` states its own source",
                "default-members must be",
            ],
        );
    }
}
