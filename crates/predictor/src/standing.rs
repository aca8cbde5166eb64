//! The components that a text stands for by its outcomes, and the effect of one more outcome.
//!
//! Owns the weight of an outcome: its online steps, the rows of its text in a retrain, and
//! the certainty of a decision from the text alone. Like a saturating counter (Smith, 1981): only a run of contrary
//! outcomes overturns outcomes that have confirmed each other. Contrary outcomes that disagree with each other
//! have a majority (Boyer and Moore, 1981), which the text stands for once they outweigh. Invariant: neither the
//! contrary weight nor the challenger's lead exceeds the confirming weight.

use majordomo_simd::hash_bytes;

use crate::label_set::LabelSet;

/// Confirmations that count. One more contrary outcome overturns the text, so a new habit is learned within ten.
const MAX_CONFIRMED: u8 = 5;
/// Number of outcomes for the same components from which on a text is confirmed.
const MIN_CONFIRMED: u8 = 2;
/// Weight of an outcome of the client that alone has confirmed the text.
const OWN: u16 = 10;
/// Weight of a contrary outcome of one client where others have confirmed the text: nine of them overturn it.
const FOREIGN: u16 = 6;
const ORIGIN_SEED: u64 = 0x6f72_6967_696e;

/// The client that an outcome came from. Clients without a name are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin(u32);

impl Origin {
    pub(crate) fn new(name: Option<&str>) -> Self {
        // A hash, since the name itself must not be stored.
        Self(name.map_or(0, |name| hash_bytes(name.as_bytes(), ORIGIN_SEED) as u32 | 1))
    }

    /// The client with this number in a state.
    pub(crate) fn of_number(number: u32) -> Self {
        Self(number)
    }

    /// The client's number in a state.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// The effect of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The text was not known.
    First,
    /// The outcome used the components that the text stood for.
    Confirms,
    /// Contrary, but too little to change the components of the text: nothing is learned from it by itself.
    Withheld,
    /// The text now stands for the components of most contrary outcomes, this one and the withheld ones.
    Overturns {
        /// Their lead in outcomes, at least one.
        n: u8,
    },
}

impl Weight {
    /// Online steps of the model towards the outcome.
    pub(crate) fn n_steps(self) -> usize {
        match self {
            Self::First | Self::Confirms => 1,
            Self::Withheld => 0,
            Self::Overturns { n } => n.into(),
        }
    }
}

/// The components that most of a text's contrary outcomes used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Challenger {
    /// Sorted; empty when no component was used.
    pub(crate) labels: Vec<u32>,
    /// Weight of the outcomes for the challenger less that of other contrary outcomes.
    pub(crate) lead: u16,
    /// As [`Standing::origin`].
    pub(crate) origin: Option<Origin>,
}

impl Challenger {
    /// Takes one more contrary outcome into account.
    fn weigh(before: Option<Self>, labels: Vec<u32>, weight: u16, origin: Origin) -> Self {
        match before {
            Some(mut same) if same.labels == labels => {
                same.lead += weight;
                same.origin = same.origin.filter(|o| *o == origin);
                same
            }
            Some(other) if other.lead > weight => Self { lead: other.lead - weight, ..other },
            Some(other) => Self { labels, lead: weight - other.lead, origin: Some(origin) },
            None => Self { labels, lead: weight, origin: Some(origin) },
        }
    }
}

/// The components that a text stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) labels: LabelSet,
    /// Confirming outcomes, at most [`MAX_CONFIRMED`].
    pub(crate) n_confirmed: u8,
    /// Weight of the contrary outcomes since.
    pub(crate) contrary: u16,
    /// The client of all confirming outcomes; none for several clients.
    pub(crate) origin: Option<Origin>,
    /// The components of most contrary outcomes; none without contrary outcomes.
    pub(crate) challenger: Option<Box<Challenger>>,
}

impl Standing {
    pub(crate) fn new(labels: Vec<u32>, origin: Origin) -> Self {
        let labels = labels.into();
        Self { labels, n_confirmed: 1, contrary: 0, origin: Some(origin), challenger: None }
    }

    /// A standing read from a state; `None` when no outcomes can have led to it.
    pub(crate) fn restored(self) -> Option<Self> {
        let bound = u16::from(self.n_confirmed) * OWN;
        let is_sound = (1..=MAX_CONFIRMED).contains(&self.n_confirmed)
            && self.contrary <= bound
            && self.challenger.as_ref().is_none_or(|c| {
                c.lead <= self.contrary && self.contrary > 0 && *c.labels != *self.labels
            });
        is_sound.then_some(self)
    }

    /// Takes one more outcome of the text into account.
    pub(crate) fn weigh(&mut self, labels: Vec<u32>, origin: Origin) -> Weight {
        let is_own = self.origin == Some(origin);
        if *labels == *self.labels {
            self.n_confirmed = (self.n_confirmed + 1).min(MAX_CONFIRMED);
            self.contrary = self.contrary.saturating_sub(OWN);
            self.origin = self.origin.filter(|_| is_own);
            let lead = self.contrary;
            self.challenger = self.challenger.take().filter(|_| lead > 0).map(|mut c| {
                c.lead = c.lead.min(lead);
                c
            });
            return Weight::Confirms;
        }
        let weight = if is_own { OWN } else { FOREIGN };
        self.contrary += weight;
        let challenger =
            Challenger::weigh(self.challenger.take().map(|c| *c), labels, weight, origin);
        // An unconfirmed text is overturned by equal weight, a confirmed one by more weight.
        let slack = u16::from(self.n_confirmed < MIN_CONFIRMED);
        if self.contrary + slack <= u16::from(self.n_confirmed) * OWN {
            self.challenger = Some(Box::new(challenger));
            return Weight::Withheld;
        }
        let Challenger { labels, lead, origin } = challenger;
        let n = u8::try_from(lead.div_ceil(OWN)).unwrap_or(MAX_CONFIRMED).max(1);
        let n_confirmed = n.min(MIN_CONFIRMED);
        *self = Self { labels: labels.into(), n_confirmed, contrary: 0, origin, challenger: None };
        Weight::Overturns { n }
    }

    /// Takes a label out and renumbers those above it.
    pub(crate) fn remove_label(&mut self, label: u32) {
        let without = |labels: &mut Vec<u32>| {
            labels.retain(|l| *l != label);
            labels.iter_mut().filter(|l| **l > label).for_each(|l| *l -= 1);
        };
        let mut labels = self.labels.to_vec();
        without(&mut labels);
        self.labels = labels.into();
        // Without the label, outcomes that used nothing else would state that nothing was used, which is false.
        let uses_it_alone = |c: &Challenger| c.labels == [label];
        self.challenger = self.challenger.take().filter(|c| !uses_it_alone(c)).map(|mut c| {
            without(&mut c.labels);
            c
        });
        if self.challenger.as_ref().is_none_or(|c| *c.labels == *self.labels) {
            (self.challenger, self.contrary) = (None, 0);
        }
    }

    /// Rows of the text in a retrain: a frequent text counts more, but less than in proportion.
    pub(crate) fn n_rows(&self) -> usize {
        match self.n_confirmed {
            0..MIN_CONFIRMED => 1,
            MIN_CONFIRMED..MAX_CONFIRMED => 2,
            MAX_CONFIRMED.. => 3,
        }
    }

    /// Probability that the text needs its components, whatever a model says (the rule of succession):
    /// at least one half. `None` for a text that is not confirmed.
    pub(crate) fn certainty(&self) -> Option<f32> {
        let confirmed = f32::from(u16::from(self.n_confirmed) * OWN + OWN);
        let all = confirmed + f32::from(self.contrary + OWN);
        (self.n_confirmed >= MIN_CONFIRMED).then(|| confirmed / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of contrary outcomes of client `by` that overturn `n` confirming outcomes of clients `of`.
    fn n_to_overturn(n: usize, of: &[Option<&str>], by: Option<&str>) -> usize {
        let mut standing = Standing::new(vec![0], Origin::new(of[0]));
        for i in 1..n {
            let origin = Origin::new(of[i % of.len()]);
            assert_eq!(standing.weigh(vec![0], origin), Weight::Confirms);
        }
        let mut n_contrary = 1;
        while standing.weigh(vec![1], Origin::new(by)) == Weight::Withheld {
            assert!(standing.certainty().is_none_or(|c| c >= 0.5), "{standing:?}");
            n_contrary += 1;
        }
        assert_eq!((&*standing.labels, standing.contrary), (&[1][..], 0));
        n_contrary
    }

    #[test]
    fn confirmed_text_is_overturned_by_more_outcomes_than_confirmed_it_and_by_six() {
        let needed = [1, 2, 3, 5, 6, 40, 120].map(|n| n_to_overturn(n, &[None], None));
        assert_eq!(needed, [1, 3, 4, 6, 6, 6, 6]);
    }

    #[test]
    fn client_overturns_outcomes_of_others_later_than_its_own_and_within_ten() {
        let (own, others) = (Some("kitchen"), [Some("kitchen"), Some("hall")]);
        assert_eq!(n_to_overturn(120, &[own], own), 6);
        assert_eq!(n_to_overturn(120, &[own], Some("hall")), 9);
        assert_eq!(n_to_overturn(120, &[own], None), 9);
        assert_eq!(n_to_overturn(120, &others, own), 9);
        assert_eq!(n_to_overturn(1, &[own], Some("hall")), 2);
    }

    #[test]
    fn confirmation_cancels_a_contrary_outcome() {
        let mut standing = Standing::new(vec![0], Origin::default());
        for _ in 0..5 {
            standing.weigh(vec![0], Origin::default());
        }
        for _ in 0..100 {
            assert_eq!(standing.weigh(vec![1], Origin::default()), Weight::Withheld);
            assert_eq!(standing.weigh(vec![0], Origin::default()), Weight::Confirms);
        }
        assert_eq!(*standing.labels, [0]);
    }

    #[test]
    fn overturned_text_is_restored_by_fewer_outcomes() {
        let mut standing = Standing::new(vec![0], Origin::default());
        for _ in 0..120 {
            standing.weigh(vec![0], Origin::default());
        }
        let weights: Vec<Weight> =
            (0..6).map(|_| standing.weigh(vec![1], Origin::default())).collect();
        assert_eq!(weights[4..], [Weight::Withheld, Weight::Overturns { n: 6 }]);
        assert_eq!(
            (0..3).map(|_| standing.weigh(vec![0], Origin::default())).last(),
            Some(Weight::Overturns { n: 3 })
        );
    }

    /// The components that the text stands for after `n` outcomes for component 0 and then these.
    fn after(n: usize, contrary: &[u32]) -> (u32, Weight) {
        let mut standing = Standing::new(vec![0], Origin::default());
        (1..n).for_each(|_| _ = standing.weigh(vec![0], Origin::default()));
        let last = contrary.iter().map(|l| standing.weigh(vec![*l], Origin::default())).last();
        (standing.labels[0], last.expect("an outcome"))
    }

    #[test]
    fn text_stands_for_the_majority_of_contrary_outcomes_that_disagree() {
        assert_eq!(after(20, &[1, 1, 1, 1, 1, 2]), (1, Weight::Overturns { n: 4 }));
        assert_eq!(after(20, &[2, 1, 1, 3, 1, 1]), (1, Weight::Overturns { n: 2 }));
        assert_eq!(after(20, &[1, 2, 1, 2, 1, 2]), (2, Weight::Overturns { n: 1 }));
    }

    #[test]
    fn habit_that_changes_after_other_contrary_outcomes_is_learned_within_ten() {
        for noise in [&[][..], &[1], &[1, 1, 1, 1, 1], &[1, 3, 1, 3, 1]] {
            let outcomes = [noise, &[2; 10]].concat();
            assert_eq!(after(120, &outcomes).0, 2, "{noise:?}");
        }
    }

    #[test]
    fn removed_label_is_no_challenger() {
        let mut standing = Standing::new(vec![0], Origin::default());
        (0..5).for_each(|_| _ = standing.weigh(vec![0], Origin::default()));
        (0..5).for_each(|_| _ = standing.weigh(vec![1], Origin::default()));
        let mut other = standing.clone();
        other.remove_label(0);
        assert_eq!(other.challenger.as_ref().map(|c| &*c.labels), Some(&[0][..]));
        standing.remove_label(1);
        assert_eq!((standing.contrary, &standing.challenger), (0, &None));
        assert_eq!(standing.weigh(vec![1], Origin::default()), Weight::Withheld);
    }
}
