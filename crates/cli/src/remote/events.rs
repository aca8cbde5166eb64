//! Events, past and new, and the output of components.

use majordomo::{ByteSize, count};
use majordomo_server::client::Streamed;
use majordomo_server::wire::{Event, LogLine};

use super::{Lines, Remote, until_interrupt};
use crate::args::{EventsArgs, LogsArgs};
use crate::exit::Exit;
use crate::print::{self, Style, styled};

/// Events shown by default.
const LAST: usize = 20;

pub(super) fn line(event: &Event) -> String {
    let head = format!("{:>6} {}", event.seq, print::clock(event.time));
    format!("{}  {}", styled(Style::Faint, &head), event.text)
}

/// A line of output, as it is printed: colours of the component pass on a terminal.
struct Output(LogLine);

impl Lines for Output {
    fn print(self) {
        let Self(line) = self;
        let style = match line.stream.as_str() {
            "stderr" => Some(Style::Doubtful),
            "manager" => Some(Style::Faint),
            _ => None,
        };
        match line.cut_bytes {
            None => print::output(style, &line.text),
            Some(n) => print::output(style, &format!("[{} cut] …{}", ByteSize(n), line.text)),
        }
    }
}

impl Remote {
    /// Reports a gap, where there is one.
    fn missed(&self, n: u64, noun: &str) -> anyhow::Result<()> {
        if n == 0 {
            return Ok(());
        }
        let text = format!("{} no longer kept", count(n, noun));
        self.show(&serde_json::json!({ "gap": n, "text": text }), |_| {
            styled(Style::Doubtful, &text)
        })
    }

    pub(super) async fn events(&self, args: &EventsArgs) -> anyhow::Result<Exit> {
        let mut after = args.since;
        let last = if args.follow { args.last } else { Some(args.last.unwrap_or(LAST)) };
        if !args.follow || last.is_some() {
            let from = args.since.map(|n| n.saturating_add(1));
            let last = if from.is_some() { None } else { last };
            let page = self.client.events(from, last).await?;
            self.missed(page.missed, "event")?;
            for event in &page.events {
                self.show(event, line)?;
            }
            after = page.next.checked_sub(1).or(after);
        }
        if !args.follow {
            return Ok(Exit::Success);
        }
        let after = after.map(|n| n.to_string());
        until_interrupt(self.follow_events(after)).await
    }

    async fn follow_events(&self, after: Option<String>) -> anyhow::Result<Exit> {
        let mut stream = self.client.follow_events(after.as_deref()).await?;
        while let Some(streamed) = stream.next().await? {
            match streamed {
                Streamed::Next(event, _) => self.show(&event, line)?,
                Streamed::Gap(gap) => {
                    let value = serde_json::json!({ "gap": gap.missed, "text": gap.text });
                    self.show(&value, |_| styled(Style::Doubtful, &gap.text))?;
                }
            }
        }
        print::message("the server has ended");
        Ok(Exit::Success)
    }

    pub(super) async fn logs(&self, args: &LogsArgs) -> anyhow::Result<Exit> {
        let page = match args.last {
            Some(last) => self.client.last_logs(&args.name, last).await?,
            None => self.client.logs(&args.name, None).await?,
        };
        if args.last.is_none() {
            self.missed(page.missed, "line")?;
        }
        for line in &page.lines {
            self.show(line, |l| Output(l.clone()))?;
        }
        if !args.follow {
            return Ok(Exit::Success);
        }
        until_interrupt(self.follow_logs(&args.name, page.next)).await
    }

    async fn follow_logs(&self, name: &str, from: u64) -> anyhow::Result<Exit> {
        let mut stream = self.client.follow_logs(name, from).await?;
        while let Some(streamed) = stream.next().await? {
            match streamed {
                Streamed::Next(line, _) => self.show(&line, |l| Output(l.clone()))?,
                Streamed::Gap(gap) => self.missed(gap.missed.unwrap_or(0), "line")?,
            }
        }
        print::message("the server has ended");
        Ok(Exit::Success)
    }
}
