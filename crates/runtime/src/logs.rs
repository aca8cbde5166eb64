//! Bounded logs of components: the last lines of what a program wrote, numbered.
//!
//! Owns a ring bounded by lines and by bytes. Knows nothing of where lines come from. Invariant: a
//! line's number is one more than the one before it, for ever; a reader that asks for lines which are
//! gone is told how many it missed; pushing never waits for a reader.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use majordomo_core::WallSeconds;
use tokio::sync::watch;

use crate::clock;

mod lines;
mod pump;

pub(crate) use pump::{Watch, pump};

/// Bounds of one component's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Lines kept. Range 1.., default 2000.
    pub max_lines: usize,
    /// Bytes of text kept. Range 1.., default 256 KiB.
    pub max_bytes: usize,
    /// A longer line is cut after this many bytes. Range 16.., default 4 KiB.
    pub max_line_bytes: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { max_lines: 2000, max_bytes: 256 << 10, max_line_bytes: 4 << 10 }
    }
}

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Not by the program: the manager's own remarks on it (started, ended, killed).
    Manager,
}

impl LogStream {
    /// The stream's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Manager => "manager",
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its running number in this log, from 0.
    pub number: u64,
    /// When it was read.
    pub at: WallSeconds,
    /// Where it was written.
    pub stream: LogStream,
    /// The text without its line end; bytes that are no UTF-8 are replaced.
    pub text: Arc<str>,
    /// Whether the rest of the line was cut off.
    pub cut: bool,
}

/// An answer to "what came after line n".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChunk {
    /// Lines that were asked for and are gone already.
    pub missed: u64,
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
    /// The number to ask for next time.
    pub next: u64,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<LogLine>,
    bytes: usize,
    next: u64,
}

/// The log of one component; lives longer than its processes.
#[derive(Debug)]
pub struct LogBuffer {
    config: LogConfig,
    ring: Mutex<Ring>,
    // Carries the next number, so that a follower never misses a wake-up.
    newest: watch::Sender<u64>,
}

impl Default for LogBuffer {
    fn default() -> Self {
        Self::new(LogConfig::default())
    }
}

impl LogBuffer {
    /// An empty log; bounds below their range are raised to it.
    #[must_use]
    pub fn new(config: LogConfig) -> Self {
        let config = LogConfig {
            max_lines: config.max_lines.max(1),
            max_bytes: config.max_bytes.max(1),
            max_line_bytes: config.max_line_bytes.max(16),
        };
        Self { config, ring: Mutex::default(), newest: watch::Sender::new(0) }
    }

    /// The bounds.
    #[must_use]
    pub fn config(&self) -> LogConfig {
        self.config
    }

    /// Adds a line; the oldest go when a bound is passed.
    pub fn push(&self, stream: LogStream, text: &str) {
        self.push_cut(stream, text, false);
    }

    pub(crate) fn push_cut(&self, stream: LogStream, text: &str, cut: bool) {
        let (text, shortened) = truncated(text, self.config.max_line_bytes);
        let mut ring = self.lock();
        let number = ring.next;
        ring.next += 1;
        ring.bytes += text.len();
        let cut = cut || shortened;
        ring.lines.push_back(LogLine {
            number,
            at: clock::wall_now(),
            stream,
            text: text.into(),
            cut,
        });
        while ring.lines.len() > self.config.max_lines
            || (ring.bytes > self.config.max_bytes && ring.lines.len() > 1)
        {
            if let Some(old) = ring.lines.pop_front() {
                ring.bytes -= old.text.len();
            }
        }
        let next = ring.next;
        drop(ring);
        // Two pushers may come here in either order; the number must not go back.
        self.newest.send_if_modified(|n| {
            let newer = next > *n;
            *n = (*n).max(next);
            newer
        });
    }

    /// The number the next line will get.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.lock().next
    }

    /// The last `n` lines, oldest first.
    #[must_use]
    pub fn tail(&self, n: usize) -> Vec<LogLine> {
        let ring = self.lock();
        ring.lines.iter().skip(ring.lines.len().saturating_sub(n)).cloned().collect()
    }

    /// At most `max` lines from number `from` on, oldest first; does not wait.
    ///
    /// A `from` beyond the newest line gives an empty chunk with the true next number.
    #[must_use]
    pub fn since(&self, from: u64, max: usize) -> LogChunk {
        let ring = self.lock();
        let from = from.min(ring.next);
        let first = ring.lines.front().map_or(ring.next, |l| l.number);
        let start = from.max(first);
        // Numbers are gapless, so the difference is the position.
        let skip = usize::try_from(start - first).unwrap_or(usize::MAX);
        let lines: Vec<LogLine> = ring.lines.iter().skip(skip).take(max).cloned().collect();
        let next = lines.last().map_or(start, |l| l.number + 1);
        LogChunk { missed: start - from, lines, next }
    }

    /// A reader that goes on from number `from`.
    #[must_use]
    pub fn follow(self: &Arc<Self>, from: u64) -> LogFollower {
        LogFollower { newest: self.newest.subscribe(), log: Arc::clone(self), from }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Every update leaves the ring whole, so a panic elsewhere does not spoil it.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a log as it grows.
#[derive(Debug)]
pub struct LogFollower {
    log: Arc<LogBuffer>,
    newest: watch::Receiver<u64>,
    from: u64,
}

impl LogFollower {
    /// The next lines, at most `max` (at least 1); waits until there is one. Cancel safe.
    pub async fn next(&mut self, max: usize) -> LogChunk {
        loop {
            // Marked as seen before reading: a line that comes in between wakes us again.
            self.newest.borrow_and_update();
            let chunk = self.log.since(self.from, max.max(1));
            if !chunk.lines.is_empty() || chunk.missed > 0 {
                self.from = chunk.next;
                return chunk;
            }
            // The sender lives in `self.log`, so this cannot fail.
            if self.newest.changed().await.is_err() {
                return chunk;
            }
        }
    }
}

/// The text cut to at most `max` bytes at a character boundary, and whether it was.
fn truncated(text: &str, max: usize) -> (&str, bool) {
    if text.len() <= max {
        return (text, false);
    }
    (&text[..text.floor_char_boundary(max)], true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(chunk: &LogChunk) -> Vec<u64> {
        chunk.lines.iter().map(|l| l.number).collect()
    }

    #[test]
    fn bounded_by_lines_and_bytes() {
        let log = LogBuffer::new(LogConfig { max_lines: 3, max_bytes: 40, max_line_bytes: 16 });
        for i in 0..5 {
            log.push(LogStream::Stdout, &format!("line {i}"));
        }
        assert_eq!(numbers(&log.since(0, 10)), [2, 3, 4]);
        assert_eq!(log.since(0, 10).missed, 2);
        log.push(LogStream::Stderr, &"é".repeat(40));
        let last = log.tail(1).remove(0);
        assert_eq!((last.text.len(), last.cut), (16, true));
        for _ in 0..3 {
            log.push(LogStream::Stdout, &"x".repeat(16));
        }
        // 3 × 16 > 40: two remain.
        assert_eq!(log.tail(10).len(), 2);
    }

    #[test]
    fn a_reader_resumes_and_sees_gaps() {
        let log = LogBuffer::new(LogConfig { max_lines: 4, ..LogConfig::default() });
        let check = |from, max, missed, want: &[u64], next| {
            let chunk = log.since(from, max);
            assert_eq!((chunk.missed, numbers(&chunk), chunk.next), (missed, want.to_vec(), next));
        };
        check(0, 9, 0, &[], 0);
        check(7, 9, 0, &[], 0);
        for _ in 0..6 {
            log.push(LogStream::Stdout, "x");
        }
        check(0, 2, 2, &[2, 3], 4);
        check(4, 9, 0, &[4, 5], 6);
        check(6, 9, 0, &[], 6);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_follower_wakes_for_every_line() {
        let log = Arc::new(LogBuffer::default());
        let mut follower = log.follow(0);
        let writer = Arc::clone(&log);
        let task = tokio::spawn(async move {
            for i in 0..100 {
                writer.push(LogStream::Stdout, &i.to_string());
                tokio::task::yield_now().await;
            }
        });
        let mut seen = 0;
        while seen < 100 {
            let chunk = follower.next(7).await;
            assert_eq!(chunk.missed, 0);
            seen += chunk.lines.len();
        }
        task.await.unwrap();
    }
}
