//! Which policy a setting selects.

use majordomo_core::PolicyKind;

use super::{EvictionPolicy, Gdsf, Lru, VRank, VRankConfig, VRankMode};

/// The product policy of a configured kind.
#[must_use]
pub fn product_policy(kind: PolicyKind) -> Box<dyn EvictionPolicy> {
    match kind {
        PolicyKind::Gdsf => Box::new(Gdsf::default()),
        PolicyKind::Vrank => Box::new(VRank::default()),
        PolicyKind::VrankWait => {
            Box::new(VRank::new(VRankConfig { mode: VRankMode::Wait, ..VRankConfig::default() }))
        }
        _ => Box::new(Lru),
    }
}
