//! `run TEXT`: commands given to the server, from the arguments or line by line.

use majordomo_server::wire::{
    Bind, Command, CommandOutcome, IntentsRequest, LeaseTerms, Leased, Need, PlanRequest,
};

use super::{Remote, is_gone, span};
use crate::args::RunArgs;
use crate::exit::Exit;
use crate::lines::InputLines;
use crate::plan::{evidence, print_plan};
use crate::print::{self, Style, styled, time};

impl Remote {
    pub(super) async fn commands(&self, args: &RunArgs) -> anyhow::Result<Exit> {
        if !args.words.is_empty() {
            return self.command(&args.words.join(" "), args.hold).await;
        }
        // A missing server is reported before the first line is typed.
        self.client.info().await?;
        let mut interrupts = crate::signals::Interrupts::new()?;
        let mut lines = InputLines::stdin(self.json);
        let mut exit = Exit::Success;
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                () = interrupts.next() => None,
            };
            let Some(text) = line else {
                return Ok(if lines.was_unreadable() { Exit::Failure } else { exit });
            };
            let done = tokio::select! {
                done = self.command(&text, args.hold) => done,
                () = interrupts.next() => return Ok(exit),
            };
            match done {
                Ok(Exit::Success) => {}
                Ok(worse) => exit = worse,
                Err(error) => match error.downcast_ref() {
                    // A line that the server does not take is no reason to lose the next.
                    Some(cause) if !is_gone(cause) => {
                        print::error(&error.to_string());
                        exit = Exit::of(cause);
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    pub(super) async fn plan(&self, text: &str) -> anyhow::Result<Exit> {
        let request = PlanRequest { text: Some(text.to_owned()), ..PlanRequest::default() };
        let plan = self.client.plan(&request).await?;
        if self.json {
            print::json(&serde_json::to_value(&plan)?);
        } else {
            print_plan(&plan);
        }
        Ok(if plan.refusal.is_some() { Exit::Refused } else { Exit::Success })
    }

    pub(super) async fn intents(&self, text: &str) -> anyhow::Result<()> {
        let answer = self.client.intents(&IntentsRequest { text: text.to_owned() }).await?;
        crate::intents::print_answer(
            text,
            &answer,
            self.json.then(|| serde_json::to_value(&answer)),
        )
    }

    /// Asks for the decision on each line of standard input.
    pub(super) async fn intents_of_lines(&self) -> anyhow::Result<Exit> {
        self.client.info().await?;
        let mut lines = InputLines::stdin(self.json);
        while let Some(text) = lines.next().await {
            if !self.json {
                print::line(&format!("{} {text}", styled(Style::Faint, ">")));
            }
            self.intents(&text).await?;
        }
        Ok(if lines.was_unreadable() { Exit::Failure } else { Exit::Success })
    }

    async fn command(&self, text: &str, hold: std::time::Duration) -> anyhow::Result<Exit> {
        let lease = (!hold.is_zero()).then(|| LeaseTerms {
            bind: Bind::Connection,
            tag: Some("majordomo run --hold".to_owned()),
            ..LeaseTerms::default()
        });
        let command = Command { text: text.to_owned(), lease, ..Command::default() };
        let outcome = self.wait(self.client.command(&command)).await?;
        if self.json {
            let mut value = serde_json::to_value(&outcome)?;
            value["command"] = text.into();
            print::json(&value);
        } else {
            print::line(&format!("{} {text}", styled(Style::Faint, ">")));
            print::lines(&lines(&outcome));
        }
        if let Some(lease) = &outcome.lease {
            tokio::time::sleep(hold).await;
            self.client.release(&lease.id).await?;
        }
        Ok(if outcome.refusal.is_some() { Exit::Refused } else { Exit::Success })
    }
}

fn lines(outcome: &CommandOutcome) -> Vec<String> {
    let how = match &outcome.refusal {
        Some(refusal) => styled(Style::Bad, &format!("refused: {refusal}")),
        None if outcome.needed.is_empty() => styled(Style::Faint, "no component needed"),
        None if outcome.hit => styled(Style::Good, "hit"),
        None => styled(Style::Doubtful, &format!("waited {}", time(span(outcome.waited_ms)))),
    };
    let mut out = vec![format!("  {how}")];
    for need in &outcome.needed {
        if let Some(left) = outcome.left_out.iter().find(|l| l.component == need.component) {
            let why = styled(Style::Doubtful, &format!("left out: {}", left.refusal));
            out.push(format!("  {} {}, {why}", need.component, because(need)));
            continue;
        }
        let leased = outcome.components.iter().find(|c| c.component == need.component);
        let at = leased.and_then(place).map(|at| format!(", at {at}")).unwrap_or_default();
        out.push(format!("  {} {}{at}", need.component, because(need)));
    }
    out.extend(
        outcome.candidates.iter().map(|n| format!("  unsure: {} {}", n.component, because(n))),
    );
    out
}

fn because(need: &Need) -> String {
    format!("{}{}", need.confidence, evidence(need))
}

/// Where a component is reached, in a word; none when it is inside the server or has no endpoint.
pub(super) fn place(leased: &Leased) -> Option<String> {
    let endpoint = leased.endpoint.as_ref()?;
    let address = |port| match endpoint.host.as_deref() {
        Some(host) if host.contains(':') => format!("[{host}]:{port}"),
        host => format!("{}:{port}", host.unwrap_or("127.0.0.1")),
    };
    endpoint.socket.clone().or_else(|| endpoint.port.map(address))
}
