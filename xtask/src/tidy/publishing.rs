//! Publishing: what a package must carry, since its users see nothing else of the project.
//!
//! Owns which packages are not published. That the packages build by themselves is the stage `package`.

use toml_edit::Item;

use super::Findings;
use crate::project::{Package, Project};

/// Tools of the project itself.
const UNPUBLISHED: &[&str] = &["crates/lab", "xtask"];
const LICENCES: &[&str] = &["LICENSE-APACHE", "LICENSE-MIT"];
/// Limits of the registry.
const MAX_KEYWORDS: usize = 5;
const MAX_KEYWORD_CHARS: usize = 20;

pub(super) fn check(project: &Project, findings: &mut Findings) {
    check_internal_versions(project, findings);
    for package in &project.packages {
        let path = format!("{}/Cargo.toml", package.folder);
        if UNPUBLISHED.contains(&package.folder.as_str()) != package.is_unpublished() {
            findings.error(
                &path,
                0,
                format!("`publish = false` belongs into the manifests of {UNPUBLISHED:?}, and of no other package"),
            );
        }
        if !package.is_unpublished() {
            check_manifest(project, package, &path, findings);
            check_files(project, package, findings);
        }
    }
}

/// Crates of one release belong together: below 1.0 any two releases may be incompatible.
fn check_internal_versions(project: &Project, findings: &mut Findings) {
    let Some(workspace) = project.workspace.get("workspace") else { return };
    let version = workspace.get("package").and_then(|package| package.get("version")?.as_str());
    let dependencies = workspace.get("dependencies").and_then(Item::as_table_like);
    for (name, item) in dependencies.into_iter().flat_map(|table| table.iter()) {
        if item.get("path").is_none() {
            continue;
        }
        let expected = format!("={}", version.unwrap_or_default());
        if item.get("version").and_then(Item::as_str) != Some(expected.as_str()) {
            findings.error(
                "Cargo.toml",
                0,
                format!("`{name}` has a path and needs `version = \"{expected}\"` beside it"),
            );
        }
    }
}

fn check_manifest(project: &Project, package: &Package, path: &str, findings: &mut Findings) {
    let stated = package.manifest.get("package");
    let list = |name: &str| -> Vec<&str> {
        let array = stated.and_then(|table| table.get(name)?.as_array());
        array.into_iter().flatten().filter_map(|value| value.as_str()).collect()
    };
    let keywords = list("keywords");
    if keywords.is_empty()
        || keywords.len() > MAX_KEYWORDS
        || keywords.iter().any(|keyword| keyword.len() > MAX_KEYWORD_CHARS)
    {
        findings.error(
            path,
            0,
            format!(
                "`keywords` has 1 to {MAX_KEYWORDS} words of at most {MAX_KEYWORD_CHARS} letters"
            ),
        );
    }
    if list("categories").is_empty() {
        findings.error(path, 0, "`categories` is missing or empty");
    }
    let documentation = stated.and_then(|table| table.get("metadata")?.get("docs")?.get("rs"));
    let is_library = project.file(&format!("{}/src/lib.rs", package.folder)).is_some();
    if is_library && documentation.is_none() {
        findings.error(path, 0, "`[package.metadata.docs.rs]` is missing");
    }
    for dependency in package.dependencies() {
        let unpublished = project
            .packages
            .iter()
            .find(|other| other.name == dependency.name && other.is_unpublished());
        if let Some(other) = unpublished {
            findings.error(path, 0, format!("`{}` is not published", other.name));
        }
    }
}

fn check_files(project: &Project, package: &Package, findings: &mut Findings) {
    let readme = format!("{}/README.md", package.folder);
    match project.file(&readme) {
        Some(text) => {
            let title = format!("# {}", package.name);
            if text.lines().next() != Some(title.as_str()) {
                findings.error(&readme, 1, format!("opens with `{title}`"));
            }
            for feature in package.features() {
                if feature != "default" && !text.contains(&format!("| `{feature}` |")) {
                    findings.error(&readme, 0, format!("has no row for the feature `{feature}`"));
                }
            }
        }
        None => findings.error(&readme, 0, "missing"),
    }
    for name in LICENCES {
        let path = format!("{}/{name}", package.folder);
        if project.file(&path) != project.file(name) {
            findings.error(&path, 0, format!("must be a link to ../../{name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const WORKSPACE: &str = "[workspace]\n[workspace.package]\nversion = \"0.1.0\"\n[workspace.dependencies]\n\
        majordomo-core = { version = \"=0.1.0\", path = \"crates/core\" }\nserde = \"1\"\n";
    const CORE: &str = "[package]\nname = \"majordomo-core\"\nkeywords = [\"memory\"]\ncategories = [\"caching\"]\n\
        [package.metadata.docs.rs]\nall-features = true\n[features]\ndefault = []\nserde = []\n";
    const README: &str = "# majordomo-core\n\n| feature | adds |\n|---|---|\n| `serde` | x |\n";
    const TOOL: &str = "[package]\nname = \"xtask\"\npublish = false\n";

    #[test]
    fn complete_package_passes() {
        testing::check(
            check,
            &[
                ("Cargo.toml", WORKSPACE),
                ("LICENSE-APACHE", "A"),
                ("LICENSE-MIT", "M"),
                ("crates/core/Cargo.toml", CORE),
                ("crates/core/README.md", README),
                ("crates/core/LICENSE-APACHE", "A"),
                ("crates/core/LICENSE-MIT", "M"),
                ("crates/core/src/lib.rs", ""),
                ("xtask/Cargo.toml", TOOL),
            ],
            &[],
        );
    }

    #[test]
    fn each_missing_part_is_reported() {
        let workspace = WORKSPACE.replace("=0.1.0", "0.1");
        let core = CORE
            .replace("\"memory\"", "\"a-keyword-that-is-too-long\"")
            .replace("categories = [\"caching\"]\n", "")
            .replace("[package.metadata.docs.rs]", "[package.metadata.other]")
            + "[dependencies]\nxtask.workspace = true\n";
        testing::check(
            check,
            &[
                ("Cargo.toml", workspace.as_str()),
                ("LICENSE-APACHE", "A"),
                ("LICENSE-MIT", "M"),
                ("crates/core/Cargo.toml", core.as_str()),
                ("crates/core/README.md", "# core\n"),
                ("crates/core/LICENSE-MIT", "m"),
                ("crates/core/src/lib.rs", ""),
                ("crates/lab/Cargo.toml", "[package]\nname = \"majordomo-lab\"\n"),
                ("xtask/Cargo.toml", TOOL),
            ],
            &[
                "`majordomo-core` has a path and needs `version = \"=0.1.0\"`",
                "`keywords` has 1 to 5 words",
                "`categories` is missing",
                "`[package.metadata.docs.rs]` is missing",
                "`xtask` is not published",
                "opens with `# majordomo-core`",
                "no row for the feature `serde`",
                "crates/core/LICENSE-APACHE: must be a link",
                "crates/core/LICENSE-MIT: must be a link",
                "crates/lab/Cargo.toml: `publish = false`",
                // The lab, without `publish = false`, is checked as a package that is published.
                "`keywords` has 1 to 5 words",
                "`categories` is missing",
                "crates/lab/README.md: missing",
                "crates/lab/LICENSE-APACHE: must be a link",
                "crates/lab/LICENSE-MIT: must be a link",
            ],
        );
    }
}
