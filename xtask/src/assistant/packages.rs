//! The pinned packages: which of them a selection needs, and their installation into an environment
//! of its own.
//!
//! Owns the form of `requirements.txt`: a head that names the supported systems, and blocks that
//! begin with the components that need the package. Invariant: a prepared folder has a record of
//! its packages from the first file on; it holds the requirements only while pip has finished with
//! them, otherwise the environment is made again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::python::{Python, Supported};
use super::step;

/// In the prepared folder: the requirements that pip installed in its environment.
const RECORD: &str = "packages.txt";
/// The record while packages are being installed.
const UNFINISHED: &str = "unfinished\n";
/// In the prepared folder: the environment.
pub(crate) const ENVIRONMENT: &str = "venv";

/// The example's `requirements.txt`.
pub(crate) struct Requirements {
    pub(crate) supported: Supported,
    blocks: Vec<Block>,
}

struct Block {
    components: Vec<String>,
    text: String,
}

impl Requirements {
    /// Reads the example's file.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let head = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key))
                .with_context(|| format!("requirements.txt has no line `{key}`"))
        };
        let supported = Supported::parse(head("# python: ")?, head("# platform: ")?)?;
        let mut blocks: Vec<Block> = Vec::new();
        for line in text.lines() {
            if let Some(components) = line.strip_prefix("# for: ") {
                let components = components.split_whitespace().map(str::to_owned).collect();
                blocks.push(Block { components, text: String::new() });
            } else if !line.starts_with('#') {
                let block = blocks.last_mut().context("a package before the first `# for:`")?;
                block.text.push_str(line);
                block.text.push('\n');
            }
        }
        Ok(Self { supported, blocks })
    }

    /// The lines that these components need, as pip reads them.
    pub(crate) fn text_for(&self, components: &[String]) -> String {
        let is_needed =
            |block: &&Block| block.components.iter().any(|name| components.contains(name));
        self.blocks.iter().filter(is_needed).map(|block| block.text.as_str()).collect()
    }
}

/// Makes the folder, or recognises it as one of an earlier setup, so that no file of another origin
/// is replaced.
pub(crate) fn claim(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    if folder.join(RECORD).is_file() {
        return Ok(());
    }
    let mut entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    ensure!(
        entries.next().is_none(),
        "{} has files that are not of a setup: choose an empty folder with --dir",
        folder.display()
    );
    write(&folder.join(RECORD), UNFINISHED)
}

/// Makes the environment of a claimed folder, and returns its Python and whether anything had to be installed.
///
/// # Errors
/// What stood in the way, with the way out: no network, no room, other files than the pinned ones.
pub(crate) fn install(
    python: &Python,
    folder: &Path,
    requirements: &str,
) -> Result<(PathBuf, bool)> {
    let environment = folder.join(ENVIRONMENT);
    let program = environment.join("bin").join("python");
    let record = folder.join(RECORD);
    let head = format!("# Python {}\n", python.version);
    let finished = format!("{head}{requirements}");
    let before = fs::read_to_string(&record).unwrap_or_default();
    let is_usable = before.starts_with(&head)
        && Command::new(&program).args(["-c", ""]).status().is_ok_and(|status| status.success());
    if is_usable && before == finished {
        return Ok((program, false));
    }
    write(&record, UNFINISHED)?;
    if !is_usable {
        if environment.exists() {
            fs::remove_dir_all(&environment)
                .with_context(|| format!("{} cannot be removed", environment.display()))?;
        }
        let mut venv = Command::new(&python.program);
        let failure = "the Python environment cannot be made";
        step::run(venv.args(["-m", "venv"]).arg(&environment), failure)?;
    }
    if !requirements.is_empty() {
        let n_packages = requirements.lines().filter(|line| line.contains("==")).count();
        println!("installing {n_packages} packages into {} (minutes)", environment.display());
        let list = environment.join("requirements.txt");
        write(&list, requirements)?;
        let mut pip = Command::new(&program);
        pip.args(["-m", "pip", "install", "--quiet", "--progress-bar", "off", "--no-input"])
            .args(["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"])
            // A network that answers nothing ends the setup after half a minute a package, not
            // after minutes.
            .args(["--retries", "1", "--timeout", "15"])
            .args(["--require-hashes", "-r"])
            .arg(&list);
        step::run(&mut pip, "the packages cannot be installed")?;
    }
    write(&record, &finished)?;
    Ok((program, true))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# made\n# python: 3.11 3.12\n# platform: Linux x86_64, glibc 2.28\n\
        # for: chat listen\na==1 \\\n    --hash=sha256:11\n# for: listen\nb==2 \\\n    --hash=sha256:22\n";

    #[test]
    fn requirements_of_a_selection_are_the_blocks_of_its_components() {
        let requirements = Requirements::parse(TEXT).unwrap();
        let text_for = |name: &str| requirements.text_for(&[name.to_owned()]);
        assert_eq!(text_for("chat"), "a==1 \\\n    --hash=sha256:11\n");
        assert_eq!(text_for("listen").lines().count(), 4);
        assert_eq!(text_for("store"), "");
    }

    /// Stands in for Python: makes an environment whose Python fails, or not, when it is asked to
    /// install.
    fn stand_in(folder: &Path, install: &str) -> Python {
        let program = folder.join("python");
        let made = format!(
            "#!/bin/sh\ncase \"$2\" in pip) echo pip >> {0}/calls; {install};; esac\n",
            folder.display()
        );
        fs::write(folder.join("made"), made).unwrap();
        let text = format!(
            "#!/bin/sh\nmkdir -p \"$3/bin\" && cp {0}/made \"$3/bin/python\" && chmod +x \"$3/bin/python\"\n",
            folder.display()
        );
        fs::write(&program, text).unwrap();
        make_executable(&program);
        Python { program, version: "3.11".to_owned() }
    }

    fn make_executable(path: &Path) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A new folder, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("xtask-packages-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn folder_with_files_of_another_origin_is_refused() {
        let folder = Folder::new("claim");
        let prepared = folder.0.join("prepared");
        claim(&prepared).unwrap();
        fs::write(prepared.join("read.py"), "").unwrap();
        claim(&prepared).unwrap();

        let other = folder.0.join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("read.py"), "").unwrap();
        let error = claim(&other).unwrap_err().to_string();
        assert!(error.contains("empty folder with --dir"), "{error}");
    }

    #[test]
    fn installation_is_repeated_until_it_finished_and_then_never() {
        let folder = Folder::new("install");
        let prepared = folder.0.join("prepared");
        claim(&prepared).unwrap();
        let n_calls = || fs::read_to_string(folder.0.join("calls")).unwrap().lines().count();

        let python = stand_in(&folder.0, "echo No space left on device >&2; exit 1");
        let error = install(&python, &prepared, "a==1\n").unwrap_err().to_string();
        assert!(error.contains("the disk is full"), "{error}");
        assert_eq!(n_calls(), 1);

        let python = stand_in(&folder.0, "exit 0");
        assert!(install(&python, &prepared, "a==1\n").unwrap().1);
        assert_eq!(n_calls(), 2);
        assert!(!install(&python, &prepared, "a==1\n").unwrap().1);
        assert_eq!(n_calls(), 2);
        assert!(install(&python, &prepared, "a==1\nb==2\n").unwrap().1);
        assert_eq!(n_calls(), 3);
    }
}
