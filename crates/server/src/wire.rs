//! Requests and answers under `/v1` as plain data, the same for server and client.
//!
//! Owns names and units: spans are `_ms` (milliseconds), memory is bytes, components are named, never keyed.
//! Knows nothing of HTTP. Absent members mean "none"; requests refuse members that they do not know.

mod call;
mod command;
mod event;
mod json;
mod lease;
mod memory;
mod parking;
mod reload;
mod state;
mod status;

pub(crate) use call::request;
pub use call::{Answered, Call, LeaseCall};
pub use command::{
    Accepted, Command, CommandOutcome, Decision, Evidence, Feedback, Hint, Intents, IntentsRequest,
    LeftOut, NGram, Need, Pin, Plan, PlanEviction, PlanLoad, PlanRequest, PoolBytes, Tier, Unload,
    Warning,
};
pub use event::{Event, EventPage, Gap, LogLine, LogPage, Why};
pub(crate) use json::{ms, whole_in_text};
pub use lease::{
    Bind, EndReason, Exchange, Lease, LeaseRequest, LeaseState, LeaseTerms, Leased, Leases, Renew,
};
pub use memory::{Bound, Cold, Felt, Memory, Overdraft, Pool, PressureRecord};
pub use parking::{Parking, Parks};
pub use reload::{ChangeKind, ComponentChange, Reload, Reloaded, SettingChange};
pub use state::{Figures, Forget, Forgotten, Remembered, StoredValue};
pub(crate) use status::Holders;
pub use status::{
    Component, DeclaredMemory, Endpoint, Figure, Health, Info, LeaseHolder, LoadStage,
    ProbeFailing, State, Status,
};

/// The version of this program and of the client in it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The header with the version, from client to server and back.
pub const VERSION_HEADER: &str = "majordomo-version";

/// Whether a client and a server of these versions understand each other: the same major version and, before
/// 1.0, the same minor one.
#[must_use]
pub fn understand(a: &str, b: &str) -> bool {
    let significant = |version: &str| {
        let mut parts = version.split('.').map(str::to_owned);
        let major = parts.next().unwrap_or_default();
        let minor = if major == "0" { parts.next() } else { None };
        (major, minor)
    };
    significant(a) == significant(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let check = |a, b, want| assert_eq!(understand(a, b), want, "{a} {b}");
        check("0.1.0", "0.1.7", true);
        check("0.1.0", "0.2.0", false);
        check("1.1.0", "1.2.0", true);
        check("1.1.0", "2.1.0", false);
        check("0.1.0", "", false);
    }
}
