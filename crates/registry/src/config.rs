//! Configuration files: the order of reading, and the result.
//!
//! Owns the order of work: text, tree, sections, then the checks across components. Does not know loaders or memory
//! sources; the machine's limit is an argument. A configuration with an error is not returned at all.

mod advice;
mod check;
mod code;
mod fill;
mod gateway;
mod inherit;
mod keys;
mod node;
mod phrases;
mod reference;
mod schema;
mod sections;
mod source;
mod stopping;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use majordomo_core::{ByteSize, Config, Setting};

pub use self::code::value_problems;
pub(crate) use self::fill::suggest;
pub use self::inherit::{ResolvedComponent, ResolvedKey};
pub(crate) use self::keys::RAM;
pub use self::reference::reference;
pub use self::schema::{legacy_schema, schema};
pub(crate) use self::source::shorten;

use self::sections::{Draft, LegacyMapping};
use self::source::{Report, Source, whole_file};
use crate::problem::{Problem, Problems, Severity, sort};
use crate::{Catalog, CatalogError, ComponentSpec, GatewaySpec, PoolSpec};

/// A configuration without errors.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadedConfig {
    /// The settings of the manager.
    pub config: Config,
    /// The components, in the order of the files.
    pub specs: Vec<Arc<ComponentSpec>>,
    /// The declared pools.
    pub pools: Vec<PoolSpec>,
    /// The gateway; none = it is off.
    pub gateway: Option<Arc<GatewaySpec>>,
    /// The files that were read, the named one first.
    pub sources: Vec<PathBuf>,
    /// Problems that do not prevent a start.
    pub warnings: Vec<Problem>,
}

impl LoadedConfig {
    /// The catalog. `prev` keeps the keys of the names that it knows.
    ///
    /// # Errors
    /// None for an unchanged configuration; a [`CatalogError`] when `specs` were changed.
    pub fn catalog(&self, prev: Option<&Catalog>) -> Result<Catalog, CatalogError> {
        Catalog::build_shared(self.specs.clone(), self.pools.clone(), prev)
            .map_err(|mut errors| errors.swap_remove(0))
    }
}

/// The settings of a table of the file, in the order of their declarations.
fn settings_of(table: &str) -> Vec<&'static Setting> {
    Config::settings().filter(|setting| setting.table == table).collect()
}

/// A setting's documentation for people who write the file.
fn description(setting: &Setting) -> String {
    let read_at_start = if setting.is_read_at_start { " Read at start." } else { "" };
    setting.documentation() + read_at_start
}

/// A problem of a component that its file cannot show, such as a missing program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the finding is an error.
    pub severity: Severity,
    /// A fixed word for the kind of finding.
    pub code: &'static str,
    /// The problem.
    pub message: String,
    /// The solution.
    pub suggestion: String,
}

/// Checks a component beyond its file; the flag is true for a component of the predecessor's file.
pub type Look<'l> = &'l dyn Fn(&ComponentSpec, bool) -> Option<Finding>;

/// The folder from which all relative paths in a configuration file count, absolute: that of the file.
///
/// # Errors
/// When there is no working directory that a relative name of the file could count from.
pub fn base_dir(file: &Path) -> std::io::Result<PathBuf> {
    let file = std::path::absolute(file)?;
    Ok(file.parent().map_or_else(|| file.clone(), Path::to_path_buf))
}

/// The two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Toml,
    LegacyJson,
}

/// Reads a configuration file: the predecessor's JSON when its name ends in `.json`, else TOML, with the
/// legacy file that it may name. `machine_limit` is the effective memory limit, for budgets that are a
/// share of it; without it such a budget is not checked.
///
/// # Errors
/// Every problem: one syntax error for each file, or all others at once.
pub fn read_config(path: &Path, machine_limit: Option<ByteSize>) -> Result<LoadedConfig, Problems> {
    read_config_with(path, machine_limit, &|_, _| None)
}

/// Reads a configuration file as [`read_config`] does, and has `look` check each component beyond the file, such as
/// whether its program is installed.
///
/// # Errors
/// As [`read_config`], with the findings of `look`.
pub fn read_config_with(
    path: &Path,
    machine_limit: Option<ByteSize>,
    look: Look<'_>,
) -> Result<LoadedConfig, Problems> {
    read_file(path, machine_limit, look, &mut |_, _| ())
}

fn read_file(
    path: &Path,
    machine_limit: Option<ByteSize>,
    look: Look<'_>,
    inspect: Inspect<'_>,
) -> Result<LoadedConfig, Problems> {
    let source = Source::open(path).map_err(|problem| Problems::new(vec![problem]))?;
    let json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    let format = if json { Format::LegacyJson } else { Format::Toml };
    load(&source, format, machine_limit, &Source::open, look, inspect)
}

/// Reads a configuration file as [`read_config_with`] does, with every component as it is after inheritance.
///
/// # Errors
/// As [`read_config_with`].
pub fn resolve_config_with(
    path: &Path,
    machine_limit: Option<ByteSize>,
    look: Look<'_>,
) -> Result<(LoadedConfig, Vec<ResolvedComponent>), Problems> {
    let mut resolved = Vec::new();
    let loaded = read_file(path, machine_limit, look, &mut |reports, draft| {
        resolved = inherit::resolved(reports, draft);
    })?;
    Ok((loaded, resolved))
}

/// Looks at what was read, while the texts are still there.
type Inspect<'i> = &'i mut dyn FnMut(&[Report<'_>], &Draft<'_>);

/// Reads TOML from memory. Relative paths in it start at the folder of `file_name`; a `[legacy]` section is
/// an error, since it names another file.
///
/// # Errors
/// As [`read_config`].
pub fn parse_toml(
    text: &str,
    file_name: &str,
    machine_limit: Option<ByteSize>,
) -> Result<LoadedConfig, Problems> {
    parse_toml_with(text, file_name, machine_limit, &|_, _| None)
}

/// Reads TOML from memory as [`parse_toml`] does, and has `look` judge each component of it.
///
/// # Errors
/// As [`read_config`], with what `look` found.
pub fn parse_toml_with(
    text: &str,
    file_name: &str,
    machine_limit: Option<ByteSize>,
    look: Look<'_>,
) -> Result<LoadedConfig, Problems> {
    let no_files = |path: &Path| {
        let message = format!("{} is a file, and only text is read here", path.display());
        let suggestion = "read the configuration from its file".to_owned();
        Err(whole_file(file_name, "unreadable", message, Some(suggestion)))
    };
    let source = Source::new(file_name, text.to_owned());
    load(&source, Format::Toml, machine_limit, &no_files, look, &mut |_, _| ())
}

/// Reads the predecessor's JSON from memory; its entries become Python loaders.
///
/// # Errors
/// As [`read_config`].
pub fn parse_legacy_json(
    text: &str,
    file_name: &str,
    machine_limit: Option<ByteSize>,
) -> Result<LoadedConfig, Problems> {
    let source = Source::new(file_name, text.to_owned());
    load(&source, Format::LegacyJson, machine_limit, &Source::open, &|_, _| None, &mut |_, _| ())
}

fn load(
    source: &Source,
    format: Format,
    machine_limit: Option<ByteSize>,
    open: &dyn Fn(&Path) -> Result<Source, Problem>,
    look: Look<'_>,
    inspect: Inspect<'_>,
) -> Result<LoadedConfig, Problems> {
    let mut report = Report::new(source);
    let mut draft = Draft::default();
    let tree = match format {
        _ if source.text.trim().is_empty() => {
            let problem = whole_file(
                &source.name,
                "empty",
                "the file is empty".to_owned(),
                Some("declare a component: [components.NAME]".to_owned()),
            );
            return Err(Problems::new(vec![problem]));
        }
        Format::Toml => node::parse_toml(&mut report),
        Format::LegacyJson => node::parse_json(&mut report),
    };
    let Some(tree) = tree else { return Err(Problems::new(report.problems)) };
    let mapping = match format {
        Format::Toml => sections::read_toml(&mut report, &tree, &mut draft),
        Format::LegacyJson => {
            sections::read_legacy(&mut report, 0, &tree, &LegacyMapping::default(), &mut draft);
            None
        }
    };
    let mut reports = vec![report];
    // The second file, its tree and its report live as long as the draft that points into them.
    let second;
    let second_tree;
    if let Some(mapping) = &mapping {
        match open(&mapping.file) {
            Err(problem) => reports[0].problems.push(problem),
            Ok(source) => {
                second = source;
                let mut report = Report::new(&second);
                if let Some(tree) = node::parse_json(&mut report) {
                    second_tree = tree;
                    sections::read_legacy(&mut report, 1, &second_tree, mapping, &mut draft);
                }
                reports.push(report);
            }
        }
    }
    check::whole(&mut reports, &draft, machine_limit, look);
    inspect(&reports, &draft);
    let sources = reports.iter().map(|r| PathBuf::from(&*r.source.name)).collect();
    let mut problems: Vec<Problem> = reports.into_iter().flat_map(Report::into_problems).collect();
    if problems.iter().any(|p| p.severity == Severity::Error) {
        return Err(Problems::new(problems));
    }
    sort(&mut problems);
    let specs = draft.components.into_iter().map(|c| c.spec).collect();
    Ok(LoadedConfig {
        config: draft.config,
        specs,
        pools: draft.pools,
        gateway: draft.gateway.map(|gateway| gateway.spec),
        sources,
        warnings: problems,
    })
}
