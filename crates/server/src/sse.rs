//! Frames of server-sent events.

use axum::body::Bytes;

/// The media type of server-sent events.
pub(crate) const MEDIA_TYPE: &str = "text/event-stream";

/// One frame.
pub(crate) fn frame<T: serde::Serialize>(id: Option<&str>, event: &str, data: &T) -> Bytes {
    let mut out = Vec::with_capacity(256);
    if let Some(id) = id {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    // JSON has no raw line ends, so one line is enough; plain data cannot fail.
    drop(serde_json::to_writer(&mut out, data));
    out.extend_from_slice(b"\n\n");
    out.into()
}
