//! Terms of leases and demands in requests: checked, and with defaults.

use std::time::Duration;

use majordomo::{AcquireOptions, Priority, ServerConfig, quoted_start};
use majordomo_core::LEASE_TTL_MAX;

use crate::leases::Terms;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::wire::{Bind, LeaseTerms};

/// The longest wait that a client may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

pub(super) fn options(
    deadline_ms: Option<u64>,
    priority: Option<Priority>,
) -> Result<AcquireOptions, Problem> {
    let deadline = deadline_ms.map(Duration::from_millis);
    if let Some(d) = deadline
        && !(Duration::from_millis(1)..=LONGEST_WAIT).contains(&d)
    {
        return Err(Problem::new("bad_value", "deadline_ms may be 1 to 86400000 (a day)"));
    }
    Ok(AcquireOptions::default().priority(priority).deadline(deadline))
}

/// Characters of a tag.
const MAX_TAG: usize = 64;
/// Components of a lease.
const MAX_COMPONENTS: usize = 256;

pub(super) fn ttl(ms: Option<u64>) -> Result<Option<Duration>, Problem> {
    let ttl = ms.map(Duration::from_millis);
    match ttl {
        Some(ttl) if ttl.is_zero() || ttl > LEASE_TTL_MAX => Err(Problem::new(
            "bad_value",
            format!(
                "ttl_ms is {}; it may be 1 to {} (renew the lease to hold it longer)",
                ttl.as_millis(),
                LEASE_TTL_MAX.as_millis()
            ),
        )),
        _ => Ok(ttl),
    }
}

/// The terms that the client asked for, checked and with defaults.
pub(super) fn terms(
    asked: &LeaseTerms,
    limits: &ServerConfig,
    peer: Peer,
) -> Result<Terms, Problem> {
    let ttl = match (ttl(asked.ttl_ms)?, asked.bind) {
        (None, Bind::Ttl) => Some(limits.lease_ttl),
        (ttl, _) => ttl,
    };
    if let Some(tag) = &asked.tag
        && (tag.trim().is_empty()
            || tag.chars().count() > MAX_TAG
            || tag.chars().any(char::is_control))
    {
        return Err(Problem::new(
            "bad_value",
            format!("the tag {} is no name of 1 to {MAX_TAG} characters", quoted_start(tag)),
        ));
    }
    let is_named = asked.tag.is_some() || peer.pid.is_some();
    let unnamed = || peer.tag().unwrap_or_else(|| "without a tag".to_owned());
    let tag = asked.tag.clone().unwrap_or_else(unnamed);
    let Peer { connection, pid } = peer;
    Ok(Terms { bind: asked.bind, ttl, tag, is_named, connection, pid })
}

/// The components asked for: some, and not too many.
pub(super) fn names(components: &[String]) -> Result<Vec<&str>, Problem> {
    if !(1..=MAX_COMPONENTS).contains(&components.len()) {
        return Err(Problem::new(
            "bad_value",
            format!(
                "`components` names {}; it may be 1 to {MAX_COMPONENTS}",
                majordomo::count(components.len(), "component")
            ),
        ));
    }
    Ok(components.iter().map(String::as_str).collect())
}
