//! Streams of a client: server-sent events, read frame by frame.

use std::marker::PhantomData;

use axum::body::Bytes;
use axum::http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::Address;
use super::connection::{Connection, broken};
use crate::error::ClientError;
use crate::wire::{Event, Gap, LogLine};

/// An item of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Streamed<T> {
    /// The next one, with the id to go on from.
    Next(T, String),
    /// Something is lost.
    Gap(Gap),
}

/// Follows events.
pub type EventStream = Frames<Event>;
/// Follows the output of a component.
pub type LogStream = Frames<LogLine>;

/// Reads a stream. Dropping it ends the stream.
#[derive(Debug)]
pub struct Frames<T> {
    connection: Connection,
    body: Incoming,
    address: Address,
    buffer: Vec<u8>,
    of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Frames<T> {
    pub(super) async fn open(
        address: &Address,
        path: &str,
        after: Option<&str>,
    ) -> Result<Self, ClientError> {
        let mut connection = Connection::open(address).await?;
        let headers: Vec<_> =
            after.map(|id| ("last-event-id", id.to_owned())).into_iter().collect();
        let response = connection.send(&Method::GET, path, &headers, Bytes::new()).await?;
        let body = response.into_body();
        let (address, buffer) = (address.clone(), Vec::new());
        Ok(Self { connection, body, address, buffer, of: PhantomData })
    }

    /// The next one; none when the server has ended. Cancel safe.
    ///
    /// # Errors
    /// When the connection breaks, or what comes cannot be read.
    pub async fn next(&mut self) -> Result<Option<Streamed<T>>, ClientError> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\n\n") {
                let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(streamed) = self.read(&frame)? {
                    return Ok(Some(streamed));
                }
                continue;
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(&self.address, &error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// One frame; none for a comment.
    fn read(&self, frame: &[u8]) -> Result<Option<Streamed<T>>, ClientError> {
        let text = String::from_utf8_lossy(frame);
        let (mut id, mut event, mut data) = ("", "", "");
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("id", value)) => id = value,
                Some(("event", value)) => event = value,
                Some(("data", value)) => data = value,
                _ => {}
            }
        }
        if data.is_empty() {
            return Ok(None);
        }
        let unreadable = |e: serde_json::Error| self.connection.unreadable(e.to_string());
        Ok(Some(if event == "gap" {
            Streamed::Gap(serde_json::from_str(data).map_err(unreadable)?)
        } else {
            Streamed::Next(serde_json::from_str(data).map_err(unreadable)?, id.to_owned())
        }))
    }
}
