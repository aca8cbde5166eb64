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

    pub(super) fn waited(&self) -> bool {
        self.wait_ms > NOTICED.as_secs_f64() * 1e3
    }
}
