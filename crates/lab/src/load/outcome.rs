//! The result of one rate: counts and latencies, and the line that shows them.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_server::ClientError;

use super::{PATIENCE, PROVED};
use crate::soak::Histogram;

/// How a refusal is called that the system gave, since the queue of connections was full.
pub(super) const QUEUE_FULL: &str = "queue full";

/// The result of one rate.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) due: u64,
    pub(super) sent: u64,
    pub(super) served: Histogram,
    pub(super) refused: Histogram,
    pub(super) codes: BTreeMap<String, u64>,
    pub(super) broken: u64,
    /// How they broke.
    pub(super) how: BTreeMap<String, u64>,
    pub(super) seconds: f64,
}

impl Outcome {
    /// Requests sent a second.
    pub(super) fn rate(&self) -> f64 {
        self.sent as f64 / self.seconds.max(1e-9)
    }

    /// Whether all was sent, served and answered within the bound.
    pub(super) fn is_good(&self, bound: Duration) -> bool {
        self.served.quantile(0.99).is_some_and(|p| p <= bound)
            && self.broken == 0
            && self.refused.count() == 0
            && self.sent as f64 >= PROVED * self.due as f64
    }

    /// A line below [`HEAD`].
    pub(super) fn line(&self, rate: f64) -> String {
        let ms = |h: &Histogram, q| {
            h.quantile(q)
                .map_or_else(|| "-".to_owned(), |d| format!("{:.2}", d.as_secs_f64() * 1e3))
        };
        let codes: Vec<_> = self.codes.iter().map(|(c, n)| format!("{c} {n}")).collect();
        format!(
            "{rate:>8.0} {:>9.0} {:>8} {:>9} {:>9} {:>8} {:>6}  {}",
            self.rate(),
            self.served.count(),
            ms(&self.served, 0.5),
            ms(&self.served, 0.99),
            self.refused.count(),
            self.broken,
            codes.join(", ")
        )
    }
}

/// The head of a table of outcomes.
pub(super) const HEAD: &str = "   asked      sent   served    p50 ms    p99 ms  refused broken";

impl Outcome {
    /// Counts an answer; none = it came after the limit.
    pub(super) fn take(&mut self, done: Option<Option<(Result<(), ClientError>, Duration)>>) {
        match done.flatten() {
            Some((Ok(()), took)) => self.served.record(took),
            Some((Err(ClientError::Problem(problem)), took)) => {
                self.refused.record(took);
                let code = format!("{} {}", problem.status, problem.code);
                *self.codes.entry(code).or_default() += 1;
            }
            Some((Err(ClientError::Crowded { .. }), took)) => {
                self.refused.record(took);
                *self.codes.entry(QUEUE_FULL.to_owned()).or_default() += 1;
            }
            Some((Err(error), _)) => {
                self.broken += 1;
                *self.how.entry(error.to_string()).or_default() += 1;
            }
            None => {
                self.broken += 1;
                *self.how.entry(format!("no answer within {PATIENCE:?}")).or_default() += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_good_when_all_was_sent_served_and_within_the_bound() {
        let bound = Duration::from_millis(20);
        let good = || {
            let mut o = Outcome { due: 100, sent: 100, seconds: 1.0, ..Outcome::default() };
            (0..100).for_each(|_| o.served.record(Duration::from_millis(5)));
            o
        };
        assert!(good().is_good(bound));
        assert!(!Outcome { sent: 90, ..good() }.is_good(bound));
        assert!(!Outcome { broken: 1, ..good() }.is_good(bound));
        assert!(!good().is_good(Duration::from_millis(4)));
        let mut refused = good();
        refused.refused.record(Duration::from_millis(1));
        assert!(!refused.is_good(bound));
    }

    #[test]
    fn every_request_is_served_refused_or_broken() {
        let mut o = Outcome::default();
        let ms = Duration::from_millis(1);
        let address = || "s".to_owned();
        o.take(Some(Some((Ok(()), ms))));
        o.take(Some(Some((Err(ClientError::Crowded { address: address() }), ms))));
        let why = || "reset".to_owned();
        o.take(Some(Some((Err(ClientError::Broken { address: address(), why: why() }), ms))));
        o.take(Some(None));
        assert_eq!((o.served.count(), o.refused.count(), o.broken), (1, 1, 2));
        assert_eq!(o.codes[QUEUE_FULL], 1);
        assert_eq!(o.how.len(), 2, "{:?}", o.how);
    }
}
