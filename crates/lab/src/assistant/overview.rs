//! The overview of a measurement before its first run: the machine, the command, the maps of names.

use std::collections::BTreeMap;
use std::process::Command;

use super::args::DayArgs;
use super::figures::mean;
use super::folder::Folder;
use super::pause::IDLE_TIMEOUT;
use super::prepare::Prepared;
use super::record::Summary;

/// Everything but the results.
pub(super) fn summary(
    args: &DayArgs,
    folder: &Folder,
    places: &[usize],
    days: &[Prepared],
) -> Summary {
    let is_used = |name: &str| places.iter().any(|p| folder.components[*p] == name);
    let names = folder.specs.iter().map(|s| s.id.to_string());
    let pauses = days.iter().flat_map(|d| &d.script.lines).map(|line| line.pause.played);
    let labels = folder.commands.map.places.iter();
    Summary {
        date: date(),
        machine: machine(),
        command: std::env::args().skip(1).collect(),
        folder: folder.path.display().to_string(),
        components: BTreeMap::new(),
        unused: names.filter(|name| !is_used(name)).collect(),
        labels: labels
            .map(|(label, place)| (label.clone(), folder.components[*place].clone()))
            .filter(|(label, component)| label != component)
            .collect(),
        commands_per_day: args.n_commands(),
        n_taught: folder.commands.train.len(),
        n_rows_left_out: folder.commands.n_left_out,
        compress: args.compress,
        longest_pause_s: args.longest_pause_s(),
        idle_timeout_s: IDLE_TIMEOUT.as_secs_f64(),
        mean_pause_s: mean(&pauses.map(|p| p.as_secs_f64()).collect::<Vec<_>>()),
        sample_ms: args.sample as f64,
        was_interrupted: false,
        condition: None,
        warm: None,
        took_s: 0.0,
        runs: Vec::new(),
    }
}

fn date() -> String {
    let out = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
    out.ok().map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

fn machine() -> String {
    let n = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = majordomo::memory_limit().map_or_else(String::new, |m| format!(", {m} of memory"));
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": "));
    let model = model.map_or_else(String::new, |(_, model)| format!(" ({})", model.trim()));
    format!("{}{model}{memory}", majordomo::count(n, "processor"))
}

/// Prints what stands for what.
pub(super) fn say_maps(summary: &Summary) {
    if !summary.labels.is_empty() {
        let pairs: Vec<_> = summary.labels.iter().map(|(l, c)| format!("{l} = {c}")).collect();
        eprintln!("labels of the commands: {}", pairs.join(", "));
    }
    if !summary.unused.is_empty() {
        eprintln!("without commands or questions: {}", summary.unused.join(", "));
    }
}
