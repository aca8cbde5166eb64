//! The data plane of Majordomo: clients connect as ever, a request loads its component and is passed on.
//!
//! - [`Gateway`]: a [`tower_service::Service`] of HTTP requests, usable in any program with a [`majordomo::Manager`].
//! - [`claim`]: the gateway with listeners of its own, as `majordomo serve` mounts it.
//! - [`Held`], [`Tracker`]: the lease of a connection of any protocol.
//!
//! Decides nothing about components: a request waits under the admission of the manager. `docs/gateway.md` shows clients that work,
//! ADR 0035 the reasons.
//!
//! ```no_run
//! use majordomo::{ComponentSpec, GatewaySpec, Manager, Serves};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut chat = ComponentSpec::process("chat", &["llama-server", "--port", "{port}"])?;
//! chat.route_mut().serves = vec![Serves::Chat];
//! let manager = Manager::builder().component(chat).gateway(GatewaySpec::default()).start().await?;
//! // An axum program would mount it with `Router::fallback_service(gateway)`.
//! let gateway = majordomo_gateway::Gateway::new(manager, "/etc/assistant".into()).await?;
//! assert_eq!(gateway.members().len(), 1);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod access;
mod activity;
mod answer;
mod api;
mod buffer;
mod content;
mod dispatch;
mod error;
mod exchange;
mod figures;
mod flow;
mod gateway;
mod headers;
mod hold;
mod json;
mod listener;
mod lists;
mod loading;
mod lock;
mod member;
mod multipart;
mod names;
mod outgoing;
mod page;
mod peer;
mod places;
mod progress;
mod proxy;
mod refused;
mod route;
mod select;
mod serve;
mod service;
mod strict;
mod upstream;
mod websocket;

pub use activity::Tracker;
pub use answer::{Body, BodyError};
pub use error::GatewayError;
pub use gateway::{Gateway, StatusSection};
pub use hold::Held;
pub use member::Member;
pub use peer::Peer;
pub use refused::Refused;
pub use serve::{Claimed, Running, claim};
pub use upstream::Stream;
