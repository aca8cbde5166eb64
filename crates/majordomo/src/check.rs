//! The checks that a configuration file alone does not allow: loaders of this build, and programs of this machine.

use std::path::Path;

use majordomo_core::{ByteSize, quoted, quoted_path};
use majordomo_registry::{
    ComponentSpec, Finding, LoadedConfig, LoaderSpec, Problems, ResolvedComponent, Severity,
    base_dir, parse_toml_with, read_config_with, resolve_config_with,
};
use majordomo_runtime::process::{ProcessError, look_up};

use crate::core_ml;

/// Reads a configuration file and checks it as a start would: besides what [`read_config`](crate::read_config)
/// finds, a loader that this build lacks is an error, and a program that does not exist a warning that says where
/// it was looked for. Components of the predecessor's file that this build cannot load are warnings, so that the
/// file stays usable.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn check_config(
    path: &Path,
    machine_limit: Option<ByteSize>,
) -> Result<LoadedConfig, Problems> {
    check_config_in(path, None, machine_limit)
}

/// [`check_config`] for a program without factories, as `majordomo` is, in which a builtin is an error; with every
/// component as it is after inheritance.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn check_standalone(
    path: &Path,
    machine_limit: Option<ByteSize>,
) -> Result<(LoadedConfig, Vec<ResolvedComponent>), Problems> {
    let folder = base_dir(path).unwrap_or_default();
    resolve_config_with(path, machine_limit, &|spec, legacy| match &spec.loader {
        LoaderSpec::Builtin { factory } => Some(no_factory(spec, factory)),
        _ => look(spec, legacy, &folder),
    })
}

fn no_factory(spec: &ComponentSpec, factory: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        code: "no-factory",
        message: format!(
            "component \"{}\" is a builtin made by the factory {}, and this program has no factories",
            spec.id,
            quoted(factory)
        ),
        suggestion: "start it as a program: command = [\"program\"]; a Rust program that registers the factory can load it".to_owned(),
    }
}

/// [`check_config`] with relative paths that start from `folder` instead of the file's own.
pub(crate) fn check_config_in(
    path: &Path,
    folder: Option<&Path>,
    machine_limit: Option<ByteSize>,
) -> Result<LoadedConfig, Problems> {
    // Without a working directory no relative path is found, which the look-up reports for each program.
    let folder = folder.map(Path::to_path_buf).or_else(|| base_dir(path).ok()).unwrap_or_default();
    read_config_with(path, machine_limit, &|spec, legacy| look(spec, legacy, &folder))
}

/// [`check_config`] for a text.
pub(crate) fn check_text(
    text: &str,
    folder: Option<&Path>,
    machine_limit: Option<ByteSize>,
) -> Result<LoadedConfig, Problems> {
    let folder = folder.map(Path::to_path_buf).or_else(|| std::env::current_dir().ok());
    let folder = folder.unwrap_or_default();
    let look = |spec: &ComponentSpec, legacy| look(spec, legacy, &folder);
    parse_toml_with(text, "the configuration text", machine_limit, &look)
}

pub(crate) fn look(spec: &ComponentSpec, legacy: bool, folder: &Path) -> Option<Finding> {
    match &spec.loader {
        LoaderSpec::Builtin { .. } | LoaderSpec::External(_) => None,
        LoaderSpec::Process(process) => {
            look_up(&spec.id, process, folder).err().map(|error| missing(&error))
        }
        LoaderSpec::CoreMl(model) => core_ml::look(&spec.id, model, folder),
        other => Some(Finding {
            severity: if legacy { Severity::Warning } else { Severity::Error },
            code: "no-loader",
            message: format!(
                "component \"{}\" cannot be loaded: this build has no {} loader",
                spec.id,
                other.kind()
            ),
            suggestion: if legacy {
                "start it as a program: in a TOML file, [legacy] with file = \"components.json\" and command = [\"program\", \"{name}\"]".to_owned()
            } else {
                "start it as a program: command = [\"python3\", \"file.py\"]".to_owned()
            },
        }),
    }
}

fn missing(error: &ProcessError) -> Finding {
    let (code, message, suggestion) = match error {
        ProcessError::NotFound { program, searched, .. } => (
            "no-program",
            format!("there is no program {}; looked in {searched}", quoted(program)),
            "",
        ),
        ProcessError::NotExecutable { path, why, .. } => {
            ("no-program", format!("{} cannot be run", quoted_path(path)), *why)
        }
        ProcessError::WorkingDir { dir, source, .. } => (
            "no-directory",
            format!("the working directory {} cannot be used: {source}", quoted_path(dir)),
            "",
        ),
        other => ("no-program", other.to_string(), "correct the command"),
    };
    let suggestion = error.way_out().unwrap_or_else(|| suggestion.to_owned());
    let severity = Severity::Warning;
    Finding { severity, code, message, suggestion }
}
