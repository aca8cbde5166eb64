//! `status`: components, memory and leases as a table, once or repeatedly.

use majordomo::{Priority, count};
use majordomo_server::ClientError;
use majordomo_server::wire::{Component, Parking, State, Status};

use super::{Remote, is_gone, span, until_interrupt};
use crate::args::StatusArgs;
use crate::exit::Exit;
use crate::figure::figure;
use crate::print::{self, Screen, Style, styled};
use crate::table::{self, Cell};

impl Remote {
    pub(super) async fn status(&self, args: &StatusArgs) -> anyhow::Result<Exit> {
        if args.watch {
            return until_interrupt(self.watch(args)).await;
        }
        let status = self.client.status().await?;
        self.show(&status, |s| text(s, args.all))?;
        Ok(Exit::Success)
    }

    async fn watch(&self, args: &StatusArgs) -> anyhow::Result<Exit> {
        // The first answer is required; a server that ends later is waited for.
        let mut next: Result<Status, ClientError> = Ok(self.client.status().await?);
        let screen = (!self.json && print::is_terminal()).then(Screen::open);
        let mut tick = tokio::time::interval(args.every.max(std::time::Duration::from_millis(50)));
        tick.tick().await;
        loop {
            match (&next, &screen) {
                (Ok(status), Some(screen)) => screen.draw(&text(status, args.all)),
                (Ok(status), None) => self.show(status, |s| {
                    let mut lines = text(s, args.all);
                    lines.push(String::new());
                    lines
                })?,
                (Err(error), Some(screen)) => screen.draw(&[error.to_string()]),
                (Err(error), None) => print::message(&error.to_string()),
            }
            tick.tick().await;
            next = match self.client.status().await {
                Err(error) if !is_gone(&error) => return Err(error.into()),
                other => other,
            };
        }
    }
}

/// The status in lines.
fn text(s: &Status, all: bool) -> Vec<String> {
    let mut out = vec![head(s)];
    let m = &s.memory;
    let share = if m.budget.bytes() == 0 {
        0
    } else {
        (m.booked.bytes().saturating_mul(100)) / m.budget.bytes()
    };
    let pressure =
        m.pressure.map_or_else(|| "not measured".to_owned(), |p| p.to_string().to_lowercase());
    out.push(format!(
        "memory    {} of {} booked ({share} %), pressure {pressure}",
        m.booked, m.budget
    ));
    if m.overdraft.total.bytes() > 0 {
        let over = format!("{} beyond the budget", m.overdraft.total);
        out.push(format!("          {}", styled(Style::Bad, &over)));
    }
    for pool in m.pools.iter().filter(|p| p.budget.is_some() || p.booked.bytes() > 0) {
        if m.pools.len() > 1 || pool.budget.is_some() {
            let of = pool.budget.map(|b| format!(" of {b}")).unwrap_or_default();
            out.push(format!("pool      {} {}{of}", pool.name, pool.booked));
        }
    }
    out.extend(m.parking.as_ref().and_then(parking));
    if s.waiting > 0 {
        out.push(format!("waiting   {}", count(s.waiting, "demand")));
    }
    out.extend(kept(s));
    out.push(String::new());
    let heading = ["NAME", "STATE", "FOR", "MEMORY", "LEASES", "USES", "LOADS", "TAKES", "", "WHY"];
    let rows: Vec<_> = s.components.iter().map(row).collect();
    out.extend(table::lines(&heading, &rows));
    if !s.holders.is_empty() {
        out.push(String::new());
        let rows: Vec<_> = s
            .holders
            .iter()
            .map(|h| {
                let tag = if h.tag.is_empty() { "-" } else { &h.tag };
                vec![
                    Cell::left(h.lease.as_deref().unwrap_or("-")),
                    Cell::left(h.component.as_str()),
                    Cell::right(print::span(span(h.age_ms))),
                    Cell::left(match (h.revoked, h.old) {
                        (true, _) => format!("{tag} (revoked)"),
                        (false, true) => format!("{tag} (old)"),
                        (false, false) => tag.to_owned(),
                    }),
                ]
            })
            .collect();
        out.extend(table::lines(&["LEASE", "COMPONENT", "AGE", "HOLDER"], &rows));
        if s.holders_left_out > 0 {
            out.push(format!(
                "{} of {} leases are not shown; see `majordomo leases`",
                s.holders_left_out, s.leases
            ));
        }
    }
    if all {
        out.extend(sections(s));
    }
    out
}

/// Parks of programs in swap, where there are some or where they are offered; else why not.
fn parking(parking: &Parking) -> Option<String> {
    let swapped = format!("{} of {} in swap", parking.swapped, parking.budget);
    let written = parking.writes_per_day.map_or_else(String::new, |most| {
        format!(", {} of {most} written within 24 h", parking.written)
    });
    match (&parking.means, &parking.why_not) {
        (Some(_), _) => Some(format!("parking   {swapped}{written}")),
        (None, Some(why)) => Some(format!("parking   none: {why}")),
        (None, None) => None,
    }
}

/// The state of the learned store.
fn kept(s: &Status) -> Vec<String> {
    let figures = s.sections.get("runtime").into_iter().flatten();
    let lines = figures.filter_map(|f| match f.name.as_str() {
        "state_store" => Some(format!("state     {}", figure(f))),
        "state_problem" => Some(styled(Style::Bad, &format!("state problem: {}", figure(f)))),
        _ => None,
    });
    lines.collect()
}

fn head(s: &Status) -> String {
    let ready = if s.shutting_down {
        styled(Style::Doubtful, "shutting down")
    } else if s.ready {
        styled(Style::Good, "ready")
    } else {
        let missing: Vec<_> = s
            .components
            .iter()
            .filter(|c| {
                c.priority == Priority::Core && c.state != majordomo_server::wire::State::Ready
            })
            .map(|c| format!("{} is {}{}", c.name, c.state, next_attempt(c)))
            .collect();
        styled(Style::Bad, &format!("not ready: {}", missing.join(", ")))
    };
    let up = print::span(span(s.server.uptime_ms));
    format!("majordomo {}, pid {}, up {up}, {ready}", s.server.version, s.server.pid)
}

/// The figures of every part, a line for each.
fn sections(s: &Status) -> Vec<String> {
    let mut out = Vec::new();
    for (name, figures) in &s.sections {
        out.push(String::new());
        out.push(styled(Style::Strong, name));
        out.extend(
            figures.iter().map(|f| format!("  {:<38} {}", f.name.replace('_', " "), figure(f))),
        );
    }
    out
}

/// When a component that is down is tried again; empty where that is not known.
fn next_attempt(c: &Component) -> String {
    retry(c).map_or(String::new(), |words| format!(", {words}"))
}

/// When a component that is down is, or may be, tried again.
pub(super) fn retry(c: &Component) -> Option<String> {
    let ms = c.retry_in_ms?;
    Some(match (c.retry_on_demand, print::span(span(ms))) {
        (true, _) if ms <= 0.0 => "loaded again on demand".to_owned(),
        (true, wait) => format!("loaded again on demand in {wait} at the earliest"),
        (false, wait) => format!("next attempt in {wait}"),
    })
}

fn row(c: &Component) -> Vec<Cell> {
    let bytes = c.measured.unwrap_or(c.booked);
    let count = |n: u64| if n == 0 { "-".to_owned() } else { n.to_string() };
    let mut marks = Vec::new();
    for (is, word) in [
        (c.priority == Priority::Core, "core"),
        (c.pinned, "pinned"),
        (c.speculative, "preloaded"),
        (c.stale, "stale"),
    ] {
        if is {
            marks.push(word);
        }
    }
    vec![
        Cell::left(c.name.as_str()),
        Cell::state(c.state),
        Cell::right(print::span(span(c.for_ms))),
        Cell::right(if bytes.bytes() == 0 { "-".to_owned() } else { bytes.to_string() }),
        Cell::right(count(c.leases.into())),
        Cell::right(count(c.uses)),
        Cell::right(count(c.loads)),
        Cell::right(takes(c).map_or_else(|| "-".to_owned(), |ms| print::time(span(ms)))),
        Cell::left(marks.join(",")),
        Cell::left(probe_failing(c).unwrap_or_else(|| format!("{}{}", c.cause, next_attempt(c)))),
    ]
}

/// How long a component takes to be ready again: a parked one to be woken, any other to be loaded.
fn takes(c: &Component) -> Option<f64> {
    let wake = || c.parking.as_ref()?.wake_median_ms;
    match c.state {
        State::Paged | State::Asleep | State::Parking | State::Waking => wake().or(c.load_time_ms),
        _ => c.load_time_ms,
    }
}

/// The report of health probes that fail under leases.
pub(super) fn probe_failing(c: &Component) -> Option<String> {
    let p = c.probe_failing.as_ref()?;
    Some(format!("probe failing for {}, leased: {}", print::span(span(p.for_ms)), p.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_that_needs_a_demand_is_no_planned_attempt() {
        let words = |ms: f64, on_demand: bool| {
            let mut c: Component = serde_json::from_value(serde_json::json!({
                "name": "a", "state": "failed", "for_ms": 1.0, "cause": "", "priority": "LOW", "pool": "general",
                "pinned": false, "speculative": false, "stale": false, "booked": 0, "estimate": 0, "leases": 0,
                "uses": 0, "loads": 0, "failures": 1, "shared": 0, "load_need": 0, "settled_need": 0,
            }))
            .unwrap();
            assert_eq!(retry(&c), None);
            c.retry_in_ms = Some(ms);
            c.retry_on_demand = on_demand;
            retry(&c).unwrap()
        };
        assert_eq!(words(3000.0, false), "next attempt in 3 s");
        assert_eq!(words(3000.0, true), "loaded again on demand in 3 s at the earliest");
        assert_eq!(words(0.0, true), "loaded again on demand");
    }
}
