//! Events in words.
//!
//! The match has no arm for the rest: a new kind of event does not compile without its text.

use super::{EventKind, HintOutcome};
use crate::{ByteSize, ComponentKey, PreloadEnd, count, printable};

impl EventKind {
    /// The event in a line for people; `name` gives the name of a component.
    #[must_use]
    pub fn text(&self, name: &dyn Fn(ComponentKey) -> String) -> String {
        let list =
            |keys: &[ComponentKey]| keys.iter().map(|k| name(*k)).collect::<Vec<_>>().join(", ");
        match self {
            Self::State { component, from, to, cause, booked, .. } => {
                let bytes =
                    if booked.bytes() == 0 { String::new() } else { format!(" ({booked})") };
                format!("{}: {from} -> {to}{bytes}: {cause}", name(*component))
            }
            Self::Granted { components, waited_us, left_out, .. } => {
                let left: Vec<_> = left_out
                    .iter()
                    .map(|l| format!("; left out: {}: {}", name(l.component), l.refusal))
                    .collect();
                let waited = *waited_us as f64 / 1e3;
                format!("granted: {} after {waited:.1} ms{}", list(components), left.concat())
            }
            Self::Refused { components, refusal, .. } => {
                format!("refused: {}: {refusal}", list(components))
            }
            Self::Abandoned { waiter } => format!("waiter {waiter} cancelled"),
            Self::Hint { component, confidence, tier, source, outcome, because } => {
                let said: Vec<_> = because
                    .iter()
                    .map(|o| format!("{} says {:.0} %", o.expert, o.probability * 100.0))
                    .collect();
                let said =
                    if said.is_empty() { String::new() } else { format!("; {}", said.join(", ")) };
                format!(
                    "hint: {} ({confidence}, {}, {}): {}{said}",
                    name(*component),
                    source.name(),
                    tier.name(),
                    outcome.words()
                )
            }
            Self::Preload { component, result } => {
                let how = match result {
                    PreloadEnd::Hit => "was ready when it was needed".to_owned(),
                    PreloadEnd::Late { saved_us } => {
                        format!("was needed {:.1} ms after its load began", *saved_us as f64 / 1e3)
                    }
                    PreloadEnd::Wasted { byte_seconds } => format!(
                        "was wasted after {:.0} MiB-seconds",
                        byte_seconds / f64::from(1 << 20)
                    ),
                    PreloadEnd::Failed => "failed".to_owned(),
                };
                format!("preload: {} {how}", name(*component))
            }
            Self::Harm { component, preload, cost_us } => format!(
                "harm: {} was evicted for the preload of {}, and is needed first: {:.1} ms",
                name(*component),
                name(*preload),
                *cost_us as f64 / 1e3
            ),
            Self::Victim { component, to, policy, keep, next, reuse, needed_by, loss, gain } => {
                let gain = gain.map(|g| format!(", gain {g:.4}")).unwrap_or_default();
                let to = if to.is_parked() { format!(", {to}") } else { String::new() };
                format!(
                    "victim: {}{to} for {}: {policy} keeps it for {keep:.4}, next {next}, soon {reuse}, \
                     loss {loss:.4}{gain}",
                    name(*component),
                    name(*needed_by)
                )
            }
            Self::Parked { component, rung, freed, expected, freed_apart, swapped, took_us } => {
                let (name, took) = (name(*component), *took_us as f64 / 1e3);
                let part = |bytes: &ByteSize, place: &str| match bytes.0 {
                    0 => String::new(),
                    _ => format!(", {bytes} {place}"),
                };
                let (apart, swap) =
                    (part(freed_apart, "free in other pools"), part(swapped, "in swap"));
                format!(
                    "{name}: {rung} in {took:.1} ms: {freed} free, {expected} expected{apart}{swap}"
                )
            }
            Self::Woken { component, rung, took_us } => {
                format!(
                    "{}: woken from {rung} in {:.1} ms",
                    name(*component),
                    *took_us as f64 / 1e3
                )
            }
            Self::NeverParked { component } => {
                format!("{}: not parked any more, since that failed too often", name(*component))
            }
            Self::Pressure { from, to } => format!("memory pressure: {from} -> {to}"),
            Self::Overdraft { total: ByteSize(0) } => "within the budget again".to_owned(),
            Self::Overdraft { total } => format!("{total} beyond the budget"),
            Self::Trimmed { component } => format!("{}: asked to trim", name(*component)),
            Self::OverLimit { component, measured, limit } => {
                format!("{}: uses {measured}, more than its limit of {limit}", name(*component))
            }
            Self::CannotTrim { component } => format!("{}: has no way to trim", name(*component)),
            Self::TrimFailed { component, error } => {
                format!("{}: could not be asked to trim: {}", name(*component), printable(error))
            }
            Self::LoadBeyondBudget { component, peak, beyond } => format!(
                "{}: loads alone: the peak of its load is {peak}, {beyond} more than the budget has for it; raise the budget, or reduce the memory of its start",
                name(*component)
            ),
            Self::EstimateRaised { component, to } => format!(
                "{}: ran out of memory: {to} is reserved for its next load",
                name(*component)
            ),
            Self::ProbeFailing { component, failures, error } => format!(
                "{}: {} in a row failed; it stays up while it is leased: {}",
                name(*component),
                count(*failures, "health probe"),
                printable(error)
            ),
            Self::ProbeRecovered { component } => {
                format!("{}: answers its health probes again", name(*component))
            }
            Self::Revoked { component, cause } => {
                format!("{}: leases revoked: {cause}", name(*component))
            }
            Self::ConfigApplied { changed } => {
                format!("configuration applied: {} changed", count(*changed, "component"))
            }
            Self::Resumed { gap_us } => {
                format!("the machine was suspended for {:.1} s", *gap_us as f64 / 1e6)
            }
            Self::Observed { used } if used.is_empty() => "used: nothing".to_owned(),
            Self::Observed { used } => format!("used: {}", list(used)),
            Self::ShutdownStarted => "shutdown begins".to_owned(),
            Self::ShutdownKills { components } => format!(
                "killed, since shutdown_deadline is over before they stopped: {}",
                list(components)
            ),
            Self::ShutdownDone { stuck } if stuck.is_empty() => "shutdown is done".to_owned(),
            Self::ShutdownDone { stuck } => {
                format!("shutdown is done; not stopped: {}", list(stuck))
            }
        }
    }
}

impl HintOutcome {
    /// The outcome in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Present => "present",
            Self::NoRoom => "no room",
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
            Self::BelowFloor => "below floor",
            Self::Dropped => "dropped",
        }
    }
}

#[cfg(test)]
mod tests;
