//! Sources in order of preference: the first that works answers, and every change is reported.
//!
//! Invariant: an answer is always a fresh reading of one source; a failure is reported once when it begins and
//! once when it ends, however often the chain is read in between.

use majordomo_core::{BoundStatus, ByteSize};

use super::PressureSource;
use crate::error::SourceError;
use crate::reading::PressureReading;
use crate::report::SourceReport;
use crate::watch::WatchConfig;

/// Asks the preferred source first and falls back to the next when it fails. A source that failed is asked
/// again at every reading, so it takes over by itself when it works again.
pub struct SourceChain {
    links: Vec<Link>,
    reports: Vec<SourceReport>,
    name: String,
    /// Which source answered last.
    answers: Option<usize>,
}

struct Link {
    source: Box<dyn PressureSource>,
    failing: bool,
}

impl std::fmt::Debug for SourceChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SourceChain").field(&self.name).finish()
    }
}

impl SourceChain {
    /// A chain in order of preference.
    #[must_use]
    pub fn new(sources: Vec<Box<dyn PressureSource>>) -> Self {
        let name = sources.first().map_or("none", |s| s.name()).to_owned();
        let links = sources.into_iter().map(|source| Link { source, failing: false }).collect();
        Self { links, reports: Vec::new(), name, answers: None }
    }
}

impl PressureSource for SourceChain {
    /// The source that answered last.
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> Result<PressureReading, SourceError> {
        let mut failures = Vec::new();
        let mut begun = Vec::new();
        let mut answer = None;
        self.answers = None;
        for (i, link) in self.links.iter_mut().enumerate() {
            match link.source.read() {
                Ok(reading) => {
                    let source = link.source.name().to_owned();
                    if std::mem::take(&mut link.failing) {
                        self.reports.push(SourceReport::Recovered { source: source.clone() });
                    }
                    self.name = source;
                    self.answers = Some(i);
                    answer = Some(reading);
                    break;
                }
                Err(error) => {
                    let source = link.source.name().to_owned();
                    if !std::mem::replace(&mut link.failing, true) {
                        begun.push((source.clone(), error.to_string()));
                    }
                    failures.push((source, error));
                }
            }
        }
        let next = answer.is_some().then(|| self.name.clone());
        self.reports.extend(begun.into_iter().map(|(source, error)| SourceReport::Failed {
            source,
            error,
            replaced_by: next.clone(),
        }));
        answer.ok_or(SourceError::AllFailed(failures))
    }

    fn take_reports(&mut self) -> Vec<SourceReport> {
        let mut all = std::mem::take(&mut self.reports);
        for link in &mut self.links {
            all.append(&mut link.source.take_reports());
        }
        all
    }

    fn bounds(&self) -> Vec<BoundStatus> {
        self.answers.map(|i| self.links[i].source.bounds()).unwrap_or_default()
    }

    fn watch(&self, thresholds: [ByteSize; 4]) -> Option<WatchConfig> {
        self.links[self.answers?].source.watch(thresholds)
    }
}
