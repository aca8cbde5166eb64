//! Which component a request is for, by everything but its body.
//!
//! Owns the order of sources: the host, then the path, then the header, then the query. Pure: knows names and texts, and neither
//! sockets nor components. Invariant: two sources that mean different things are refused, never ranked.

use std::borrow::Cow;
use std::fmt;

use http::Uri;
use majordomo::quoted_start;

use crate::names::{Names, Target};
use crate::refused::Refused;

/// The header that names the component.
pub(crate) const HEADER: &str = "x-majordomo-component";
/// The paths below which a component's own paths are.
const PREFIXES: [&str; 2] = ["/c/", "/upstream/"];

/// The source of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Host,
    Path,
    Header,
    Query,
    Body,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the host",
            Self::Path => "the path",
            Self::Header => "the header X-Majordomo-Component",
            Self::Query => "the query `model`",
            Self::Body => "`model` in the body",
        })
    }
}

/// A name and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim<'r> {
    pub(crate) source: Source,
    pub(crate) name: Cow<'r, str>,
}

/// A request line and its routing headers, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked<'r> {
    /// In the order of precedence.
    pub(crate) claims: Vec<Claim<'r>>,
    /// Path and query as the component gets them.
    pub(crate) target: Cow<'r, str>,
    /// The part of the path before that.
    pub(crate) prefix: Option<&'r str>,
    /// The path of a component ended where its own path has to begin: `/c/NAME`.
    pub(crate) lacks_slash: bool,
}

impl<'r> Asked<'r> {
    /// Whether the request is for the gateway itself, or for the component that its body names.
    pub(crate) fn is_front_door(&self) -> bool {
        !self.claims.iter().any(|claim| matches!(claim.source, Source::Host | Source::Path))
    }

    /// Reads what a request asks for. `host` is without its port.
    ///
    /// # Errors
    /// A path with `.` or `..` in it, which two readers may take for different ones.
    pub(crate) fn read(
        host: &'r str,
        base_domain: &str,
        uri: &'r Uri,
        header: Option<&'r str>,
    ) -> Result<Self, Refused> {
        let path = uri.path();
        if path.split('/').any(is_dots) {
            return Err(Refused::bad_request(format!(
                "the path {} has a segment . or ..; send the path that is meant",
                quoted_start(path)
            )));
        }
        let mut claims = Vec::new();
        let whole = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let (mut target, mut prefix, mut lacks_slash) = (Cow::Borrowed(whole), None, false);
        if let Some(name) = subdomain(host, base_domain) {
            claims.push(Claim { source: Source::Host, name: Cow::Borrowed(name) });
        } else if let Some((name, own)) = PREFIXES.iter().find_map(|p| below(path, p)) {
            claims.push(Claim { source: Source::Path, name: decoded(name) });
            let rest = &path[own..];
            lacks_slash = rest.is_empty();
            prefix = Some(&path[..own]);
            target = match uri.query() {
                None if lacks_slash => Cow::Borrowed("/"),
                None => Cow::Borrowed(rest),
                Some(query) => {
                    Cow::Owned(format!("{}?{query}", if lacks_slash { "/" } else { rest }))
                }
            };
        }
        if let Some(name) = header {
            claims.push(Claim { source: Source::Header, name: Cow::Borrowed(name) });
        }
        // The query of a component's own path is the component's.
        if claims.iter().all(|claim| claim.source == Source::Header)
            && let Some(name) = uri.query().and_then(|query| parameter(query, "model"))
        {
            claims.push(Claim { source: Source::Query, name });
        }
        Ok(Self { claims, target, prefix, lacks_slash })
    }
}

/// The meaning of all claims; none when nothing is claimed.
///
/// # Errors
/// A name that means nothing, and two that mean different things.
pub(crate) fn agree<'n>(
    claims: &[Claim<'_>],
    names: &'n Names,
) -> Result<Option<Target<'n>>, Refused> {
    let mut found: Option<(&Claim<'_>, Target<'n>)> = None;
    for claim in claims {
        let target = names.find(&claim.name).ok_or_else(|| Refused::unknown(&claim.name))?;
        match &found {
            None => found = Some((claim, target)),
            Some((_, first)) if *first == target => {}
            Some((first, _)) => {
                return Err(Refused::bad_request(format!(
                    "{} names {}, {} names {}; name one component",
                    first.source,
                    quoted_start(&first.name),
                    claim.source,
                    quoted_start(&claim.name)
                )));
            }
        }
    }
    Ok(found.map(|(_, target)| target))
}

/// The host without its port.
pub(crate) fn host_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// NAME of `NAME.base_domain`.
pub(crate) fn subdomain<'h>(host: &'h str, base_domain: &str) -> Option<&'h str> {
    let at = host.len().checked_sub(base_domain.len())?;
    let (name, domain) = (host.get(..at)?, host.get(at..)?);
    let name = name.strip_suffix('.')?;
    (domain.eq_ignore_ascii_case(base_domain) && !name.is_empty()).then_some(name)
}

/// The name after a prefix, and where the rest of the path begins.
fn below<'p>(path: &'p str, prefix: &str) -> Option<(&'p str, usize)> {
    let rest = path.strip_prefix(prefix)?;
    let length = rest.find('/').unwrap_or(rest.len());
    (length > 0).then_some((&rest[..length], prefix.len() + length))
}

/// Whether a segment of a path is `.` or `..`, with its dots encoded or not.
fn is_dots(segment: &str) -> bool {
    let (mut rest, mut dots) = (segment, 0);
    while !rest.is_empty() {
        let encoded = rest.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%2e"));
        rest = match rest.strip_prefix('.') {
            Some(rest) => rest,
            None if encoded => &rest[3..],
            None => return false,
        };
        dots += 1;
    }
    (1..=2).contains(&dots)
}

/// The value of the first parameter with a name.
fn parameter<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| decoded(value))
}

/// Percent-encoded bytes decoded. A text that is not UTF-8 then, or is wrongly encoded, stays as it is and means nothing.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, more @ ..] = rest {
        let pair = more.get(..2).filter(|_| *first == b'%');
        let value = pair.and_then(|pair| std::str::from_utf8(pair).ok());
        match value.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use majordomo::{ComponentSpec, GatewaySpec};

    use super::*;

    fn names() -> Names {
        let spec = |name: &str, alias: &str| {
            let mut spec = ComponentSpec::process(name, &["server", "{port}"]).unwrap();
            spec.route_mut().aliases = vec![alias.to_owned()];
            Arc::new(spec)
        };
        Names::new(&[spec("chat", "org/chat:7b"), spec("draw", "art")], &GatewaySpec::default())
    }

    /// The claims, the target and the prefix.
    fn read(host: &str, uri: &str, header: Option<&str>) -> (Vec<String>, String, String) {
        let uri: Uri = uri.parse().unwrap();
        let asked = Asked::read(host, "localhost", &uri, header).unwrap();
        let claims = asked.claims.iter().map(|c| format!("{:?} {}", c.source, c.name)).collect();
        (claims, asked.target.into_owned(), asked.prefix.unwrap_or_default().to_owned())
    }

    #[test]
    fn sources_come_in_their_order_and_a_path_is_stripped() {
        let check = |host, uri, header, claims: &[&str], target: &str, prefix: &str| {
            let (got, got_target, got_prefix) = read(host, uri, header);
            assert_eq!(
                (got.as_slice(), &*got_target, &*got_prefix),
                (
                    claims.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice(),
                    target,
                    prefix
                ),
                "{host} {uri}"
            );
        };
        check("localhost", "/v1/x?a=b", None, &[], "/v1/x?a=b", "");
        check("draw.localhost", "/c/chat/x", None, &["Host draw"], "/c/chat/x", "");
        check("DRAW.LocalHost", "/", None, &["Host DRAW"], "/", "");
        check("a.b.localhost", "/", None, &["Host a.b"], "/", "");
        check("127.0.0.1", "/c/draw/x/y?q", None, &["Path draw"], "/x/y?q", "/c/draw");
        check("localhost", "/upstream/draw/", None, &["Path draw"], "/", "/upstream/draw");
        check("localhost", "/c/draw?q=1", None, &["Path draw"], "/?q=1", "/c/draw");
        check(
            "localhost",
            "/c/org%2Fchat:7b/x",
            None,
            &["Path org/chat:7b"],
            "/x",
            "/c/org%2Fchat:7b",
        );
        check("localhost", "/c/", None, &[], "/c/", "");
        check(
            "localhost",
            "/x?model=a%3Ab",
            Some("draw"),
            &["Header draw", "Query a:b"],
            "/x?model=a%3Ab",
            "",
        );
        check("localhost", "/c/draw/x?model=sd", None, &["Path draw"], "/x?model=sd", "/c/draw");
        check("localhost", "/x?model=", None, &[], "/x?model=", "");
    }

    #[test]
    fn dots_in_a_path_are_refused_encoded_or_not() {
        for (path, is_taken) in [
            ("/a/../b", false),
            ("/..", false),
            ("/a/.", false),
            ("/%2e%2E/a", false),
            ("/.%2e/a", false),
            ("/a/%2e", false),
            ("/.../a", true),
            ("/.well-known/a", true),
            ("/a..b/c.", true),
            ("/%2ehidden", true),
        ] {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(
                Asked::read("localhost", "localhost", &uri, None).is_ok(),
                is_taken,
                "{path}"
            );
        }
    }

    #[test]
    fn claims_that_disagree_or_mean_nothing_are_refused() {
        let names = names();
        let claim = |source, name: &str| Claim { source, name: Cow::Owned(name.to_owned()) };
        let check = |claims: &[Claim<'_>]| agree(claims, &names).map(|t| t.is_some());
        assert_eq!(check(&[]).ok(), Some(false));
        let (chat, art) = (claim(Source::Path, "chat"), claim(Source::Header, "art"));
        assert_eq!(check(std::slice::from_ref(&chat)).ok(), Some(true));
        // Two names of one component agree.
        let alias = claim(Source::Header, "org/chat:7b");
        assert_eq!(check(&[chat.clone(), alias]).ok(), Some(true));
        assert_eq!(check(&[chat.clone(), art]).unwrap_err().status(), 400);
        assert_eq!(check(&[claim(Source::Host, "other"), chat]).unwrap_err().status(), 404);
    }

    #[test]
    fn encoded_text_is_decoded_and_broken_text_stays() {
        for (text, want) in [
            ("a%20b", "a b"),
            ("%", "%"),
            ("%zz", "%zz"),
            ("%2", "%2"),
            ("a%ffb", "a%ffb"),
            ("x", "x"),
        ] {
            assert_eq!(decoded(text), want);
        }
    }
}
