//! Leases of other processes.
#![expect(missing_docs, reason = "members that say all by their names have no comment")]

use majordomo::{ComponentId, Priority};
use serde::{Deserialize, Serialize};

use super::Endpoint;
use super::json::whole;

/// The end of a lease that is not given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bind {
    /// Its time, unless it is renewed.
    #[default]
    Ttl,
    /// The connection that asked for it (and its time, where one is named).
    Connection,
}

/// How a lease is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseTerms {
    /// How long it lasts without being renewed: at most 10 minutes; none = `server.lease_ttl`, or, when it is
    /// bound to the connection, as long as that.
    #[serde(deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// The end of the lease if it is not given back.
    pub bind: Bind,
    /// The holder's name for itself, at most 64 characters; named to callers that have to wait for the lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// `POST /v1/leases`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseRequest {
    /// The components, all or none.
    pub components: Vec<String>,
    /// See [`LeaseTerms::ttl_ms`].
    #[serde(deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// See [`LeaseTerms::bind`].
    pub bind: Bind,
    /// See [`LeaseTerms::tag`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// How long to wait for what is not ready; none = the configured deadline.
    #[serde(deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The priority in the queue; none = the highest of the components.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

impl LeaseRequest {
    /// How the lease is to be held.
    #[must_use]
    pub fn terms(&self) -> LeaseTerms {
        LeaseTerms { ttl_ms: self.ttl_ms, bind: self.bind, tag: self.tag.clone() }
    }
}

/// A leased component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leased {
    pub component: ComponentId,
    /// Where it is reached; none for components inside the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Whether it has ended or is being stopped: finish and give the lease back.
    pub revoked: bool,
    /// Whether it has ended.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ended: bool,
    /// Why it was revoked, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

fn is_false(b: &bool) -> bool {
    !*b
}

impl Leased {
    /// The state of a revoked component, in words; none while it is not revoked.
    #[must_use]
    pub fn revocation(&self) -> Option<String> {
        let how = if self.ended { "has ended" } else { "is being stopped" };
        let why = self.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
        self.revoked.then(|| format!("{} {how}{why}", self.component))
    }
}

/// Why a lease has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// Given back.
    Released,
    /// Its time passed.
    Expired,
    /// Its connection ended.
    Disconnected,
    /// It was older than `max_lease_age`, with `end_old_leases`.
    TooOld,
    /// The server shuts down.
    ShuttingDown,
    /// It was given up for an exchange whose loads failed.
    Exchanged,
}

/// Where a lease is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// Held.
    Active,
    /// Held, and at least one of its components has ended or is being stopped.
    Revoked,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// Its name.
    pub id: String,
    /// Where it is in its life.
    pub state: LeaseState,
    pub components: Vec<Leased>,
    /// The end of the lease if it is not given back.
    pub bind: Bind,
    /// The holder's name for itself, or the number of its process.
    pub tag: String,
    /// The holder's process, where the system reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// For how long it has been held.
    pub age_ms: f64,
    /// When it ends unless renewed, from now; none = with its connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<f64>,
    /// Whether it is older than `max_lease_age`.
    pub old: bool,
}

impl Lease {
    /// The state of its revoked components, in words; none while none is revoked.
    #[must_use]
    pub fn revocation(&self) -> Option<String> {
        let lost: Vec<_> = self.components.iter().filter_map(Leased::revocation).collect();
        (!lost.is_empty()).then(|| lost.join("; "))
    }
}

/// `GET /v1/leases`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Leases {
    /// The leases of this page, oldest first.
    pub leases: Vec<Lease>,
    /// All leases.
    #[serde(default)]
    pub total: usize,
    /// The components of all leases.
    #[serde(default)]
    pub components: usize,
    /// Where there are more: the lease after which the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `POST /v1/leases/{id}/renew`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Renew {
    /// From now; none = as it was first asked for.
    #[serde(deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// `POST /v1/leases/{id}/exchange`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exchange {
    /// The components to have instead, all or none.
    pub components: Vec<String>,
    /// How long to wait for what is not ready; none = the configured deadline.
    #[serde(deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The priority in the queue; none = the highest of the components.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}
