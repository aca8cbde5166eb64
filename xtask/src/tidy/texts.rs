//! Every text file: no paths of one machine, no registry hosts, nothing left open.

use super::Findings;
use crate::project::Project;

/// Names of files that cargo writes, or that are not ours to write.
const NOT_OURS: &[&str] = &["Cargo.lock", "LICENSE-APACHE", "LICENSE-MIT"];

// The words are put together here so that this file does not contain them.
const MACHINE_FOLDERS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/fa", "rm/"),
    concat!("../sha", "red"),
];
const HOMES: &[&str] = &[concat!("/ho", "me/"), concat!("/Use", "rs/")];
const REGISTRY_HOSTS: &[&str] = &[
    concat!("//crates", ".io"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("deb.debian", ".org"),
    concat!("archive.ubuntu", ".com"),
    concat!("arti", "factory"),
];
const LEFT_OPEN: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

pub(super) fn check(project: &Project, findings: &mut Findings) {
    for (path, text) in &project.files {
        let name = path.rsplit('/').next().unwrap_or(path);
        if NOT_OURS.contains(&name) {
            continue;
        }
        let is_written =
            [".rs", ".md", ".toml", ".sh", ".py", ".js"].iter().any(|end| path.ends_with(end))
                || path.starts_with(".ci/");
        for (line_idx, line) in text.lines().enumerate() {
            let line_number = line_idx + 1;
            if let Some(folder) = MACHINE_FOLDERS.iter().find(|folder| line.contains(**folder)) {
                findings.error(path, line_number, format!("`{folder}` is a path of one machine"));
            }
            if let Some(home) = HOMES.iter().find(|home| names_a_home(line, home)) {
                findings.error(
                    path,
                    line_number,
                    format!("a folder under `{home}` is a path of one machine"),
                );
            }
            if let Some(host) = REGISTRY_HOSTS.iter().find(|host| line.contains(**host)) {
                findings.error(path, line_number, format!("`{host}` is a package registry's host"));
            }
            if path.starts_with(".cargo/")
                && (line.starts_with("[source") || line.starts_with("[registries"))
            {
                findings.error(
                    path,
                    line_number,
                    "a registry is chosen by who builds, not by the project",
                );
            }
            if is_written && let Some(word) = LEFT_OPEN.iter().find(|word| has_word(line, word)) {
                findings.error(path, line_number, format!("`{word}`: do it now or open an issue"));
            }
        }
    }
}

fn names_a_home(line: &str, home: &str) -> bool {
    line.split(home).skip(1).any(|rest| rest.starts_with(|char: char| char.is_ascii_alphabetic()))
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(position, _)| {
        let before = line.get(..position).and_then(|text| text.chars().next_back());
        let after = line.get(position + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn each_is_found_with_its_line() {
        let [work, root, farm, shared] = MACHINE_FOLDERS else { panic!("four folders") };
        let text = format!(
            "fine\n{work}x\n{root}x\n{farm}\n{shared}\n{}alice\n{}pypi\n",
            HOMES[0], REGISTRY_HOSTS[3]
        );
        let source = format!("//! {} this\n// MASTODON{}S\n", LEFT_OPEN[0], LEFT_OPEN[0]);
        let config = "[source.mirror]\n";
        testing::check(
            check,
            &[
                (".cargo/config.toml", config),
                ("Cargo.lock", text.as_str()),
                ("README.md", text.as_str()),
                ("a.rs", source.as_str()),
            ],
            &[
                ".cargo/config.toml:1: a registry",
                "README.md:2",
                "README.md:3",
                "README.md:4",
                "README.md:5",
                "README.md:6: a folder under",
                "README.md:7: `pypi",
                "a.rs:1",
            ],
        );
    }
}
