//! `check`: everything that is wrong with a configuration, or what is in it.

use std::process::ExitCode;

use majordomo::{
    ByteSize, LoadedConfig, Priority, Problem, ResolvedComponent, ResolvedKey, check_standalone,
    count,
};

use crate::args::CheckArgs;
use crate::parking;
use crate::print::{self, Style, styled};

pub(crate) fn problem_json(p: &Problem) -> serde_json::Value {
    serde_json::json!({
        "severity": p.severity.to_string(),
        "file": &*p.file,
        "line": p.at.map(|at| at.line),
        "column": p.at.map(|at| at.column),
        "code": p.code,
        "value": p.value,
        "message": p.message,
        "suggestion": p.suggestion,
    })
}

/// Prints components as a configuration without defaults and templates would state them. The comment behind a key names
/// the line, and the table where it is not the component's own.
fn print_resolved(loaded: &LoadedConfig, resolved: &[ResolvedComponent], json: bool) {
    if json {
        loaded.warnings.iter().for_each(|p| print::json(&problem_json(p)));
    } else {
        // Standard output stays TOML.
        loaded.warnings.iter().for_each(|p| print::message(&p.to_string()));
    }
    for (i, component) in resolved.iter().enumerate() {
        if json {
            let keys: Vec<_> = component.keys.iter().map(key_json).collect();
            print::json(&serde_json::json!({ "component": component.name, "keys": keys }));
            continue;
        }
        if i > 0 {
            print::line("");
        }
        print::line(&styled(Style::Strong, &format!("[components.{}]", component.name)));
        let stated = component.keys.iter().map(|key| format!("{} = {}", key.key, key.value));
        let stated: Vec<String> = stated.collect();
        let width = stated.iter().map(|line| line.chars().count()).filter(|n| *n <= MAX_ALIGNED);
        let width = width.max().unwrap_or(0);
        for (line, key) in stated.iter().zip(&component.keys) {
            let from = key.from.as_ref().map_or_else(String::new, |from| format!("[{from}], "));
            print::line(&format!("{line:<width$}  # {from}line {}", key.line));
        }
    }
}

/// Comments stand below each other behind lines of at most so many characters.
const MAX_ALIGNED: usize = 60;

fn key_json(key: &ResolvedKey) -> serde_json::Value {
    serde_json::json!({
        "key": key.key,
        "value": key.value,
        "from": key.from,
        "line": key.line,
    })
}

pub(crate) fn run(args: &CheckArgs, json: bool) -> anyhow::Result<ExitCode> {
    let limit = majordomo::memory_limit();
    match check_standalone(&args.config, limit) {
        Err(problems) => {
            if json {
                problems.as_slice().iter().for_each(|p| print::json(&problem_json(p)));
            } else {
                print::block(&problems.to_string());
            }
            Ok(ExitCode::FAILURE)
        }
        Ok((loaded, resolved)) if args.resolved => {
            print_resolved(&loaded, &resolved, json);
            Ok(ExitCode::SUCCESS)
        }
        Ok((loaded, _)) => {
            let catalog = loaded.catalog(None)?;
            let specs = &loaded.specs;
            let core: Vec<_> = specs.iter().filter(|s| s.priority == Priority::Core).collect();
            let total: ByteSize = specs.iter().map(|s| s.memory).sum();
            let core_bytes: ByteSize = core.iter().map(|s| s.memory).sum();
            let keys: Vec<_> = catalog.keys().collect();
            let waves = catalog.plan_load(&keys).waves().count();
            let n_conflicts = keys.iter().map(|k| catalog.conflicts(*k).len()).sum::<usize>() / 2;
            let n_parkable = parking::n_parkable(specs, &loaded.config);
            let offer = parking::offer(n_parkable);
            if json {
                loaded.warnings.iter().for_each(|p| print::json(&problem_json(p)));
                print::json(&serde_json::json!({
                    "ok": true,
                    "files": loaded.sources,
                    "components": specs.len(),
                    "core": core.len(),
                    "memory_bytes": total,
                    "core_memory_bytes": core_bytes,
                    "waves": waves,
                    "conflicts": n_conflicts,
                    "parkable": n_parkable,
                    "parking": offer.means,
                    "parking_why_not": offer.why_not,
                }));
                return Ok(ExitCode::SUCCESS);
            }
            for warning in &loaded.warnings {
                print::block(&warning.to_string());
            }
            let files: Vec<_> = loaded.sources.iter().map(|p| p.display().to_string()).collect();
            print::line(&format!("{} {}", styled(Style::Good, "ok"), files.join(", ")));
            print::line(&format!(
                "{}, {total} in all; {} CORE with {core_bytes}; {}; {}",
                count(specs.len(), "component"),
                core.len(),
                count(n_conflicts, "conflict"),
                count(waves, "load wave")
            ));
            print::line(&format!("parking: {}", parking::line(&offer, n_parkable)));
            for spec in specs {
                let after: Vec<_> = spec.dependencies.iter().map(ToString::to_string).collect();
                let needs = if after.is_empty() {
                    String::new()
                } else {
                    format!(" needs {}", after.join(", "))
                };
                let sleeps = if spec.declares_sleep() { ", sleeps" } else { "" };
                print::line(&format!(
                    "  {:<20} {:<7} {:>9}  {:<8} {}{sleeps}{needs}",
                    spec.id,
                    spec.priority,
                    spec.memory.to_string(),
                    spec.loader.kind(),
                    count(spec.keywords.len(), "keyword"),
                ));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
