//! Rows of `[server]`: every setting of [`majordomo_core::ServerConfig`].

use majordomo_core::{LEASE_TTL_MAX, ServerConfig};

use super::{Key, Kind, LONGEST, MS, key};

/// `[server]`.
pub(crate) const SERVER: &[Key<ServerConfig>] = &[
    key!(
        "max_connections",
        "512",
        "Connections at a time of the Unix socket, and as many over TCP; when all are taken, the longest idle one gives way. Each has at most a third of the open files that the system allows.",
        Kind::Count(1, 65_536, |c, v| c.max_connections = v as usize)
    ),
    key!(
        "max_body",
        "\"1MiB\"",
        "The largest body of a request.",
        Kind::Size(|c, v| c.max_body = v)
    ),
    key!(
        "header_time",
        "\"5s\"",
        "A request's head is read within this time.",
        Kind::Duration(MS, LONGEST, |c, v| c.header_time = v)
    ),
    key!(
        "body_time",
        "\"10s\"",
        "A request's body is read within this time.",
        Kind::Duration(MS, LONGEST, |c, v| c.body_time = v)
    ),
    key!(
        "request_time",
        "\"2min\"",
        "A request is answered within this time, but for streams, and for demands and loads, which have deadlines of their own.",
        Kind::Duration(MS, LONGEST, |c, v| c.request_time = v)
    ),
    key!(
        "idle_time",
        "\"5min\"",
        "A connection without a request or a lease is closed after this time.",
        Kind::Duration(MS, LONGEST, |c, v| c.idle_time = v)
    ),
    key!(
        "stall_time",
        "\"30s\"",
        "A client that reads nothing of its answer is cut off after this time.",
        Kind::Duration(MS, LONGEST, |c, v| c.stall_time = v)
    ),
    key!(
        "max_streams",
        "256",
        "Followers of events and logs at a time.",
        Kind::Count(1, 65_536, |c, v| c.max_streams = v as usize)
    ),
    key!(
        "max_leases",
        "16384",
        "Components that other processes lease at a time, each of a lease counted.",
        Kind::Count(1, 1 << 20, |c, v| c.max_leases = v as usize)
    ),
    key!(
        "lease_ttl",
        "\"1min\"",
        "How long a lease lasts that names no time.",
        Kind::Duration(MS, LEASE_TTL_MAX, |c, v| c.lease_ttl = v)
    ),
    key!(
        "max_lease_age",
        "\"1h\"",
        "A lease older than this is warned of.",
        Kind::Duration(MS, LONGEST, |c, v| c.max_lease_age = v)
    ),
    key!(
        "end_old_leases",
        "false",
        "Whether a lease older than `max_lease_age` is ended.",
        Kind::Bool(|c, v| c.end_old_leases = v)
    ),
];
