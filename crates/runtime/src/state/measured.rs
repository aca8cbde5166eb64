//! Measured footprints and load times, kept over restarts by component, configuration and host.

use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, StateStore, StoreError, StoreOp};

/// Where they stand in the store.
pub const NAMESPACE: &str = "measured";

const VERSION: u8 = 1;

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
    /// The footprint last measured.
    pub footprint: ByteSize,
    /// The highest measured.
    pub peak: ByteSize,
    /// The learned load time, in whole microseconds.
    pub load_time: Duration,
    /// Loads that went into it.
    pub loads: u32,
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
        let micros = u64::try_from(self.load_time.as_micros()).unwrap_or(u64::MAX);
        let mut out = vec![VERSION];
        for n in [self.footprint.0, self.peak.0, micros, u64::from(self.loads)] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (numbers, []) = rest.as_chunks::<8>() else { return None };
        let [footprint, peak, micros, loads] = numbers else { return None };
        (*version == VERSION).then_some(Self {
            footprint: ByteSize(u64::from_le_bytes(*footprint)),
            peak: ByteSize(u64::from_le_bytes(*peak)),
            load_time: Duration::from_micros(u64::from_le_bytes(*micros)),
            loads: u32::try_from(u64::from_le_bytes(*loads)).ok()?,
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
            footprint: ByteSize(1),
            peak: ByteSize(u64::MAX),
            load_time: Duration::from_micros(1_500_001),
            loads: 7,
        };
        let bytes = measured.encode();
        assert_eq!(Measured::decode(&bytes), Some(measured));
        for bad in ["", "a", "a/1", "A/1/2", "a/1/2/3", "a/x/2"] {
            assert_eq!(MeasuredKey::decode(bad), None, "{bad}");
        }
        assert_eq!(Measured::decode(&bytes[..32]), None);
        assert_eq!(Measured::decode(&[&[9], &bytes[1..]].concat()), None);
        assert_eq!(Measured::decode(&[]), None);
    }
}
