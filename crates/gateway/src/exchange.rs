//! One request on its way: everything that has to be known once its component is held.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Response, StatusCode, Uri, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::activity::{Farewell, Tracker, splice};
use crate::answer::Body;
use crate::figures::Counted;
use crate::gateway::Gateway;
use crate::headers::{self, Circumstances};
use crate::hold::Held;
use crate::member::Member;
use crate::outgoing::Outgoing;
use crate::proxy::{self, Passed};
use crate::refused::Refused;
use crate::websocket::Frames;

/// A request whose component is known.
pub(crate) struct Exchange {
    pub(crate) gateway: Gateway,
    pub(crate) member: Arc<Member>,
    pub(crate) parts: Parts,
    pub(crate) body: Outgoing,
    /// Path and query as the component gets them.
    pub(crate) target: PathAndQuery,
    /// The host as the client named it.
    pub(crate) host: String,
    /// The part of the path that was stripped.
    pub(crate) prefix: Option<String>,
    pub(crate) client: Option<IpAddr>,
    pub(crate) is_trusted: bool,
    pub(crate) has_tokens: bool,
    pub(crate) is_rewritten: bool,
    /// The client's connection, where it may change its protocol.
    pub(crate) on_upgrade: Option<OnUpgrade>,
    /// A text that is learned when the request succeeds.
    pub(crate) text: Option<String>,
}

impl Exchange {
    /// Waits for the component and passes the request on.
    ///
    /// # Errors
    /// A [`Refused`] with the reason.
    pub(crate) async fn wait_and_run(self) -> Result<Response<Body>, Refused> {
        let held = self.gateway.hold(&self.member).await?;
        self.run(held).await
    }

    /// Passes the request on to the component that is held.
    ///
    /// # Errors
    /// A [`Refused`] with the reason.
    pub(crate) async fn run(mut self, held: Held) -> Result<Response<Body>, Refused> {
        let upgrade = self.on_upgrade.as_ref().and(headers::upgrade_of(&self.parts.headers));
        headers::to_component(
            &mut self.parts.headers,
            &Circumstances {
                client: self.client,
                is_trusted: self.is_trusted,
                host: &self.host,
                prefix: self.prefix.as_deref(),
                has_tokens: self.has_tokens,
                authority: held.address.authority(),
                upgrade: upgrade.clone(),
                is_rewritten: self.is_rewritten,
            },
        );
        self.parts.uri = Uri::from(self.target);
        self.parts.version = Version::HTTP_11;
        self.parts.extensions.clear();
        let within = self.gateway.last_table().spec.answer_time;
        let mut answer = proxy::send(held, self.parts, self.body, within).await?;
        if let Some(text) = self.text.take()
            && answer.status().is_success()
        {
            self.gateway.learn(text, &self.member);
        }
        let is_changing = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = answer.headers().get(http::header::UPGRADE).cloned().filter(|_| is_changing);
        headers::to_client(answer.headers_mut(), self.prefix.as_deref(), protocol);
        *answer.version_mut() = Version::HTTP_11;
        if !is_changing {
            return Ok(answer.map(Body::stream));
        }
        match (self.on_upgrade, upgrade) {
            (Some(on_client), Some(protocol)) => {
                Ok(change_protocol(self.gateway, on_client, answer, &protocol))
            }
            _ => {
                let why = "it changed the protocol, which the request did not ask for";
                Err(Refused::component_failed(&self.member.id, why))
            }
        }
    }
}

/// Answers that the protocol changes, and passes bytes on once it has.
fn change_protocol(
    gateway: Gateway,
    on_client: OnUpgrade,
    mut answer: Response<Passed>,
    protocol: &HeaderValue,
) -> Response<Body> {
    let on_component = hyper::upgrade::on(&mut answer);
    let (parts, passed) = answer.into_parts();
    let is_websocket = protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
    if let Some(held) = passed.into_held() {
        held.member.figures.count(Counted::Connection);
        let tracker = Tracker::new(gateway, held);
        tokio::spawn(async move {
            let (client, component) = match tokio::try_join!(on_client, on_component) {
                Ok(both) => both,
                Err(error) => {
                    return tracing::debug!(%error, "a connection did not change its protocol");
                }
            };
            let farewell = match is_websocket {
                true => Farewell::WebSocket(Frames::default()),
                false => Farewell::None,
            };
            splice(TokioIo::new(client), TokioIo::new(component), tracker, farewell).await;
        });
    }
    Response::from_parts(parts, Body::empty())
}
