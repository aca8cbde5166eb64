//! Modules of a crate form no cycle.
//!
//! A module uses another when a path in its code names it: in a `use`, or in full (`super::wire::Kind`, `heap::Heap`).
//! A re-export is followed to the module that defines the name, and is no use by itself: `pub use child::Thing` in a
//! parent makes the parent a facade, not a user. Code under `#[cfg(test)]` does not count.
//!
//! Reads text, not Rust: comments and strings are blanked out, macros are not expanded. A glob (`use a::*`) is a use of `a`.

mod code;

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::project::Project;

use code::{blanked, is_word, tokens, without_tests};

/// Cycles that exist, by crate and the modules in each; no module stands for the whole crate. Cycles within them pass. Shrink
/// a row when its cycle shrinks, and remove it when the cycle is gone.
const KNOWN: &[(&str, &[&str])] = &[
    ("cli", &["args", "args::remote"]),
    ("cli", &["print", "print::out"]),
    ("engine", &[]),
    ("lab", &[]),
    ("majordomo", &[]),
    ("registry", &[]),
    ("xtask", &["leak", "stages"]),
];

/// A path of modules below the crate root; empty is the root.
type Module = Vec<String>;

/// The modules of one crate: what each names, and what each re-exports or imports.
#[derive(Default)]
struct Modules {
    by_path: BTreeMap<Module, Source>,
}

#[derive(Default)]
struct Source {
    /// Paths in the code outside of `use`.
    paths: Vec<Module>,
    /// Names that `use` brings in, with the path that each stands for.
    imports: BTreeMap<String, Import>,
    /// `use a::*`.
    globs: Vec<Module>,
    /// Words of the code outside of `use` and `mod`.
    words: BTreeSet<String>,
}

struct Import {
    path: Module,
    is_public: bool,
}

pub(super) fn check(project: &Project, findings: &mut Findings) {
    check_against(project, KNOWN, findings);
}

fn check_against(project: &Project, known: &[(&str, &[&str])], findings: &mut Findings) {
    let mut found = BTreeSet::new();
    for package in &project.packages {
        let modules = Modules::read(project, &package.folder);
        for cycle in modules.cycles() {
            let names: Vec<_> = cycle.iter().map(|module| module.join("::")).collect();
            let is_known = |row: &(&str, &[&str])| {
                let is_within = names.iter().all(|name| row.1.contains(&name.as_str()));
                row.0 == package.short && (row.1.is_empty() || is_within)
            };
            if let Some(row_idx) = known.iter().position(is_known) {
                found.insert(row_idx);
                continue;
            }
            let message = format!(
                "modules use each other: {}; move what they share to a module that uses none of them",
                names.join(", ")
            );
            findings.error(&format!("{}/src", package.folder), 0, message);
        }
    }
    for (row_idx, row) in known.iter().enumerate() {
        if !found.contains(&row_idx) && project.packages.iter().any(|p| p.short == row.0) {
            let message = format!("the cycle of `{}` is gone: remove it from the list", row.0);
            findings.note("xtask/src/tidy/cycles.rs", format!("{message} ({})", row.1.join(", ")));
        }
    }
}

impl Modules {
    fn read(project: &Project, folder: &str) -> Self {
        let prefix = format!("{folder}/src/");
        let mut modules = Self::default();
        for (path, text) in project.rust_files() {
            let Some(name) = path.strip_prefix(&prefix).and_then(|p| p.strip_suffix(".rs")) else {
                continue;
            };
            let mut module: Module = name.split('/').map(str::to_owned).collect();
            if module == ["lib"] || module == ["main"] {
                module.clear();
            }
            modules.by_path.insert(module, Source::read(&without_tests(&blanked(text))));
        }
        modules
    }

    /// Modules that each module uses.
    fn uses(&self) -> BTreeMap<&Module, BTreeSet<&Module>> {
        let mut uses = BTreeMap::new();
        for (module, source) in &self.by_path {
            // The root declares the modules; nothing in it is used by them but what it re-exports.
            if module.is_empty() {
                continue;
            }
            let imports = source
                .imports
                .iter()
                .filter(|(name, import)| !import.is_public || source.words.contains(name.as_str()));
            let paths =
                imports.map(|(_, import)| &import.path).chain(&source.paths).chain(&source.globs);
            let used: BTreeSet<&Module> = paths
                .filter_map(|path| self.target(&self.absolute(module, path)?, 0))
                .filter(|used| *used != module && !used.is_empty())
                .collect();
            uses.insert(module, used);
        }
        uses
    }

    /// A path from the crate root; none for another crate's.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([module, rest].concat()),
            "super" => {
                let parent = module.split_last()?.1.to_vec();
                if rest.first().is_some_and(|next| next == "super") {
                    self.absolute(&parent, rest)
                } else {
                    Some([parent.as_slice(), rest].concat())
                }
            }
            name => {
                let child = [module.as_slice(), &[name.to_owned()]].concat();
                if self.by_path.contains_key(&child) {
                    return Some([child.as_slice(), rest].concat());
                }
                // A module that was imported: `use super::heap;` and then `heap::Heap`.
                let import = self.by_path.get(module)?.imports.get(name)?;
                // A crate of that name.
                if import.path.first() == Some(first) {
                    return None;
                }
                let to = self.absolute(module, &import.path)?;
                Some([to.as_slice(), rest].concat())
            }
        }
    }

    /// The module that defines what an absolute path names: re-exports are followed.
    fn target(&self, path: &[String], depth: usize) -> Option<&Module> {
        let (module, name) = (0..=path.len()).rev().find_map(|n| {
            let (module, _) = self.by_path.get_key_value(&path[..n])?;
            Some((module, path.get(n)))
        })?;
        let import = name.and_then(|name| self.by_path[module].imports.get(name));
        let followed = import.filter(|_| depth < 8).and_then(|import| {
            let rest = &path[module.len() + 1..];
            let path = [self.absolute(module, &import.path)?.as_slice(), rest].concat();
            self.target(&path, depth + 1)
        });
        match import {
            // An item of another crate belongs to no module of this one.
            Some(import) if followed.is_none() => {
                self.absolute(module, &import.path).is_some().then_some(module)
            }
            _ => followed.or(Some(module)),
        }
    }

    /// Sets of modules that reach each other, each sorted.
    fn cycles(&self) -> Vec<Vec<&Module>> {
        let uses = self.uses();
        let reached: BTreeMap<&Module, BTreeSet<&Module>> = uses
            .keys()
            .map(|start| {
                let mut reached = BTreeSet::new();
                let mut open: Vec<&Module> = vec![start];
                while let Some(module) = open.pop() {
                    for next in uses.get(module).into_iter().flatten() {
                        if reached.insert(*next) {
                            open.push(next);
                        }
                    }
                }
                (*start, reached)
            })
            .collect();
        let is_mutual = |a: &Module, b: &Module| reached[a].contains(b) && reached[b].contains(a);
        let mut cycles: Vec<Vec<&Module>> = Vec::new();
        for module in reached.keys().filter(|m| reached[**m].contains(**m)) {
            match cycles.iter_mut().find(|cycle| is_mutual(cycle[0], module)) {
                Some(cycle) => cycle.push(module),
                None => cycles.push(vec![module]),
            }
        }
        cycles
    }
}

impl Source {
    fn read(code: &str) -> Self {
        let mut source = Self::default();
        let tokens = tokens(code);
        let mut at = 0;
        while at < tokens.len() {
            match tokens[at] {
                "use" => {
                    let is_public = is_public(&tokens[..at]);
                    at = source.read_use(&tokens, at + 1, &[], is_public);
                }
                "mod" => at += 2,
                token if is_word(token) => {
                    let mut path = vec![token.to_owned()];
                    while tokens.get(at + 1) == Some(&"::")
                        && tokens.get(at + 2).is_some_and(|next| is_word(next))
                    {
                        path.push(tokens[at + 2].to_owned());
                        at += 2;
                    }
                    // A name that is called or qualified, or a type: a parameter of the same name is none.
                    let is_call = matches!(tokens.get(at + 1), Some(&("(" | "!")))
                        && !tokens[..at].last().is_some_and(|before| matches!(*before, "." | "fn"));
                    let is_used =
                        path.len() > 1 || token.starts_with(char::is_uppercase) || is_call;
                    if is_used {
                        source.words.insert(path[0].clone());
                    }
                    if path.len() > 1 {
                        source.paths.push(path);
                    }
                    at += 1;
                }
                _ => at += 1,
            }
        }
        source
    }

    /// Reads a `use` tree that begins at `at`; returns where it ends.
    fn read_use(
        &mut self,
        tokens: &[&str],
        mut at: usize,
        prefix: &[String],
        public: bool,
    ) -> usize {
        let mut path = prefix.to_vec();
        while let Some(token) = tokens.get(at) {
            match *token {
                "::" => at += 1,
                "{" => {
                    at += 1;
                    while tokens.get(at).is_some_and(|token| *token != "}") {
                        at = self.read_use(tokens, at, &path, public);
                        if tokens.get(at) == Some(&",") {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                "*" => {
                    self.globs.push(path);
                    return at + 1;
                }
                "as" => {
                    let name = tokens.get(at + 1).copied().unwrap_or_default();
                    self.imports.insert(name.to_owned(), Import { path, is_public: public });
                    return at + 2;
                }
                token if is_word(token) => {
                    path.push(token.to_owned());
                    at += 1;
                }
                _ => break,
            }
        }
        // `use a::{self, B}` brings in `a`.
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        if let Some(name) = path.last().cloned() {
            self.imports.insert(name, Import { path, is_public: public });
        }
        at
    }
}

/// Whether the tokens before a `use` make it `pub` or `pub(…)`.
fn is_public(before: &[&str]) -> bool {
    match before {
        [.., "pub"] => true,
        [.., ")"] => before
            .iter()
            .rposition(|t| *t == "(")
            .is_some_and(|at| at > 0 && before[at - 1] == "pub"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const MANIFEST: (&str, &str) =
        ("crates/core/Cargo.toml", "[package]\nname = \"majordomo-core\"\n");

    #[test]
    fn modules_that_use_each_other_are_found_through_re_exports_and_full_paths() {
        let files = [
            MANIFEST,
            ("crates/core/src/lib.rs", "//! Core.\nmod a;\nmod b;\nmod c;\nmod d;\nmod e;\n"),
            // Over a re-export of the child of another module.
            ("crates/core/src/a.rs", "//! A.\nuse crate::b::Thing;\nstruct A(Thing);\n"),
            ("crates/core/src/b.rs", "//! B.\nmod inner;\npub use inner::Thing;\n"),
            ("crates/core/src/b/inner.rs", "//! I.\npub struct Thing(Option<Box<crate::a::A>>);\n"),
            // A child that uses its parent, which names the child in full.
            ("crates/core/src/c.rs", "//! C.\nmod part;\nstruct C { part: part::Part }\n"),
            ("crates/core/src/c/part.rs", "//! P.\nuse super::C;\nimpl C {}\nstruct Part;\n"),
            // A module that was imported by name.
            ("crates/core/src/d.rs", "//! D.\nuse super::e::{self, X};\nfn d() { e::run(X) }\n"),
            ("crates/core/src/e.rs", "//! E.\nfn run() { super::d::d() }\n"),
        ];
        testing::check(check, &files, &["a, b::inner", "c, c::part", "d, e"]);
    }

    #[test]
    fn facades_tests_comments_and_strings_make_no_cycle() {
        let parent = "//! A.\nmod child;\npub use child::{make, Child};\npub trait Trait {}\nfn f(make: u8) {}\n";
        let child = "//! C.\nuse super::Trait;\npub struct Child;\nimpl Trait for Child {}\n";
        let other = "//! B.\n// crate::a::f()\nconst T: &str = \"crate::a::f\";\nconst C: char = '\"';\n#[cfg(test)]\nmod tests {\n    use crate::a::f;\n}\n";
        let files = [
            MANIFEST,
            ("crates/core/src/lib.rs", "//! Core.\nmod a;\nmod b;\n"),
            ("crates/core/src/a.rs", parent),
            ("crates/core/src/a/child.rs", child),
            ("crates/core/src/b.rs", other),
            ("crates/core/src/main.rs", "//! M.\nfn main() {}\n"),
        ];
        testing::check(check, &files, &[]);
        let uses_b = format!("{parent}fn g() {{ crate::b::T }}\n");
        let files =
            [MANIFEST, files[1], ("crates/core/src/a.rs", uses_b.as_str()), files[3], files[4]];
        testing::check(check, &files, &[]);
    }

    #[test]
    fn listed_cycle_passes_and_a_listed_cycle_that_is_gone_is_reported() {
        let known: &[(&str, &[&str])] = &[("core", &["a", "b", "c"])];
        let check = |a: &str| {
            let mut findings = Findings::default();
            let files = [
                MANIFEST,
                ("crates/core/src/a.rs", a),
                ("crates/core/src/b.rs", "//! B.\nuse crate::a::A;\n"),
            ];
            check_against(&testing::project(&files), known, &mut findings);
            findings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(check("//! A.\nuse crate::b::B;\n").is_empty());
        let gone = check("//! A.\n");
        assert!(gone.len() == 1 && gone[0].starts_with("note: "), "{gone:?}");
    }
}
