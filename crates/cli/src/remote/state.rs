//! `state`: what is remembered, asked of the server, or read from a state directory that no server uses.

use std::collections::BTreeMap;
use std::path::Path;

use majordomo::{ComponentId, StoredState, count};
use majordomo_server::wire::{Figures, Forget, Forgotten, Remembered};

use super::{Remote, span};
use crate::args::{StateArgs, StateVerb};
use crate::exit::Exit;
use crate::print;
use crate::table::{self, Cell};

impl Remote {
    pub(super) async fn state(&self, args: &StateArgs) -> anyhow::Result<Exit> {
        match &args.verb {
            StateVerb::Show => {
                let remembered = self.remembered(args.state_dir.as_deref()).await?;
                self.show(&remembered, text)?;
            }
            StateVerb::Export { usage: true } => {
                let usage = self.remembered(args.state_dir.as_deref()).await?.usage;
                if usage.is_empty() {
                    print::message("nothing to export: no use is recorded");
                }
                if !usage.is_empty() {
                    print::file(&usage);
                }
            }
            StateVerb::Export { usage: false } => {
                let remembered = self.remembered(args.state_dir.as_deref()).await?;
                print::json_text(&match self.json {
                    true => serde_json::to_string(&remembered)?,
                    false => serde_json::to_string_pretty(&remembered)?,
                });
            }
            StateVerb::Forget { name, .. } => {
                let forgotten = match &args.state_dir {
                    Some(dir) => forget(dir, name.as_deref())?,
                    None => {
                        let forget = Forget { component: name.clone(), all: name.is_none() };
                        self.client.forget(&forget).await?
                    }
                };
                self.show(&forgotten, |f| match f.forgotten {
                    n if name.is_none() => {
                        let values = count(n, "stored value");
                        format!("all learned data is forgotten ({values})")
                    }
                    0 => "nothing was learned about this component".to_owned(),
                    n => format!("{} forgotten", count(n, "value")),
                })?;
            }
        }
        Ok(Exit::Success)
    }

    async fn remembered(&self, state_dir: Option<&Path>) -> anyhow::Result<Remembered> {
        Ok(match state_dir {
            Some(dir) => Remembered::from(&StoredState::look(dir)?),
            None => self.client.remembered().await?,
        })
    }
}

fn forget(dir: &Path, name: Option<&str>) -> anyhow::Result<Forgotten> {
    let state = StoredState::open(dir)?;
    let forgotten = match name {
        Some(name) => state.forget(&ComponentId::new(name)?)?,
        None => state.forget_everything()?,
    };
    Ok(Forgotten { forgotten })
}

fn text(r: &Remembered) -> Vec<String> {
    let mut out = Vec::new();
    out.extend(r.problem.iter().cloned());
    if r.values.is_empty() {
        out.push("nothing is learned yet".to_owned());
    }
    if !r.figures.is_empty() {
        let rows: Vec<_> = r.figures.iter().map(row).collect();
        let heading =
            ["COMPONENT", "LOAD PEAK", "WORKING PEAK", "LOADS IN", "CONFIGURATION", "MACHINE"];
        out.extend(table::lines(&heading, &rows));
    }
    let mut by_namespace: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for value in r.values.iter().filter(|v| v.namespace != "measured") {
        let (n, bytes) = by_namespace.entry(&value.namespace).or_default();
        *n += 1;
        *bytes += value.value.len() / 2;
    }
    for (namespace, (n, bytes)) in by_namespace {
        let bytes = majordomo::ByteSize(bytes as u64);
        out.push(format!("{namespace}: {}, {bytes}", count(n, "value")));
    }
    out
}

fn row(f: &Figures) -> Vec<Cell> {
    let none = || "-".to_owned();
    vec![
        Cell::left(f.component.as_str()),
        Cell::right(f.load_peak.map_or_else(none, |p| p.to_string())),
        Cell::right(f.working_peak.map_or_else(none, |p| p.to_string())),
        Cell::right(f.load_time_ms.map_or_else(none, |ms| print::time(span(ms)))),
        Cell::left(f.config.as_str()),
        Cell::left(f.host.as_str()),
    ]
}
