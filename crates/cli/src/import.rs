//! `import`: the configuration of another program as ours.
//!
//! Owns reading the input and writing the output; never overwrites a file unasked, and writes all of it or nothing. The only place
//! that knows YAML.

mod command;
mod document;
mod exclusion;
mod macros;
mod marks;
mod matrix;
mod memory;
mod model;
mod names;
mod naming;
mod out;
mod prepare;
mod problem;
mod program;
mod proxy;
mod reader;
mod report;
mod requests;
mod serves;
mod settings;
mod size;
mod surroundings;
mod translate;
mod writing;

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use majordomo::{check_standalone, environment_variable, quoted_path};

use crate::args::{ImportArgs, ImportFrom, LlamaSwapArgs};
use crate::exit::Exit;
use crate::print;
use problem::Problem;
use surroundings::{Device, Surroundings};

pub(crate) fn run(args: &ImportArgs, json: bool) -> anyhow::Result<ExitCode> {
    let ImportFrom::LlamaSwap(args) = &args.from;
    if let Some(output) = &args.output
        && !args.force
        && output.symlink_metadata().is_ok()
    {
        anyhow::bail!(
            "{} exists; choose another file, or add --force to replace it",
            quoted_path(output)
        );
    }
    let text = match read(&args.file) {
        Ok(text) => text,
        Err(problem) => return Ok(refused(&args.file, &[problem], json)),
    };
    let folder = args.file.parent().unwrap_or(Path::new(""));
    let limit = majordomo::memory_limit();
    let surroundings = Surroundings {
        env: &|name| environment_variable(name).and_then(|value| value.into_string().ok()),
        folder,
        device: match (args.gpu_memory, args.cpu_only) {
            (Some(bytes), _) => Device::Gpu(bytes),
            (None, true) => Device::Cpu,
            (None, false) => Device::Unknown,
        },
        budget: limit.map(|limit| limit.scaled(DEFAULT_SHARE)),
    };
    let translation = match translate::translate(&text, &surroundings) {
        Ok(translation) => translation,
        Err(problems) => return Ok(refused(&args.file, &problems, json)),
    };
    match &args.output {
        None => print::file(&translation.text),
        Some(output) => write(output, &translation.text, args)?,
    }
    translation.report.print(&args.file.display().to_string(), json);
    let Some(output) = &args.output else { return Ok(ExitCode::SUCCESS) };
    Ok(match check_standalone(output, limit) {
        Ok((loaded, _)) => {
            let warnings = loaded.warnings.len();
            let more = if warnings > 0 {
                format!(", {} (majordomo check)", majordomo::count(warnings, "warning"))
            } else {
                String::new()
            };
            if !json {
                print::message(&format!("{} written{more}", quoted_path(output)));
            }
            ExitCode::SUCCESS
        }
        Err(problems) => {
            if json {
                problems
                    .as_slice()
                    .iter()
                    .for_each(|p| print::json_message(&crate::check::problem_json(p)));
            } else {
                print::error_block(&format!(
                    "{} was written, and has problems:\n{problems}",
                    quoted_path(output)
                ));
            }
            ExitCode::FAILURE
        }
    })
}

/// The share of the machine's memory that a manager takes by default.
const DEFAULT_SHARE: f64 = 0.6;

fn read(path: &Path) -> Result<String, Problem> {
    let cannot = |error: std::io::Error| Problem::file(format!("the file cannot be read: {error}"));
    // A pipe or a device might never end.
    let metadata = std::fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        return Err(Problem::file("this is no regular file; name the YAML file of llama-swap"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(document::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() > document::MAX_BYTES {
        return Err(Problem::file(
            "the file is larger than 4 MiB; is it a configuration of llama-swap?",
        ));
    }
    let text = majordomo::decode_text(bytes).map_err(|error| {
        let message = format!("{}; {}", error.what(), error.way_out());
        if error.is_whole_text() {
            Problem::file(message)
        } else {
            Problem::at(error.line(), message)
        }
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn refused(path: &Path, problems: &[Problem], json: bool) -> ExitCode {
    for problem in problems {
        if json {
            print::json_message(&serde_json::json!({
                "file": path,
                "line": problem.line,
                "error": problem.message,
                "exit": Exit::Failure.code(),
            }));
        } else {
            print::error(&format!("{}: {problem}", path.display()));
        }
    }
    Exit::Failure.into()
}

/// Writes the file at once: a reader finds all of it or nothing.
fn write(path: &Path, text: &str, args: &LlamaSwapArgs) -> anyhow::Result<()> {
    let cannot = || format!("{} cannot be written", quoted_path(path));
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let written = (|| {
        // Others may read it and never write it, since it names programs to run.
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if args.force { std::fs::rename(&part, path) } else { std::fs::hard_link(&part, path) }
    })();
    // After a rename it does not exist.
    drop(std::fs::remove_file(&part));
    written.with_context(cannot)
}
