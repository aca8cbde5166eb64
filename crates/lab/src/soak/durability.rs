//! Learned data that is certainly on the disk, as seen by the process under test, and the times of writes.
//!
//! Invariant: a checkpoint claims no more than what was known before a write began that has succeeded since.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use majordomo::{Manager, Status, StatusValue};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use super::catalog::{self, CORE};
use super::sample::{COMMANDS, Known, Learned, Message, TEXT_MODEL, TEXTS};
use super::subject::count;

/// Data that is known to be durable, and data that the next write makes durable.
#[derive(Debug, Default)]
pub(crate) struct Durability {
    durable: Learned,
    /// Data about components and commands after so many writes, with none under way: the next write contains it.
    figures: Option<(u64, Learned)>,
    /// The same of texts, which are written apart.
    texts: Option<(u64, Learned)>,
}

impl Durability {
    /// Data that was read from the disk is on it.
    pub(crate) fn begin(&mut self, known: Learned) {
        self.durable = known;
    }

    /// Looks how far writes have come; all that is durable, when that has grown.
    pub(crate) async fn look(&mut self, manager: &Manager) -> Option<Learned> {
        let status = manager.status().await.ok()?;
        let mut grown = false;
        let writes = count(&status, "runtime", "state_writes");
        if let Some((_, known)) = self.figures.take_if(|(before, _)| *before < writes) {
            self.durable.extend(known);
            grown = true;
        }
        if self.figures.is_none() && !is_writing(&status) {
            let mut known = of_components(&status);
            known.extend(of_commands(manager).await);
            self.figures = Some((writes, known));
        }
        // The thread that learns from texts writes them itself: what it shows in the same look is not being written.
        let writes = count(&status, "intents", "state_writes");
        if let Some((_, known)) = self.texts.take_if(|(before, _)| *before < writes) {
            self.durable.extend(known);
            grown = true;
        }
        if self.texts.is_none() {
            self.texts = Some((writes, of_texts(&status)));
        }
        grown.then(|| self.durable.clone())
    }
}

/// All that a manager knows.
pub(crate) async fn known(manager: &Manager) -> Learned {
    let Ok(status) = manager.status().await else { return Learned::new() };
    let mut known = of_components(&status);
    known.extend(of_commands(manager).await);
    known.extend(of_texts(&status));
    known
}

/// Without CORE, which is loaded and learned of before the data from the disk can be read, and without components that
/// the configuration adds and removes.
fn of_components(status: &Status) -> Learned {
    let compared = |name: &str| ![catalog::VERSIONED, catalog::EXTRA, CORE].contains(&name);
    let known = status.components.iter().filter(|c| compared(c.id.as_str()));
    let figures = known.map(|c| {
        let peak = c.load_peak.max(c.working_peak).map(|p| p.0);
        let load_time = c.load_time.map(|t| t.as_micros() as u64);
        (c.id.to_string(), Known::Figures { peak, load_time })
    });
    figures.filter(|(_, known)| known.is_something()).collect()
}

async fn of_commands(manager: &Manager) -> Learned {
    let n = manager.usage().summary().await.map_or(0, |usage| usage.commands_learned);
    Learned::from([(COMMANDS.to_owned(), Known::Count(n))])
}

fn of_texts(status: &Status) -> Learned {
    let of = |name, row| (str::to_owned(name), Known::Count(count(status, "intents", row)));
    Learned::from([of(TEXTS, "outcomes_kept"), of(TEXT_MODEL, "model_version")])
}

/// Whether the state is being written just now.
pub(crate) fn is_writing(status: &Status) -> bool {
    let mut runtime = status.sections.get("runtime").into_iter().flatten();
    runtime.any(|(name, value)| {
        let writing = |text: &String| text.starts_with("being written");
        name == "state_store" && matches!(value, StatusValue::Text(text) if writing(text))
    })
}

/// From now on this process reports the begin and the end of each write of its state.
pub(crate) fn report_writes() -> anyhow::Result<()> {
    tracing::subscriber::set_global_default(Writes::default())
        .context("this process has a log already")
}

/// Hears of writes, and of nothing else.
#[derive(Default)]
struct Writes {
    n_spans: AtomicU64,
}

impl Subscriber for Writes {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name().starts_with("state_write")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // A number that no other span has; nothing else hangs on it.
        Id::from_u64(self.n_spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {
        Message::Write { begins: true }.send();
    }

    fn exit(&self, _: &Id) {
        Message::Write { begins: false }.send();
    }
}
