//! The body of a request on its way to a component.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};

use crate::answer::BodyError;
use crate::buffer::Taken;

/// The body of a request on its way to a component: a part that is in memory, and the rest as it comes.
pub(crate) struct Outgoing {
    read: Bytes,
    rest: Option<UnsyncBoxBody<Bytes, BodyError>>,
    /// The room of the part in memory.
    taken: Option<Arc<Taken>>,
}

impl Outgoing {
    /// A body that is in memory, and may be sent again.
    pub(crate) fn full(bytes: impl Into<Bytes>, taken: Option<Taken>) -> Self {
        Self { read: bytes.into(), rest: None, taken: taken.map(Arc::new) }
    }

    /// A body that is passed on as it comes, after a part that was read already.
    pub(crate) fn stream<B>(read: impl Into<Bytes>, taken: Option<Taken>, rest: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        let rest = (!rest.is_end_stream()).then(|| UnsyncBoxBody::new(rest));
        Self { read: read.into(), rest, taken: taken.map(Arc::new) }
    }

    /// The same body for a second attempt; none when it is passed on as it comes.
    pub(crate) fn again(&self) -> Option<Self> {
        let taken = self.taken.clone();
        self.rest.is_none().then(|| Self { read: self.read.clone(), rest: None, taken })
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if !this.read.is_empty() {
            this.taken = None;
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.read)))));
        }
        match &mut this.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.rest.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint);
        let read = self.read.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint.set_lower(hint.lower().saturating_add(read));
        hint
    }
}
