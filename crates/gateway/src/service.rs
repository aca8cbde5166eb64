//! The service: a request in, an answer out, whatever happens between.
//!
//! Owns the order of the first checks (host, page, token) and the answers that pages of other hosts need. Nothing is loaded before
//! all checks have passed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Bytes};

use crate::access::{Page, Right};
use crate::answer::{Body, BodyError};
use crate::api::Api;
use crate::content::Content;
use crate::dispatch::Dispatch;
use crate::gateway::{Gateway, Table};
use crate::page;
use crate::refused::Refused;
use crate::route::host_of;

/// An error of a body as any server has it.
type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl<B> tower_service::Service<Request<B>> for Gateway
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<AnyError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let gateway = self.clone();
        Box::pin(async move { Ok(gateway.serve(request).await) })
    }
}

/// The findings of the first checks.
struct Admitted<'t> {
    host: String,
    /// The page of another host that the request comes from, where that is let in.
    page: Option<HeaderValue>,
    /// None for the question of a browser whether a page may send its request, which shows no token.
    right: Option<Right<'t>>,
}

impl Gateway {
    async fn serve<B>(self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<AnyError>,
    {
        let table = self.table().await;
        let (parts, body) = request.into_parts();
        let shows_page = page::is_due(&parts.method, &parts.headers);
        let mut api = Api::of(parts.uri.path());
        let (answered, page) = match self.admitted(&table, &parts) {
            Ok(Admitted { page, right: None, .. }) => (Ok(preflight(&parts)), page),
            Ok(Admitted { host, page, right: Some(right) }) => {
                if Dispatch::is_for_component(&table, host_of(&host), &parts) {
                    api = Api::Other;
                }
                let body = body.map_err(|error| BodyError::Client(error.into()));
                let dispatch = Dispatch { gateway: &self, table: &table, host: &host, right, api };
                (dispatch.answer(parts, Content::Unread(body)).await, page)
            }
            Err(refused) => (Err(refused), None),
        };
        let mut response = match answered {
            Ok(response) => response,
            Err(refused) if shows_page => page::refused(&refused),
            Err(refused) => refused.response(api),
        };
        if let Some(origin) = page {
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        response
    }

    fn admitted<'t>(&self, table: &'t Table, parts: &Parts) -> Result<Admitted<'t>, Refused> {
        if self.is_closing() {
            return Err(Refused::shutting_down());
        }
        let host = table.access.host(parts)?;
        let page = table.access.page(&parts.headers, &parts.method, host)?;
        let is_other = matches!(page, Page::Allowed(_));
        let right = match is_other && is_preflight(parts) {
            true => None,
            false => Some(table.access.right(&parts.headers)?),
        };
        let page = parts.headers.get(ORIGIN).filter(|_| is_other).cloned();
        Ok(Admitted { host: host.to_owned(), page, right })
    }
}

/// Whether a browser asks if a page may send its request.
fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The page may send what it asked for: it is one that the configuration names.
fn preflight(parts: &Parts) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let asked = [
        (ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS),
        (ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS),
    ];
    for (asked, allowed) in asked {
        if let Some(value) = parts.headers.get(asked) {
            response.headers_mut().insert(allowed, value.clone());
        }
    }
    response.headers_mut().insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}
