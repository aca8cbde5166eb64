//! `memory`: a readable account of memory: bounds, budget, pools, components, pressure.
//!
//! Reads a status as JSON, so that one of another process prints like one of this.

use std::process::ExitCode;
use std::time::Duration;

use majordomo::{ByteSize, Manager, PressureLevel};
use serde_json::{Value, json};

use crate::args::MemoryArgs;
use crate::print::{self, Style, styled};

/// The first reading of pressure is waited for this long.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) async fn run(args: MemoryArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut builder = Manager::builder().config_file(&args.config).dormant();
    if let Some(dir) = &args.state_dir {
        builder = builder.state_dir(dir);
    }
    let manager = match crate::plan::start(builder, as_json).await? {
        Ok(manager) => manager,
        Err(code) => return Ok(code),
    };
    let status = with_a_reading(&manager).await?;
    manager.shutdown(None).await;
    tell(&status, as_json);
    Ok(ExitCode::SUCCESS)
}

/// The status once pressure has been read.
async fn with_a_reading(manager: &Manager) -> anyhow::Result<Value> {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let status = manager.status().await?;
        let felt = status.memory.felt.as_ref().is_none_or(|f| f.readings > 0 || f.failing);
        if felt || tokio::time::Instant::now() >= until {
            return Ok(serde_json::to_value(&*status)?);
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

/// Prints the account of a status.
pub(crate) fn tell(status: &Value, as_json: bool) {
    if as_json {
        print::json(&account(status));
    } else {
        Account(status).print();
    }
}

/// What of a status is about memory.
fn account(status: &Value) -> Value {
    const ROWS: [&str; 10] = [
        "id", "state", "pool", "estimate", "measured", "peak", "shared", "booked", "limit",
        "leases",
    ];
    let components: Vec<Value> = list(&status["components"])
        .iter()
        .map(|c| ROWS.iter().map(|k| ((*k).to_owned(), c[*k].clone())).collect())
        .collect();
    json!({ "at": status["at"], "memory": status["memory"], "components": components })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn bytes(value: &Value) -> ByteSize {
    ByteSize(value.as_u64().unwrap_or(0))
}

/// An amount, or a dash where there is none.
fn amount(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |v| ByteSize(v).to_string())
}

struct Account<'a>(&'a Value);

impl Account<'_> {
    fn print(&self) {
        self.bounds();
        self.budget();
        self.pools();
        self.components();
        self.pressure();
        self.rest();
    }

    fn memory(&self) -> &Value {
        &self.0["memory"]
    }

    fn bounds(&self) {
        head("bounds");
        for bound in list(&self.memory()["felt"]["bounds"]) {
            let used = bytes(&bound["used"]);
            let line = match bound["limit"].as_u64() {
                Some(limit) => {
                    let limit = ByteSize(limit);
                    format!("{used} of {limit} used, {} can be had", limit - used)
                }
                None => format!("{used} used, no limit"),
            };
            // A group's path says little beyond its kind and end.
            row(&short(&text(&bound["name"])), &line);
        }
        row("this process", &format!("{} resident", amount(&self.memory()["own"])));
    }

    fn budget(&self) {
        let m = self.memory();
        head("budget");
        row("total", &amount(&m["budget"]));
        row("booked", &amount(&m["booked"]));
        for (key, name) in [
            ("claimed", "set aside for demands"),
            ("external", "taken by other programs"),
            ("unreturned", "held for no component"),
        ] {
            if bytes(&m[key]) > ByteSize::ZERO {
                row(name, &amount(&m[key]));
            }
        }
        let taken = ["booked", "claimed", "external", "unreturned"].map(|key| bytes(&m[key]));
        row("free", &(bytes(&m["budget"]) - taken.into_iter().sum()).to_string());
        let debt = bytes(&m["overdraft"]);
        if debt > ByteSize::ZERO {
            let kinds = &m["overdraft_by_kind"];
            let parts: Vec<_> = [
                ("growth", "growth of components"),
                ("external", "other programs"),
                ("unreturned", "unreturned"),
                ("config", "a smaller budget"),
            ]
            .into_iter()
            .filter(|(key, _)| bytes(&kinds[*key]) > ByteSize::ZERO)
            .map(|(key, name)| format!("{} by {name}", amount(&kinds[key])))
            .collect();
            let line = format!("{debt}: {}", parts.join(", "));
            row("overdraft", &styled(Style::Bad, &line));
        }
    }

    fn pools(&self) {
        head("pools");
        for pool in list(&self.memory()["pools"]) {
            let (booked, budget) = (bytes(&pool["booked"]), pool["budget"].as_u64());
            if booked == ByteSize::ZERO && budget.is_none() {
                continue;
            }
            let of = budget.map_or_else(String::new, |b| format!(" of {}", ByteSize(b)));
            let kind = if pool["declared"] == json!(true) { ", no RAM" } else { "" };
            row(&text(&pool["name"]), &format!("{booked}{of} booked{kind}"));
        }
    }

    fn components(&self) {
        let columns = ["declared", "measured", "peak", "shared", "limit", "booked"];
        let keys = ["estimate", "measured", "peak", "shared", "limit", "booked"];
        let width = list(&self.0["components"]).iter().map(|c| text(&c["id"]).len()).max();
        let width = width.unwrap_or(0).max("component".len());
        let mut line = format!("{:<width$}  {:<11}", "component", "state");
        columns.iter().for_each(|c| line.push_str(&format!(" {c:>10}")));
        print::line("");
        print::line(&styled(Style::Strong, &line));
        for c in list(&self.0["components"]) {
            let state = state_name(&c["state"]);
            let mut line = format!("{:<width$}  {state:<11}", text(&c["id"]));
            for key in keys {
                let cell = match key {
                    "shared" | "booked" if bytes(&c[key]) == ByteSize::ZERO => "-".to_owned(),
                    _ => amount(&c[key]),
                };
                line.push_str(&format!(" {cell:>10}"));
            }
            print::line(&line);
        }
    }

    fn pressure(&self) {
        let m = self.memory();
        let felt = &m["felt"];
        head("pressure");
        if felt.is_null() {
            row("level", "not felt");
            return;
        }
        let level = text(&m["pressure"]);
        let style = if level == PressureLevel::Low.to_string() { Style::Good } else { Style::Bad };
        let told = if felt["failing"] == json!(true) { " (no source answers now)" } else { "" };
        let level = styled(style, &level);
        row("level", &format!("{level}, told by {}{told}", text(&felt["source"])));
        let (available, limit) = (amount(&felt["available"]), amount(&felt["limit"]));
        row("can be had", &format!("{available} before the tightest bound; limit {limit}"));
        let names = PressureLevel::ALL.iter().skip(1);
        let below: Vec<_> = names
            .zip(list(&felt["thresholds"]))
            .map(|(level, at)| format!("{level} {}", amount(at)))
            .collect();
        row("begins below", &below.join(", "));
        if !felt["hint"].is_null() {
            row("kernel's hint", &text(&felt["hint"]));
        }
        for (i, means) in list(&felt["means"]).iter().enumerate() {
            row(if i == 0 { "woken by" } else { "" }, &text(means));
        }
        let now = self.0["at"].as_u64().unwrap_or(0);
        let notes = list(&felt["history"]);
        for (i, note) in notes.iter().rev().take(10).enumerate() {
            let ago = Duration::from_micros(now.saturating_sub(note["at"].as_u64().unwrap_or(now)));
            let what = match note["note"].as_str() {
                None | Some("") => {
                    format!("{} at {} available", text(&note["level"]), amount(&note["available"]))
                }
                Some(text) => text.to_owned(),
            };
            let line = format!("{} ago: {what}", print::time(ago));
            row(if i == 0 { "history" } else { "" }, &line);
        }
    }

    fn rest(&self) {
        let m = self.memory();
        head("giving back");
        let cold = &m["cold"];
        let count = |key: &str| cold[key].as_u64().unwrap_or(0);
        row(
            "snapshots",
            &format!(
                "{} of {} in {}; {} handed back, {} dropped, {} corrupt",
                amount(&cold["used"]),
                amount(&cold["budget"]),
                count("snapshots"),
                count("handed_back"),
                count("dropped"),
                count("corrupt")
            ),
        );
        row("heap trims", &m["trims"]["trims"].to_string());
        row("processes", &format!("limits: {}", text(&m["process_limits"])));
    }
}

fn head(text: &str) {
    print::line("");
    print::line(&styled(Style::Strong, text));
}

fn row(name: &str, line: &str) {
    print::line(&format!("  {name:<24} {line}"));
}

/// A state with its details is an object with one key.
fn state_name(state: &Value) -> String {
    match state {
        Value::Object(map) => map.keys().next().cloned().unwrap_or_default(),
        other => text(other),
    }
}

/// A path of a control group is long: its kind and its last name tell it.
fn short(name: &str) -> String {
    match name.split_once(" /") {
        Some((kind, path)) => {
            let end: String =
                path.rsplit('/').next().unwrap_or_default().chars().take(12).collect();
            format!("{kind} {end}")
        }
        None => name.to_owned(),
    }
}
