//! Which component each name of the file stands for.
//!
//! Owns aliases: those that are stated, those that `setParamsByID` and old profiles make, and those of peers' models.

use std::collections::{BTreeMap, HashSet};

use majordomo::quoted;

use super::document::Member;
use super::marks;
use super::model::Prepared;
use super::names;
use super::problem::Problem;
use super::reader::{Context, Section};
use super::settings::{self, PeerModel, Selector};

/// Names that clients use, of all models and peers.
pub(super) struct Names {
    pub models: Vec<Prepared>,
    pub peers: Vec<(PeerModel, String, Vec<String>)>,
}

impl Names {
    /// The component that an ID, an alias or a peer's model stands for.
    pub(super) fn component(&self, name: &str) -> Option<String> {
        let model = self.models.iter().find(|model| model.id == name);
        let model = model.or_else(|| {
            self.models.iter().find(|m| m.aliases.iter().any(|(alias, _)| alias == name))
        });
        if let Some(model) = model {
            return (!model.is_left_out).then(|| model.name.clone());
        }
        let peer = self.peers.iter().find(|(peer, ..)| peer.full == name);
        let peer = peer.or_else(|| {
            self.peers.iter().find(|(_, _, aliases)| aliases.iter().any(|a| a == name))
        });
        peer.map(|(_, component, _)| component.clone())
    }

    pub(super) fn index(&self, id: &str) -> Option<usize> {
        let by_alias =
            || self.models.iter().position(|m| m.aliases.iter().any(|(alias, _)| alias == id));
        self.models.iter().position(|model| model.id == id).or_else(by_alias)
    }
}

/// Reads aliases, and gives every model and every model of a peer its component's name.
pub(super) fn name_all(cx: &mut Context, root: &Section<'_>, models: Vec<Member>) -> Names {
    let peers = settings::peers(cx, root);
    let profiles = settings::profiles(cx, root);
    let ids: HashSet<String> = models.iter().map(|model| model.key.clone()).collect();
    let mut owner: BTreeMap<String, String> = BTreeMap::new();
    let mut prepared = Vec::new();
    for model in models {
        let section =
            Section { path: vec!["models".to_owned(), model.key.clone()], node: &model.node };
        let listed = section.get("aliases");
        let mut stated: Vec<(String, usize)> = Vec::new();
        for (alias, place) in listed.as_ref().map(|found| cx.texts(found)).unwrap_or_default() {
            stated.push((alias, place.line));
        }
        let filters = section.get("filters").map(|found| found.section());
        if let Some(by_id) = filters.and_then(|filters| filters.get("setParamsByID")) {
            stated.extend(
                by_id.node.members().iter().map(|member| (member.key.clone(), member.line)),
            );
        }
        stated.extend(
            profiles
                .iter()
                .filter(|(_, of, _)| *of == model.key)
                .map(|(alias, _, line)| (alias.clone(), *line)),
        );
        let mut aliases: Vec<(String, usize)> = Vec::new();
        for (alias, line) in stated {
            if alias == model.key || aliases.iter().any(|(known, _)| *known == alias) {
                continue;
            }
            if ids.contains(&alias) {
                cx.report.remarks.push(format!("line {line}: the alias {} is the ID of a model, which llama-swap prefers; it was left out", quoted(&alias)));
                continue;
            }
            if let Some(other) = owner.insert(alias.clone(), model.key.clone()) {
                cx.problems.push(Problem::at(
                    line,
                    format!(
                        "the alias {} is that of the model {}, too; remove one",
                        quoted(&alias),
                        quoted(&other)
                    ),
                ));
                continue;
            }
            if alias.contains(marks::is_reserved) {
                cx.problems.push(Problem::at(
                    line,
                    format!(
                        "the alias {} has a variable that is not set",
                        quoted(&marks::shown(&alias))
                    ),
                ));
                continue;
            }
            aliases.push((alias, line));
        }
        prepared.push(Prepared {
            id: model.key,
            line: model.line,
            node: model.node,
            aliases,
            name: String::new(),
            is_left_out: false,
        });
    }
    let mut taken: HashSet<String> = owner.into_keys().collect();
    taken.extend(
        root.get("selectors")
            .map(|all| all.section().all())
            .unwrap_or_default()
            .iter()
            .map(|s| s.key().to_owned()),
    );
    let mut peer_aliases: Vec<Vec<String>> = Vec::new();
    for peer in &peers {
        let is_unique = peers.iter().filter(|other| other.model == peer.model).count() == 1;
        let is_free = !ids.contains(&peer.model) && !taken.contains(&peer.model);
        let mut aliases = vec![peer.full.clone()];
        aliases.extend((is_unique && is_free).then(|| peer.model.clone()));
        peer_aliases.push(aliases);
    }
    taken.extend(peer_aliases.iter().flatten().cloned());
    let all: Vec<&str> = prepared
        .iter()
        .map(|model| model.id.as_str())
        .chain(peers.iter().map(|peer| peer.full.as_str()))
        .collect();
    let mut made = names::assign(&all, &taken).into_iter();
    for model in &mut prepared {
        model.name = made.next().unwrap_or_default();
    }
    let peers = peers.into_iter().zip(made.collect::<Vec<_>>()).zip(peer_aliases);
    Names {
        models: prepared,
        peers: peers.map(|((peer, name), aliases)| (peer, name, aliases)).collect(),
    }
}

/// The file's selectors, and one for each ID that is no alias.
pub(super) fn selectors(cx: &mut Context, root: &Section<'_>, names: &Names) -> Vec<Selector> {
    let mut all = settings::selectors(cx, root, &|name| names.component(name));
    for model in names.models.iter().filter(|model| !model.is_left_out) {
        for name in std::iter::once(&model.id).chain(model.aliases.iter().map(|(alias, _)| alias)) {
            if *name != model.name && !names::is_alias(name) && !all.iter().any(|s| s.name == *name)
            {
                if name.chars().count() > 256
                    || name.is_empty()
                    || name.chars().any(char::is_control)
                {
                    cx.report.remarks.push(format!("the name {} cannot be used by clients: names have 1 to 256 visible characters", quoted(name)));
                    continue;
                }
                let components = vec![model.name.clone()];
                all.push(Selector {
                    name: name.clone(),
                    components,
                    select: "first",
                    unlisted: true,
                });
            }
        }
    }
    all
}
