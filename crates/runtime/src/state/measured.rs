//! Measured footprints and load times, kept over restarts by component, configuration and host.

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, StateStore, StoreError, StoreOp};
use majordomo_memory::{Learned, Peaks};

/// Where they stand in the store.
pub const NAMESPACE: &str = "measured";

/// Since version 2 peaks of loads and of uses are apart.
const VERSION: u8 = 2;

/// Had one peak for everything, and the load time.
const ONE_PEAK: u8 = 1;

/// Stands for a figure that is not known.
const UNKNOWN: u64 = u64::MAX;

/// The component, configuration and machine that figures belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeasuredKey {
    /// The component that was measured.
    pub component: ComponentId,
    /// A hash of its loader and version: another configuration has other figures.
    pub config: u64,
    /// The machine; see [`super::host_hash`].
    pub host: u64,
}

/// Measured figures of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The learned figures of its memory.
    pub learned: Learned,
    /// The learned load time, in whole microseconds; none = never loaded.
    pub load_time: Option<Duration>,
}

impl MeasuredKey {
    pub(super) fn encode(&self) -> String {
        format!("{}/{:016x}/{:016x}", self.component, self.config, self.host)
    }

    fn decode(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let component = ComponentId::new(parts.next()?).ok()?;
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (config, host) = (number()?, number()?);
        parts.next().is_none().then_some(Self { component, config, host })
    }
}

impl Measured {
    /// The version, then words of eight bytes: the load time in microseconds, the figure when ready, the number of
    /// peaks of loads, these, and the peaks of uses.
    fn encode(&self) -> Vec<u8> {
        let micros = self.load_time.map(|t| u64::try_from(t.as_micros()).unwrap_or(UNKNOWN - 1));
        let (loads, uses) = (self.learned.loads().seen(), self.learned.uses().seen());
        let head = [micros, self.learned.ready().map(|b| b.0), Some(loads.len() as u64)];
        let peaks = loads.iter().chain(uses).map(|b| Some(b.0));
        let mut out = vec![VERSION];
        for n in head.into_iter().chain(peaks) {
            out.extend_from_slice(&n.unwrap_or(UNKNOWN).to_le_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (words, []) = rest.as_chunks::<8>() else { return None };
        let words: Vec<_> = words.iter().map(|w| u64::from_le_bytes(*w)).collect();
        let known = |n: u64| Some(n).filter(|n| *n != UNKNOWN);
        let micros = |n: u64| known(n).map(Duration::from_micros);
        match (*version, words.as_slice()) {
            (ONE_PEAK, &[peak, load_time]) => {
                let learned = known(peak).map(|p| Learned::of_one_peak(ByteSize(p)));
                Some(Self { learned: learned.unwrap_or_default(), load_time: micros(load_time) })
            }
            (VERSION, &[load_time, ready, n_loads, ref peaks @ ..]) => {
                let (loads, uses) = peaks.split_at_checked(usize::try_from(n_loads).ok()?)?;
                let peaks = |of: &[u64]| Peaks::ended(of.iter().copied().map(ByteSize));
                let ready = known(ready).map(ByteSize);
                Some(Self {
                    learned: Learned::restored(peaks(loads), ready, peaks(uses)),
                    load_time: micros(load_time),
                })
            }
            _ => None,
        }
    }
}

/// The change that stores figures, for a batch.
#[must_use]
pub fn put(key: &MeasuredKey, measured: &Measured) -> StoreOp {
    StoreOp::Put { namespace: NAMESPACE.into(), key: key.encode(), value: measured.encode() }
}

/// The figures of one key. Ones of an unknown version count as not there.
///
/// # Errors
/// When the store cannot be read.
pub fn get(store: &dyn StateStore, key: &MeasuredKey) -> Result<Option<Measured>, StoreError> {
    Ok(store.get(NAMESPACE, &key.encode())?.as_deref().and_then(Measured::decode))
}

/// All figures, by key.
///
/// # Errors
/// When the store cannot be read.
pub fn list(store: &dyn StateStore) -> Result<Vec<(MeasuredKey, Measured)>, StoreError> {
    let entry = |(k, v): (String, Vec<u8>)| Some((MeasuredKey::decode(&k)?, Measured::decode(&v)?));
    Ok(store.list(NAMESPACE)?.into_iter().filter_map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        let component = ComponentId::new("a-b_c").unwrap();
        let key = MeasuredKey { component, config: u64::MAX, host: 3 };
        assert_eq!(MeasuredKey::decode(&key.encode()), Some(key));
        let peaks = |of: &[u64]| Peaks::ended(of.iter().copied().map(ByteSize));
        let learned = [
            Learned::default(),
            Learned::restored(peaks(&[7]), None, Peaks::default()),
            Learned::restored(peaks(&[1, u64::MAX - 1]), Some(ByteSize(5)), peaks(&[3, 2, 1])),
            Learned::restored(peaks(&[9; 8]), Some(ByteSize(0)), peaks(&[8; 8])),
        ];
        let load_time = Some(Duration::from_micros(1_500_001));
        for learned in learned {
            for load_time in [None, load_time] {
                let measured = Measured { learned, load_time };
                assert_eq!(Measured::decode(&measured.encode()), Some(measured));
            }
        }
        let bytes = Measured { learned: learned[2], load_time }.encode();
        for bad in ["", "a", "a/1", "A/1/2", "a/1/2/3", "a/x/2"] {
            assert_eq!(MeasuredKey::decode(bad), None, "{bad}");
        }
        assert_eq!(Measured::decode(&bytes[..16]), None);
        assert_eq!(Measured::decode(&bytes[..33]), None, "a peak of a load is missing");
        assert_eq!(Measured::decode(&[&[9], &bytes[1..]].concat()), None);
        assert_eq!(Measured::decode(&[]), None);
    }

    #[test]
    fn record_with_one_peak_is_converted() {
        let old = |peak: u64, micros: u64| {
            let words = [peak, micros].map(u64::to_le_bytes).concat();
            Measured::decode(&[vec![1], words].concat())
        };
        let learned = Learned::of_one_peak(ByteSize::mib(133));
        let load_time = Some(Duration::from_millis(1700));
        assert_eq!(old(133 << 20, 1_700_000), Some(Measured { learned, load_time }));
        let load_time_only = Measured { learned: Learned::default(), load_time };
        assert_eq!(old(UNKNOWN, 1_700_000), Some(load_time_only));
        assert_eq!(old(UNKNOWN, UNKNOWN), Some(Measured::default()));
    }
}
