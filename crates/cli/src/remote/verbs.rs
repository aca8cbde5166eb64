//! Operators' requests about components: load, unload, park, pin, trim, hint, why, reload.

use majordomo::{ByteSize, printable};
use majordomo_server::wire::{
    ChangeKind, Component, Feedback, Hint, Reloaded, SettingChange, State, Tier, Why,
};
use serde_json::Value;

use super::{Remote, span};
use crate::args::{FeedbackArgs, HintArgs, NamesArgs, ReloadArgs, TierArg, UnloadArgs, WhyArgs};
use crate::exit::Exit;
use crate::parking;
use crate::print::{self, Style, styled, time};
use crate::table;

fn line(c: &Component) -> String {
    let mut text = format!("{} is {}", c.name, table::state(c.state));
    if c.booked.bytes() > 0 {
        text += &format!(", {}", c.measured.unwrap_or(c.booked));
    }
    if c.pinned {
        text += ", pinned";
    }
    if let Some(pid) = c.pid {
        text += &format!(", process {pid}");
    }
    if let Some(url) = c.endpoint.as_ref().and_then(|e| e.url.as_ref()) {
        text += &format!(" at {url}");
    }
    text
}

impl Remote {
    pub(super) async fn load(&self, args: &NamesArgs) -> anyhow::Result<Exit> {
        for name in &args.names {
            let component = self.wait(self.client.load(name)).await?;
            self.show(&component, |c| {
                let took = c.load_time_ms.map(|ms| format!(", loads in about {}", time(span(ms))));
                line(c) + &took.unwrap_or_default()
            })?;
        }
        Ok(Exit::Success)
    }

    pub(super) async fn unload(&self, args: &UnloadArgs) -> anyhow::Result<Exit> {
        for name in &args.names {
            let component = self.wait(self.client.unload(name, args.force)).await?;
            self.show(&component, line)?;
        }
        Ok(Exit::Success)
    }

    pub(super) async fn park(&self, args: &NamesArgs) -> anyhow::Result<Exit> {
        for name in &args.names {
            let component = self.wait(self.client.park(name)).await?;
            self.show(&component, |c| {
                let parks = c.parking.as_ref().filter(|p| p.swapped > ByteSize::ZERO);
                line(c) + &parks.map_or_else(String::new, |p| format!(", {} in swap", p.swapped))
            })?;
        }
        Ok(Exit::Success)
    }

    pub(super) async fn pin(&self, args: &NamesArgs, pinned: bool) -> anyhow::Result<Exit> {
        for name in &args.names {
            let component = self.client.pin(name, pinned).await?;
            self.show(&component, |c| {
                let what = if pinned { "pinned" } else { "no longer pinned" };
                format!("{} is {}, {what}", c.name, table::state(c.state))
            })?;
        }
        Ok(Exit::Success)
    }

    pub(super) async fn trim(&self, args: &NamesArgs) -> anyhow::Result<Exit> {
        for name in &args.names {
            let component = self.client.trim(name).await?;
            self.show(&component, |c| match c.state {
                State::Ready => format!("{}, asked to trim", line(c)),
                _ => format!("{}; only a ready component can trim", line(c)),
            })?;
        }
        Ok(Exit::Success)
    }

    pub(super) async fn feedback(&self, args: &FeedbackArgs) -> anyhow::Result<Exit> {
        let feedback =
            Feedback { text: args.text.join(" "), used: args.used.clone(), ..Feedback::default() };
        let accepted = self.client.feedback(&feedback).await?;
        self.show(&accepted, |a| {
            let what =
                if a.accepted { "learned" } else { "refused: the queue of outcomes is full" };
            what.to_owned()
        })?;
        Ok(if accepted.accepted { Exit::Success } else { Exit::Refused })
    }

    pub(super) async fn hint(&self, args: &HintArgs) -> anyhow::Result<Exit> {
        let hint = Hint {
            component: args.name.clone(),
            confidence: Some(args.confidence),
            tier: match args.tier {
                TierArg::Immediate => Tier::Immediate,
                TierArg::Delayed => Tier::Delayed,
                TierArg::Background => Tier::Background,
            },
        };
        let accepted = self.client.hint(&hint).await?;
        self.show(&accepted, |a| {
            if a.accepted {
                format!("hint accepted; see `majordomo why {}`", args.name)
            } else {
                "refused: the queue of hints is full".to_owned()
            }
        })?;
        Ok(if accepted.accepted { Exit::Success } else { Exit::Refused })
    }

    pub(super) async fn why(&self, args: &WhyArgs) -> anyhow::Result<Exit> {
        let why = self.client.why(&args.name).await?;
        if args.load {
            self.show(&why.component, super::load_path::lines)?;
            return Ok(Exit::Success);
        }
        self.show(&why, |Why { component: c, events }| {
            let for_ms = print::span(span(c.for_ms));
            let mut lines = vec![format!("{}, for {for_ms}: {}", line(c), c.cause)];
            lines.push(format!("memory: {}", memory(c)));
            lines.extend(c.parking.as_ref().and_then(parking::of_component));
            if let Some(words) = super::status::retry(c) {
                lines.push(format!("{words}; `majordomo load {}` loads it now", c.name));
            }
            lines.extend(super::status::probe_failing(c));
            lines.extend(events.iter().map(|event| format!("  {}", super::events::line(event))));
            lines
        })?;
        Ok(Exit::Success)
    }

    pub(super) async fn reload(&self, args: &ReloadArgs) -> anyhow::Result<Exit> {
        let reloaded = match args.dry_run {
            true => self.client.reload_preview().await?,
            false => self.client.reload().await?,
        };
        self.show(&reloaded, text_of_reload)?;
        Ok(Exit::Success)
    }
}

/// A component's memory: declared, measured, learned and booked.
fn memory(c: &Component) -> String {
    let mut text = format!("declared {}", c.estimate);
    for (name, bytes) in [
        ("measured", c.measured),
        ("peak of its load", c.load_peak),
        ("peak of its use", c.working_peak),
        ("limit", c.limit),
    ] {
        if let Some(bytes) = bytes {
            text += &format!(", {name} {bytes}");
        }
    }
    if c.booked > ByteSize::ZERO {
        text += &format!("; booked {}", c.booked);
    }
    text += &format!("; a load books {}, then {}", c.load_need, c.settled_need);
    for memory in &c.apart {
        text += &format!("; declared {} of {}, not measured", memory.declared, memory.pool);
        if memory.booked > ByteSize::ZERO {
            text += &format!(", booked {}", memory.booked);
        }
    }
    text
}

/// The difference as it is shown here and in the server's own log.
pub(crate) fn text_of_reload(r: &Reloaded) -> Vec<String> {
    let mut lines = Vec::new();
    for warning in &r.warnings {
        lines.push(format!("{}: {}", styled(Style::Doubtful, &warning.severity), warning.message));
    }
    for c in &r.components {
        let (style, sign) = match c.change {
            ChangeKind::Added => (Style::Good, "+"),
            ChangeKind::Removed => (Style::Bad, "-"),
            ChangeKind::Changed => (Style::Doubtful, "~"),
        };
        lines.push(format!("{} {}", styled(style, &format!("{sign} {}", c.component)), c.effect));
        lines.extend(c.settings.iter().map(|s| format!("    {}", setting(s))));
    }
    for s in &r.settings {
        let restart =
            if s.needs_restart { "  (takes effect when the server is restarted)" } else { "" };
        lines.push(format!("{} {}{restart}", styled(Style::Doubtful, "~"), setting(s)));
    }
    if lines.is_empty() {
        lines.push("no changes".to_owned());
    } else if r.dry_run {
        lines.push("nothing was applied; `majordomo reload` applies these changes".to_owned());
    }
    lines
}

fn setting(s: &SettingChange) -> String {
    let value = |v: &Value| match v {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => printable(text).into_owned(),
        other => printable(&other.to_string()).into_owned(),
    };
    let (from, to) = (value(&s.from), value(&s.to));
    format!("{}: {} -> {}", s.name, print::cut(&from, 60), print::cut(&to, 60))
}
