//! Finds the file that a command's first word means, so that a missing program is reported before anything
//! starts.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use majordomo_core::ComponentId;

use super::ProcessError;

/// Where a program is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'p> {
    /// Programs with `/` in their name are relative to this.
    pub(super) base_dir: &'p Path,
    /// Relative parts of the search path are relative to this, as for every program.
    pub(super) cwd: &'p Path,
    /// The value of `PATH`.
    pub(super) search: Option<&'p str>,
}

/// The absolute path of `program`: itself when it contains `/`, else the first executable file of that name
/// in the search path.
pub(super) fn resolve(
    component: &ComponentId,
    program: &str,
    places: Places<'_>,
) -> Result<PathBuf, ProcessError> {
    let not_found = |searched: String| ProcessError::NotFound {
        component: component.clone(),
        program: program.to_owned(),
        searched,
    };
    let not_executable = |path: PathBuf, why| ProcessError::NotExecutable {
        component: component.clone(),
        path,
        why,
    };
    if program.contains('/') {
        // Without the `.` of "./program".
        let path: PathBuf = places.base_dir.join(program).components().collect();
        return match check(&path) {
            Found::Yes => Ok(path),
            Found::No => Err(not_found(path.display().to_string())),
            Found::Useless(why) => Err(not_executable(path, why)),
        };
    }
    let mut useless = None;
    let search = places.search.unwrap_or("/usr/local/bin:/usr/bin:/bin");
    for dir in search.split(':') {
        // As everywhere, an empty part of PATH is the working directory.
        let path = places.cwd.join(dir).join(program);
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
        None => not_found(format!("PATH ({search})")),
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
        let (base_dir, cwd) = (Path::new("/"), Path::new("/nowhere"));
        let get = |program: &str, search| resolve(&id, program, Places { base_dir, cwd, search });
        assert_eq!(get("sh", Some("/nowhere:/bin")).unwrap(), Path::new("/bin/sh"));
        assert_eq!(get("bin/sh", None).unwrap(), Path::new("/bin/sh"));
        let err = get("no-such-program", Some("/bin")).unwrap_err().to_string();
        assert!(
            err.contains("x: there is no program \"no-such-program\"; looked in PATH (/bin)"),
            "{err}"
        );
        let err = get("/etc/passwd", None).unwrap_err().to_string();
        assert!(err.contains("chmod +x"), "{err}");
        let err = get("/bin", None).unwrap_err().to_string();
        assert!(err.contains("is a directory"), "{err}");
    }
}
