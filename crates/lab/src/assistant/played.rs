//! One command of a day and what became of it.

use std::collections::BTreeSet;

use majordomo_sim::replay::NOTICED;
use serde::{Deserialize, Serialize};

/// One command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Played {
    pub(super) index: usize,
    /// Seconds since the day began.
    pub(super) at_s: f64,
    /// The component that the command needs.
    pub(super) component: String,
    pub(super) text: String,
    /// Whether an earlier command of the day had the same text: the server has learned it since.
    pub(super) is_repeat: bool,
    /// Whether no earlier command of the run needed the component: its load is then the first since the server started.
    #[serde(default)]
    pub(super) is_first_use: bool,
    /// The components that the server chose for the text.
    pub(super) chosen: Vec<String>,
    /// The components that the server leased for the text.
    pub(super) leased: Vec<String>,
    /// Chosen components that were left out of the lease, each with its refusal.
    pub(super) left_out: Vec<String>,
    /// The first refusal: of the command, of its needed component, or of the exchange after a wrong
    /// choice.
    pub(super) refusal: Option<String>,
    /// From the command to the lease on the needed component, with an exchange after a wrong
    /// choice.
    pub(super) wait_ms: f64,
    /// The part of the wait before the first load for it began.
    pub(super) before_load_ms: f64,
    /// Whether the needed component was leased in the end.
    pub(super) is_served: bool,
    /// From the question to its answer.
    pub(super) answer_ms: f64,
    /// The time of a warm component for that answer; none where it was not measured.
    #[serde(default)]
    pub(super) warm_answer_ms: Option<f64>,
    /// Whether the answer was real.
    pub(super) is_real: bool,
    /// The answer, or what was wrong with it; cut.
    pub(super) answer: String,
}

impl Played {
    /// Whether exactly the needed component was chosen.
    pub(super) fn is_exact(&self) -> bool {
        self.chosen.len() == 1 && self.chosen[0] == self.component
    }

    /// The components that were leased for the command.
    pub(super) fn used(&self) -> BTreeSet<String> {
        let needed = self.is_served.then_some(&self.component);
        self.leased.iter().chain(needed).cloned().collect()
    }

    /// From the command to its answer.
    pub(super) fn to_answer_ms(&self) -> f64 {
        self.wait_ms + self.answer_ms
    }

    /// The wait, and what the answer took beyond that of a warm component: negative where it was quicker, so that noise is
    /// as likely to shorten a mean as to lengthen it. The wait alone where warm answers were not measured.
    pub(super) fn full_wait_ms(&self) -> f64 {
        self.wait_ms + self.warm_answer_ms.map_or(0.0, |warm| self.answer_ms - warm)
    }

    pub(super) fn waited(&self) -> bool {
        self.wait_ms > NOTICED.as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_wait_has_the_answer_beyond_a_warm_one_and_is_not_cut_at_zero() {
        let of = |answer_ms, warm_answer_ms| {
            Played { wait_ms: 40.0, answer_ms, warm_answer_ms, ..Played::default() }.full_wait_ms()
        };
        assert_eq!(of(150.0, Some(100.0)), 90.0);
        assert_eq!(of(50.0, Some(100.0)), -10.0);
        assert_eq!(of(150.0, None), 40.0);
    }
}
