//! The sequence model: learning, calibration, and state.

use majordomo_core::{ComponentId, ComponentKey, Values, WallSeconds};
use majordomo_predictor::{REUSE_HORIZON, SequenceModel, SequenceStateError};
use proptest::prelude::*;

const START: i64 = 1_700_000_000;

fn key(k: u32) -> ComponentKey {
    ComponentKey(k)
}

fn observe_all(model: &mut SequenceModel, items: impl IntoIterator<Item = u32>) {
    for (i, item) in items.into_iter().enumerate() {
        model.observe(&[key(item)], WallSeconds(START + 30 * i as i64));
    }
}

fn name(k: ComponentKey) -> Option<ComponentId> {
    ComponentId::new(&format!("component-{}", k.0)).ok()
}

fn unname(name: &str) -> Option<ComponentKey> {
    name.strip_prefix("component-")?.parse().ok().map(ComponentKey)
}

/// Multiplicative congruential (Lehmer 1951), in 0.0..1.0.
fn random(state: &mut u64) -> f64 {
    *state = *state * 48_271 % 2_147_483_647;
    *state as f64 / 2_147_483_647.0
}

#[test]
fn cycle_is_learned_within_ten_cycles() {
    let mut model = SequenceModel::new();
    observe_all(&mut model, (0..60).map(|i| i % 6));
    // The last was 5.
    let (next, p) = model.likeliest(1)[0];
    assert_eq!(next, key(0));
    assert!(p.get() > 0.5, "{p}");
    assert!(model.value(key(5)).next.get() < 0.1);
    // All six are used again within eight commands.
    assert!((0..6).all(|k| model.value(key(k)).reuse.get() > 0.5));
}

#[test]
fn longer_contexts_predict_what_the_last_command_alone_does_not() {
    // 2 or 3 follows 1, depending on the command before it.
    let mut model = SequenceModel::new();
    let period = [0, 1, 2, 4, 1, 3];
    observe_all(&mut model, (0..180).map(|i| period[i % 6]).chain([0, 1]));
    assert_eq!(model.likeliest(1)[0].0, key(2));
}

#[test]
fn change_of_habit_is_learned() {
    let mut model = SequenceModel::new();
    let before = (0..200).map(|i| if i % 2 == 0 { 0 } else { 1 });
    let after = (0..60).map(|i| if i % 2 == 0 { 0 } else { 2 });
    observe_all(&mut model, before.chain(after).chain([0]));
    assert_eq!(model.likeliest(1)[0].0, key(2));
}

#[test]
fn command_may_use_several_components() {
    let mut model = SequenceModel::new();
    for i in 0..80 {
        let used: &[ComponentKey] =
            if i % 2 == 0 { &[ComponentKey(0), ComponentKey(1)] } else { &[ComponentKey(2)] };
        model.observe(used, WallSeconds(START + 60 * i));
    }
    // The last used 2; the next needs both others.
    let p = |k| model.value(key(k)).next.get();
    assert!(p(0) > 0.4 && p(1) > 0.4, "{} {}", p(0), p(1));
    assert!(p(2) < 0.2);
    // Order and repeats within a command do not matter.
    let mut again = model.clone();
    model.observe(&[key(0), key(1)], WallSeconds(START + 6000));
    again.observe(&[key(1), key(0), key(1)], WallSeconds(START + 6000));
    assert_eq!(model, again);
    // An empty command changes nothing.
    again.observe(&[], WallSeconds(START + 9000));
    assert_eq!(model, again);
}

#[test]
fn time_of_day_is_learned() {
    let mut model = SequenceModel::new();
    let day = 86_400;
    for d in 0..30 {
        for (hour, item) in [(8, 0), (8, 9), (12, 1), (12, 9), (20, 2), (20, 9)] {
            let at =
                START - START.rem_euclid(day) + d * day + hour * 3600 + i64::from(item == 9) * 60;
            model.observe(&[key(item)], WallSeconds(at));
        }
    }
    // After the first command of the morning comes its filler.
    model.observe(&[key(0)], WallSeconds(START - START.rem_euclid(day) + 30 * day + 8 * 3600));
    assert_eq!(model.likeliest(1)[0].0, key(9));
    assert!(model.opinions(key(9)).iter().any(|o| o.expert.contains("time of day")));
}

/// A first-order chain of five components with known probabilities: events predicted with
/// probability p occur in a share p of the cases.
#[test]
fn probabilities_are_calibrated() {
    let mut model = SequenceModel::new();
    let mut values = Values::new();
    let mut seed = 7;
    let (mut state, mut sums) = (0u32, [[0.0f64; 3]; 10]);
    let (mut reuse_said, mut reuse_came, mut said) = (0.0, 0.0, Vec::<(u32, f64, u64)>::new());
    let n: u64 = 4000;
    let mut last_use = [0u64; 5];
    for step in 1..=n {
        model.observe(&[key(state)], WallSeconds(START + 20 * step as i64));
        last_use[state as usize] = step;
        model.refresh(&mut values);
        let next = match random(&mut seed) {
            r if r < 0.6 => (state + 1) % 5,
            r if r < 0.9 => (state + 2) % 5,
            _ => (state + 3) % 5,
        };
        said.retain(|(k, p, at)| {
            let due = at + REUSE_HORIZON <= step;
            if due {
                reuse_said += p;
                reuse_came += f64::from(u8::from(last_use[*k as usize] > *at));
            }
            !due
        });
        if step > 500 {
            for k in 0..5 {
                let p = f64::from(values.get(key(k)).next.get());
                let bin = &mut sums[((p * 10.0) as usize).min(9)];
                bin[0] += 1.0;
                bin[1] += p;
                bin[2] += f64::from(u8::from(k == next));
            }
            said.push((state, f64::from(values.get(key(state)).reuse.get()), step));
        }
        state = next;
    }
    let total: f64 = sums.iter().map(|b| b[0]).sum();
    let error: f64 = sums.iter().map(|b| (b[1] - b[2]).abs()).sum::<f64>() / total;
    assert!(error < 0.03, "expected calibration error {error}: {sums:?}");
    let ratio = reuse_said / reuse_came;
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
}

#[test]
fn forecast_gives_the_values_after_an_observation_and_learns_nothing() {
    let mut model = SequenceModel::new();
    let period = [0, 1, 2, 4, 1, 3];
    observe_all(&mut model, (0..240).map(|i| period[i % 6]));
    let before = model.clone();
    // After 3, at the end of a cycle, comes 0; any command can be forecast.
    for used in [vec![0], vec![2], vec![1, 4]] {
        let used: Vec<_> = used.into_iter().map(key).collect();
        let at = WallSeconds(START + 30 * 240);
        let (mut forecast, mut observed) = (Values::new(), Values::new());
        model.forecast(&used, at, &mut forecast);
        assert!(model == before, "nothing is learned");
        let mut after = before.clone();
        after.observe(&used, at);
        after.refresh(&mut observed);
        for k in 0..5 {
            let (forecast, observed) = (forecast.get(key(k)), observed.get(key(k)));
            let close = |a: f32, b: f32| (a - b).abs() < 0.1;
            let what = format!("{used:?} {k}: {forecast:?} {observed:?}");
            assert!(close(forecast.next.get(), observed.next.get()), "{what}");
            assert!(close(forecast.reuse.get(), observed.reuse.get()), "{what}");
        }
    }
    let mut values = Values::new();
    model.forecast(&[key(0)], WallSeconds(START + 30 * 240), &mut values);
    assert!(values.get(key(1)).next.get() > 0.8, "{:?}", values.get(key(1)));
    // A component without an earlier use changes nothing.
    let mut now = Values::new();
    model.refresh(&mut now);
    model.forecast(&[key(77)], WallSeconds(START), &mut values);
    assert_eq!(
        (0..5).map(|k| values.get(key(k))).collect::<Vec<_>>(),
        (0..5).map(|k| now.get(key(k))).collect::<Vec<_>>()
    );
}

#[test]
fn retired_component_is_not_predicted_until_its_next_use() {
    let mut model = SequenceModel::new();
    observe_all(&mut model, (0..60).map(|i| i % 3));
    model.retire(key(0));
    assert_eq!(model.value(key(0)).next.get(), 0.0);
    assert_eq!(model.value(key(0)).reuse.get(), 0.0);
    assert!(model.likeliest(9).iter().all(|(k, _)| *k != key(0)));
    model.observe(&[key(0)], WallSeconds(START + 3600));
    model.observe(&[key(1)], WallSeconds(START + 3630));
    model.observe(&[key(2)], WallSeconds(START + 3660));
    assert_eq!(model.likeliest(1)[0].0, key(0), "nothing was forgotten");
    // Retiring a component that was never used changes nothing.
    model.retire(key(77));
}

#[test]
fn state_is_restored_by_names() {
    let mut model = SequenceModel::new();
    observe_all(&mut model, (0..90).map(|i| i % 4));
    let bytes = model.encode(name);
    let same = SequenceModel::decode(&bytes, unname).unwrap();
    assert_eq!(same.n_observed(), 90);
    for k in 0..4 {
        assert_eq!(same.value(key(k)), model.value(key(k)));
    }
    assert_eq!(same.encode(name), bytes, "written, read and written again");
    // In another process the names have other keys, and one name is unknown.
    let moved = |n: &str| unname(n).filter(|k| k.0 != 1).map(|k| key(k.0 + 10));
    let other = SequenceModel::decode(&bytes, moved).unwrap();
    assert_eq!(other.likeliest(1)[0].0, key(12), "the last component was 1, which is unknown");
    assert!(other.likeliest(9).iter().all(|(k, _)| k.0 >= 10 && k.0 != 11));
    let fresh = SequenceModel::decode(&SequenceModel::new().encode(name), unname).unwrap();
    assert_eq!(fresh, SequenceModel::new());
}

#[test]
fn damaged_state_is_an_error() {
    let mut model = SequenceModel::new();
    observe_all(&mut model, (0..40).map(|i| i % 3));
    let bytes = model.encode(name);
    let error = |bytes: &[u8]| SequenceModel::decode(bytes, unname).unwrap_err();
    assert_eq!(error(b""), SequenceStateError::Foreign);
    assert_eq!(error(b"SQLite format 3"), SequenceStateError::Foreign);
    let mut newer = bytes.clone();
    newer[4] = 9;
    assert_eq!(error(&newer), SequenceStateError::Format { found: 9, want: 1 });
    for at in [8, 20, bytes.len() / 2, bytes.len() - 1] {
        let mut altered = bytes.clone();
        altered[at] ^= 0x40;
        assert!(matches!(error(&altered), SequenceStateError::Damaged { .. }), "{at}");
        assert!(matches!(error(&bytes[..at.max(4)]), SequenceStateError::Damaged { .. }), "{at}");
    }
    let twice = SequenceModel::decode(&bytes, |_| Some(key(0))).unwrap_err();
    assert!(twice.to_string().contains("one name"), "{twice}");
}

#[test]
fn memory_is_bounded() {
    let mut model = SequenceModel::new();
    let mut seed = 3;
    let size = |model: &SequenceModel| model.encode(name).len();
    // Contexts hardly ever repeat: without bounds every command would add some.
    let feed = |model: &mut SequenceModel, seed: &mut u64, n: i64| {
        for _ in 0..n {
            let item = (random(seed) * 30.0) as u32;
            let at = START + 60 * model.n_observed() as i64;
            model.observe(&[key(item)], WallSeconds(at));
        }
    };
    feed(&mut model, &mut seed, 10_000);
    let early = size(&model);
    feed(&mut model, &mut seed, 10_000);
    assert!(size(&model) < early * 5 / 4, "{early} grew to {}", size(&model));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any history gives probabilities, and the same history gives the same table.
    #[test]
    fn tables_hold_probabilities(
        steps in prop::collection::vec((prop::collection::vec(0u32..40, 0..4), -100i64..100_000), 1..120),
    ) {
        let mut model = SequenceModel::new();
        let mut again = SequenceModel::new();
        let (mut at, mut values) = (START, Values::new());
        for (used, gap) in &steps {
            at += gap;
            let used: Vec<_> = used.iter().map(|k| key(*k)).collect();
            model.observe(&used, WallSeconds(at));
            again.observe(&used, WallSeconds(at));
            model.refresh(&mut values);
            let mut sum = 0.0;
            for k in 0..40 {
                let v = values.get(key(k));
                prop_assert!((0.0..=1.0).contains(&v.next.get()) && (0.0..=1.0).contains(&v.reuse.get()));
                sum += v.next.get();
            }
            prop_assert!(sum < 3.5, "{sum}");
        }
        prop_assert_eq!(&model, &again);
        let bytes = model.encode(name);
        let read = SequenceModel::decode(&bytes, unname);
        prop_assert!(read.is_ok(), "{:?}", read.err());
    }

    /// No bytes cause a panic.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut body = b"MJSQ\x01\0\0\0".to_vec();
        body.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        body.extend_from_slice(&bytes);
        let _ = SequenceModel::decode(&body, unname);
        let _ = SequenceModel::decode(&bytes, unname);
    }
}
