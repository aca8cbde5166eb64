//! HTTP/1 as the listeners of Majordomo take it: requests delimited strictly, and secret tokens.
//!
//! - [`framing`]: where a request ends and the next one begins, checked before a parser sees a byte.
//! - [`Token`]: a secret that clients show; never printed, compared in constant time.
//!
//! Knows no socket, no route and no component. The socket API and the gateway use the same rules, so that no request means one
//! thing to one and another thing to the other.
//!
//! ```
//! use majordomo_http::framing::{self, HeadEnd};
//!
//! let request = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi";
//! let end = HeadEnd::default().find(request)?.expect("the head is complete");
//! let mut body = framing::check(&request[..end])?;
//! assert_eq!(body.take(&request[end..]), Some(2));
//! assert!(body.is_done());
//!
//! let twice = b"GET / HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n";
//! assert!(framing::check(twice).is_err());
//! # Ok::<(), framing::Fault>(())
//! ```
#![forbid(unsafe_code)]

pub mod framing;
mod token;

pub use token::{Token, TokenError};
