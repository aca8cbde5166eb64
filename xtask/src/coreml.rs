//! The stage `coreml`: exported Core ML files, checked by Apple's library for Python.
//!
//! Owns where its environment is and what is asked of it; the checks are in `xtask/coreml/verify.py`. Where its packages
//! cannot be had this says so, with the way out, and passes.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::assistant::packages::{self, Requirements};
use crate::child::{self, Closing};
use crate::lab;
use crate::project::Project;

const REQUIREMENTS: &str = "xtask/coreml/requirements.txt";
const SCRIPT: &str = "xtask/coreml/verify.py";
/// The only block of the requirements.
const BLOCK: &str = "check";

/// Exports a model that was learned from made-up commands in every form, compares its answers with the kernels', and has
/// the files checked.
pub(crate) fn run(project: &Project) -> Result<Closing> {
    let folder = project.target_dir().join("coreml");
    let environment = folder.join("python");
    let text = project.file(REQUIREMENTS).with_context(|| format!("{REQUIREMENTS} is missing"))?;
    let requirements = Requirements::parse(text)?;
    let supported = &requirements.supported;
    let pinned = requirements.text_for(&[BLOCK.to_owned()]);
    let python = supported
        .find(&supported.candidates())
        .and_then(|python| {
            packages::claim(&environment)?;
            packages::install(&python, &environment, &pinned)
        })
        .map(|(python, _)| python);

    // The reference interpreter needs no Python.
    let samples = folder.join("samples");
    if samples.exists() {
        std::fs::remove_dir_all(&samples)
            .with_context(|| format!("{} cannot be removed", samples.display()))?;
    }
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut compare = Command::new(lab::build(project)?);
    compare.args(["core-ml", "--write"]).arg(&samples);
    child::run(compare)?;

    let python = match python {
        Ok(python) => python,
        Err(error) => {
            let why = format!(
                "coremltools 9.0 cannot be had: {error:#}\nrepeat it with: cargo xtask test coreml"
            );
            let required =
                std::env::var_os("MAJORDOMO_REQUIRE_COREMLTOOLS").is_some_and(|v| v == "1");
            return Closing::skip(why, required);
        }
    };
    let mut verify = Command::new(python);
    verify.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
    verify.arg(project.root.join(SCRIPT)).arg(&samples);
    let closing = child::run(verify)?;
    ensure!(closing.n_passed > 0, "no file was checked");
    Ok(closing)
}
