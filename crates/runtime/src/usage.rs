//! The usage history: which components each command really used, and when. For replays, and for people who
//! want to know what is kept about them.
//!
//! Bounded: the oldest commands go. Kept in the state store in chunks, so that a new command rewrites one small
//! value. No text of a command is kept. Exported in the format that `replay` reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use majordomo_core::{ComponentId, Confidence, StateStore, StoreError, StoreOp, WallSeconds};

use crate::state::USAGE;

/// Commands of a chunk.
const CHUNK: usize = 256;
/// Chunks that are kept: the last 16384 commands.
const MAX_CHUNKS: usize = 64;

/// A summary of the usage history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsageSummary {
    /// Commands that the sequence model learned from.
    pub commands_learned: u64,
    /// Commands in the history.
    pub commands_kept: usize,
    /// When the oldest of them was.
    pub oldest: Option<WallSeconds>,
    /// When the latest was.
    pub latest: Option<WallSeconds>,
    /// The components that are likeliest to be used next, at most ten, likeliest first.
    pub likeliest: Vec<(ComponentId, Confidence)>,
}

type Command = (WallSeconds, Vec<String>);

/// The history.
#[derive(Debug, Default)]
pub(crate) struct UsageLog {
    chunks: BTreeMap<u64, Vec<Command>>,
    changed: BTreeSet<u64>,
    dropped: Vec<u64>,
    cleared: bool,
}

fn key(chunk: u64) -> String {
    format!("{chunk:016}")
}

/// One command a line: seconds, then names, separated by tabs.
fn encode(commands: &[Command]) -> Vec<u8> {
    let mut text = String::new();
    for (at, names) in commands {
        let _ = writeln!(text, "{}\t{}", at.0, names.join("\t"));
    }
    text.into_bytes()
}

fn decode(bytes: &[u8]) -> Option<Vec<Command>> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.lines()
        .map(|line| {
            let mut fields = line.split('\t');
            let at = WallSeconds(fields.next()?.parse().ok()?);
            let names: Vec<_> = fields.map(str::to_owned).collect();
            let sound = !names.is_empty() && names.iter().all(|n| ComponentId::new(n).is_ok());
            sound.then_some((at, names))
        })
        .collect()
}

impl UsageLog {
    /// Reads what earlier processes kept; a chunk that is no history is left out.
    pub(crate) fn open(store: &dyn StateStore) -> Result<Self, StoreError> {
        let mut log = Self::default();
        for (name, value) in store.list(USAGE)? {
            match (name.parse(), decode(&value)) {
                (Ok(chunk), Some(commands)) => {
                    log.chunks.insert(chunk, commands);
                }
                _ => tracing::warn!(chunk = name, "a part of the usage history is damaged"),
            }
        }
        Ok(log)
    }

    /// Notes a command.
    pub(crate) fn push(&mut self, at: WallSeconds, names: Vec<String>) {
        let last = self.chunks.last_key_value().map(|(n, c)| (*n, c.len()));
        let chunk = match last {
            Some((n, len)) if len < CHUNK => n,
            Some((n, _)) => n + 1,
            None => 0,
        };
        self.chunks.entry(chunk).or_default().push((at, names));
        self.changed.insert(chunk);
        while self.chunks.len() > MAX_CHUNKS
            && let Some((oldest, _)) = self.chunks.pop_first()
        {
            self.changed.remove(&oldest);
            self.dropped.push(oldest);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { cleared: true, ..Self::default() };
    }

    /// A write failed: everything is to be written again.
    pub(crate) fn write_all_again(&mut self) {
        self.cleared = true;
        self.changed = self.chunks.keys().copied().collect();
    }

    pub(crate) fn is_written(&self) -> bool {
        self.changed.is_empty() && self.dropped.is_empty() && !self.cleared
    }

    /// Takes the changes to write; they count as written then.
    pub(crate) fn take_changes(&mut self) -> Vec<StoreOp> {
        let namespace = || USAGE.to_owned();
        let mut ops = Vec::new();
        if std::mem::take(&mut self.cleared) {
            ops.push(StoreOp::Clear { namespace: namespace() });
        }
        for chunk in std::mem::take(&mut self.dropped) {
            ops.push(StoreOp::Delete { namespace: namespace(), key: key(chunk) });
        }
        for chunk in std::mem::take(&mut self.changed) {
            let value = self.chunks.get(&chunk).map(|c| encode(c)).unwrap_or_default();
            ops.push(StoreOp::Put { namespace: namespace(), key: key(chunk), value });
        }
        ops
    }

    fn commands(&self) -> impl DoubleEndedIterator<Item = &Command> {
        self.chunks.values().flatten()
    }

    pub(crate) fn export(&self) -> String {
        trace(self.commands())
    }

    pub(crate) fn summary(&self) -> UsageSummary {
        UsageSummary {
            commands_kept: self.commands().count(),
            oldest: self.commands().next().map(|c| c.0),
            latest: self.commands().next_back().map(|c| c.0),
            ..UsageSummary::default()
        }
    }
}

/// In the format of traces: user, seconds, component. A command that used several has a line for each.
fn trace<'a>(commands: impl Iterator<Item = &'a Command>) -> String {
    let mut text = String::new();
    // A clock that was set back must not make the trace go back.
    let mut latest = 0;
    for (at, names) in commands {
        latest = at.0.max(latest);
        for name in names {
            let _ = writeln!(text, "me\t{latest}\t{name}");
        }
    }
    text
}

/// The usage history as a trace that `replay` reads (user, unix seconds and component, separated by tabs), from
/// what is stored in the namespace `usage`, in the order of its keys. Parts that are no history are left out.
#[must_use]
pub fn usage_trace<'a>(stored: impl IntoIterator<Item = &'a [u8]>) -> String {
    let parts: Vec<_> = stored.into_iter().filter_map(decode).collect();
    trace(parts.iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Kept(Mutex<BTreeMap<(String, String), Vec<u8>>>);

    impl StateStore for Kept {
        fn get(&self, namespace: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
            let kept = self.0.lock().unwrap();
            Ok(kept.get(&(namespace.to_owned(), key.to_owned())).cloned())
        }
        fn list(&self, namespace: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
            let kept = self.0.lock().unwrap();
            let all = kept.iter().filter(|(k, _)| k.0 == namespace);
            Ok(all.map(|(k, v)| (k.1.clone(), v.clone())).collect())
        }
        fn apply(&self, batch: &[StoreOp]) -> Result<(), StoreError> {
            let mut kept = self.0.lock().unwrap();
            for op in batch.iter().cloned() {
                match op {
                    StoreOp::Put { namespace, key, value } => {
                        kept.insert((namespace, key), value);
                    }
                    StoreOp::Delete { namespace, key } => {
                        kept.remove(&(namespace, key));
                    }
                    StoreOp::Clear { namespace } => kept.retain(|k, _| k.0 != namespace),
                }
            }
            Ok(())
        }
        fn scrub(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn a_history_survives_is_bounded_and_is_forgotten() {
        let store = Kept::default();
        let mut log = UsageLog::open(&store).unwrap();
        let n = CHUNK * MAX_CHUNKS + 10;
        for i in 0..n {
            log.push(WallSeconds(1_000 + i as i64), vec!["voice".to_owned(), "ocr".to_owned()]);
            if i % 100 == 0 {
                store.apply(&log.take_changes()).unwrap();
            }
        }
        store.apply(&log.take_changes()).unwrap();
        assert!(log.is_written());
        let mut again = UsageLog::open(&store).unwrap();
        assert_eq!(again.export(), log.export());
        let summary = again.summary();
        assert_eq!(summary.commands_kept, n - CHUNK);
        assert_eq!(summary.latest, Some(WallSeconds(1_000 + n as i64 - 1)));
        again.clear();
        store.apply(&again.take_changes()).unwrap();
        assert_eq!(UsageLog::open(&store).unwrap().export(), "");
    }

    #[test]
    fn the_export_is_sorted_although_the_clock_was_set_back() {
        let mut log = UsageLog::default();
        log.push(WallSeconds(50), vec!["a".to_owned()]);
        log.push(WallSeconds(40), vec!["b".to_owned(), "c".to_owned()]);
        assert_eq!(log.export(), "me\t50\ta\nme\t50\tb\nme\t50\tc\n");
    }

    #[test]
    fn damaged_chunks_are_left_out() {
        let store = Kept::default();
        let put = |key: &str, value: &[u8]| StoreOp::Put {
            namespace: USAGE.to_owned(),
            key: key.to_owned(),
            value: value.to_vec(),
        };
        let bad: [&[u8]; 4] = [b"x\tvoice\n", b"5\n", b"5\tNo Name\n", b"\xff\xfe"];
        for (i, value) in bad.into_iter().enumerate() {
            store.apply(&[put(&key(i as u64), value)]).unwrap();
        }
        store.apply(&[put("other", b"5\tvoice\n"), put(&key(9), b"5\tvoice\n")]).unwrap();
        assert_eq!(UsageLog::open(&store).unwrap().export(), "me\t5\tvoice\n");
    }
}
