//! Frames of a WebSocket (RFC 6455, section 5.2) on their way to the client: where one ends, so that a close frame can follow.
//!
//! Reads lengths and opcodes only. A component that is unloaded ends its connections without a word; the client then hears the
//! code 1012 (service restart) in its place.

/// The close code for a client that may connect again.
const SERVICE_RESTART: u16 = 1012;
const REASON: &[u8] = b"the component was unloaded; connect again";
/// The opcode of a close frame.
const CLOSE: u8 = 0x8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the first byte of a frame.
    Start,
    /// At the byte with the length.
    Length,
    /// In the bytes of a long length.
    LongLength { left: u8, length: u64 },
    /// In the payload, of which so much is left.
    Payload(u64),
}

/// A stream of frames without masks, as servers send them.
#[derive(Debug)]
pub(crate) struct Frames {
    at: At,
    /// A close frame has passed.
    is_closed: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self { at: At::Start, is_closed: false }
    }
}

impl Frames {
    /// Bytes have passed.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            bytes = rest;
            self.at = match self.at {
                At::Start => {
                    self.is_closed |= first & 0xf == CLOSE;
                    At::Length
                }
                At::Length => match first & 0x7f {
                    126 => At::LongLength { left: 2, length: 0 },
                    127 => At::LongLength { left: 8, length: 0 },
                    length => Self::payload(length.into()),
                },
                At::LongLength { left, length } => {
                    let length = length << 8 | u64::from(*first);
                    match left {
                        1 => Self::payload(length),
                        left => At::LongLength { left: left - 1, length },
                    }
                }
                At::Payload(left) => {
                    // The byte that was taken, and as many more as there are.
                    let more = (left - 1).min(rest.len() as u64);
                    bytes = &rest[usize::try_from(more).unwrap_or(rest.len())..];
                    Self::payload(left - 1 - more)
                }
            };
        }
    }

    const fn payload(length: u64) -> At {
        match length {
            0 => At::Start,
            length => At::Payload(length),
        }
    }

    /// The close frame that the client has not got; nothing in the middle of a frame or after a close.
    pub(crate) fn farewell(&self) -> Vec<u8> {
        if self.is_closed || self.at != At::Start {
            return Vec::new();
        }
        let length = u8::try_from(2 + REASON.len()).unwrap_or(125);
        let mut frame = vec![0x80 | CLOSE, length];
        frame.extend_from_slice(&SERVICE_RESTART.to_be_bytes());
        frame.extend_from_slice(REASON);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match length {
            0..=125 => frame.push(length as u8),
            126..=65535 => {
                frame.push(126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.resize(frame.len() + length, 0x88);
        frame
    }

    #[test]
    fn farewell_follows_whole_frames_only() {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for length in [0, 1, 125, 126, 300, 70_000] {
            bytes.extend(frame(2, length));
            ends.push(bytes.len());
        }
        for step in [1, 7, 4096, bytes.len()] {
            let (mut frames, mut n) = (Frames::default(), 0);
            for part in bytes.chunks(step) {
                assert_eq!(!frames.farewell().is_empty(), ends.contains(&n), "{step} {n}");
                frames.pass(part);
                n += part.len();
            }
            let farewell = frames.farewell();
            assert_eq!((farewell[0], &farewell[2..4]), (0x88, &1012_u16.to_be_bytes()[..]));
            frames.pass(&frame(CLOSE, 2));
            assert!(frames.farewell().is_empty());
        }
    }
}
