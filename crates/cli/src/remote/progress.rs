//! The line that gives the reason for a wait: only on a terminal, and only when the wait is long.

use std::time::Duration;

use majordomo_server::Client;
use majordomo_server::wire::{Component, State};

use super::{Remote, span};
use crate::print;

/// Waits shorter than this need no explanation.
const PATIENCE: Duration = Duration::from_millis(400);
/// The line changes this often.
const EVERY: Duration = Duration::from_millis(250);

impl Remote {
    /// Waits for something, and shows meanwhile what is being loaded and for how long that lasts as a rule.
    pub(super) async fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        if self.json || !print::error_is_terminal() {
            return work.await;
        }
        let watcher = self.second();
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => done,
            () = show(&watcher) => work.await,
        }
    }
}

/// Clears the line whatever ends the wait.
struct Line;

impl Drop for Line {
    fn drop(&mut self) {
        print::progress("");
    }
}

/// Never ends while there is a server to ask.
async fn show(client: &Client) {
    tokio::time::sleep(PATIENCE).await;
    let _line = Line;
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        let Ok(components) = client.components().await else { return };
        print::progress(&line(&components));
    }
}

/// The running loads in one line.
fn line(components: &[Component]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for c in components {
        match c.state {
            State::Loading => {
                let usual = c
                    .load_time_ms
                    .map(|ms| format!(" of about {}", print::time(span(ms))))
                    .unwrap_or_default();
                parts.push(format!("loading {} {}{usual}", c.name, print::time(span(c.for_ms))));
            }
            State::Queued => parts.push(format!("{} is queued", c.name)),
            State::Draining | State::Unloading => parts.push(format!("unloading {}", c.name)),
            _ => {}
        }
    }
    if parts.is_empty() { "waiting for memory or leases".to_owned() } else { parts.join(", ") }
}
