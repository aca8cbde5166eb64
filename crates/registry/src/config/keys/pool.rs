//! Rows of `[pools.NAME]`.

use super::{Key, Kind, Target, key};
use crate::PoolSpec;

impl Target for PoolSpec {
    type Spec = Self;
}

/// `[pools.NAME]`.
pub(crate) const POOL: &[Key<PoolSpec>] = &[
    key!(
        "budget",
        "",
        "Memory for the components of this pool; without it, only the total bounds them.",
        Kind::Size(|p: &PoolSpec| p.budget, |p, v| p.budget = Some(v))
    ),
    key!(
        "accounting",
        "\"memory\"",
        "`declared` for memory that is not main memory, such as a graphics card's: it counts against this pool and not against the total.",
        Kind::Word(&["memory", "declared"], |p, i| p.declared = i == 1)
    ),
];
