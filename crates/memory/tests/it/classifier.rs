//! Laws of the classifier over arbitrary readings and times.

use std::time::Duration;

use majordomo_core::{ByteSize, Moment, PressureLevel, PressureProfile};
use majordomo_memory::{Hints, PressureClassifier, PressureReading, pressure_thresholds};
use proptest::prelude::*;

const DWELL: Duration = Duration::from_secs(10);

fn reading(limit: u64, available: u64, hint: Option<PressureLevel>) -> PressureReading {
    PressureReading::scripted(ByteSize(available), ByteSize(limit))
        .with_hints(Hints { own: hint, ..Hints::default() })
}

fn hints() -> impl Strategy<Value = Option<PressureLevel>> {
    prop_oneof![
        4 => Just(None),
        1 => prop::sample::select(PressureLevel::ALL.to_vec()).prop_map(Some),
    ]
}

proptest! {
    #[test]
    fn thresholds_descend_and_stay_below_a_quarter(limit in 1u64 << 20..1 << 46) {
        let t = pressure_thresholds(PressureProfile::Share, ByteSize(limit));
        prop_assert!(t.windows(2).all(|w| w[0] > w[1]), "{t:?}");
        prop_assert!(t[0].0 <= limit / 4 + 1 && t[3] > ByteSize::ZERO, "{t:?}");
    }

    #[test]
    fn rises_at_once_and_falls_one_step_a_dwell(
        limit in 64u64 << 20..64 << 30,
        steps in prop::collection::vec((0u64..15_000_000, 0.0f64..0.5, hints()), 1..200),
    ) {
        let thresholds = pressure_thresholds(PressureProfile::Share, ByteSize(limit));
        let mut c = PressureClassifier::new(PressureProfile::Share, DWELL);
        let mut now = Moment::ZERO;
        let mut level = c.level();
        // The last moment at which some reading spoke against a fall, or a fall happened.
        let mut last_unrest = Moment::ZERO;
        for (gap, share, hint) in steps {
            now += Duration::from_micros(gap);
            let available = (limit as f64 * share) as u64;
            let strict = thresholds.iter().filter(|t| available < t.0).count();
            let demanded = PressureLevel::ALL[strict].max(hint.unwrap_or(PressureLevel::Low));
            let next = c.observe(&reading(limit, available, hint), now);
            prop_assert!(next >= demanded, "{next} although {demanded} is demanded");
            if next > level {
                prop_assert_eq!(next, demanded);
            }
            if next < level {
                prop_assert_eq!(next as usize + 1, level as usize);
                prop_assert!(now.since(last_unrest) >= DWELL);
                let left = thresholds[level as usize - 1];
                prop_assert!(available as f64 >= left.0 as f64 * 1.12);
            }
            if next != level || demanded >= level {
                last_unrest = now;
            }
            level = next;
        }
    }

    #[test]
    fn a_hint_never_lowers(
        limit in 64u64 << 20..64 << 30,
        steps in prop::collection::vec((0u64..15_000_000, 0.0f64..0.5, hints()), 1..100),
    ) {
        let mut with = PressureClassifier::new(PressureProfile::Share, DWELL);
        let mut without = with.clone();
        let mut now = Moment::ZERO;
        for (gap, share, hint) in steps {
            now += Duration::from_micros(gap);
            let available = (limit as f64 * share) as u64;
            let a = with.observe(&reading(limit, available, hint), now);
            let b = without.observe(&reading(limit, available, None), now);
            prop_assert!(a >= b, "{a} with the hint {hint:?}, {b} without");
        }
    }

    #[test]
    fn calm_reaches_low_within_five_dwells(limit in 64u64 << 20..64 << 30) {
        let mut c = PressureClassifier::new(PressureProfile::Share, DWELL);
        c.observe(&reading(limit, 0, None), Moment::ZERO);
        prop_assert_eq!(c.level(), PressureLevel::Emergency);
        let mut now = Moment::ZERO;
        let mut falls = 0;
        c.observe(&reading(limit, limit, None), now);
        while let Some(at) = c.falls_at() {
            now = at;
            c.observe(&reading(limit, limit, None), now);
            falls += 1;
        }
        prop_assert_eq!((c.level(), falls), (PressureLevel::Low, 4));
        prop_assert_eq!(now, Moment::ZERO + DWELL * 4);
    }
}
