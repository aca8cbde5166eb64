//! The prepared assistant: a folder with its configuration, commands and questions, made by `cargo
//! xtask assistant setup`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use majordomo::{ComponentSpec, Priority, read_config};

use super::commands::Commands;
use super::questions::{self, Questions};

/// The configuration in an assistant's folder.
const CONFIGURATION: &str = "assistant.toml";

/// A prepared assistant.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// The text of the configuration.
    pub(super) configuration: String,
    pub(super) specs: Vec<Arc<ComponentSpec>>,
    /// The components with a question, in the order of the configuration, CORE ones last: these are
    /// always ready, so the items that are used most stand for others.
    pub(super) components: Vec<String>,
    pub(super) commands: Commands,
    pub(super) questions: Questions,
}

impl Folder {
    /// Reads a folder; `commands` is a table of commands instead of the folder's own.
    pub(super) fn read(path: &Path, commands: Option<&Path>) -> anyhow::Result<Self> {
        let path = path.canonicalize().with_context(|| {
            format!(
                "{} is missing; `cargo xtask assistant setup --dir {0}` makes it",
                path.display()
            )
        })?;
        let file = path.join(CONFIGURATION);
        let configuration = std::fs::read_to_string(&file)
            .with_context(|| format!("{} cannot be read", file.display()))?;
        let loaded = read_config(&file, majordomo::memory_limit())
            .map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let questions = questions::read(&path.join("questions.json"))?;
        let mut specs: Vec<&ComponentSpec> = loaded.specs.iter().map(Arc::as_ref).collect();
        specs.sort_by_key(|spec| spec.priority == Priority::Core);
        let asked: Vec<String> = specs
            .iter()
            .map(|spec| spec.id.to_string())
            .filter(|name| questions.get(name).is_some_and(|all| !all.is_empty()))
            .collect();
        ensure!(
            !asked.is_empty(),
            "{} has no question for a component of {CONFIGURATION}",
            path.join("questions.json").display()
        );
        let own = path.join("commands.tsv");
        let commands = Commands::read(commands.unwrap_or(&own), &asked)?;
        Ok(Self {
            configuration,
            specs: loaded.specs,
            components: asked,
            commands,
            questions,
            path,
        })
    }

    /// The places of components that have commands: a trace's items stand for these.
    pub(super) fn usable(&self) -> Vec<usize> {
        (0..self.components.len()).filter(|place| self.commands.has(*place)).collect()
    }

    /// A component with everything that it needs.
    pub(super) fn closure(&self, name: &str) -> Vec<String> {
        let mut all = vec![name.to_owned()];
        let mut next = 0;
        while let Some(name) = all.get(next) {
            let spec = self.specs.iter().find(|s| s.id.as_str() == name);
            let needs = spec.map(|s| s.dependencies.as_slice()).unwrap_or_default();
            let missing: Vec<String> =
                needs.iter().map(ToString::to_string).filter(|d| !all.contains(d)).collect();
            all.extend(missing);
            next += 1;
        }
        all
    }

    /// Whether a component is pinned by the configuration.
    pub(super) fn is_pinned(&self, name: &str) -> bool {
        self.specs.iter().any(|s| s.id.as_str() == name && s.pinned)
    }

    /// Whether a component is loaded for as long as the server runs.
    pub(super) fn is_core(&self, name: &str) -> bool {
        self.specs.iter().any(|s| s.id.as_str() == name && s.priority == Priority::Core)
    }
}
