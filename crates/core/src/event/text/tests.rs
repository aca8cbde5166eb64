//! Every event, cause and refusal, by chains of exhaustive matches.

use std::time::Duration;

use super::*;
use crate::{
    Cause, ComponentId, ComponentState, Confidence, HintSource, HintTier, Holder, HolderKind,
    LoadUnderWay, MeasuredNeed, Moment, NoPark, OpId, Opinion, PressureLevel, Refusal, Rung,
    WaiterId,
};

const KEY: ComponentKey = ComponentKey(7);
const SIZE: ByteSize = ByteSize::mib(5);
const WAITER: WaiterId = WaiterId(3);

/// The kind after one, in the order of the declaration. The match is exhaustive: a new kind must be put in the chain.
fn event_after(kind: &EventKind) -> Option<EventKind> {
    let component = KEY;
    Some(match kind {
        EventKind::State { .. } => EventKind::Granted {
            waiter: WAITER,
            components: vec![KEY],
            waited_us: 1500,
            left_out: vec![crate::LeftOut { component: KEY, refusal: Refusal::ShuttingDown }],
        },
        EventKind::Granted { .. } => EventKind::Refused {
            waiter: WAITER,
            components: vec![KEY],
            refusal: Refusal::ShuttingDown,
        },
        EventKind::Refused { .. } => EventKind::Abandoned { waiter: WAITER },
        EventKind::Abandoned { .. } => EventKind::Hint {
            component,
            confidence: Confidence::ONE,
            tier: HintTier::Delayed,
            source: HintSource::Sequence,
            outcome: HintOutcome::NoRoom,
            because: vec![Opinion { expert: "recency", probability: 0.25 }],
        },
        EventKind::Hint { .. } => {
            EventKind::Preload { component, result: PreloadEnd::Wasted { byte_seconds: 1e9 } }
        }
        EventKind::Preload { .. } => EventKind::Harm { component, preload: KEY, cost_us: 1_500 },
        EventKind::Harm { .. } => EventKind::Victim {
            component,
            to: Rung::Paged,
            policy: "vrank",
            keep: 0.5,
            next: Confidence::ONE,
            reuse: Confidence::ONE,
            needed_by: KEY,
            loss: 0.25,
            gain: Some(0.5),
        },
        EventKind::Victim { .. } => EventKind::Parked {
            component,
            rung: Rung::Paged,
            freed: SIZE,
            expected: SIZE,
            freed_apart: SIZE,
            swapped: SIZE,
            took_us: 1_500,
        },
        EventKind::Parked { .. } => {
            EventKind::Woken { component, rung: Rung::Asleep, took_us: 1_500 }
        }
        EventKind::Woken { .. } => EventKind::NeverParked { component },
        EventKind::NeverParked { .. } => {
            EventKind::Pressure { from: PressureLevel::Low, to: PressureLevel::High }
        }
        EventKind::Pressure { .. } => EventKind::Overdraft { total: SIZE },
        EventKind::Overdraft { .. } => {
            EventKind::LoadBeyondBudget { component, peak: SIZE, beyond: SIZE }
        }
        EventKind::LoadBeyondBudget { .. } => EventKind::Trimmed { component },
        EventKind::Trimmed { .. } => EventKind::CannotTrim { component },
        EventKind::CannotTrim { .. } => {
            EventKind::TrimFailed { component, error: "it answered \u{1b}[2J".into() }
        }
        EventKind::TrimFailed { .. } => {
            EventKind::OverLimit { component, measured: SIZE, limit: SIZE }
        }
        EventKind::OverLimit { .. } => EventKind::EstimateRaised { component, to: SIZE },
        EventKind::EstimateRaised { .. } => EventKind::ProbeFailing {
            component,
            failures: 3,
            error: "it answered \u{1b}[2J".into(),
        },
        EventKind::ProbeFailing { .. } => EventKind::ProbeRecovered { component },
        EventKind::ProbeRecovered { .. } => {
            EventKind::Revoked { component, cause: Cause::Operator }
        }
        EventKind::Revoked { .. } => EventKind::ConfigApplied { changed: 2 },
        EventKind::ConfigApplied { .. } => EventKind::Resumed { gap_us: 9 },
        EventKind::Resumed { .. } => EventKind::Observed { used: vec![KEY] },
        EventKind::Observed { .. } => EventKind::ShutdownStarted,
        EventKind::ShutdownStarted => EventKind::ShutdownKills { components: vec![KEY] },
        EventKind::ShutdownKills { .. } => EventKind::ShutdownDone { stuck: vec![KEY] },
        EventKind::ShutdownDone { .. } => return None,
    })
}

fn events() -> Vec<EventKind> {
    let state = EventKind::State {
        component: KEY,
        from: ComponentState::Failed { retry_at: Moment(3) },
        to: ComponentState::Quarantined { until: Moment(5) },
        cause: Cause::Operator,
        op: Some(OpId(1)),
        booked: SIZE,
    };
    std::iter::successors(Some(state), event_after).collect()
}

#[test]
fn kept_record_has_bounded_lists_and_counts_cut_names() {
    let ids: Vec<_> = (0..100).map(|n| ComponentId::new(&format!("c{n}")).unwrap()).collect();
    let refusal = Refusal::DeadlineExceeded {
        waited: Duration::from_secs(1),
        missing: ids,
        holders: Vec::new(),
        still_loading: None,
    };
    let components = (0..10_000).map(ComponentKey).collect();
    let kind = EventKind::Refused { waiter: WAITER, components, refusal };
    let mut record = crate::EventRecord::new(0, Moment(0), kind);
    let whole = record.text(&|key| key.to_string());
    assert!(!whole.contains("left out") && whole.contains("9999"));
    record.bound();
    let left_out = 10_000 - 64 + 100 - 64;
    assert_eq!(record.names_left_out, left_out);
    let text = record.text(&|key| key.to_string());
    assert!(text.ends_with(&format!("; {left_out} more names are left out")), "{text}");
    assert!(text.len() < 2000, "{text}");
    // Every list of every kind.
    for kind in events() {
        let mut record = crate::EventRecord::new(0, Moment(0), kind);
        record.bound();
        assert_eq!(record.names_left_out, 0, "short lists stay");
    }
}

/// The same chain for causes.
fn cause_after(cause: &Cause) -> Option<Cause> {
    let text = || "स\u{902}गीत\u{1b}[2J \"x\"".to_owned();
    Some(match cause {
        Cause::Demand { .. } => Cause::Operator,
        Cause::Operator => Cause::Startup,
        Cause::Startup => Cause::Speculation,
        Cause::Speculation => Cause::Restart,
        Cause::Restart => Cause::LoadFinished,
        Cause::LoadFinished => Cause::LoadFailed { error: text() },
        Cause::LoadFailed { .. } => Cause::LoadTimedOut,
        Cause::LoadTimedOut => Cause::Exited { how: text() },
        Cause::Exited { .. } => Cause::Ended { code: 0, ran_ms: 12 },
        Cause::Ended { .. } => Cause::OutOfMemory { evidence: text() },
        Cause::OutOfMemory { .. } => Cause::OverLimit { measured: SIZE, limit: SIZE },
        Cause::OverLimit { .. } => Cause::Unhealthy { error: text() },
        Cause::Unhealthy { .. } => Cause::EvictedForDemand { waiter: WAITER },
        Cause::EvictedForDemand { .. } => Cause::EvictedForLoad,
        Cause::EvictedForLoad => Cause::Replaced,
        Cause::Replaced => Cause::Pressure { level: PressureLevel::High },
        Cause::Pressure { .. } => Cause::Overdraft,
        Cause::Overdraft => Cause::Idle,
        Cause::Idle => Cause::IdlePark,
        Cause::IdlePark => {
            Cause::DependencyLost { component: ComponentId::new("c").ok()?, why: text() }
        }
        Cause::DependencyLost { component, .. } => {
            Cause::DependencyFailed { component: component.clone(), error: text() }
        }
        Cause::DependencyFailed { .. } => Cause::Replanned,
        Cause::Replanned => Cause::DependentFirst,
        Cause::DependentFirst => Cause::Abandoned,
        Cause::Abandoned => Cause::ConfigChanged,
        Cause::ConfigChanged => Cause::TooManyFailures,
        Cause::TooManyFailures => Cause::RetryAllowed,
        Cause::RetryAllowed => Cause::Drained,
        Cause::Drained => Cause::UnloadFinished,
        Cause::UnloadFinished => Cause::UnloadTimedOut,
        Cause::UnloadTimedOut => Cause::Shutdown,
        Cause::Shutdown => Cause::Resumed,
        Cause::Resumed => Cause::ParkedEarly,
        Cause::ParkedEarly => Cause::Primed,
        Cause::Primed => Cause::ParkFinished,
        Cause::ParkFinished => Cause::ParkFailed { error: text() },
        Cause::ParkFailed { .. } => Cause::ParkTimedOut,
        Cause::ParkTimedOut => Cause::WakeFinished,
        Cause::WakeFinished => Cause::WakeFailed { error: text() },
        Cause::WakeFailed { .. } => Cause::WakeTimedOut,
        Cause::WakeTimedOut => return None,
    })
}

/// The same chain for refusals.
fn refusal_after(refusal: &Refusal) -> Option<Refusal> {
    let component = ComponentId::new("c").ok()?;
    let holders = || {
        vec![Holder {
            component: component.clone(),
            booked: SIZE,
            kind: HolderKind::Leased { leases: 2 },
            tags: vec!["t\u{202e}".into()],
        }]
    };
    let raw = || "it answered \u{1b}[2J".to_owned();
    let (moment, span) = (Moment(9), Duration::from_millis(1500));
    Some(match refusal {
        Refusal::UnknownComponent { .. } => Refusal::Overloaded { capacity: 4 },
        Refusal::Overloaded { .. } => Refusal::ShuttingDown,
        Refusal::ShuttingDown => Refusal::TooLarge {
            need: SIZE,
            available: SIZE,
            pool: Some("gpu".into()),
            holders: holders(),
            measured: Some(Box::new(MeasuredNeed {
                component: component.clone(),
                peak: SIZE,
                declared: SIZE,
                load_peak: Some(SIZE),
                working_peak: Some(SIZE),
                spare: None,
                retry_in: Some(span),
            })),
        },
        Refusal::TooLarge { .. } => {
            Refusal::Conflict { component: component.clone(), with: component, refuses: true }
        }
        Refusal::Conflict { .. } => Refusal::ConflictWithin { a: component.clone(), b: component },
        Refusal::ConflictWithin { .. } => {
            Refusal::BackingOff { component, retry_at: moment, retry_in: span, cause: raw().into() }
        }
        Refusal::BackingOff { .. } => {
            Refusal::Quarantined { component, until: moment, retry_in: span, cause: raw().into() }
        }
        Refusal::Quarantined { .. } => Refusal::Stuck { component },
        Refusal::Stuck { .. } => {
            Refusal::LoadFailed { component, cause: "स\u{902}गीत\n\u{1b}[2J".into() }
        }
        Refusal::LoadFailed { .. } => Refusal::Unloaded { component },
        Refusal::Unloaded { .. } => Refusal::DeadlineExceeded {
            waited: span,
            missing: vec![component.clone()],
            holders: holders(),
            still_loading: Some(LoadUnderWay {
                component,
                ready_in: Some(span),
                given_up_in: span,
            }),
        },
        Refusal::DeadlineExceeded { .. } => Refusal::Pressure { level: PressureLevel::High },
        Refusal::Pressure { .. } => Refusal::Removed { component },
        Refusal::Removed { .. } => Refusal::ReentrantAcquire { loading: component },
        Refusal::ReentrantAcquire { .. } => Refusal::WrongType { component, requested: "u8" },
        Refusal::WrongType { .. } => {
            Refusal::InUse { holders: holders(), component: component.clone() }
        }
        Refusal::InUse { .. } => Refusal::CannotTrim { component },
        Refusal::CannotTrim { .. } => Refusal::TrimFailed { component, error: raw() },
        Refusal::TrimFailed { .. } => Refusal::CannotPark { component, why: NoPark::NotOffered },
        Refusal::CannotPark { why, .. } => {
            let next =
                NoPark::ALL.iter().position(|w| *w == *why).and_then(|i| NoPark::ALL.get(i + 1));
            match next {
                Some(why) => Refusal::CannotPark { component, why: *why },
                None => Refusal::ParkFailed { component, error: raw() },
            }
        }
        Refusal::ParkFailed { .. } => {
            Refusal::Blocked { holders: holders(), component: component.clone() }
        }
        Refusal::Blocked { .. } => {
            Refusal::OwnLeases { holders: holders(), missing: vec![component.clone()] }
        }
        Refusal::OwnLeases { .. } => Refusal::Abandoned,
        Refusal::Abandoned => return None,
    })
}

/// Whether a text has the `{:?}` form of a struct, a list or an option, or characters that act on a terminal.
fn is_raw(text: &str) -> bool {
    let of_a_type = text.split(|c: char| !c.is_alphanumeric()).any(|word| {
        let starts_upper = word.starts_with(|c: char| c.is_ascii_uppercase());
        let has_lower = word.contains(|c: char| c.is_ascii_lowercase());
        starts_upper
            && has_lower
            && ["(", " {"].iter().any(|open| text.contains(&format!("{word}{open}")))
    });
    of_a_type
        || ["{ ", " }", "Some", "None", "[]", "[\""].iter().any(|raw| text.contains(raw))
        || text.contains(['\u{1b}', '\u{202e}', '\n'])
        || text.contains("\\u{902}")
}

#[test]
fn every_event_cause_and_refusal_has_a_readable_text() {
    let name = |key: ComponentKey| {
        assert_eq!(key, KEY);
        "speech".to_owned()
    };
    let mut texts: Vec<String> = events().iter().map(|e| e.text(&name)).collect();
    let demand = Cause::Demand { waiter: WAITER };
    texts.extend(std::iter::successors(Some(demand), cause_after).map(|c| c.to_string()));
    let unknown =
        Refusal::UnknownComponent { name: "स\u{902}गीत\u{1b}".into(), did_you_mean: None };
    let refusals: Vec<Refusal> = std::iter::successors(Some(unknown), refusal_after).collect();
    let mut codes: Vec<_> = refusals.iter().map(Refusal::code).collect();
    codes.dedup();
    assert_eq!(codes, Refusal::CODES);
    texts.extend(refusals.iter().map(ToString::to_string));
    for text in &texts {
        assert!(!is_raw(text), "{text}");
    }
    assert!(is_raw("OverLimit { component: ComponentKey(0), measured: ByteSize(5) }"));
    assert!(is_raw("x ComponentKey(0)") && is_raw("Some(3)") && !is_raw("a (5 MiB, CORE)"));
    let over = EventKind::OverLimit { component: KEY, measured: SIZE, limit: ByteSize::mib(4) };
    assert_eq!(over.text(&name), "speech: uses 5 MiB, more than its limit of 4 MiB");
}
