//! Measured footprints and load times, kept over restarts by component, configuration and host.

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, StateStore, StoreError, StoreOp};

/// Where they stand in the store.
pub const NAMESPACE: &str = "measured";

const VERSION: u8 = 1;

/// Stands for a figure that is not known.
const UNKNOWN: u64 = u64::MAX;

/// What figures belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeasuredKey {
    /// The component.
    pub component: ComponentId,
    /// A hash of its loader and version: another configuration has other figures.
    pub config: u64,
    /// The machine; see [`super::host_hash`].
    pub host: u64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The highest footprint measured; none = never measured.
    pub peak: Option<ByteSize>,
    /// The learned load time, in whole microseconds; none = never loaded.
    pub load_time: Option<Duration>,
}

impl MeasuredKey {
    fn encode(&self) -> String {
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
    fn encode(&self) -> Vec<u8> {
        let micros = self.load_time.map(|t| u64::try_from(t.as_micros()).unwrap_or(UNKNOWN - 1));
        let mut out = vec![VERSION];
        for n in [self.peak.map(|p| p.0), micros] {
            out.extend_from_slice(&n.unwrap_or(UNKNOWN).to_le_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (numbers, []) = rest.as_chunks::<8>() else { return None };
        let [peak, micros] = numbers else { return None };
        let known = |bytes: &[u8; 8]| Some(u64::from_le_bytes(*bytes)).filter(|n| *n != UNKNOWN);
        (*version == VERSION).then_some(Self {
            peak: known(peak).map(ByteSize),
            load_time: known(micros).map(Duration::from_micros),
        })
    }
}

/// The change that stores figures; goes into a batch.
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

/// Forgets the figures of components, whatever configuration and machine they are of; says how many there were.
///
/// # Errors
/// When the store cannot be read or written; nothing is forgotten then.
pub fn forget(store: &dyn StateStore, components: &[ComponentId]) -> Result<usize, StoreError> {
    let of = |key: &str| {
        key.split('/').next().is_some_and(|c| components.iter().any(|id| id.as_str() == c))
    };
    let keys = store.list(NAMESPACE)?.into_iter().map(|(key, _)| key).filter(|key| of(key));
    let batch: Vec<_> =
        keys.map(|key| StoreOp::Delete { namespace: NAMESPACE.into(), key }).collect();
    if !batch.is_empty() {
        store.apply(&batch)?;
        // Freed pages of a file keep their bytes.
        store.scrub()?;
    }
    Ok(batch.len())
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
        let measured = Measured {
            peak: Some(ByteSize(u64::MAX - 1)),
            load_time: Some(Duration::from_micros(1_500_001)),
        };
        assert_eq!(Measured::decode(&Measured::default().encode()), Some(Measured::default()));
        let bytes = measured.encode();
        assert_eq!(Measured::decode(&bytes), Some(measured));
        for bad in ["", "a", "a/1", "A/1/2", "a/1/2/3", "a/x/2"] {
            assert_eq!(MeasuredKey::decode(bad), None, "{bad}");
        }
        assert_eq!(Measured::decode(&bytes[..16]), None);
        assert_eq!(Measured::decode(&[&[9], &bytes[1..]].concat()), None);
        assert_eq!(Measured::decode(&[]), None);
    }
}
