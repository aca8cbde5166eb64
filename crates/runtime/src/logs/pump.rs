//! Moves what a child writes from its pipe into its log.
//!
//! Always reads, so the child never blocks on a full pipe for longer than this task takes to be
//! scheduled; keeps nothing but one buffer and one partial line. Ends at end of file.

use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;

use super::lines::LineCutter;
use super::{LogBuffer, LogStream};

const BUFFER: usize = 8 << 10;

/// Somebody who waits for a text in a line.
pub(crate) struct Watch {
    pub(crate) needle: String,
    pub(crate) found: oneshot::Sender<()>,
}

/// Reads `pipe` to its end. A line that contains the watch's needle (within the bytes that are kept of
/// a line) fires it.
pub(crate) async fn pump(
    mut pipe: Receiver,
    log: Arc<LogBuffer>,
    stream: LogStream,
    mut watch: Option<Watch>,
) {
    let mut cutter = LineCutter::new(log.config().max_line_bytes);
    let mut buffer = vec![0; BUFFER];
    let mut emit = |line: &str, cut: bool| {
        log.push_cut(stream, line, cut);
        if watch.as_ref().is_some_and(|w| line.contains(&w.needle))
            && let Some(w) = watch.take()
        {
            // Nobody waits any more: the load was cancelled.
            let _ = w.found.send(());
        }
    };
    loop {
        match pipe.read(&mut buffer).await {
            Ok(n) if n > 0 => cutter.feed(&buffer[..n], &mut emit),
            // An error on a pipe is as final as its end.
            _ => break,
        }
    }
    cutter.finish(&mut emit);
}
