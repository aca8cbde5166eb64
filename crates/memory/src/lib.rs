//! Memory for components: the [`Budget`] ledger, eviction policies, and where pressure is felt.
//!
//! Knows bytes and keys; not what a component does, not who waits for it. The ledger, the policies and the
//! classifier are plain values without clock or I/O; a [`PressureSource`] reads the machine inside `read` only.

mod budget;
mod classifier;
mod policy;
mod source;

pub use budget::{Budget, BudgetError, Need, PoolLimit, Shortage};
pub use classifier::{PressureClassifier, pressure_thresholds};
pub use policy::{
    Candidate, EvictionPolicy, Gdsf, Lru, PolicyEvent, Ranked, product_policy, victim_order,
};
pub use source::{
    MachineSource, PressureReading, PressureSource, ReadingSource, ScriptHandle, ScriptedSource,
    SourceChain, SourceError, SourceReport, effective_limit,
};
