//! Finds the file that a command's first word means, so that a missing program is told before anything
//! starts.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use majordomo_core::ComponentId;

use super::ProcessError;

/// The absolute path of `program`: itself when it contains `/` (relative to `cwd`), else the first
/// executable file of that name in `search`.
pub(super) fn resolve(
    component: &ComponentId,
    program: &str,
    cwd: &Path,
    search: Option<&str>,
) -> Result<PathBuf, ProcessError> {
    let not_found = |searched: Option<&str>| ProcessError::NotFound {
        component: component.clone(),
        program: program.to_owned(),
        searched: searched.map(str::to_owned),
    };
    let not_executable = |path: PathBuf, why| ProcessError::NotExecutable {
        component: component.clone(),
        path,
        why,
    };
    if program.contains('/') {
        let path = cwd.join(program);
        return match check(&path) {
            Found::Yes => Ok(path),
            Found::No => Err(not_found(None)),
            Found::Useless(why) => Err(not_executable(path, why)),
        };
    }
    let mut useless = None;
    let search = search.unwrap_or("/usr/local/bin:/usr/bin:/bin");
    for dir in search.split(':') {
        // As everywhere, an empty part of PATH is the working directory.
        let path = cwd.join(dir).join(program);
        match check(&path) {
            Found::Yes => return Ok(path),
            Found::No => {}
            Found::Useless(why) => {
                useless.get_or_insert((path, why));
            }
        }
    }
    Err(match useless {
        Some((path, why)) => not_executable(path, why),
        None => not_found(Some(search)),
    })
}

enum Found {
    Yes,
    No,
    Useless(&'static str),
}

fn check(path: &Path) -> Found {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Found::Useless("it is a directory; name the program in it"),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => Found::Useless(
            "it is not marked executable; run chmod +x on it, or put its interpreter first in the command",
        ),
        Ok(_) => Found::Yes,
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            Found::Useless("this user may not look into its directory")
        }
        Err(_) => Found::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_and_says_why_not() {
        let id = ComponentId::new("x").unwrap();
        let get = |program: &str, search| resolve(&id, program, Path::new("/"), search);
        assert_eq!(get("sh", Some("/nowhere:/bin")).unwrap(), Path::new("/bin/sh"));
        assert_eq!(get("bin/sh", None).unwrap(), Path::new("/bin/sh"));
        let err = get("no-such-program", Some("/bin")).unwrap_err().to_string();
        assert!(err.contains("x: there is no program \"no-such-program\" in PATH (/bin)"), "{err}");
        let err = get("/etc/passwd", None).unwrap_err().to_string();
        assert!(err.contains("chmod +x"), "{err}");
        let err = get("/bin", None).unwrap_err().to_string();
        assert!(err.contains("is a directory"), "{err}");
    }
}
