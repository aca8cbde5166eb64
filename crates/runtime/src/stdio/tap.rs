//! Takes the protocol's lines out of a program's standard output; the rest is log text.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Calls;
use super::codec::{LineDecoder, Piece};

/// The reading end of the protocol.
#[derive(Debug)]
pub(crate) struct Tap {
    decoder: LineDecoder,
    calls: Arc<Calls>,
    /// Notified at the line that reports readiness.
    ready: Option<oneshot::Sender<()>>,
}

impl Tap {
    /// A tap, and what receives a message when the program reports that it is ready.
    pub(crate) fn new(calls: &Arc<Calls>) -> (Self, oneshot::Receiver<()>) {
        let (ready, is_ready) = oneshot::channel();
        let decoder = LineDecoder::new(calls.max_line());
        (Self { decoder, calls: Arc::clone(calls), ready: Some(ready) }, is_ready)
    }

    /// Takes bytes, and passes log text on.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut log: impl FnMut(&[u8])) {
        let Self { decoder, calls, ready } = self;
        decoder.feed(bytes, |piece| take(calls, ready, piece, &mut log));
    }

    /// The end of the stream: no answer comes from now on.
    pub(crate) fn finish(mut self, mut log: impl FnMut(&[u8])) {
        let Self { decoder, calls, ready } = &mut self;
        decoder.finish(|piece| take(calls, ready, piece, &mut log));
        calls.output_closed();
    }
}

fn take(
    calls: &Calls,
    ready: &mut Option<oneshot::Sender<()>>,
    piece: Piece<'_>,
    log: &mut impl FnMut(&[u8]),
) {
    match piece {
        Piece::Log(text) => log(text),
        Piece::Ready => {
            if let Some(ready) = ready.take() {
                // It has no receiver when the load was cancelled, or readiness is another condition.
                let _ = ready.send(());
            }
        }
        Piece::Answer { id, result } => calls.answered(id, result),
        Piece::TooLong { id, len } => calls.too_long(id, len),
    }
}
