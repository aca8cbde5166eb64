//! Moves what a child writes from its pipe into its log.
//!
//! Always reads, so the child never blocks on a full pipe for longer than this task takes to be
//! scheduled; keeps nothing but one buffer and one partial line. Ends at end of file.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::LoadStage;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::lines::{LineCutter, Piece};
use super::{LogBuffer, LogStream};
use crate::load_clock::LoadClock;
use crate::stdio::Tap;

const BUFFER: usize = 8 << 10;

/// Text without a line end is logged this long after it was read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks for a text within the lines of a stream as the bytes come, also in a line that has not ended.
#[derive(Debug)]
pub(crate) struct Watch {
    needle: String,
    found: oneshot::Sender<()>,
    /// The end of the line so far: one byte less than the text has, at most.
    carry: Vec<u8>,
}

impl Watch {
    /// A watch for a text, and what receives a message when the text is found.
    pub(crate) fn new(needle: &str) -> (Self, oneshot::Receiver<()>) {
        let (found, seen) = oneshot::channel();
        (Self { needle: needle.to_owned(), found, carry: Vec::new() }, seen)
    }

    /// Whether the text is in the line that these bytes continue, or in one that begins in them.
    fn finds(&mut self, bytes: &[u8]) -> bool {
        let needle = self.needle.as_bytes();
        for (i, line) in bytes.split(|b| matches!(b, b'\n' | b'\r')).enumerate() {
            if i > 0 {
                self.carry.clear();
            }
            let kept = self.carry.len();
            // Only the first bytes can complete a text that began before them.
            self.carry.extend_from_slice(&line[..line.len().min(needle.len())]);
            let found = |hay: &[u8]| hay.windows(needle.len().max(1)).any(|w| w == needle);
            if needle.is_empty() || (kept > 0 && found(&self.carry)) || found(line) {
                return true;
            }
            if line.len() >= needle.len() {
                self.carry.clear();
                self.carry.extend_from_slice(line);
            }
            let too_many = self.carry.len().saturating_sub(needle.len() - 1);
            self.carry.drain(..too_many);
        }
        false
    }
}

/// Reads `pipe` to its end. A line that contains the watch's text fires it. With a tap, the lines of the protocol do not
/// reach the log. The first bytes are a stage of the load that `clock` is of.
pub(crate) async fn pump(
    mut pipe: impl AsyncRead + Unpin,
    log: Arc<LogBuffer>,
    stream: LogStream,
    mut watch: Option<Watch>,
    mut tap: Option<Tap>,
    mut clock: Option<Arc<LoadClock>>,
) {
    let mut cutter = LineCutter::new(log.config().max_line_bytes);
    let mut buffer = vec![0; BUFFER];
    let emit = |piece: Piece<'_>| log.write(stream, piece);
    let mut flush_at = Instant::now();
    loop {
        let read = tokio::select! {
            // Bytes that are there belong to the line that would be flushed.
            biased;
            read = pipe.read(&mut buffer) => read,
            () = sleep_until(flush_at), if cutter.is_dirty() => {
                cutter.flush(emit);
                continue;
            }
        };
        let bytes = match read {
            Ok(n) if n > 0 => &buffer[..n],
            // An error on a pipe is as final as its end.
            _ => break,
        };
        if let Some(clock) = clock.take() {
            clock.reached(LoadStage::FirstOutput);
        }
        // Logged first, so that the task woken by the text finds it in the log.
        let was_dirty = cutter.is_dirty();
        match &mut tap {
            Some(tap) => tap.feed(bytes, |text| cutter.feed(text, emit)),
            None => cutter.feed(bytes, emit),
        }
        if !was_dirty && cutter.is_dirty() {
            flush_at = Instant::now() + PATIENCE;
        }
        if let Some(w) = &mut watch
            && w.finds(bytes)
            && let Some(w) = watch.take()
        {
            // It has no receiver any more when the load was cancelled.
            let _ = w.found.send(());
        }
    }
    if let Some(tap) = tap {
        tap.finish(|text| cutter.feed(text, emit));
    }
    cutter.finish(emit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[test]
    fn a_watched_text_is_found_over_the_borders_of_reads_and_within_one_line_only() {
        let check = |reads: &[&[u8]], want: bool| {
            let mut watch = Watch::new("né up").0;
            assert_eq!(reads.iter().any(|r| watch.finds(r)), want, "{reads:?}");
        };
        let text = "né up".as_bytes();
        check(&[text], true);
        let single: Vec<&[u8]> = text.chunks(1).collect();
        check(&single, true);
        for at in 0..text.len() {
            check(&[b"before ", &text[..at], &text[at..]], true);
            check(&[&[b'x'; 10_000], &text[..at], &text[at..], b"\n"], true);
            if at > 0 {
                check(&[&text[..at], b"\n", &text[at..]], false);
                check(&[&[&text[..at], b"\r"].concat(), &text[at..]], false);
            }
        }
        check(&[b"n\n", text], true);
        check(&["nné up".as_bytes()], true);
        check(&[b"n", "né up".as_bytes()], true);
        check(&[], false);
    }

    /// Lets the pump read what was written, then the virtual time pass.
    async fn pass(time: Duration) {
        for _ in 0..9 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(time).await;
    }

    fn texts(log: &LogBuffer) -> Vec<String> {
        log.tail(100).iter().map(ToString::to_string).collect()
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_prompt_is_logged_after_a_second_and_replaced_by_its_whole_line() {
        let log = Arc::new(LogBuffer::default());
        let (mut child, pipe) = tokio::io::duplex(64);
        let (watch, mut seen) = Watch::new("password:");
        let pumped = pump(pipe, Arc::clone(&log), LogStream::Stdout, Some(watch), None, None);
        let task = tokio::spawn(pumped);
        child.write_all(b"up\nEnter pass").await.unwrap();
        pass(PATIENCE / 2).await;
        child.write_all(b"word: ").await.unwrap();
        pass(PATIENCE / 4).await;
        assert_eq!(seen.try_recv(), Ok(()), "readiness does not wait for the flush");
        assert_eq!(texts(&log), ["up"]);
        let mut follower = log.follow(1);
        // Counted from the first byte, so that a slow drip is logged as well.
        pass(PATIENCE / 4).await;
        assert_eq!(follower.next(9).await.lines[0].to_string(), "Enter password: ");
        child.write_all(b"ok\n").await.unwrap();
        assert_eq!(follower.next(9).await.lines[0].to_string(), "Enter password: ok");
        assert_eq!(texts(&log), ["up", "Enter password: ok"]);
        child.write_all(b"last words").await.unwrap();
        drop(child);
        task.await.unwrap();
        assert_eq!(texts(&log), ["up", "Enter password: ok", "last words"]);
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_progress_bar_keeps_its_newest_updates_and_pushes_nothing_out() {
        let log = Arc::new(LogBuffer::default());
        let (mut child, pipe) = tokio::io::duplex(1 << 20);
        let pumped = pump(pipe, Arc::clone(&log), LogStream::Stderr, None, None, None);
        let task = tokio::spawn(pumped);
        child.write_all(b"plain start\n").await.unwrap();
        for i in 0..100_000 {
            child.write_all(format!("\rloading {i}").as_bytes()).await.unwrap();
        }
        child.write_all(b"\r\nready\n").await.unwrap();
        drop(child);
        task.await.unwrap();
        let texts = texts(&log);
        assert_eq!(texts.first().map(String::as_str), Some("plain start"));
        assert_eq!(texts[texts.len() - 2..], ["loading 99999", "ready"]);
        assert_eq!(texts.len(), 2 + super::super::MAX_UPDATES, "{texts:?}");
    }
}
