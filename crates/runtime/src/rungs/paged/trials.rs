//! Trials on an own child: when one is made, and when again.

use std::time::Duration;

use majordomo_core::Moment;
use majordomo_paging::{NotOffered, NotOfferedKind, Pager};

/// A trial that failed is repeated after these times, the last of them over and over: a disk may have been busy.
const AGAIN_AFTER: [Duration; 4] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(3600),
];

/// The outcome of the last trial.
#[derive(Debug, Default)]
pub(super) enum Trial {
    /// No component could be paged out.
    #[default]
    None,
    UnderWay {
        at: Moment,
        /// Trials before it that failed.
        n_failed: usize,
    },
    Offered(Pager),
    Failed {
        why: NotOffered,
        at: Moment,
        n_failed: usize,
    },
}

impl Trial {
    pub(super) fn pager(&self) -> Option<&Pager> {
        match self {
            Self::Offered(pager) => Some(pager),
            _ => None,
        }
    }

    /// Begins one where it may change the answer: none was made; there was no swap, and now there is; or a trial failed, some
    /// time ago. A call that the kernel lacks or does not permit stays so.
    pub(super) fn begin_if_due(&mut self, now: Moment, has_swap: impl FnOnce() -> bool) -> bool {
        let n_failed = match self {
            Self::None => 0,
            Self::UnderWay { .. } | Self::Offered(_) => return false,
            Self::Failed { why, at, n_failed } => {
                let is_due = match why.kind() {
                    NotOfferedKind::NoSwap => has_swap(),
                    NotOfferedKind::Trial => now.since(*at) >= pause(*n_failed),
                    _ => false,
                };
                if !is_due {
                    return false;
                }
                *n_failed
            }
        };
        *self = Self::UnderWay { at: now, n_failed };
        true
    }

    /// The one under way has ended.
    pub(super) fn ended(&mut self, tried: Result<Pager, NotOffered>) {
        let Self::UnderWay { at, n_failed } = *self else { return };
        *self = match tried {
            Ok(pager) => Self::Offered(pager),
            Err(why) => Self::Failed { why, at, n_failed: n_failed + 1 },
        };
    }
}

fn pause(n_failed: usize) -> Duration {
    let last = AGAIN_AFTER.len() - 1;
    AGAIN_AFTER.get(n_failed.saturating_sub(1).min(last)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    fn failed(kind: NotOfferedKind) -> Trial {
        let mut trial = Trial::default();
        assert!(trial.begin_if_due(at(0), || true));
        trial.ended(Err(NotOffered::new(kind, "why")));
        trial
    }

    #[test]
    fn failed_trial_is_repeated_after_growing_pauses() {
        let mut trial = failed(NotOfferedKind::Trial);
        assert!(!trial.begin_if_due(at(9), || true));
        assert!(trial.begin_if_due(at(10), || true));
        assert!(!trial.begin_if_due(at(1000), || true), "one is under way");
        trial.ended(Err(NotOffered::new(NotOfferedKind::Trial, "why")));
        assert!(!trial.begin_if_due(at(69), || true));
        assert!(trial.begin_if_due(at(70), || true));
        for _ in 0..9 {
            trial.ended(Err(NotOffered::new(NotOfferedKind::Trial, "why")));
            let Trial::Failed { at, .. } = trial else { unreachable!() };
            assert!(trial.begin_if_due(at + Duration::from_secs(3600), || true));
        }
    }

    #[test]
    fn lack_of_a_right_is_final_and_lack_of_swap_until_there_is_some() {
        for kind in [NotOfferedKind::NoRight, NotOfferedKind::Kernel] {
            assert!(!failed(kind).begin_if_due(at(100_000), || true), "{kind:?}");
        }
        let mut trial = failed(NotOfferedKind::NoSwap);
        assert!(!trial.begin_if_due(at(1), || false));
        assert!(trial.begin_if_due(at(1), || true));
    }
}
