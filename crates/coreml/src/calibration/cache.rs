//! Calibrations that are kept: for which weights, on which system and chip, and what came out.
//!
//! Owns the bytes. Where they are kept is the caller's business. Invariant: a calibration is used only under its own key;
//! bytes that cannot be read are no calibration.

use serde::{Deserialize, Serialize};

use super::{Candidate, Rejection};

/// Counted up whenever the bytes or the rule of choice change.
const FORMAT: u32 = 1;

/// The facts that a calibration depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalibrationKey {
    /// The weights, as [`WeightsId`](majordomo_predictor::WeightsId).
    pub weights: u64,
    /// The build of the operating system.
    pub os_build: String,
    /// The processor.
    pub chip: String,
    /// The version of this program.
    pub program: String,
}

/// The results of all back ends for one set of weights on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The facts that it depends on.
    pub key: CalibrationKey,
    /// The kernels.
    pub simd: Candidate,
    /// The other back ends.
    pub others: Vec<Candidate>,
}

impl Calibration {
    /// Whether a repetition would have the same result: the kernels have times, and each other back end has times, or
    /// computes wrongly or crashes.
    #[must_use]
    pub fn is_final(&self) -> bool {
        let passes = |why: &Rejection| matches!(why, Rejection::TimedOut(_) | Rejection::Failed(_));
        let is_final = |candidate: &Candidate| !candidate.result.as_ref().is_err_and(passes);
        self.simd.result.is_ok() && self.others.iter().all(is_final)
    }

    /// The calibration as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = FORMAT.to_le_bytes().to_vec();
        let body = postcard::to_allocvec(self).unwrap_or_default();
        out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        out.extend_from_slice(&body);
        out
    }

    /// Reads what [`encode`](Self::encode) wrote, if it is whole and has this key.
    #[must_use]
    pub fn decode(bytes: &[u8], key: &CalibrationKey) -> Option<Self> {
        let (format, rest) = bytes.split_first_chunk::<4>()?;
        let (crc, body) = rest.split_first_chunk::<4>()?;
        let whole = u32::from_le_bytes(*format) == FORMAT
            && crc32fast::hash(body) == u32::from_le_bytes(*crc);
        let read: Self = whole.then(|| postcard::from_bytes(body).ok())??;
        (read.key == *key).then_some(read)
    }
}

/// The build of the operating system and the processor, as the system names them; empty where it does not.
#[must_use]
pub fn machine() -> (String, String) {
    platform::machine()
}

#[cfg(not(target_os = "macos"))]
mod platform {
    pub(super) fn machine() -> (String, String) {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let chip = model.map_or("", |(_, name)| name).trim().to_owned();
        (read("/proc/sys/kernel/osrelease").trim().to_owned(), chip)
    }
}

#[cfg(target_os = "macos")]
mod platform {
    pub(super) fn machine() -> (String, String) {
        (
            crate::runtime::system_value(c"kern.osversion"),
            crate::runtime::system_value(c"machdep.cpu.brand_string"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_calibration_is_for_its_own_key() {
        let key = CalibrationKey {
            weights: 7,
            os_build: "24A335".into(),
            chip: "Apple M1".into(),
            program: "0.1.0".into(),
        };
        let failed = |name: &str| Candidate {
            name: name.to_owned(),
            result: Err(Rejection::Crashed("signal 6".to_owned())),
        };
        let calibration =
            Calibration { key: key.clone(), simd: failed("simd"), others: vec![failed("x")] };
        let bytes = calibration.encode();
        assert_eq!(Calibration::decode(&bytes, &key), Some(calibration));
        let updated = CalibrationKey { os_build: "24B83".into(), ..key.clone() };
        assert_eq!(Calibration::decode(&bytes, &updated), None);
        for n in 0..bytes.len() {
            assert_eq!(Calibration::decode(&bytes[..n], &key), None, "cut to {n}");
            let mut damaged = bytes.clone();
            damaged[n] ^= 0x40;
            assert_eq!(Calibration::decode(&damaged, &key), None, "byte {n}");
        }
    }
}
