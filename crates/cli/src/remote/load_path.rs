//! `why --load`: the stages of a component's loads, and the time that each takes.

use majordomo_server::wire::{Component, LoadStage};

use super::span;
use crate::print::time;
use crate::table::{self, Cell};

/// The table of a component's load stages.
pub(super) fn lines(c: &Component) -> Vec<String> {
    let Some(load_time) = c.load_time_ms else {
        return vec![format!("no load of {} was measured yet", c.name)];
    };
    let mut out = vec![format!("{} loads in about {}", c.name, time(span(load_time)))];
    if c.load_stages.is_empty() {
        out.push("its stages are known after the next load".to_owned());
        return out;
    }
    let before = std::iter::once(0.0).chain(c.load_stages.iter().map(|s| s.learned_ms));
    let rows: Vec<_> = c.load_stages.iter().zip(before).map(|(s, from)| row(s, from)).collect();
    out.extend(table::lines(&["STAGE", "AFTER", "TAKES", "LAST LOAD"], &rows));
    out
}

fn row(stage: &LoadStage, from_ms: f64) -> Vec<Cell> {
    let last = stage.last_ms.map_or_else(|| "-".to_owned(), |ms| time(span(ms)));
    vec![
        Cell::left(stage.stage.replace('_', " ")),
        Cell::right(time(span(stage.learned_ms))),
        Cell::right(time(span((stage.learned_ms - from_ms).max(0.0)))),
        Cell::right(last),
    ]
}
