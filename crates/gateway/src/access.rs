//! The right to use the gateway: the host that a request is for, the page that it comes from, and the token that it shows.
//!
//! Invariant: the checks do not depend on method and path. A web page can send requests to a local address and can give its own
//! name that address; it cannot choose `Host` and `Origin` freely, so that these two are checked.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use majordomo::{ComponentId, GatewaySpec};
use majordomo_http::{Token, TokenError};

use crate::headers::API_KEY;
use crate::refused::Refused;
use crate::route::{host_of, subdomain};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// A token and what it opens.
#[derive(Debug)]
struct Opens {
    /// None when its file cannot be read: then it opens nothing.
    token: Option<Token>,
    components: Option<BTreeSet<ComponentId>>,
}

/// The rules by which requests are let in.
#[derive(Debug)]
pub(crate) struct Access {
    tokens: Vec<Opens>,
    hosts: Vec<String>,
    origins: Vec<String>,
    base_domain: String,
    trusted_proxies: Vec<IpAddr>,
}

/// The right of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Right<'a>(Option<&'a BTreeSet<ComponentId>>);

impl Right<'_> {
    pub(crate) fn opens(&self, id: &ComponentId) -> bool {
        self.0.is_none_or(|components| components.contains(id))
    }
}

/// The page that a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page<'r> {
    /// None, or one of the same host.
    Own,
    /// One that the configuration lets in, by its origin.
    Allowed(&'r str),
}

impl Access {
    /// Reads the tokens; the error of one that cannot be read is given to `report`, and it opens nothing. Blocking.
    pub(crate) fn new(
        spec: &GatewaySpec,
        folder: &Path,
        mut report: impl FnMut(&str, TokenError),
    ) -> Self {
        let read = |token: &majordomo::TokenSpec| {
            let path: PathBuf = folder.join(&token.file);
            let components = token.components.as_ref();
            Opens {
                token: Token::read(&path).map_err(|error| report(&token.name, error)).ok(),
                components: components.map(|ids| ids.iter().cloned().collect()),
            }
        };
        Self {
            tokens: spec.tokens.iter().map(read).collect(),
            hosts: spec.hosts.clone(),
            origins: spec.origins.clone(),
            base_domain: spec.base_domain.clone(),
            trusted_proxies: spec.trusted_proxies.clone(),
        }
    }

    /// Whether requests need a token.
    pub(crate) fn has_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    pub(crate) fn trusts(&self, client: Option<IpAddr>) -> bool {
        client.is_some_and(|client| self.trusted_proxies.contains(&client.to_canonical()))
    }

    pub(crate) fn base_domain(&self) -> &str {
        &self.base_domain
    }

    /// The host that a request is for, with its port.
    ///
    /// # Errors
    /// A host that is not one of this machine, none at all, or several.
    pub(crate) fn host<'r>(&self, parts: &'r Parts) -> Result<&'r str, Refused> {
        let mut named = parts.headers.get_all(HOST).iter();
        let first = named.next().map(|value| value.to_str().unwrap_or("?"));
        if named.next().is_some() {
            return Err(Refused::bad_request("the request has more than one Host"));
        }
        let target = parts.uri.authority().map(http::uri::Authority::as_str);
        let host = match (first, target) {
            (Some(host), Some(target)) if !host.eq_ignore_ascii_case(target) => {
                return Err(Refused::bad_request(format!(
                    "the request line is for {}, and Host for {}",
                    majordomo::quoted_start(target),
                    majordomo::quoted_start(host)
                )));
            }
            (host, target) => host.or(target).unwrap_or(""),
        };
        match self.is_own(host_of(host)) {
            true => Ok(host),
            false => Err(Refused::foreign_host(host)),
        }
    }

    fn is_own(&self, host: &str) -> bool {
        let is = |own: &str| host.eq_ignore_ascii_case(own);
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        bare.parse::<IpAddr>().is_ok()
            || is("localhost")
            || is(&self.base_domain)
            || subdomain(host, &self.base_domain).is_some()
            || self.hosts.iter().any(|own| is(own))
    }

    /// The page that a request comes from.
    ///
    /// # Errors
    /// A page that the configuration does not let in.
    pub(crate) fn page<'r>(
        &self,
        headers: &'r HeaderMap,
        method: &Method,
        host: &str,
    ) -> Result<Page<'r>, Refused> {
        let text = |name: &HeaderName| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
        let Some(origin) = text(&ORIGIN) else {
            // Images, frames and forms of other pages have no origin; a link that is followed is a person's own step. Components
            // below one domain are sites of their own.
            let is_foreign = matches!(text(&FETCH_SITE), Some("cross-site" | "same-site"));
            let is_link = text(&FETCH_MODE) == Some("navigate")
                && text(&FETCH_DEST) == Some("document")
                && *method == Method::GET;
            return match is_foreign && !is_link {
                true => Err(Refused::foreign_origin("another site")),
                false => Ok(Page::Own),
            };
        };
        if self.origins.iter().any(|allowed| allowed == origin) {
            return Ok(Page::Allowed(origin));
        }
        let own = ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
        match own.is_some_and(|own| own.eq_ignore_ascii_case(host)) {
            true => Ok(Page::Own),
            false => Err(Refused::foreign_origin(origin)),
        }
    }

    /// The right that a request shows.
    ///
    /// # Errors
    /// None, where tokens are configured.
    pub(crate) fn right(&self, headers: &HeaderMap) -> Result<Right<'_>, Refused> {
        if self.tokens.is_empty() {
            return Ok(Right(None));
        }
        let mut shown = Vec::new();
        for value in headers.get_all(AUTHORIZATION) {
            let text = value.to_str().unwrap_or_default();
            if let Some((scheme, token)) = text.split_once(' ')
                && scheme.eq_ignore_ascii_case("bearer")
            {
                shown.push(token.trim());
            }
        }
        shown
            .extend(headers.get_all(API_KEY).iter().filter_map(|v| v.to_str().ok()).map(str::trim));
        let [shown] = shown[..] else { return Err(Refused::unauthorized()) };
        // All are compared, so that the time says nothing about the order of tokens.
        let matching = self.tokens.iter().fold(None, |found, opens| {
            let is_it = opens.token.as_ref().is_some_and(|token| token.is(shown));
            if is_it { Some(opens) } else { found }
        });
        let opens = matching.ok_or_else(Refused::unauthorized)?;
        Ok(Right(opens.components.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(change: impl FnOnce(&mut GatewaySpec)) -> Access {
        let mut spec = GatewaySpec::default();
        change(&mut spec);
        Access::new(&spec, Path::new("/nowhere"), |_, _| {})
    }

    fn request(uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn hosts_of_this_machine_are_taken() {
        let access = access(|spec| {
            spec.hosts.push("box.lan".to_owned());
            spec.base_domain = "home.arpa".to_owned();
        });
        let status = |uri: &str, hosts: &[&str]| {
            let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            access.host(&request(uri, &fields)).map(str::to_owned).map_err(|r| r.status())
        };
        for host in [
            "localhost",
            "LOCALHOST:7422",
            "127.0.0.1:1",
            "192.168.1.7",
            "[::1]:80",
            "box.lan:9",
            "home.arpa",
            "chat.home.arpa:7422",
            "a.b.HOME.ARPA",
        ] {
            assert_eq!(status("/", &[host]).as_deref(), Ok(host));
        }
        for host in
            ["evil.example", "xhome.arpa", "", "localhost.evil.example", "home.arpa.evil", "?"]
        {
            assert_eq!(status("/", &[host]), Err(421), "{host}");
        }
        assert_eq!(status("/", &[]), Err(421));
        assert_eq!(status("/", &["localhost", "localhost"]), Err(400));
        assert_eq!(status("http://localhost/", &["localhost"]).as_deref(), Ok("localhost"));
        assert_eq!(status("http://localhost/", &["box.lan"]), Err(400));
    }

    #[test]
    fn pages_of_other_hosts_are_refused_unless_they_are_named() {
        let access = access(|spec| spec.origins.push("https://chat.example".to_owned()));
        let check = |method: Method, fields: &[(&str, &str)], want: Result<Page<'_>, u16>| {
            let parts = request("/", fields);
            let page = access.page(&parts.headers, &method, "draw.localhost:7422");
            assert_eq!(page.map_err(|r| r.status()), want, "{fields:?}");
        };
        check(Method::POST, &[], Ok(Page::Own));
        check(Method::POST, &[("origin", "http://draw.localhost:7422")], Ok(Page::Own));
        check(
            Method::POST,
            &[("origin", "https://chat.example")],
            Ok(Page::Allowed("https://chat.example")),
        );
        for origin in [
            "null",
            "http://chat.example",
            "https://chat.example:1",
            "http://draw.localhost",
            "http://a.localhost:7422",
        ] {
            check(Method::GET, &[("origin", origin)], Err(403));
        }
        check(Method::GET, &[("sec-fetch-site", "cross-site")], Err(403));
        check(Method::GET, &[("sec-fetch-site", "same-site")], Err(403));
        let step = |to| {
            [
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", to),
            ]
        };
        check(Method::GET, &step("iframe"), Err(403));
        let link = step("document");
        check(Method::GET, &link, Ok(Page::Own));
        check(Method::POST, &link, Err(403));
    }

    #[test]
    fn token_is_shown_once_and_opens_its_components() {
        let id = |name: &str| ComponentId::new(name).unwrap();
        let mut access = access(|_| {});
        assert!(access.right(&HeaderMap::new()).unwrap().opens(&id("a")));
        let opens = |token: &str, components: Option<&[&str]>| Opens {
            token: Some(Token::new(token).unwrap()),
            components: components.map(|names| names.iter().map(|n| id(n)).collect()),
        };
        access.tokens = vec![
            opens("0123456789abcdef", None),
            opens("fedcba9876543210", Some(&["a"])),
            Opens { token: None, components: None },
        ];
        let right = |fields: &[(&str, &str)]| {
            let parts = request("/", fields);
            let right = access.right(&parts.headers).map_err(|r| r.status())?;
            Ok::<_, u16>((right.opens(&id("a")), right.opens(&id("b"))))
        };
        assert_eq!(right(&[("authorization", "Bearer 0123456789abcdef")]), Ok((true, true)));
        assert_eq!(right(&[("x-api-key", "fedcba9876543210")]), Ok((true, false)));
        for wrong in [
            &[][..],
            &[("authorization", "Bearer 0123456789abcdeX")],
            &[("authorization", "Basic 0123456789abcdef")],
            &[("x-api-key", "")],
            &[("x-api-key", "fedcba9876543210"), ("authorization", "Bearer 0123456789abcdef")],
        ] {
            assert_eq!(right(wrong), Err(401), "{wrong:?}");
        }
    }
}
