//! The cold store: what comes back, what pays, and bytes against a naive model.

use majordomo_core::{ByteSize, ComponentKey};
use majordomo_memory::{ColdError, ColdStore, Snapshot};
use proptest::prelude::*;

fn noise(len: usize) -> Vec<u8> {
    let mut x = 88_172_645_463_325_252u64;
    let mut next = || {
        // xorshift64 (Marsaglia 2003)
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

#[cfg(feature = "zstd")]
#[test]
fn state_shrinks() {
    let state: String = (0..20_000)
        .map(|i| format!("{{\"id\":{i},\"user\":\"u{}\",\"volume\":{}}},\n", i * 7 % 500, i % 11))
        .collect();
    let packed = Snapshot::pack(1, state.as_bytes());
    let ratio = packed.raw().bytes() as f64 / packed.stored().bytes() as f64;
    assert!(packed.is_compressed() && ratio >= 4.0, "{ratio:.2}");
    assert_eq!(packed.unpack().unwrap(), state.as_bytes());
}

#[test]
fn noise_stays_raw() {
    let weights = noise(1 << 20);
    let packed = Snapshot::pack(1, &weights);
    assert_eq!((packed.is_compressed(), packed.stored()), (false, ByteSize::mib(1)));
    assert_eq!(packed.unpack().unwrap(), weights);
    assert_eq!(Snapshot::pack(1, b"").unpack().unwrap(), b"");
}

#[test]
fn least_recently_used_snapshot_is_dropped_first() {
    let mut store = ColdStore::new(ByteSize(300));
    let [a, b, c, d] = [0, 1, 2, 3].map(ComponentKey);
    let snapshot = || Snapshot::pack(7, &noise(100));
    for key in [a, b, c] {
        assert_eq!(store.put(key, snapshot()).unwrap(), []);
    }
    assert!(store.get(a, 7).is_some());
    assert_eq!(store.put(d, snapshot()).unwrap(), [b]);
    assert_eq!((store.used(), store.len()), (ByteSize(300), 3));

    let error = store.put(a, Snapshot::pack(7, &noise(301))).unwrap_err();
    assert!(matches!(error, ColdError::TooLarge { .. }), "{error}");
    assert!(store.get(a, 7).is_none(), "an outdated snapshot must not come back");
    assert_eq!(store.used(), ByteSize(200));

    assert!(store.get(c, 8).is_none(), "another configuration");
    assert_eq!(store.used(), ByteSize(100));
    assert_eq!(store.set_budget(ByteSize(99)), [d]);
    assert!(store.is_empty());
}

proptest! {
    #[test]
    fn bytes_and_order_agree_with_a_list(
        ops in prop::collection::vec((0u32..8, 0usize..120, 0u8..4), 1..200)
    ) {
        const BUDGET: usize = 250;
        let mut store = ColdStore::new(ByteSize(BUDGET as u64));
        // Least recently used first.
        let mut model: Vec<(u32, Vec<u8>)> = Vec::new();
        for (key, len, op) in ops {
            let at = model.iter().position(|m| m.0 == key);
            match op {
                0 | 1 => {
                    let raw = noise(len);
                    let gone = store.put(ComponentKey(key), Snapshot::pack(1, &raw)).unwrap();
                    if let Some(at) = at {
                        model.remove(at);
                    }
                    let mut want = Vec::new();
                    while model.iter().map(|m| m.1.len()).sum::<usize>() + len > BUDGET {
                        want.push(ComponentKey(model.remove(0).0));
                    }
                    model.push((key, raw));
                    prop_assert_eq!(gone, want);
                }
                2 => {
                    let got = store.get(ComponentKey(key), 1).map(|s| s.unpack().unwrap());
                    prop_assert_eq!(got.as_ref(), at.map(|at| &model[at].1));
                    if let Some(at) = at {
                        let entry = model.remove(at);
                        model.push(entry);
                    }
                }
                _ => {
                    store.forget(ComponentKey(key));
                    model.retain(|m| m.0 != key);
                }
            }
            let used: usize = model.iter().map(|m| m.1.len()).sum();
            prop_assert_eq!(store.used(), ByteSize(used as u64));
        }
    }
}
