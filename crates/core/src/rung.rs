//! Where a component rests that is not usable now.

use crate::words::words;

words! {
    /// How much is left of a component that is down, the shallower rung first: the sooner it is ready again and the
    /// more memory it holds.
    #[derive(Default)]
    Rung {
        /// Its process runs and holds less memory by its own means.
        Asleep = "asleep",
        /// Its process runs, and its memory was moved to swap.
        Paged = "paged",
        /// Nothing is left.
        #[default]
        Gone = "gone",
    }
}

impl Rung {
    /// Equality, in constants.
    pub(crate) const fn is(self, other: Self) -> bool {
        self as u8 == other as u8
    }

    /// Whether the incarnation still exists there.
    #[must_use]
    pub const fn is_parked(self) -> bool {
        !matches!(self, Self::Gone)
    }
}
