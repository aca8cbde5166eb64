//! Learned times of the stages of loads, kept over restarts by component, configuration and host like load times.

use std::time::Duration;

use majordomo_core::{LoadStage, StateStore, StoreError, StoreOp, learned_time};

use super::measured::MeasuredKey;

/// The namespace of these times in the store.
pub const NAMESPACE: &str = "load-stages";

const VERSION: u8 = 1;
/// Stands for a stage that no load reached.
const NEVER: u64 = u64::MAX;

/// When loads reach their stages, as learned; [`LoadStage::ALL`] is the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes([Option<Duration>; LoadStage::ALL.len()]);

impl StageTimes {
    /// The learned time of a stage; none = no load reached it.
    #[must_use]
    pub fn of(&self, stage: LoadStage) -> Option<Duration> {
        self.0[stage as usize]
    }

    /// Learns from one load.
    pub fn learn(&mut self, load: &[(LoadStage, Duration)]) {
        for (stage, took) in load {
            let known = &mut self.0[*stage as usize];
            *known = Some(learned_time(*known, *took));
        }
    }

    /// The version, then one word of eight bytes for each stage: microseconds.
    fn encode(&self) -> Vec<u8> {
        let micros = |t: Duration| u64::try_from(t.as_micros()).unwrap_or(NEVER - 1);
        let words = self.0.iter().map(|time| time.map_or(NEVER, micros));
        std::iter::once(VERSION).chain(words.flat_map(u64::to_le_bytes)).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = bytes.split_first()? else { return None };
        let (words, []) = rest.as_chunks::<8>() else { return None };
        let words: [_; LoadStage::ALL.len()] = words.try_into().ok()?;
        let time = |word: [u8; 8]| Some(u64::from_le_bytes(word)).filter(|n| *n != NEVER);
        Some(Self(words.map(|word| time(word).map(Duration::from_micros))))
    }
}

/// The change that stores the times of a component, for a batch.
#[must_use]
pub fn put(key: &MeasuredKey, times: &StageTimes) -> StoreOp {
    StoreOp::Put { namespace: NAMESPACE.into(), key: key.encode(), value: times.encode() }
}

/// The times of one key; none where they are of an unknown version.
///
/// # Errors
/// When the store cannot be read.
pub fn get(store: &dyn StateStore, key: &MeasuredKey) -> Result<Option<StageTimes>, StoreError> {
    Ok(store.get(NAMESPACE, &key.encode())?.as_deref().and_then(StageTimes::decode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_times_are_decoded_unchanged() {
        let mut times = StageTimes::default();
        for load in [&[][..], &[(LoadStage::Spawn, Duration::from_micros(7))]] {
            times.learn(load);
            assert_eq!(StageTimes::decode(&times.encode()), Some(times));
        }
        let bytes = times.encode();
        for bad in [&bytes[..bytes.len() - 1], &[], &[9], &[&bytes[..], &[0; 8]].concat()] {
            assert_eq!(StageTimes::decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn stage_time_is_learned_like_a_load_time() {
        let mut times = StageTimes::default();
        let load = |ms| [(LoadStage::Ready, Duration::from_millis(ms))];
        times.learn(&load(100));
        times.learn(&load(200));
        assert_eq!(times.of(LoadStage::Ready), Some(Duration::from_millis(130)));
        assert_eq!(times.of(LoadStage::PortOpen), None);
    }
}
