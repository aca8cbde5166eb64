//! Which components a prepared folder has, and its configuration and commands.
//!
//! Owns the selection: all components or those named, with the components that they depend on,
//! without those whose program is not installed. A component that is left out is left out of every
//! list and every file.

use std::env;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use toml_edit::{Array, DocumentMut, Item, TableLike};

/// The example's folder in the working tree.
pub(super) const SOURCE: &str = "examples/assistant";

/// Components whose program no Python package ships: the program, and what installs it on Debian.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("browser", "chromium", "apt-get install -y chromium"),
    ("store", "redis-server", "apt-get install -y redis-server"),
];
/// The keys of a component that name others.
const LISTS: &[&str] = &["dependencies", "conflicts", "after"];

/// The example's configuration.
pub(super) struct Config {
    text: String,
    document: DocumentMut,
}

/// Components of the example.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// In the order of the configuration.
    pub(super) components: Vec<String>,
    /// Those that were asked for, depended on and left out, with the command that installs their
    /// program.
    pub(super) missing: Vec<(String, &'static str)>,
}

impl Config {
    /// Reads the example's file.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let document = text.parse::<DocumentMut>().context("assistant.toml is no TOML")?;
        let config = Self { text: text.to_owned(), document };
        ensure!(!config.names().is_empty(), "assistant.toml has no components");
        Ok(config)
    }

    /// All components, in the order of the file.
    pub(super) fn names(&self) -> Vec<String> {
        let components = self.document.get("components").and_then(Item::as_table_like);
        components.into_iter().flat_map(TableLike::iter).map(|(name, _)| name.to_owned()).collect()
    }

    fn dependencies(&self, name: &str) -> Vec<String> {
        let list =
            self.document.get("components").and_then(|all| all.get(name)?.get("dependencies"));
        texts(list.and_then(Item::as_array))
    }

    /// The components named in `only`, separated by commas, or all; `is_installed` says whether a
    /// program is there.
    pub(super) fn select(
        &self,
        only: Option<&str>,
        is_installed: impl Fn(&str) -> bool,
    ) -> Result<Selection> {
        let names = self.names();
        let mut chosen: Vec<String> = match only {
            None => names.clone(),
            Some(only) => only.split(',').map(|name| name.trim().to_owned()).collect(),
        };
        if let Some(unknown) = chosen.iter().find(|name| !names.contains(name)) {
            bail!("no component is called `{unknown}`; there are {}", names.join(", "));
        }
        let mut next_idx = 0;
        while let Some(name) = chosen.get(next_idx) {
            for dependency in self.dependencies(name) {
                if !chosen.contains(&dependency) {
                    chosen.push(dependency);
                }
            }
            next_idx += 1;
        }
        let install = |name: &str| {
            let (_, program, install) =
                PROGRAMS.iter().find(|(component, ..)| *component == name)?;
            (!is_installed(program)).then_some(*install)
        };
        let (mut components, mut missing) = (Vec::new(), Vec::new());
        for name in names.into_iter().filter(|name| chosen.contains(name)) {
            match install(&name) {
                None => components.push(name),
                Some(command) => missing.push((name, command)),
            }
        }
        ensure!(
            !components.is_empty(),
            "no program of the components asked for is installed: {}",
            missing.iter().map(|(_, command)| *command).collect::<Vec<_>>().join("; ")
        );
        Ok(Selection { components, missing })
    }

    /// The configuration of these components alone.
    pub(super) fn text_for(&self, components: &[String]) -> String {
        let left_out: Vec<_> =
            self.names().into_iter().filter(|name| !components.contains(name)).collect();
        if left_out.is_empty() {
            return self.text.clone();
        }
        let mut document = self.document.clone();
        if let Some(all) = document.get_mut("components").and_then(Item::as_table_like_mut) {
            left_out.iter().for_each(|name| drop(all.remove(name)));
            for (_, component) in all.iter_mut() {
                for list in LISTS {
                    let list = component.get_mut(list).and_then(Item::as_array_mut);
                    if let Some(list) = list {
                        list.retain(|name| {
                            name.as_str().is_none_or(|name| components.iter().any(|n| n == name))
                        });
                    }
                }
            }
        }
        document.to_string()
    }
}

fn texts(list: Option<&Array>) -> Vec<String> {
    list.into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The rows of `commands.tsv` whose components are all there.
pub(super) fn commands_for(text: &str, components: &[String]) -> String {
    let is_there = |row: &&str| {
        let labels = row.split('\t').nth(1).unwrap_or_default();
        labels.split(',').all(|label| components.iter().any(|name| name == label))
    };
    text.split_inclusive('\n').filter(is_there).collect()
}

/// Whether a folder of PATH has this program.
pub(super) fn is_on_path(program: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| Path::new(&folder).join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# of three
[components.store]
priority = "CORE"

[components.embed]
dependencies = ["store"]

[components.listen]
dependencies = ["embed"]
conflicts = ["chat"]

[components.chat]
"#;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn selection_includes_indirect_dependencies() {
        let config = Config::parse(TEXT).unwrap();
        let all = config.select(None, |_| true).unwrap();
        assert_eq!(all.components, names(&["store", "embed", "listen", "chat"]));
        let one = config.select(Some("listen"), |_| true).unwrap();
        assert_eq!(one.components, names(&["store", "embed", "listen"]));
        assert_eq!(one.missing, []);
    }

    #[test]
    fn component_without_its_program_is_left_out_and_named_with_the_way_out() {
        let config = Config::parse(TEXT).unwrap();
        let some = config.select(Some("embed"), |_| false).unwrap();
        assert_eq!(some.components, names(&["embed"]));
        let install = "apt-get install -y redis-server";
        assert_eq!(some.missing, [("store".to_owned(), install)]);
        let none = config.select(Some("store"), |_| false).unwrap_err().to_string();
        assert!(none.contains(install), "{none}");
    }

    #[test]
    fn unknown_component_is_an_error_that_lists_the_known_ones() {
        let config = Config::parse(TEXT).unwrap();
        let error = config.select(Some("chat,vision"), |_| true).unwrap_err().to_string();
        assert_eq!(error, "no component is called `vision`; there are store, embed, listen, chat");
    }

    #[test]
    fn configuration_of_a_selection_names_no_other_component() {
        let config = Config::parse(TEXT).unwrap();
        assert_eq!(config.text_for(&config.names()), TEXT);
        let text = config.text_for(&names(&["embed", "listen"]));
        let filtered = Config::parse(&text).unwrap();
        assert_eq!(filtered.names(), names(&["embed", "listen"]));
        assert_eq!(filtered.dependencies("listen"), names(&["embed"]));
        assert!(!text.contains("chat") && !text.contains("store"), "{text}");
    }

    #[test]
    fn command_stays_if_all_its_components_are_there() {
        let text = "train\tchat\thello\ntest\tlisten,chat\tboth\ntrain\tlisten\tone\n";
        assert_eq!(commands_for(text, &names(&["chat"])), "train\tchat\thello\n");
        assert_eq!(commands_for(text, &names(&["chat", "listen"])), text);
    }
}
