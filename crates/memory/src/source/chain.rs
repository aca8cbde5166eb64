//! Sources in order of preference: the first that works answers, and every change is reported.
//!
//! Invariant: an answer is always a fresh reading of one source; a failure is reported once when it begins and
//! once when it ends, however often the chain is read in between.

use super::{PressureReading, PressureSource, SourceError, SourceReport};

/// Asks the preferred source first and falls back to the next when it fails. A source that failed is asked
/// again at every reading, so it takes over by itself when it works again.
pub struct SourceChain {
    links: Vec<Link>,
    reports: Vec<SourceReport>,
    name: String,
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
        Self { links, reports: Vec::new(), name }
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
        for link in &mut self.links {
            match link.source.read() {
                Ok(reading) => {
                    let source = link.source.name().to_owned();
                    if std::mem::take(&mut link.failing) {
                        self.reports.push(SourceReport::Recovered { source: source.clone() });
                    }
                    self.name = source;
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
}
