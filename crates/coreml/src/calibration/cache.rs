//! Calibrations that are kept: what was timed on which system and chip, and which weights were checked with which files.
//!
//! Times depend on the shape of the layers and not on their weights, so that they are kept for all weights of one shape: each
//! online step makes other weights. Results do depend on the weights, so each other set of weights, and each other set of
//! files, is checked again. Owns the bytes. Where they are kept is the caller's business. Invariant: a calibration is used
//! only under its own key; bytes that cannot be read are no calibration.

use majordomo_predictor::{DenseWeights, Head};
use serde::{Deserialize, Serialize};

use super::choice::choose;
use super::{BUCKETS, Candidate, Maker, Plan, Rejection};

/// Counted up whenever the bytes or the rule of choice change.
const FORMAT: u32 = 2;

/// The facts that times depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalibrationKey {
    /// Hidden units of the layers.
    pub n_hidden: u64,
    /// Outputs of the layers.
    pub n_outputs: u64,
    /// Whether the outputs of a row exclude each other.
    pub is_exclusive: bool,
    /// Names and settings of the back ends, in their maker's order.
    pub back_ends: Vec<(String, String)>,
    /// How they were measured.
    pub plan: Plan,
    /// The build of the operating system.
    pub os_build: String,
    /// The processor.
    pub chip: String,
    /// The version of this program.
    pub program: String,
}

impl CalibrationKey {
    /// The key of these layers on this machine.
    #[must_use]
    pub fn new(weights: &DenseWeights, maker: &dyn Maker, plan: Plan) -> Self {
        let (os_build, chip) = machine();
        let back_ends = maker.names().into_iter().map(|name| {
            let settings = maker.settings(&name);
            (name, settings)
        });
        Self {
            n_hidden: weights.n_hidden() as u64,
            n_outputs: weights.n_outputs() as u64,
            is_exclusive: weights.head() == Head::Exclusive,
            back_ends: back_ends.collect(),
            plan,
            os_build,
            chip,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The result of a comparison with the kernels: the largest difference of a probability, or why the results are wrong.
pub(crate) type Verdict = Result<f32, Rejection>;

/// The results of all back ends for one shape of layers on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The facts that the times depend on.
    pub key: CalibrationKey,
    /// The kernels.
    pub simd: Candidate,
    /// The other back ends, as they were timed.
    pub others: Vec<Candidate>,
    /// The weights of the verdicts, as [`WeightsId`](majordomo_predictor::WeightsId).
    pub(crate) weights: u64,
    /// The hash of the files of these weights.
    pub(crate) files: u64,
    /// For each of `others`; none = not checked with these weights.
    pub(crate) verdicts: Vec<Option<Verdict>>,
}

impl Calibration {
    /// Makes it one of these weights and files: verdicts about others are dropped.
    pub(crate) fn use_for(&mut self, weights: u64, files: u64) {
        if (self.weights, self.files) != (weights, files) {
            (self.weights, self.files) = (weights, files);
            self.verdicts = vec![None; self.others.len()];
        }
    }

    /// By bucket, the position in `others` of the back end that is chosen unless its results turn out wrong; none = the kernels.
    pub(crate) fn chosen(&self) -> [Option<usize>; BUCKETS.len()] {
        choose(&self.simd, &self.judged())
    }

    /// A chosen back end without a verdict.
    pub(crate) fn unchecked(&self) -> Option<usize> {
        self.chosen().into_iter().flatten().find(|at| self.verdict(*at).is_none())
    }

    fn verdict(&self, at: usize) -> Option<&Verdict> {
        self.verdicts.get(at)?.as_ref()
    }

    /// The other back ends with their verdicts.
    pub(crate) fn judged(&self) -> Vec<Candidate> {
        let judged = self.others.iter().enumerate().map(|(at, candidate)| {
            let mut out = candidate.clone();
            match (self.verdict(at), &mut out.result) {
                (Some(Ok(difference)), Ok(measured)) => measured.difference = Some(*difference),
                (Some(Err(why)), result @ Ok(_)) => *result = Err(why.clone()),
                _ => {}
            }
            out
        });
        judged.collect()
    }

    /// Whether a repetition would have the same result: the kernels have times, and each other back end has times, or
    /// computes wrongly or crashes.
    #[must_use]
    pub fn is_final(&self) -> bool {
        let passes = |why: &Rejection| matches!(why, Rejection::TimedOut(_) | Rejection::Failed(_));
        let candidates = self.others.iter().filter_map(|candidate| candidate.result.as_ref().err());
        let verdicts = self.verdicts.iter().flatten().filter_map(|verdict| verdict.as_ref().err());
        self.simd.result.is_ok() && !candidates.chain(verdicts).any(passes)
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
    use std::time::Duration;

    use super::super::{Measured, Timing};
    use super::*;

    fn key() -> CalibrationKey {
        CalibrationKey {
            n_hidden: 96,
            n_outputs: 12,
            is_exclusive: true,
            back_ends: vec![("x".into(), "fp16".into())],
            plan: Plan::default(),
            os_build: "24A335".into(),
            chip: "Apple M1".into(),
            program: "0.1.0".into(),
        }
    }

    /// Times of one bucket.
    fn timed(name: &str, us: u64) -> Candidate {
        let time = Duration::from_micros(us);
        let timings = vec![Timing { rows: 512, hot: time, hot_p99: time, idle: time }];
        let measured =
            Measured { name: name.into(), difference: None, timings, placement: Vec::new() };
        Candidate { name: name.into(), result: Ok(measured) }
    }

    fn calibration() -> Calibration {
        Calibration {
            key: key(),
            simd: timed("simd", 100),
            others: vec![timed("x", 10), timed("y", 20)],
            weights: 7,
            files: 8,
            verdicts: vec![Some(Ok(0.001)), None],
        }
    }

    #[test]
    fn kept_calibration_is_for_its_own_key() {
        let calibration = calibration();
        let bytes = calibration.encode();
        assert_eq!(Calibration::decode(&bytes, &key()), Some(calibration));
        for other in [
            CalibrationKey { os_build: "24B83".into(), ..key() },
            CalibrationKey { n_outputs: 13, ..key() },
            CalibrationKey { back_ends: vec![("x".into(), "fp32".into())], ..key() },
            CalibrationKey { back_ends: Vec::new(), ..key() },
            CalibrationKey { plan: Plan { hot_calls: 1, ..Plan::default() }, ..key() },
        ] {
            assert_eq!(Calibration::decode(&bytes, &other), None, "{other:?}");
        }
        for n in 0..bytes.len() {
            assert_eq!(Calibration::decode(&bytes[..n], &key()), None, "cut to {n}");
            let mut damaged = bytes.clone();
            damaged[n] ^= 0x40;
            assert_eq!(Calibration::decode(&damaged, &key()), None, "byte {n}");
        }
    }

    #[test]
    fn verdicts_are_about_weights_and_files() {
        let mut of = calibration();
        of.use_for(7, 8);
        assert_eq!((of.chosen()[4], of.unchecked()), (Some(0), None));
        for (weights, files) in [(9, 8), (9, 10)] {
            of.use_for(weights, files);
            assert_eq!(of.unchecked(), Some(0), "other weights or files are checked");
            of.verdicts[0] = Some(Ok(0.0));
        }
        // A wrong result is followed by the next fastest, and its times are kept.
        of.verdicts[0] = Some(Err(Rejection::WrongDecision { flips: 1, rows: 64 }));
        assert_eq!((of.chosen()[4], of.unchecked()), (Some(1), Some(1)));
        of.verdicts[1] = Some(Err(Rejection::Crashed("signal 6".into())));
        assert_eq!((of.chosen(), of.unchecked()), ([None; 5], None));
        assert!(of.is_final());
        of.use_for(11, 11);
        assert_eq!(of.unchecked(), Some(0));
        of.verdicts[0] = Some(Err(Rejection::TimedOut(Duration::from_secs(1))));
        assert!(!of.is_final());
    }
}
