//! `check`: everything that is wrong with a configuration, or what is in it.

use std::process::ExitCode;

use majordomo::{ByteSize, Priority, Problem, check_config, count};

use crate::args::CheckArgs;
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

pub(crate) fn run(args: &CheckArgs, json: bool) -> anyhow::Result<ExitCode> {
    let limit = majordomo::memory_limit();
    match check_config(&args.config, limit) {
        Err(problems) => {
            if json {
                problems.as_slice().iter().for_each(|p| print::json(&problem_json(p)));
            } else {
                print::block(&problems.to_string());
            }
            Ok(ExitCode::FAILURE)
        }
        Ok(loaded) => {
            let catalog = loaded.catalog(None)?;
            let specs = &loaded.specs;
            let core: Vec<_> = specs.iter().filter(|s| s.priority == Priority::Core).collect();
            let total: ByteSize = specs.iter().map(|s| s.memory).sum();
            let core_bytes: ByteSize = core.iter().map(|s| s.memory).sum();
            let keys: Vec<_> = catalog.keys().collect();
            let waves = catalog.plan_load(&keys).waves().count();
            let n_conflicts = keys.iter().map(|k| catalog.conflicts(*k).len()).sum::<usize>() / 2;
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
            for spec in specs {
                let after: Vec<_> = spec.dependencies.iter().map(ToString::to_string).collect();
                let needs = if after.is_empty() {
                    String::new()
                } else {
                    format!(" needs {}", after.join(", "))
                };
                print::line(&format!(
                    "  {:<20} {:<7} {:>9}  {:<8} {}{needs}",
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
