//! The layers: which crate may use which, as data.
//!
//! Owns the table. An edge that is not in it is forbidden, and so is a crate that is not in it; a dev-dependency
//! may reach any crate of its own layer or below, never above.

use super::Findings;
use crate::project::Project;

/// The place of one crate among the layers.
pub(super) struct Crate {
    /// Its folder under `crates`.
    pub(super) name: &'static str,
    layer: u8,
    /// It may use every crate up to this layer …
    up_to: Option<u8>,
    /// … and these.
    and: &'static [&'static str],
    /// It is the place for unsafe code of its kind.
    pub(super) may_be_unsafe: bool,
    /// Its results must not depend on the order of a hash table.
    pub(super) is_ordered: bool,
}

const fn new(
    name: &'static str,
    layer: u8,
    up_to: Option<u8>,
    and: &'static [&'static str],
) -> Crate {
    Crate { name, layer, up_to, and, may_be_unsafe: false, is_ordered: false }
}

impl Crate {
    const fn with_unsafe(self) -> Self {
        Self { may_be_unsafe: true, ..self }
    }

    const fn ordered(self) -> Self {
        Self { is_ordered: true, ..self }
    }

    fn may_use(&self, other: &Self) -> bool {
        self.up_to.is_some_and(|layer| other.layer <= layer) || self.and.contains(&other.name)
    }
}

pub(super) const CRATES: &[Crate] = &[
    new("core", 0, None, &[]),
    new("files", 0, None, &[]),
    new("simd", 0, None, &[]).with_unsafe(),
    new("text", 0, None, &[]),
    new("lease", 1, None, &["core"]).with_unsafe(),
    new("registry", 1, None, &["core", "files", "text"]),
    new("http", 1, None, &["core", "files"]),
    new("memory", 1, None, &["core"]).with_unsafe(),
    new("preloader", 1, None, &["core"]).ordered(),
    new("predictor", 1, None, &["core", "simd", "text"]),
    new("lifecycle", 2, None, &["lease", "registry", "memory", "core"]).ordered(),
    new("paging", 2, None, &["memory", "core"]).with_unsafe(),
    new("coreml", 2, None, &["predictor", "files", "core"]).with_unsafe().ordered(),
    new("engine", 3, None, &["lifecycle", "preloader", "predictor", "memory", "registry", "core"])
        .ordered(),
    new("runtime", 4, Some(3), &[]),
    new("sim", 4, Some(3), &[]).ordered(),
    new("majordomo", 5, Some(3), &["runtime"]),
    new("gateway", 6, None, &["majordomo", "http"]),
    new("server", 6, None, &["majordomo", "core", "files", "http"]),
    new("python", 6, None, &["majordomo"]).with_unsafe(),
    new("cli", 7, None, &["files", "gateway", "majordomo", "server", "sim"]),
    new("lab", 7, Some(7), &[]),
];

/// The only programs' libraries that `xtask` may link: it starts in seconds or is not used.
const XTASK_MAY_USE: &[&str] = &["anyhow", "toml_edit", "xflags", "xshell"];

/// The row of a folder under `crates`.
pub(super) fn find(name: &str) -> Option<&'static Crate> {
    CRATES.iter().find(|row| row.name == name)
}

/// The folder under `crates` of one of our packages, by the package's name.
fn short_name(package: &str) -> Option<&str> {
    if package == "majordomo" { Some(package) } else { package.strip_prefix("majordomo-") }
}

pub(super) fn check(project: &Project, findings: &mut Findings) {
    for package in &project.packages {
        let path = format!("{}/Cargo.toml", package.folder);
        if package.folder == "xtask" {
            for dependency in package.dependencies() {
                if !XTASK_MAY_USE.contains(&dependency.name) {
                    findings.error(
                        &path,
                        0,
                        format!(
                            "xtask may not use `{}`: it starts in seconds or is not used",
                            dependency.name
                        ),
                    );
                }
            }
            continue;
        }
        let Some(from) = find(&package.short) else {
            findings.error(&path, 0, "no such crate in the table of layers: an ADR, then a row in xtask/src/tidy/layers.rs");
            continue;
        };
        for dependency in package.dependencies() {
            let Some(to) = short_name(dependency.name) else { continue };
            let Some(to) = find(to) else {
                findings.error(&path, 0, format!("`{}` is in no layer", dependency.name));
                continue;
            };
            if dependency.is_dev && to.layer > from.layer {
                findings.error(
                    &path,
                    0,
                    format!(
                        "dev-dependency `{}` points up: layer {} to layer {}",
                        dependency.name, from.layer, to.layer
                    ),
                );
            } else if !dependency.is_dev && !from.may_use(to) {
                findings.error(
                    &path,
                    0,
                    format!(
                        "`{}` may not use `{}`: no such edge in the table of layers",
                        from.name, to.name
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn the_table_points_down_and_names_only_its_own() {
        for (row_idx, row) in CRATES.iter().enumerate() {
            assert!(
                CRATES.iter().skip(row_idx + 1).all(|other| other.name != row.name),
                "{} twice",
                row.name
            );
            for name in row.and {
                let other = find(name).unwrap();
                assert!(other.layer < row.layer, "{} -> {name}", row.name);
            }
            // Only the lab, which nothing may use, reaches its own layer.
            assert!(row.up_to.is_none_or(|layer| layer < row.layer) || row.name == "lab");
            assert!(!find("lab").is_some_and(|lab| row.name != "lab" && row.may_use(lab)));
        }
    }

    fn manifest(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\n{rest}")
    }

    #[test]
    fn forbidden_edges_are_found_wherever_they_stand() {
        let files = [
            (
                "crates/core/Cargo.toml",
                manifest("majordomo-core", "[dev-dependencies]\nmajordomo-sim.workspace = true\n"),
            ),
            (
                "crates/engine/Cargo.toml",
                manifest(
                    "majordomo-engine",
                    "[dependencies]\nmajordomo-core.workspace = true\nmajordomo-lifecycle.workspace = true\n[dev-dependencies]\nmajordomo-simd.workspace = true\n",
                ),
            ),
            (
                "crates/lab/Cargo.toml",
                manifest("majordomo-lab", "[dependencies]\nmajordomo-cli.workspace = true\n"),
            ),
            (
                "crates/majordomo/Cargo.toml",
                manifest(
                    "majordomo",
                    "[dependencies]\nmajordomo-runtime.workspace = true\nmajordomo-sim.workspace = true\n",
                ),
            ),
            (
                "crates/memory/Cargo.toml",
                manifest(
                    "majordomo-memory",
                    "[target.'cfg(unix)'.dependencies]\nmajordomo-registry = { workspace = true }\n",
                ),
            ),
            ("crates/web/Cargo.toml", manifest("majordomo-web", "")),
            (
                "xtask/Cargo.toml",
                manifest(
                    "xtask",
                    "[dependencies]\nanyhow.workspace = true\nmajordomo-core.workspace = true\nserde.workspace = true\n",
                ),
            ),
        ];
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        testing::check(
            check,
            &files,
            &[
                "crates/core/Cargo.toml: dev-dependency `majordomo-sim` points up: layer 0 to layer 4",
                "`majordomo` may not use `sim`",
                "`memory` may not use `registry`",
                "crates/web/Cargo.toml: no such crate",
                "xtask may not use `majordomo-core`",
                "xtask may not use `serde`",
            ],
        );
    }
}
