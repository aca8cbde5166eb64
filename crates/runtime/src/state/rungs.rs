//! Measured figures of rungs, kept over restarts by component, configuration, host and rung.

use std::time::Duration;

use majordomo_core::{ByteSize, Rung, StateStore, StoreError, StoreOp};
use majordomo_memory::{LearnedRung, RungFigures};

use super::measured::MeasuredKey;

/// The namespace of these figures in the store.
pub const NAMESPACE: &str = "rungs";

const VERSION: u8 = 1;
/// Stands for a figure that is not known.
const UNKNOWN: u64 = u64::MAX;
/// Bits of the first word.
const PARKED: u64 = 1;
const WOKEN: u64 = 2;

fn key_of(key: &MeasuredKey, rung: Rung) -> String {
    format!("{}/{rung}", key.encode())
}

/// The version, then words of eight bytes: what was measured, four shares, the times of a park and a wake in microseconds, and the
/// footprint of the first use after a wake.
fn encode(learned: &LearnedRung) -> Vec<u8> {
    let figures = learned.figures();
    let micros = |t: Duration| u64::try_from(t.as_micros()).unwrap_or(UNKNOWN - 1);
    let parked = if learned.is_park_measured() { PARKED } else { 0 };
    let woken = if learned.is_wake_measured() { WOKEN } else { 0 };
    let words = [
        parked | woken,
        figures.stays.to_bits(),
        figures.swapped.to_bits(),
        figures.apart_stays.to_bits(),
        figures.moves.to_bits(),
        micros(figures.enter),
        micros(figures.wake),
        learned.first_use().map_or(UNKNOWN, |bytes| bytes.0),
    ];
    std::iter::once(VERSION).chain(words.into_iter().flat_map(u64::to_le_bytes)).collect()
}

fn decode(bytes: &[u8]) -> Option<LearnedRung> {
    let (&VERSION, rest) = bytes.split_first()? else { return None };
    let (words, []) = rest.as_chunks::<8>() else { return None };
    let words: Vec<_> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let &[measured, stays, swapped, apart_stays, moves, enter, wake, first_use] = &*words else {
        return None;
    };
    let share = |bits: u64| Some(f64::from_bits(bits)).filter(|s| (0.0..=1.0).contains(s));
    let figures = RungFigures {
        stays: share(stays)?,
        swapped: share(swapped)?,
        apart_stays: share(apart_stays)?,
        moves: Some(f64::from_bits(moves)).filter(|s| s.is_finite() && *s >= 0.0)?,
        enter: Duration::from_micros(enter),
        wake: Duration::from_micros(wake),
        ..RungFigures::default()
    };
    let first_use = Some(first_use).filter(|n| *n != UNKNOWN).map(ByteSize);
    let is = |bit: u64| measured & bit != 0;
    Some(LearnedRung::restored(figures, is(PARKED), is(WOKEN), first_use))
}

/// The change that stores the figures of a component at a rung, for a batch.
#[must_use]
pub fn put(key: &MeasuredKey, rung: Rung, learned: &LearnedRung) -> StoreOp {
    let value = encode(learned);
    StoreOp::Put { namespace: NAMESPACE.into(), key: key_of(key, rung), value }
}

/// The figures of a component at a rung; none where they are of an unknown version.
///
/// # Errors
/// When the store cannot be read.
pub fn get(
    store: &dyn StateStore,
    key: &MeasuredKey,
    rung: Rung,
) -> Result<Option<LearnedRung>, StoreError> {
    Ok(store.get(NAMESPACE, &key_of(key, rung))?.as_deref().and_then(decode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_figures_are_decoded_unchanged() {
        let figures = RungFigures {
            stays: 0.125,
            swapped: 0.75,
            apart_stays: 1.0,
            moves: 1.5,
            enter: Duration::from_micros(7),
            wake: Duration::from_millis(130),
            ..RungFigures::default()
        };
        for (parked, woken, first_use) in
            [(true, false, None), (false, true, Some(ByteSize::mib(3))), (true, true, None)]
        {
            let learned = LearnedRung::restored(figures, parked, woken, first_use);
            assert_eq!(decode(&encode(&learned)), Some(learned));
        }
    }

    #[test]
    fn figures_that_no_measurement_gives_are_left_out() {
        let bytes = encode(&LearnedRung::expected(RungFigures::default()));
        for bad in [&bytes[..bytes.len() - 1], &[], &[9], &[&bytes[..], &[0; 8]].concat()] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
        for share in [f64::NAN, -0.1, 1.1] {
            let figures = RungFigures { stays: share, ..RungFigures::default() };
            assert_eq!(decode(&encode(&LearnedRung::expected(figures))), None, "{share}");
        }
    }
}
