//! From weights to chosen back ends: what is read, exported, timed and checked, and in which order.
//!
//! Owns the order. Kept times are read first: where the kernels are fastest nothing is exported, and no process starts.
//! Invariant: a back end is chosen only with a verdict about these weights and the files that are in the folder.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use majordomo_predictor::{Probes, SimdBackend};

use super::cache::{Calibration, CalibrationKey};
use super::check::Judge;
use super::child::Parent;
use super::measure::Report;
use super::spawn::{ChildCommand, Children};
use super::{BUCKETS, Candidate, Maker, Measured, Plan, Rejection};

/// Rows that a back end is checked with where there are fewer.
const MIN_PROBES: usize = 64;

/// The parts that a choice needs.
pub(crate) struct Run<'a> {
    pub(crate) maker: &'a dyn Maker,
    pub(crate) child: Result<&'a ChildCommand, &'a String>,
    pub(crate) children: &'a dyn Children,
    pub(crate) plan: Plan,
    /// Of the exported models of this part; no other user may read it.
    pub(crate) folder: PathBuf,
    /// The calibration that was kept last.
    pub(crate) kept: &'a dyn Fn() -> Option<Vec<u8>>,
    /// Keeps a calibration, unless it is cancelled.
    pub(crate) keep: &'a dyn Fn(Vec<u8>),
    pub(crate) is_cancelled: &'a dyn Fn() -> bool,
}

/// The result.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// By bucket, the position in `others`; none = the kernels.
    pub(crate) by_bucket: [Option<usize>; BUCKETS.len()],
    /// None where there is nothing to compare with.
    pub(crate) simd: Option<Candidate>,
    pub(crate) others: Vec<Candidate>,
    /// The times were read instead of measured.
    pub(crate) is_cached: bool,
}

impl Run<'_> {
    /// Chooses back ends for the weights of the probes.
    ///
    /// # Errors
    /// In words, why the kernels answer.
    pub(crate) fn choose(&self, probes: Probes) -> Result<Chosen, String> {
        self.check()?;
        if self.maker.names().is_empty() {
            let (by_bucket, others) = ([None; BUCKETS.len()], Vec::new());
            return Ok(Chosen { by_bucket, simd: None, others, is_cached: false });
        }
        let child = self.child.map_err(Clone::clone)?;
        let key = CalibrationKey::new(probes.weights(), self.maker, self.plan);
        let kept = (self.kept)().and_then(|bytes| Calibration::decode(&bytes, &key));
        let is_cached = kept.is_some();
        if let Some(mut kept) = kept.clone() {
            // Without verdicts about other weights.
            kept.use_for(probes.weights().id().0, kept.files);
            if kept.chosen() == [None; BUCKETS.len()] {
                return Ok(Chosen::of(&kept, is_cached));
            }
        }
        let files = self.export(&probes)?;
        let probes = probes.with_random_rows(MIN_PROBES);
        let judge = Judge::new(&probes);
        let parent = Parent {
            command: child,
            children: self.children,
            probes: &probes,
            folder: &self.folder,
            plan: self.plan,
            is_cancelled: self.is_cancelled,
        };
        let before = kept.clone();
        let mut calibration = match kept {
            Some(kept) => kept,
            None => self.timed(&parent, &judge, key, files)?,
        };
        calibration.use_for(probes.weights().id().0, files);
        while let Some(at) = calibration.unchecked() {
            self.check()?;
            let report = parent.ask(&calibration.others[at].name, false);
            calibration.verdicts[at] = Some(report.and_then(|report| verdict(&judge, &report)));
        }
        self.check()?;
        // A result that a busy machine or a missing program spoiled may be otherwise next time.
        if calibration.is_final() && before.as_ref() != Some(&calibration) {
            (self.keep)(calibration.encode());
        }
        Ok(Chosen::of(&calibration, is_cached))
    }

    /// # Errors
    /// When it is cancelled: the service ends, or its model was forgotten.
    fn check(&self) -> Result<(), String> {
        match (self.is_cancelled)() {
            true => Err("the calibration was cancelled".to_owned()),
            false => Ok(()),
        }
    }

    /// Times all back ends.
    fn timed(
        &self,
        parent: &Parent<'_>,
        judge: &Judge<'_>,
        key: CalibrationKey,
        files: u64,
    ) -> Result<Calibration, String> {
        let weights = parent.probes.weights().id().0;
        let measure = |name: &str| {
            self.check()?;
            let report = parent.ask(name, true);
            let verdict = report.as_ref().ok().map(|report| verdict(judge, report));
            let result = report.map(|Report { timings, placement, .. }| Measured {
                name: name.to_owned(),
                difference: None,
                timings,
                placement,
            });
            Ok::<_, String>((Candidate { name: name.to_owned(), result }, verdict))
        };
        let (mut simd, right) = measure(SimdBackend::NAME)?;
        match (right, &mut simd.result) {
            (Some(Ok(difference)), Ok(measured)) => measured.difference = Some(difference),
            (Some(Err(why)), result) => *result = Err(why),
            _ => {}
        }
        let names = self.maker.names();
        let all = names.iter().map(|name| measure(name)).collect::<Result<Vec<_>, _>>()?;
        let (others, verdicts) = all.into_iter().unzip();
        Ok(Calibration { key, simd, others, weights, files, verdicts })
    }

    /// Exports the models; returns the hash of their files.
    fn export(&self, probes: &Probes) -> Result<u64, String> {
        let folder = &self.folder;
        let failed = |error: std::io::Error| format!("no folder for exported models: {error}");
        // Models of other weights are of no use any more, and must not be taken for those of these.
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
        // Weights are learned from what users said.
        let mut private = std::fs::DirBuilder::new();
        private.recursive(true).mode(0o700).create(folder).map_err(failed)?;
        self.maker
            .prepare(probes.weights(), folder)
            .map_err(|error| format!("the model was not exported: {error}"))?;
        hash_of(folder).map_err(failed)
    }
}

impl Chosen {
    fn of(calibration: &Calibration, is_cached: bool) -> Self {
        Self {
            by_bucket: calibration.chosen(),
            simd: Some(calibration.simd.clone()),
            others: calibration.judged(),
            is_cached,
        }
    }
}

/// All passes of a report: one for each batch size, and one after the times were measured.
fn verdict(judge: &Judge<'_>, report: &Report) -> Result<f32, Rejection> {
    report.scores.iter().try_fold(0.0, |most: f32, scores| Ok(most.max(judge.judge(scores)?)))
}

/// Names and contents of all files below a folder, whatever order the system lists them in.
fn hash_of(folder: &Path) -> std::io::Result<u64> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() { &mut folders } else { &mut paths }.push(entry.path());
        }
    }
    paths.sort_unstable();
    // A checksum is enough: no other user writes here.
    let (mut checksum, mut length) = (crc32fast::Hasher::new(), 0u64);
    for path in paths {
        let name = path.strip_prefix(folder).unwrap_or(&path).as_os_str().as_encoded_bytes();
        let bytes = std::fs::read(&path)?;
        for part in [name, &(bytes.len() as u64).to_le_bytes()[..], &bytes] {
            checksum.update(part);
        }
        length = length.wrapping_add(bytes.len() as u64);
    }
    Ok(length << 32 | u64::from(checksum.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_of_names_and_contents() {
        let folder = std::env::temp_dir().join(format!("majordomo-hash-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("below")).expect("a folder");
        let hash = |a: &str, b: &str| {
            std::fs::write(folder.join("a"), a).expect("a file");
            std::fs::write(folder.join("below").join("b"), b).expect("a file");
            hash_of(&folder).expect("they can be read")
        };
        let all = [hash("x", "yz"), hash("xy", "z"), hash("x", "yZ"), hash("x", "yz")];
        assert_eq!(all[0], all[3]);
        assert!(all[0] != all[1] && all[0] != all[2]);
        std::fs::rename(folder.join("a"), folder.join("c")).expect("it is there");
        assert_ne!(hash_of(&folder).expect("they can be read"), all[0]);
        std::fs::remove_dir_all(&folder).expect("it is there");
    }
}
