//! The page that a browser shows while a component is loaded: its progress, and then the component itself.
//!
//! Plain HTML that loads itself again each second; no script, so that it works under any policy of the browser. The load continues
//! while no request waits for it.

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::answer::Body;
use crate::progress::Progress;
use crate::refused::{Refused, seconds};

/// Whether a request is that of a person who opens a page.
pub(crate) fn is_due(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    // Scripts of a page fetch HTML, too, and cannot show another page.
    let is_navigation = matches!(text("sec-fetch-mode"), "" | "navigate");
    *method == Method::GET && text("accept").contains("text/html") && is_navigation
}

/// The page, answered as 503 so that no program takes it for the component's own.
pub(crate) fn waiting(progress: &Progress) -> Response<Body> {
    let bar = progress.share().map_or_else(
        || "<progress></progress>".to_owned(),
        |share| format!("<progress value=\"{share:.2}\"></progress>"),
    );
    let text = escaped(&progress.to_string());
    let html = format!(
        "{HEAD}<meta http-equiv=\"refresh\" content=\"1\"><title>{name}</title>{STYLE}<main><h1>{name}</h1>{bar}<p>{text}</p></main>",
        name = escaped(&progress.name)
    );
    let mut response = page(StatusCode::SERVICE_UNAVAILABLE, html);
    let left = progress.left().unwrap_or_default();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds(left)));
    response
}

/// A refusal as a page.
pub(crate) fn refused(refused: &Refused) -> Response<Body> {
    let text = escaped(refused.message());
    let html = format!(
        "{HEAD}<title>{code}</title>{STYLE}<main><h1>{code}</h1><p>{text}</p></main>",
        code = refused.status()
    );
    let status = StatusCode::from_u16(refused.status());
    page(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), html)
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">";
const STYLE: &str = "<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:0;min-height:100vh;display:grid;place-items:center}main{width:min(30rem,90vw)}h1{font-size:1.3rem}progress{width:100%}</style>";

fn page(status: StatusCode, html: String) -> Response<Body> {
    let mut response = Response::new(Body::full(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_people_are_shown_a_page() {
        let check = |method: Method, accept: &'static str, mode: Option<&'static str>, want| {
            let mut headers = HeaderMap::new();
            headers.insert("accept", HeaderValue::from_static(accept));
            if let Some(mode) = mode {
                headers.insert("sec-fetch-mode", HeaderValue::from_static(mode));
            }
            assert_eq!(is_due(&method, &headers), want, "{accept} {mode:?}");
        };
        check(Method::GET, "text/html,*/*", Some("navigate"), true);
        check(Method::GET, "text/html", None, true);
        check(Method::GET, "text/html", Some("cors"), false);
        check(Method::GET, "*/*", Some("navigate"), false);
        check(Method::POST, "text/html", Some("navigate"), false);
    }
}
