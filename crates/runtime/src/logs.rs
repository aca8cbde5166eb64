//! Bounded logs of components: the last lines of what a program wrote, numbered.
//!
//! Owns a ring bounded by lines and by bytes. Knows nothing of where lines come from. Invariants: line numbers
//! only grow; a reader that asks for lines which were pushed out gets the number of missed lines; pushing never waits
//! for a reader.
//!
//! A line that a terminal would overwrite is replaced, and its number stays unused: text without a line end by the
//! same line when that has grown, and updates of a progress bar (text that ends in `\r` alone) by newer ones, of
//! which the newest four stay. Followers see each as it comes. So a progress bar pushes nothing out.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use majordomo_core::{ByteSize, WallSeconds};
use tokio::sync::watch;

use crate::clock;

mod lines;
mod pump;

use lines::{End, Piece};
pub(crate) use pump::{Watch, pump};

/// Updates of one progress bar that are kept.
const MAX_UPDATES: usize = 4;

/// Bounds of one component's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Lines kept. Range 1.., default 2000.
    pub max_lines: usize,
    /// Bytes of text kept. Range 1.., default 256 KiB.
    pub max_bytes: usize,
    /// Of a longer line the newest bytes are kept, this many. Range 16.., default 4 KiB.
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
    /// Its number in this log, from 0; a number is missing where a line was replaced.
    pub number: u64,
    /// When it was read.
    pub at: WallSeconds,
    /// Where it was written.
    pub stream: LogStream,
    /// The text without its line end; bytes that are no UTF-8 are replaced.
    pub text: Arc<str>,
    /// Bytes of the line that were cut off before the text.
    pub cut_bytes: u64,
}

/// The text as it was written, with a mark in place of the bytes that were cut off.
impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cut_bytes > 0 {
            write!(f, "[{} cut] …", ByteSize(self.cut_bytes))?;
        }
        f.write_str(&self.text)
    }
}

/// An answer to "what came after line n".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChunk {
    /// Lines that were asked for and were pushed out already.
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
    /// Lines below this number were pushed out.
    gone: u64,
    /// By stream.
    replaceable: [Replaceable; 3],
}

/// Lines that newer ones of their stream replace.
#[derive(Debug, Default)]
struct Replaceable {
    /// The line that has no end yet.
    open: Option<u64>,
    /// Updates of the progress bar under way, oldest first.
    updates: VecDeque<u64>,
}

impl Ring {
    fn remove(&mut self, number: u64) {
        if let Ok(at) = self.lines.binary_search_by_key(&number, |l| l.number)
            && let Some(line) = self.lines.remove(at)
        {
            self.bytes -= line.text.len();
        }
    }

    fn push(&mut self, stream: LogStream, text: &str, cut_bytes: u64) -> u64 {
        let number = self.next;
        self.next += 1;
        self.bytes += text.len();
        self.lines.push_back(LogLine {
            number,
            at: clock::wall_now(),
            stream,
            text: text.into(),
            cut_bytes,
        });
        number
    }

    /// Replaces the open line of the stream by a new text, if there is one, and notes what may replace that.
    fn write(&mut self, stream: LogStream, piece: Piece<'_>) {
        let open = self.replaceable[stream as usize].open.take();
        let number = match piece.text {
            Some((text, cut_bytes)) => {
                open.into_iter().for_each(|number| self.remove(number));
                Some(self.push(stream, text, cut_bytes))
            }
            None => open,
        };
        let replaceable = &mut self.replaceable[stream as usize];
        match piece.end {
            End::Line => replaceable.updates.clear(),
            End::Open => replaceable.open = number,
            End::Update => replaceable.updates.extend(number),
        }
        if replaceable.updates.len() > MAX_UPDATES
            && let Some(oldest) = replaceable.updates.pop_front()
        {
            self.remove(oldest);
        }
    }

    fn keep_within(&mut self, config: LogConfig) {
        while self.lines.len() > config.max_lines
            || (self.bytes > config.max_bytes && self.lines.len() > 1)
        {
            if let Some(old) = self.lines.pop_front() {
                self.bytes -= old.text.len();
                self.gone = old.number + 1;
            }
        }
    }
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
        let start = text.len().saturating_sub(self.config.max_line_bytes);
        let start = text.ceil_char_boundary(start);
        let text = Some((&text[start..], start as u64));
        self.write(stream, Piece { text, end: End::Line });
    }

    fn write(&self, stream: LogStream, piece: Piece<'_>) {
        let mut ring = self.lock();
        ring.write(stream, piece);
        ring.keep_within(self.config);
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
        let start = from.max(ring.gone);
        let skip = ring.lines.partition_point(|l| l.number < start);
        let lines: Vec<LogLine> = ring.lines.iter().skip(skip).take(max).cloned().collect();
        let next = lines.last().map_or(start, |l| l.number + 1);
        LogChunk { missed: start - from, lines, next }
    }

    /// A reader that continues at number `from`.
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
        assert_eq!((last.text.len(), last.cut_bytes), (16, 64));
        assert_eq!(last.to_string(), format!("[64 B cut] …{}", "é".repeat(8)));
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
