//! What the outcomes of one text stand for, and how much one more outcome may change.
//!
//! Owns the weight of an outcome: the steps that it takes at once, the rows that its text is in a retrain, and
//! how sure a decision from the text alone is. Like a saturating counter (Smith, 1981): what was confirmed often
//! gives way to a run of contrary outcomes, and to nothing less. Invariant: the contrary weight never exceeds
//! the confirming weight.

use majordomo_simd::hash_bytes;

/// Confirmations that count. One contrary outcome more overturns the text: a new habit is learned within ten.
const MAX_CONFIRMED: u8 = 5;
/// Outcomes for the same components from which on a text is confirmed.
const MIN_CONFIRMED: u8 = 2;
/// Weight of an outcome of the client whose phrase it is.
const OWN: u16 = 10;
/// Weight of a contrary outcome of one client where others have confirmed the phrase: nine of them overturn it.
const FOREIGN: u16 = 6;
const ORIGIN_SEED: u64 = 0x6f72_6967_696e;

/// The client that an outcome came from. Clients without a name are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin(u32);

impl Origin {
    pub(crate) fn new(name: Option<&str>) -> Self {
        // The name itself is nothing to be kept.
        Self(name.map_or(0, |name| hash_bytes(name.as_bytes(), ORIGIN_SEED) as u32 | 1))
    }
}

/// What became of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The text was not known.
    First,
    /// It used what it stood for already.
    Confirms,
    /// Too little yet to change what the text stands for: nothing is learned from it by itself.
    Withheld,
    /// The text stands for this now. The outcomes that were withheld count with it.
    Overturns {
        /// Outcomes that speak for it, this one included.
        n: u8,
    },
}

impl Weight {
    /// Steps that the model takes towards the outcome at once.
    pub(crate) fn n_steps(self) -> usize {
        match self {
            Self::First | Self::Confirms => 1,
            Self::Withheld => 0,
            Self::Overturns { n } => n.into(),
        }
    }
}

/// The components that a text stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    /// Sorted; empty when no component was used.
    pub(crate) labels: Vec<u32>,
    /// Outcomes that said so, at most [`MAX_CONFIRMED`].
    pub(crate) n_confirmed: u8,
    /// Weight of the outcomes since that said something else.
    pub(crate) contrary: u16,
    /// The client that all of the confirming outcomes came from; none = several.
    pub(crate) origin: Option<Origin>,
}

impl Standing {
    pub(crate) fn new(labels: Vec<u32>, origin: Origin) -> Self {
        Self { labels, n_confirmed: 1, contrary: 0, origin: Some(origin) }
    }

    /// As it was written; `None` when no outcomes can have led to it.
    pub(crate) fn restore(
        labels: Vec<u32>,
        n_confirmed: u8,
        contrary: u16,
        origin: Option<u32>,
    ) -> Option<Self> {
        let is_sound =
            (1..=MAX_CONFIRMED).contains(&n_confirmed) && contrary <= u16::from(n_confirmed) * OWN;
        let origin = origin.map(Origin);
        is_sound.then_some(Self { labels, n_confirmed, contrary, origin })
    }

    /// The number that stands for the client in a state.
    pub(crate) fn origin_number(&self) -> Option<u32> {
        self.origin.map(|origin| origin.0)
    }

    /// Takes one more outcome of the text into account.
    pub(crate) fn weigh(&mut self, labels: Vec<u32>, origin: Origin) -> Weight {
        let is_own = self.origin == Some(origin);
        if labels == self.labels {
            self.n_confirmed = (self.n_confirmed + 1).min(MAX_CONFIRMED);
            self.contrary = self.contrary.saturating_sub(OWN);
            self.origin = self.origin.filter(|_| is_own);
            return Weight::Confirms;
        }
        self.contrary += if is_own { OWN } else { FOREIGN };
        // What was never confirmed gives way to as much, not only to more.
        let slack = u16::from(self.n_confirmed < MIN_CONFIRMED);
        if self.contrary + slack <= u16::from(self.n_confirmed) * OWN {
            return Weight::Withheld;
        }
        let n = u8::try_from(self.contrary.div_ceil(OWN)).unwrap_or(MAX_CONFIRMED);
        let n_confirmed = n.min(MIN_CONFIRMED);
        *self = Self { labels, n_confirmed, contrary: 0, origin: Some(origin) };
        Weight::Overturns { n }
    }

    /// Rows that the text is in a retrain: what is said often counts more, but not as often as it is said.
    pub(crate) fn n_rows(&self) -> usize {
        match self.n_confirmed {
            0..MIN_CONFIRMED => 1,
            MIN_CONFIRMED..MAX_CONFIRMED => 2,
            MAX_CONFIRMED.. => 3,
        }
    }

    /// How sure it is that the text needs what it stands for, whatever a model says (the rule of succession):
    /// at least one half. `None` while the text was not confirmed.
    pub(crate) fn certainty(&self) -> Option<f32> {
        let confirmed = f32::from(u16::from(self.n_confirmed) * OWN + OWN);
        let all = confirmed + f32::from(self.contrary + OWN);
        (self.n_confirmed >= MIN_CONFIRMED).then(|| confirmed / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrary outcomes that overturn what `n` outcomes of `of` confirmed, when they come from `by`.
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
    fn client_overturns_what_others_confirmed_later_and_within_ten_outcomes() {
        let (own, others) = (Some("kitchen"), [Some("kitchen"), Some("hall")]);
        assert_eq!(n_to_overturn(120, &[own], own), 6);
        assert_eq!(n_to_overturn(120, &[own], Some("hall")), 9);
        assert_eq!(n_to_overturn(120, &[own], None), 9);
        assert_eq!(n_to_overturn(120, &others, own), 9);
        assert_eq!(n_to_overturn(1, &[own], Some("hall")), 2);
    }

    #[test]
    fn confirmations_in_between_take_contrary_outcomes_back() {
        let mut standing = Standing::new(vec![0], Origin::default());
        for _ in 0..5 {
            standing.weigh(vec![0], Origin::default());
        }
        for _ in 0..100 {
            assert_eq!(standing.weigh(vec![1], Origin::default()), Weight::Withheld);
            assert_eq!(standing.weigh(vec![0], Origin::default()), Weight::Confirms);
        }
        assert_eq!(standing.labels, [0]);
    }

    #[test]
    fn overturned_text_is_won_back_by_fewer_outcomes() {
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
}
