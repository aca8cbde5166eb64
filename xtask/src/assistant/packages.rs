//! The pinned packages: which of them a selection needs, and their installation into an environment of its own.
//!
//! Owns the form of `requirements.txt`: a head that names the supported systems, and blocks that begin with the components
//! that need the package. Invariant: an environment has its `installed.txt` only if pip finished; one without it is made again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::python::{Python, Supported};

/// In the environment: the requirements that pip installed there.
const INSTALLED: &str = "installed.txt";

/// The example's `requirements.txt`.
pub(super) struct Requirements {
    pub(super) supported: Supported,
    blocks: Vec<Block>,
}

struct Block {
    components: Vec<String>,
    text: String,
}

impl Requirements {
    /// Reads the example's file.
    pub(super) fn parse(text: &str) -> Result<Self> {
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
    pub(super) fn text_for(&self, components: &[String]) -> String {
        let is_needed =
            |block: &&Block| block.components.iter().any(|name| components.contains(name));
        self.blocks.iter().filter(is_needed).map(|block| block.text.as_str()).collect()
    }
}

/// Makes the environment in `folder`, and returns its Python and whether anything had to be installed.
///
/// # Errors
/// What stood in the way, with the way out: no network, no room, other files than the pinned ones.
pub(super) fn install(
    python: &Python,
    folder: &Path,
    requirements: &str,
) -> Result<(PathBuf, bool)> {
    let program = folder.join("bin").join("python");
    let installed = folder.join(INSTALLED);
    let stated = format!("# Python {}\n{requirements}", python.version);
    let before = fs::read_to_string(&installed).unwrap_or_default();
    let is_usable = before.starts_with(&format!("# Python {}\n", python.version))
        && Command::new(&program).args(["-c", ""]).status().is_ok_and(|status| status.success());
    if is_usable && before == stated {
        return Ok((program, false));
    }
    if is_usable {
        // An interruption from here on leaves an environment that is made again.
        fs::remove_file(&installed)
            .with_context(|| format!("{} cannot be removed", installed.display()))?;
    } else {
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("{} cannot be removed", folder.display()))?;
        }
        let mut venv = Command::new(&python.program);
        step(venv.args(["-m", "venv"]).arg(folder), "the Python environment cannot be made")?;
    }
    if !requirements.is_empty() {
        let n_packages = requirements.lines().filter(|line| line.contains("==")).count();
        println!("installing {n_packages} packages into {} (minutes)", folder.display());
        let list = folder.join("requirements.txt");
        fs::write(&list, requirements)
            .with_context(|| format!("{} cannot be written", list.display()))?;
        let mut pip = Command::new(&program);
        pip.args(["-m", "pip", "install", "--quiet", "--progress-bar", "off", "--no-input"])
            .args(["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"])
            .args(["--require-hashes", "-r"])
            .arg(&list);
        step(&mut pip, "the packages cannot be installed")?;
    }
    fs::write(&installed, stated)
        .with_context(|| format!("{} cannot be written", installed.display()))?;
    Ok((program, true))
}

/// Runs one program to its end; a failure is reported with its output and the way out.
fn step(command: &mut Command, failure: &str) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("{} cannot be started", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let said = said.trim();
    bail!("{failure}: {}\n{said}", way_out(said))
}

/// The way out of a failure, by the output of pip or venv.
fn way_out(said: &str) -> &'static str {
    const NETWORK: &[&str] = &[
        "Temporary failure in name resolution",
        "Name or service not known",
        "NewConnectionError",
        "ConnectTimeoutError",
        "Network is unreachable",
        "Connection refused",
        "ProxyError",
        "Read timed out",
        "(from versions: none)",
    ];
    let says = |words: &[&str]| words.iter().any(|words| said.contains(words));
    if says(&["No space left on device", "Disk quota exceeded"]) {
        "the disk is full; 2 GiB are enough for all components: make room or choose another folder with --dir, then repeat \
         the command"
    } else if says(&["DO NOT MATCH THE HASHES"]) {
        "the package index delivered another file than the pinned one; use the usual index (unset PIP_INDEX_URL, \
         PIP_EXTRA_INDEX_URL and PIP_FIND_LINKS) and repeat the command"
    } else if says(&["ensurepip"]) {
        "Python's module venv is not complete; install it (Debian: apt-get install python3-venv) and repeat the command"
    } else if says(NETWORK) {
        "the package index cannot be reached; check the network, or name a mirror in PIP_INDEX_URL, and repeat the command"
    } else {
        "the reason follows; the command can be repeated"
    }
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

    #[test]
    fn failure_of_an_installation_names_the_way_out() {
        let cases = [
            ("ERROR: [Errno 28] No space left on device", "--dir"),
            ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "PIP_INDEX_URL"),
            ("NameResolutionError: Temporary failure in name resolution", "network"),
            ("ERROR: Could not find a version (from versions: none)", "network"),
            ("Error: '-m', 'ensurepip' returned 1", "python3-venv"),
            ("something else", "repeated"),
        ];
        for (said, way) in cases {
            assert!(way_out(said).contains(way), "{said}");
        }
    }

    /// Stands in for Python: makes an environment whose Python fails, or not, when it is asked to install.
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

    #[test]
    fn installation_is_repeated_until_it_finished_and_then_never() {
        let folder = std::env::temp_dir().join(format!("xtask-packages-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let venv = folder.join("venv");
        let n_calls = || fs::read_to_string(folder.join("calls")).unwrap().lines().count();

        let python = stand_in(&folder, "echo No space left on device >&2; exit 1");
        let error = install(&python, &venv, "a==1\n").unwrap_err().to_string();
        assert!(error.contains("the disk is full"), "{error}");
        assert_eq!(n_calls(), 1);

        let python = stand_in(&folder, "exit 0");
        assert!(install(&python, &venv, "a==1\n").unwrap().1);
        assert_eq!(n_calls(), 2);
        assert!(!install(&python, &venv, "a==1\n").unwrap().1);
        assert_eq!(n_calls(), 2);
        assert!(install(&python, &venv, "a==1\nb==2\n").unwrap().1);
        assert_eq!(n_calls(), 3);
        fs::remove_dir_all(&folder).unwrap();
    }
}
