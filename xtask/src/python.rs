//! The stage `python`: the Python package against the product's program.
//!
//! Owns which Python is taken and which checks need more than its standard library. The tests are in `crates/python/tests`.
//! Where no fitting Python is found this says so, with the way out, and passes.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::child::{self, Closing};
use crate::lab;
use crate::project::Project;

/// The folder of the package.
const FOLDER: &str = "crates/python";
/// Python as systems name it, then newer and older ones by their own names.
const CANDIDATES: &[&str] =
    &["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python"];
/// Succeeds with a version that the package supports.
const IS_SUPPORTED: &str = "import sys; sys.exit(sys.version_info < (3, 11))";
const INSTALL_PYTHON: &str =
    "apt-get install python3 (Debian, Ubuntu), brew install python (macOS) or uv python install";
const INSTALL_MYPY: &str = "python3 -m pip install mypy";

/// Runs the package's tests, and the checks of its types where mypy is installed.
pub(crate) fn run(project: &Project) -> Result<Closing> {
    let Some(python) = CANDIDATES.iter().find(|python| succeeds(python, &["-c", IS_SUPPORTED]))
    else {
        return Closing::skip(
            format!(
                "no Python of version 3.11 or newer was found among {}; install one with: {INSTALL_PYTHON}",
                CANDIDATES.join(", ")
            ),
            false,
        );
    };
    lab::build_product(project)?;
    let program = project.target_dir().join("release").join("majordomo");
    let mut tests = command(python, &project.root);
    tests.arg("-B").arg(format!("{FOLDER}/tests")).env("MAJORDOMO_PROGRAM", program);
    let closing = child::run(tests)?;
    ensure!(closing.n_passed > 0, "no test ran");
    Ok(closing.join(types(python, &project.root)?))
}

/// The package's types, strictly, and its declarations beside what is there at run time.
fn types(python: &str, root: &Path) -> Result<Closing> {
    if !succeeds(python, &["-m", "mypy", "--version"]) {
        let why = format!("types are not checked without mypy; install it with: {INSTALL_MYPY}");
        return Closing::skip(why, false);
    }
    let mypy = |arguments: &[&str]| {
        let mut command = command(python, &root.join(FOLDER));
        command.args(["-B", "-m"]).args(arguments);
        // mypy reads the sources from here, and stubtest imports them.
        command.env("MYPYPATH", "python:tests").env("PYTHONPATH", "python");
        // Beside the build, so that no folder of a tool is in the tree.
        command.env("MYPY_CACHE_DIR", root.join("target/mypy"));
        child::run(command)
    };
    mypy(&["mypy", "--strict", "python/majordomo", "tests"])?;
    mypy(&["mypy.stubtest", "majordomo"])
}

fn command(python: &str, folder: &Path) -> Command {
    let mut command = Command::new(python);
    command.current_dir(folder).env_remove("PYTHONPATH").env_remove("PYTHONHOME");
    command
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}
