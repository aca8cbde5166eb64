//! Rows of `[gateway]`, of its tokens and of its selectors.

use std::time::Duration;

use majordomo_core::ComponentId;

use super::{Key, Kind, LONGEST, MS, Target, key};
use crate::{GatewaySpec, Select, SelectorSpec, TokenSpec};

/// The most connections that a listener may be given.
const MAX_CONNECTIONS: u64 = 65536;

impl Target for GatewaySpec {
    type Spec = Self;
}

impl Target for SelectorSpec {
    type Spec = Self;
}

/// The content of `[gateway.tokens.NAME]`.
#[derive(Debug, Default)]
pub(crate) struct TokenDraft {
    pub(crate) file: Option<String>,
    pub(crate) components: Option<Vec<ComponentId>>,
}

impl Target for TokenDraft {
    type Spec = TokenSpec;
}

/// `[gateway]`; its tokens and selectors have rows of their own.
pub(crate) const GATEWAY: &[Key<GatewaySpec>] = &[
    key!(
        "listen",
        "[\"127.0.0.1:7422\"]",
        "The addresses at which clients connect, with their ports. One that other machines reach needs `tokens`. Read at start.",
        Kind::Listen(|g, v| g.listen = v)
    ),
    key!(
        "tokens",
        "",
        "Tables by name: the tokens of clients, who show one as `Authorization: Bearer TOKEN` or `x-api-key: TOKEN`; see below. With a token, every request needs one. Without any, every client that reaches the address is served.",
        Kind::Tokens(|g, v| g.tokens = v)
    ),
    key!(
        "selectors",
        "",
        "Tables by name: names for several components, of which each request is sent to one; see below.",
        Kind::Selectors(|g, v| g.selectors = v)
    ),
    key!(
        "hosts",
        "[]",
        "Further host names by which this machine is meant. Without them: IP addresses, `localhost`, and `base_domain` with its subdomains. A request for another host is refused, since a web page can give its own name this machine's address.",
        Kind::Texts(|g, v| g.hosts = v)
    ),
    key!(
        "origins",
        "[]",
        "Web pages that may use the gateway, each as its exact origin: `\"https://chat.example:8443\"`. A request of any other page is refused, whatever its method.",
        Kind::Texts(|g, v| g.origins = v)
    ),
    key!(
        "base_domain",
        "\"localhost\"",
        "A request for the host `NAME.base_domain` is for the component NAME, with its path unchanged.",
        Kind::Name(|g, v| g.base_domain = v)
    ),
    key!(
        "trusted_proxies",
        "[]",
        "IP addresses of proxies before the gateway: their `X-Forwarded-For`, `-Host` and `-Proto` are kept and extended. Those of all other clients are replaced.",
        Kind::Addresses(|g, v| g.trusted_proxies = v)
    ),
    key!(
        "wait",
        "",
        "How long a request waits for its component; without it, the component's `load_deadline` and `demand_deadline` together.",
        Kind::Duration(MS, LONGEST, |g: &GatewaySpec| g.wait, |g, v| g.wait = Some(v))
    ),
    key!(
        "max_routed_body",
        "\"32MiB\"",
        "The largest body that is held in memory to find the component in it, or to change it. Larger ones need a path, a host, a header or a query that names the component, and are passed on as they come.",
        Kind::Size(|g: &GatewaySpec| Some(g.max_routed_body), |g, v| g.max_routed_body = v)
    ),
    key!(
        "max_buffered",
        "\"128MiB\"",
        "All bodies that are held in memory, together; further ones wait for room.",
        Kind::Size(|g: &GatewaySpec| Some(g.max_buffered), |g, v| g.max_buffered = v)
    ),
    key!(
        "max_connections",
        "4096",
        "Connections of clients at a time, at most a third of the open files that the system allows; further ones wait.",
        Kind::Count(
            1,
            MAX_CONNECTIONS,
            |g: &GatewaySpec| Some(g.max_connections as u64),
            |g, v| g.max_connections = usize::try_from(v).unwrap_or(usize::MAX)
        )
    ),
    key!(
        "header_time",
        "\"10s\"",
        "A request's head is read within this time.",
        Kind::Duration(
            MS,
            LONGEST,
            |g: &GatewaySpec| Some(g.header_time),
            |g, v| g.header_time = v
        )
    ),
    key!(
        "idle_time",
        "\"5min\"",
        "A connection without a request is closed after this time.",
        Kind::Duration(MS, LONGEST, |g: &GatewaySpec| Some(g.idle_time), |g, v| g.idle_time = v)
    ),
    key!(
        "stall_time",
        "\"1min\"",
        "A client that reads nothing of its answer is disconnected after this time.",
        Kind::Duration(MS, LONGEST, |g: &GatewaySpec| Some(g.stall_time), |g, v| g.stall_time = v)
    ),
    key!(
        "answer_time",
        "\"10min\"",
        "A component begins its answer within this time after it was sent the request, or the client is answered 504.",
        Kind::Duration(
            MS,
            LONGEST,
            |g: &GatewaySpec| Some(g.answer_time),
            |g, v| g.answer_time = v
        )
    ),
    key!(
        "ignore_paths",
        "[\"/favicon.ico\", \"/health\", \"/metrics\"]",
        "Requests for these paths of a component neither load it nor count as its use; while it is not ready they are answered 503.",
        Kind::Texts(|g, v| g.ignore_paths = v)
    ),
    key!(
        "use_gap",
        "\"5s\"",
        "Requests of a component that are no further apart are one use, for the model that predicts the next component.",
        Kind::Duration(
            Duration::ZERO,
            LONGEST,
            |g: &GatewaySpec| Some(g.use_gap),
            |g, v| g.use_gap = v
        )
    ),
    key!(
        "waiting_page",
        "true",
        "Whether a browser that opens a page of a component is shown the progress of its load; otherwise the browser waits.",
        Kind::Bool(|g, v| g.waiting_page = v)
    ),
];

/// `[gateway.tokens.NAME]`.
pub(crate) const TOKEN: &[Key<TokenDraft>] = &[
    key!(
        "file",
        "",
        "The file with the secret, 16 to 1024 visible ASCII characters, relative to this file's folder; only its owner may read it. Required. Read at start and at each reload.",
        Kind::Name(|t, v| t.file = Some(v))
    ),
    key!(
        "components",
        "",
        "The components that the token opens; without it, all.",
        Kind::Names(|t, v| t.components = Some(v))
    ),
];

/// `[gateway.selectors.NAME]`.
pub(crate) const SELECTOR: &[Key<SelectorSpec>] = &[
    key!(
        "components",
        "",
        "The components, the preferred one first. Required.",
        Kind::Names(|s, v| s.components = v)
    ),
    key!(
        "select",
        "\"first\"",
        "`first`: the first that has not failed; `warm`: one that is ready, else the first that fits without an eviction, else the first; `smallest`: the one that needs the least memory.",
        Kind::Word(&["first", "warm", "smallest"], |s, i| {
            s.select = [Select::First, Select::Warm, Select::Smallest][i];
        })
    ),
    key!(
        "unlisted",
        "false",
        "Whether the name is left out of lists of models.",
        Kind::Bool(|s, v| s.unlisted = v)
    ),
];
