//! From a request that has passed the first checks to its component, and to the way in which its client waits.

use std::sync::Arc;
use std::time::Duration;

use http::header::LOCATION;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, StatusCode};
use hyper::body::{Body as HttpBody, Bytes};
use hyper::upgrade::OnUpgrade;
use majordomo::{Endpoint, SelectorSpec};

use crate::access::Right;
use crate::answer::{Body, BodyError};
use crate::api::Api;
use crate::content::{Content, Purpose};
use crate::exchange::Exchange;
use crate::figures::Counted;
use crate::gateway::{Gateway, Table};
use crate::lists::{self, List};
use crate::loading::{Loading, Making};
use crate::member::Member;
use crate::names::Target;
use crate::page;
use crate::peer::Peer;
use crate::refused::Refused;
use crate::route::{self, Asked, Claim, HEADER, Source, host_of};
use crate::select;

/// A stream is answered with comments when its component is not ready after this time: until then a refusal has its own status.
const GRACE: Duration = Duration::from_millis(500);

/// A request that has passed the first checks.
pub(crate) struct Dispatch<'d> {
    pub(crate) gateway: &'d Gateway,
    pub(crate) table: &'d Table,
    /// With its port.
    pub(crate) host: &'d str,
    pub(crate) right: Right<'d>,
    pub(crate) api: Api,
}

/// The findings in request line and headers.
struct Line<'d> {
    claimed: Option<Target<'d>>,
    target: PathAndQuery,
    prefix: Option<String>,
    lacks_slash: bool,
    /// The request is for the gateway, or for the component that it names by a header, a query or its body.
    is_front_door: bool,
}

impl<'d> Dispatch<'d> {
    /// Whether a request is for a component's own paths, so that no API of the gateway has anything to say.
    pub(crate) fn is_for_component(table: &Table, host: &str, parts: &Parts) -> bool {
        let asked = Asked::read(host, table.access.base_domain(), &parts.uri, None);
        asked.is_ok_and(|asked| !asked.is_front_door())
    }

    /// Answers a request.
    ///
    /// # Errors
    /// A [`Refused`] with the reason.
    pub(crate) async fn answer<B>(
        &self,
        parts: Parts,
        content: Content<B>,
    ) -> Result<Response<Body>, Refused>
    where
        B: HttpBody<Data = Bytes, Error = BodyError> + Send + Unpin + 'static,
    {
        let line = self.line(&parts)?;
        if line.is_front_door
            && line.claimed.is_none()
            && let Some(list) = List::at(&parts.method, parts.uri.path())
        {
            let status = self.gateway.manager().status().await;
            let status = status.map_err(|_| Refused::shutting_down())?;
            return list
                .answer(self.table, &status, self.right)
                .map_err(|refused| self.listing(refused));
        }
        let within = (&*self.table.spec, &*self.table.room);
        let content = match line.claimed {
            Some(_) => content,
            None => content.read(&parts.headers, within, self.api, Purpose::Find).await?,
        };
        let target = match (line.claimed, content.model()) {
            (Some(target), _) => target,
            (None, Some(name)) => self.named(Source::Body, name)?,
            (None, None) => return Err(Refused::no_name()),
        };
        let member = self.member(target).await?;
        if line.lacks_slash && [Method::GET, Method::HEAD].contains(&parts.method) {
            return Ok(with_slash(&parts));
        }
        let spec = member.spec();
        let route = spec.route();
        let content = match route.rewrites_bodies() || route.learn_text.is_some() {
            true => content.read(&parts.headers, within, self.api, Purpose::Change(route)).await?,
            false => content,
        };
        let is_unused = !line.is_front_door
            && self.table.spec.ignore_paths.iter().any(|path| path == line.target.path());
        let streams = content.streams() && matches!(self.api, Api::OpenAi | Api::Anthropic);
        let shows_page =
            self.table.spec.waiting_page && page::is_due(&parts.method, &parts.headers);
        let sent = content.sent(route, self.api)?;
        let mut exchange = self.exchange(&member, line, parts, sent);
        if is_unused {
            return self.pass_unused(exchange).await;
        }
        member.figures.count(Counted::Request);
        if let Some(held) = self.gateway.hold_if_ready(&member) {
            return exchange.run(held).await;
        }
        if shows_page && let Some(page) = self.waiting_page(&member).await {
            return Ok(page);
        }
        if !streams {
            return exchange.wait_and_run().await;
        }
        // Comments may come before it: one stream is not compressed in a part.
        exchange.parts.headers.remove(http::header::ACCEPT_ENCODING);
        let mut making: Making = Box::pin(exchange.wait_and_run());
        tokio::select! {
            made = &mut making => made,
            () = tokio::time::sleep(GRACE) => {
                Ok(Loading::response(making, self.gateway.clone(), member, self.api))
            }
        }
    }

    fn line(&self, parts: &Parts) -> Result<Line<'d>, Refused> {
        let header = parts.headers.get(HEADER).map(|value| value.to_str().unwrap_or("?"));
        let base = self.table.access.base_domain();
        let asked = Asked::read(host_of(self.host), base, &parts.uri, header)?;
        let claimed = route::agree(&asked.claims, &self.table.names);
        let target = asked.target.parse().map_err(|_| {
            Refused::bad_request("the path after the component's name is no path".to_owned())
        })?;
        Ok(Line {
            claimed: claimed.map_err(|refused| self.listing(refused))?,
            target,
            prefix: asked.prefix.map(str::to_owned),
            lacks_slash: asked.lacks_slash,
            is_front_door: asked.is_front_door(),
        })
    }

    /// Adds the names that the client may use to a refusal of one that does not exist.
    fn listing(&self, refused: Refused) -> Refused {
        refused.listing(&lists::names(self.table, self.right))
    }

    fn named(&self, source: Source, name: &str) -> Result<Target<'d>, Refused> {
        let claim = [Claim { source, name: name.into() }];
        let target = route::agree(&claim, &self.table.names);
        target.map_err(|refused| self.listing(refused))?.ok_or_else(Refused::no_name)
    }

    /// The component that a request is sent to, if the client may use it.
    async fn member(&self, target: Target<'_>) -> Result<Arc<Member>, Refused> {
        let id = match target {
            Target::Component(id) => id.clone(),
            Target::Selector(selector) => self.selected(selector).await?,
        };
        if !self.right.opens(&id) {
            return Err(Refused::forbidden(&id));
        }
        let member = self.table.members.get(&id);
        let member = member.ok_or_else(|| self.listing(Refused::unknown(id.as_str())))?;
        match member.is_reachable() {
            true => Ok(Arc::clone(member)),
            false => Err(Refused::no_address(&id)),
        }
    }

    async fn selected(&self, selector: &SelectorSpec) -> Result<majordomo::ComponentId, Refused> {
        let status = self.gateway.manager().status().await;
        let status = status.map_err(|_| Refused::shutting_down())?;
        let chosen = select::choose(selector, &status, |id| self.right.opens(id));
        chosen.ok_or_else(|| Refused::none_selected(&selector.name))
    }

    fn exchange(
        &self,
        member: &Arc<Member>,
        line: Line<'_>,
        mut parts: Parts,
        sent: crate::content::Sent,
    ) -> Exchange {
        let client = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        Exchange {
            gateway: self.gateway.clone(),
            member: Arc::clone(member),
            parts,
            body: sent.body,
            target: line.target,
            host: self.host.to_owned(),
            prefix: line.prefix,
            client,
            is_trusted: self.table.access.trusts(client),
            has_tokens: self.table.access.has_tokens(),
            is_rewritten: sent.is_rewritten,
            on_upgrade,
            text: sent.text,
        }
    }

    /// Passes on a request that neither loads its component nor counts as its use.
    async fn pass_unused(&self, exchange: Exchange) -> Result<Response<Body>, Refused> {
        let member = Arc::clone(&exchange.member);
        let not_loaded = || Refused::not_loaded(&member.id);
        // The address of the lease counts as a use; the status has it, too.
        let status = self.gateway.manager().status().await.map_err(|_| Refused::shutting_down())?;
        let component = status.components.iter().find(|c| c.id == member.id);
        let endpoint: Option<Endpoint> = component.and_then(|c| c.endpoint.clone());
        let held = self.gateway.hold_unused(&member, endpoint.as_ref()).ok_or_else(not_loaded)?;
        exchange.run(held).await
    }

    /// The page for a browser whose component is not ready. The load continues without a request that waits for it. None when the
    /// component became ready meanwhile.
    async fn waiting_page(&self, member: &Arc<Member>) -> Option<Response<Body>> {
        let warming = self.gateway.warm(member);
        tokio::select! {
            refused = warming => match refused {
                Some(refused) => return Some(page::refused(&refused)),
                None => return None,
            },
            () = tokio::time::sleep(GRACE) => {}
        }
        let progress = self.gateway.progress(member).await?;
        Some(page::waiting(&progress))
    }
}

/// Sends a browser to the path below which the component's own paths are, so that its relative links work.
fn with_slash(parts: &Parts) -> Response<Body> {
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}/{query}", parts.uri.path());
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
