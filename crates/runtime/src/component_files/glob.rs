//! Patterns of paths: `*` and `?` within a name, `**` for any folders.

use std::path::{Component, Path, PathBuf};

/// Files that one pattern may name, and entries of folders that are looked at for it.
const MAX_FILES: usize = 8192;
const MAX_ENTRIES: usize = 65_536;

struct Walk {
    found: Vec<PathBuf>,
    n_entries: usize,
}

/// The files that match an absolute pattern, in the order of their names. Hidden names match only a pattern that begins with a
/// dot; links to folders are not followed by `**`.
pub(super) fn matches(pattern: &Path) -> Vec<PathBuf> {
    let names: Vec<_> =
        pattern.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    let mut walk = Walk { found: Vec::new(), n_entries: 0 };
    let root = pattern.components().take_while(|c| matches!(c, Component::RootDir)).count();
    walk.folder(Path::new("/"), &names[root..]);
    walk.found
}

impl Walk {
    fn folder(&mut self, at: &Path, names: &[String]) {
        let Some((name, rest)) = names.split_first() else { return };
        if name == "**" {
            self.folder(at, rest);
            for entry in self.entries(at) {
                if !is_hidden(&entry)
                    && at.join(&entry).symlink_metadata().is_ok_and(|m| m.is_dir())
                {
                    self.folder(&at.join(entry), names);
                }
            }
            return;
        }
        if !name.contains(['*', '?']) {
            return self.next(at.join(name), rest);
        }
        for entry in self.entries(at) {
            if is_hidden(&entry) == is_hidden(name) && is_match(name.as_bytes(), entry.as_bytes()) {
                self.next(at.join(entry), rest);
            }
        }
    }

    fn next(&mut self, path: PathBuf, rest: &[String]) {
        if !rest.is_empty() {
            self.folder(&path, rest);
        } else if self.found.len() < MAX_FILES && path.is_file() {
            self.found.push(path);
        }
    }

    fn entries(&mut self, at: &Path) -> Vec<String> {
        let room = MAX_ENTRIES.saturating_sub(self.n_entries);
        let entries = std::fs::read_dir(at).into_iter().flatten().flatten().take(room);
        let mut names: Vec<_> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        self.n_entries += names.len();
        names.sort_unstable();
        names
    }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => is_match(rest, name),
        (Some((b'*', rest)), Some((_, shorter))) => {
            is_match(rest, name) || is_match(pattern, shorter)
        }
        (Some((b'?', rest)), Some((_, shorter))) => is_match(rest, shorter),
        (Some((p, rest)), Some((c, shorter))) => p == c && is_match(rest, shorter),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_and_folders() {
        let dir = std::env::temp_dir().join(format!("majordomo-glob-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&dir));
        for file in
            ["m/a.bin", "m/b.bin", "m/deep/er/c.bin", "m/.hidden/d.bin", "m/.e.bin", "x.txt"]
        {
            let path = dir.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let files = matches(&dir.join(pattern)).into_iter();
            files.map(|p| p.strip_prefix(&dir).unwrap().display().to_string()).collect()
        };
        assert_eq!(found("x.txt"), ["x.txt"]);
        assert_eq!(found("m/*.bin"), ["m/a.bin", "m/b.bin"]);
        assert_eq!(found("m/?.bin"), ["m/a.bin", "m/b.bin"]);
        assert_eq!(found("m/.*.bin"), ["m/.e.bin"]);
        assert_eq!(found("**/*.bin"), ["m/a.bin", "m/b.bin", "m/deep/er/c.bin"]);
        assert_eq!(found("m/**/c.bin"), ["m/deep/er/c.bin"]);
        assert_eq!(found("m"), [""; 0], "a folder is no file");
        assert_eq!(found("nothing/*"), [""; 0]);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
