//! Reduces a failing day to the few actions that make it fail.
//!
//! First the shortest failing prefix, then delta debugging (Zeller and Hildebrandt 2002, `ddmin`) over its
//! actions. A reduced script counts as failing when it breaks the same invariant at the same kind of input.

use majordomo_core::Moment;

use super::day::run;
use super::script::{Action, Script};
use super::world::Failure;

/// A reduced script and its failure.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the name of the other field says it")]
pub struct Shrunk {
    /// Running it gives `failure`.
    pub script: Script,
    pub failure: Failure,
    /// Runs that the reduction took.
    pub n_runs: usize,
}

impl Shrunk {
    /// Most failures have their cause shortly before them: tries the last actions only, up to half of all, together
    /// with all actions of lasting effect (configurations, restarts, operators' pins).
    fn keep_the_last(&mut self, same: &(u8, String), max_runs: usize) {
        let mut n_last = 16;
        while n_last * 2 <= self.script.actions.len() && self.n_runs < max_runs {
            let from = self.script.actions.len() - n_last;
            let (past, last) = self.script.actions.split_at(from);
            let lasting = past.iter().filter(|a| {
                matches!(
                    a.1,
                    Action::Configure(_) | Action::Shutdown { .. } | Action::Operator { .. }
                )
            });
            let candidate = self.script.with(lasting.chain(last).cloned().collect());
            self.n_runs += 1;
            if let Some(f) = run(&candidate, false).failure.filter(|f| kind(f) == *same) {
                self.script = candidate.until(f.at);
                self.failure = f;
                return;
            }
            n_last *= 2;
        }
    }
}

/// The part of a failure that stays the same while actions are left out. Without digits, since times and ids change.
fn kind(failure: &Failure) -> (u8, String) {
    let what = failure.broken.what.chars().filter(|c| c.is_alphabetic()).take(24).collect();
    (failure.broken.invariant, what)
}

/// Reduces the script of a failing seed, with at most `max_runs` runs.
#[must_use]
pub fn shrink(script: &Script, failure: &Failure, max_runs: usize) -> Shrunk {
    let prefix = script.until(failure.at);
    let mut best = Shrunk { script: prefix, failure: failure.clone(), n_runs: 0 };
    let same = kind(failure);
    best.keep_the_last(&same, max_runs);
    let mut chunks = 2;
    while best.script.actions.len() > 1 && best.n_runs < max_runs {
        let n = best.script.actions.len();
        let size = n.div_ceil(chunks);
        let mut reduced = false;
        let mut begin = 0;
        while begin < best.script.actions.len() && best.n_runs < max_runs {
            let actions = &best.script.actions;
            let end = (begin + size).min(actions.len());
            let mut rest: Vec<(Moment, Action)> = actions[..begin].to_vec();
            rest.extend_from_slice(&actions[end..]);
            let candidate = best.script.with(rest);
            best.n_runs += 1;
            match run(&candidate, false).failure {
                Some(f) if kind(&f) == same => {
                    best.script = candidate.until(f.at);
                    best.failure = f;
                    reduced = true;
                }
                _ => begin += size,
            }
        }
        if reduced {
            chunks = chunks.max(2);
        } else if size == 1 {
            break;
        } else {
            chunks = (chunks * 2).min(n);
        }
    }
    best
}
