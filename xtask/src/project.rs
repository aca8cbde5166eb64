//! The working tree as data: every text file and every package, read once.
//!
//! Owns how the tree is found and read. Knows no rule about it: those are in `tidy`. A [`Project`] can be made
//! from literal files, so that each rule is tested on a tree that breaks it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::{Context, Result, bail};
use toml_edit::{Document, Item, TableLike};

/// Larger files are data, not text written by hand.
const MAX_TEXT_BYTES: u64 = 1024 * 1024;

/// The working tree.
pub(crate) struct Project {
    /// The folder of the workspace manifest.
    pub(crate) root: PathBuf,
    /// Text files by path relative to the root, with `/` between folders.
    pub(crate) files: BTreeMap<String, String>,
    /// The workspace manifest.
    pub(crate) workspace: Document<String>,
    /// The member packages, by folder; those with a workspace of their own are not among them.
    pub(crate) packages: Vec<Package>,
}

/// One package of the workspace.
pub(crate) struct Package {
    /// Relative to the root: `crates/core`.
    pub(crate) folder: String,
    /// The last part of the folder: `core`.
    pub(crate) short: String,
    /// As in its manifest: `majordomo-core`.
    pub(crate) name: String,
    pub(crate) manifest: Document<String>,
}

/// One dependency of a package, from whichever table it stands in.
pub(crate) struct Dependency<'a> {
    pub(crate) name: &'a str,
    pub(crate) item: &'a Item,
    /// Only for tests, examples and benches.
    pub(crate) is_dev: bool,
}

impl Project {
    /// Reads the tree around the current directory.
    pub(crate) fn load() -> Result<Self> {
        let here = env::current_dir().context("the current directory cannot be read")?;
        let root = here
            .ancestors()
            .find(|folder| {
                fs::read_to_string(folder.join("Cargo.toml"))
                    .is_ok_and(|text| text.lines().any(|line| line == "[workspace]"))
            })
            .with_context(|| format!("{} is in no cargo workspace", here.display()))?
            .to_owned();
        Self::load_from(&root)
    }

    /// Reads the tree below a workspace's folder.
    pub(crate) fn load_from(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        read_folder(root, "", &mut files)?;
        Self::from_files(root.to_owned(), files)
    }

    /// A tree from its files.
    pub(crate) fn from_files(root: PathBuf, files: BTreeMap<String, String>) -> Result<Self> {
        let workspace = parse_manifest("Cargo.toml", &files)?;
        let mut packages = Vec::new();
        for path in files.keys() {
            let Some(folder) = path.strip_suffix("/Cargo.toml") else { continue };
            let manifest = parse_manifest(path, &files)?;
            // A workspace of its own: no part of the product's build.
            if manifest.contains_key("workspace") {
                continue;
            }
            let name = manifest
                .get("package")
                .and_then(|package| package.get("name")?.as_str())
                .with_context(|| format!("{path} names no package"))?
                .to_owned();
            let short = folder.rsplit('/').next().unwrap_or(folder).to_owned();
            packages.push(Package { folder: folder.to_owned(), short, name, manifest });
        }
        Ok(Self { root, files, workspace, packages })
    }

    /// The text of one file.
    pub(crate) fn file(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Every Rust source file.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter(|(path, _)| path.ends_with(".rs"))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Whether a crate's folder is there.
    pub(crate) fn has_package(&self, folder: &str) -> bool {
        self.packages.iter().any(|package| package.folder == folder)
    }

    /// Where cargo builds.
    pub(crate) fn target_dir(&self) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.root.join("target"), |dir| self.root.join(PathBuf::from(dir)))
    }
}

impl Package {
    /// All dependencies: normal, build and dev, those of single targets included.
    pub(crate) fn dependencies(&self) -> Vec<Dependency<'_>> {
        let mut tables = vec![self.manifest.as_table() as &dyn TableLike];
        if let Some(targets) = self.manifest.get("target").and_then(Item::as_table_like) {
            tables.extend(targets.iter().filter_map(|(_, target)| target.as_table_like()));
        }
        let mut dependencies = Vec::new();
        for table in tables {
            for (kind, is_dev) in
                [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)]
            {
                let Some(listed) = table.get(kind).and_then(Item::as_table_like) else { continue };
                dependencies.extend(listed.iter().map(|(name, item)| Dependency {
                    name,
                    item,
                    is_dev,
                }));
            }
        }
        dependencies
    }

    /// The features it declares, `default` included.
    pub(crate) fn features(&self) -> Vec<&str> {
        self.manifest
            .get("features")
            .and_then(Item::as_table_like)
            .map(|features| features.iter().map(|(name, _)| name).collect())
            .unwrap_or_default()
    }

    /// Whether leaving the default features out changes anything.
    pub(crate) fn has_default_features(&self) -> bool {
        self.manifest
            .get("features")
            .and_then(|features| features.get("default")?.as_array())
            .is_some_and(|default| !default.is_empty())
    }

    /// Whether its manifest says `publish = false`.
    pub(crate) fn is_unpublished(&self) -> bool {
        let publish = self.manifest.get("package").and_then(|package| package.get("publish"));
        publish.and_then(Item::as_bool) == Some(false)
    }

    /// The names of its `[[bench]]` targets.
    pub(crate) fn benches(&self) -> Vec<&str> {
        self.manifest
            .get("bench")
            .and_then(Item::as_array_of_tables)
            .map(|benches| benches.iter().filter_map(|bench| bench.get("name")?.as_str()).collect())
            .unwrap_or_default()
    }
}

fn parse_manifest(path: &str, files: &BTreeMap<String, String>) -> Result<Document<String>> {
    let text = files.get(path).with_context(|| format!("{path} is missing"))?;
    Document::parse(text.clone()).with_context(|| format!("{path} is no TOML"))
}

/// Hidden folders that hold files of ours; the others belong to tools.
const HIDDEN_FOLDERS: &[&str] = &[".cargo", ".ci", ".config", ".github"];

/// In a linked worktree a file, written by git, that names a path of the machine.
const GIT_LINK: &str = ".git";

fn read_folder(root: &Path, relative: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    let folder = root.join(relative);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("{} cannot be listed", folder.display()))?;
        let Ok(name) = entry.file_name().into_string() else {
            bail!("{} is no UTF-8 name", entry.path().display())
        };
        let path = if relative.is_empty() { name.clone() } else { format!("{relative}/{name}") };
        let kind = entry.file_type().with_context(|| format!("{path} cannot be read"))?;
        // Each package links to the licences; a link to a folder would be read twice.
        let is_file_link = kind.is_symlink() && entry.path().is_file();
        if kind.is_dir() {
            let is_ours = if name.starts_with('.') {
                HIDDEN_FOLDERS.contains(&name.as_str())
            } else {
                name != "target"
            };
            if is_ours {
                read_folder(root, &path, files)?;
            }
        } else if (kind.is_file() || is_file_link) && name != GIT_LINK {
            let size =
                fs::metadata(entry.path()).with_context(|| format!("{path} cannot be read"))?.len();
            if size > MAX_TEXT_BYTES {
                continue;
            }
            match fs::read_to_string(entry.path()) {
                Ok(text) => drop(files.insert(path, text)),
                // Not text: no rule applies.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(error) => return Err(error).with_context(|| format!("{path} cannot be read")),
            }
        }
    }
    Ok(())
}
