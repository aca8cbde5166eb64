//! Bodies that are held in memory while their component is found: bounded each, and all together.
//!
//! Invariant: the bytes that are read never exceed the room that was taken for them before; it is given back when they are handed to the
//! connection, which may hold them until the component reads. A body takes its whole room at once, so that no two bodies wait for each
//! other.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Bytes};
use majordomo::ByteSize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::BodyError;
use crate::refused::Refused;

/// The unit in which room is counted.
const UNIT: u64 = 4 << 10;

/// Room for bodies.
#[derive(Debug)]
pub(crate) struct Room {
    total: ByteSize,
    units: Arc<Semaphore>,
}

/// The room of one body; free again when it is dropped.
pub(crate) type Taken = OwnedSemaphorePermit;

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl Room {
    pub(crate) fn new(total: ByteSize) -> Self {
        let n = usize::try_from(units(total.bytes())).unwrap_or(Semaphore::MAX_PERMITS);
        Self { total, units: Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS))) }
    }

    pub(crate) fn total(&self) -> ByteSize {
        self.total
    }

    /// Takes room, at most all there is.
    async fn take(&self, bytes: u64, within: Duration) -> Result<Taken, Refused> {
        let n = units(bytes.min(self.total.bytes()));
        let taken = tokio::time::timeout(within, Arc::clone(&self.units).acquire_many_owned(n));
        // The semaphore is never closed.
        taken.await.map_err(|_| Refused::no_room())?.map_err(|_| Refused::shutting_down())
    }
}

/// A body that comes in, as far as it was read.
pub(crate) struct Reading<B> {
    body: B,
    bytes: Vec<u8>,
    limit: ByteSize,
    stall: Duration,
    taken: Taken,
}

impl<B> Reading<B>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Unpin,
{
    /// Takes room for a body: what it announces, else the most that it may have.
    ///
    /// # Errors
    /// A body that announces more than `limit`, and no room within `within`.
    pub(crate) async fn begin(
        body: B,
        room: &Room,
        limit: ByteSize,
        (within, stall): (Duration, Duration),
    ) -> Result<Self, Refused> {
        let hint = body.size_hint();
        if hint.lower() > limit.bytes() {
            return Err(Refused::too_large(limit));
        }
        let bytes = hint.exact().unwrap_or(limit.bytes());
        let taken = room.take(bytes, within).await?;
        let capacity = hint.exact().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        Ok(Self { body, bytes: Vec::with_capacity(capacity), limit, stall, taken })
    }

    /// The bytes so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the next part; false at the end.
    ///
    /// # Errors
    /// A body that is larger than its limit, breaks off or does not come.
    pub(crate) async fn more(&mut self) -> Result<bool, Refused> {
        let frame = tokio::time::timeout(self.stall, self.body.frame()).await;
        let Some(frame) = frame.map_err(|_| Refused::slow_body())? else { return Ok(false) };
        let frame = frame.map_err(|error| Refused::bad_request(error.to_string()))?;
        let Ok(data) = frame.into_data() else { return Ok(true) };
        if (self.bytes.len() + data.len()) as u64 > self.limit.bytes() {
            return Err(Refused::too_large(self.limit));
        }
        self.bytes.extend_from_slice(&data);
        Ok(true)
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Self::more`].
    pub(crate) async fn whole(mut self) -> Result<(Vec<u8>, Taken), Refused> {
        while self.more().await? {}
        let keep = units(self.bytes.len() as u64) as usize;
        let spare = self.taken.num_permits().saturating_sub(keep);
        drop(self.taken.split(spare));
        Ok((self.bytes, self.taken))
    }

    /// The part that was read, its room, and the rest.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Taken, B) {
        (self.bytes, self.taken, self.body)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body_util::Full;
    use hyper::body::Frame;
    use tokio::sync::mpsc::Receiver;

    use super::*;

    const TIMES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(1));

    fn full(n: usize) -> impl HttpBody<Data = Bytes, Error = BodyError> + Unpin {
        Full::new(Bytes::from(vec![b'x'; n])).map_err(|never| match never {})
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_have_a_bound_each_and_together() {
        let (room, limit) = (Room::new(ByteSize::kib(64)), ByteSize::kib(48));
        let begin = |n| Reading::begin(full(n), &room, limit, TIMES);
        assert_eq!(begin(49 << 10).await.err().map(|r| r.status()), Some(413));
        let (first, taken) = begin(48 << 10).await.unwrap().whole().await.unwrap();
        assert_eq!(first.len(), 48 << 10);
        assert_eq!(begin(17 << 10).await.err().map(|r| r.code()), Some("no_room"));
        assert!(begin(16 << 10).await.is_ok());
        drop(taken);
        assert!(begin(48 << 10).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn body_of_unknown_length_takes_its_most_until_it_is_there() {
        let (room, limit) = (Room::new(ByteSize::kib(64)), ByteSize::kib(48));
        let (send, receive) = tokio::sync::mpsc::channel(8);
        let stream = Parts(receive);
        let mut reading = Reading::begin(stream, &room, limit, TIMES).await.unwrap();
        assert!(Reading::begin(full(17 << 10), &room, limit, TIMES).await.is_err());
        assert_eq!(reading.more().await.err().map(|r| r.status()), Some(408), "it stalls");
        send.send(Bytes::from_static(b"ab")).await.unwrap();
        drop(send);
        let (bytes, _taken) = reading.whole().await.unwrap();
        assert_eq!(bytes, b"ab");
        assert!(Reading::begin(full(48 << 10), &room, limit, TIMES).await.is_ok());
    }

    struct Parts(Receiver<Bytes>);

    impl HttpBody for Parts {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            self.0.poll_recv(cx).map(|part| part.map(|bytes| Ok(Frame::data(bytes))))
        }
    }
}
