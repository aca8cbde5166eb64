//! The plan of a demand, by name.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, Holder, Refusal, Rung};
use majordomo_registry::Catalog;

use crate::intents::{Decision, Need};
use crate::outcome::LeftOut;

/// A component that would be loaded.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Load {
    /// The component's name.
    pub component: ComponentId,
    /// The bytes that would be booked while it loads.
    pub bytes: ByteSize,
    /// The bytes that would be booked once it is ready.
    pub settled: ByteSize,
    /// The declared bytes that would be booked in pools besides its own.
    pub apart: Vec<PoolMemory>,
    /// The part of `bytes` that exceeds the budget: then its load runs alone.
    pub beyond: ByteSize,
    /// Where it starts from: a rung other than [`Rung::Gone`] means that it is woken.
    pub from: Rung,
    /// Its learned or declared time from there until it is ready.
    pub load_time: Duration,
    /// The wave in which it loads, from 0.
    pub wave: usize,
    /// It is being loaded already.
    pub under_way: bool,
}

/// Bytes of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PoolMemory {
    /// The name of the pool.
    pub pool: Arc<str>,
    /// Bytes that are declared for a component in that pool.
    pub bytes: ByteSize,
}

/// A component that would be evicted.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Eviction {
    /// The component's name.
    pub component: ComponentId,
    /// Where it would be left: a rung other than [`Rung::Gone`] means that it is parked.
    pub to: Rung,
    /// The bytes that it would free in its own pool.
    pub bytes: ByteSize,
    /// The declared bytes that it would free in other pools.
    pub apart: Vec<PoolMemory>,
    /// It is evicted because of a conflict, not for its bytes.
    pub conflict: bool,
}

/// The plan of a demand: admission itself, run on the current state without effect.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Plan {
    /// Whether the text needs components; none for plans by name.
    pub decision: Decision,
    /// Version of the model that decided.
    pub model_version: u64,
    /// The components that the text needs, with evidence; empty for plans by name.
    pub needed: Vec<Need>,
    /// Other components that are not unlikely, below the threshold.
    pub candidates: Vec<Need>,
    /// Components that are ready.
    pub ready: Vec<ComponentId>,
    /// Loads, in their order.
    pub loads: Vec<Load>,
    /// Evictions, in their order.
    pub evictions: Vec<Eviction>,
    /// The holders that the demand would wait for.
    pub holders: Vec<Holder>,
    /// The reason for which it would be refused.
    pub refusal: Option<Refusal>,
    /// The components that would be left out of a command so that the others fit.
    pub left_out: Vec<LeftOut>,
    /// How long the parks and the loads would take.
    pub wait: Duration,
    /// How much of `wait` are parks that free the memory for it.
    pub parking: Duration,
}

impl Plan {
    pub(crate) fn new(plan: majordomo_engine::Plan, catalog: &Catalog) -> Self {
        let id = |k| catalog.id(k).clone();
        let by_pool = |need: &majordomo_memory::Need| -> Vec<PoolMemory> {
            let name = |pool: usize| catalog.pools()[pool].name.clone();
            need.iter().map(|(pool, bytes)| PoolMemory { pool: name(pool), bytes }).collect()
        };
        Self {
            decision: Decision::None,
            model_version: 0,
            needed: Vec::new(),
            candidates: Vec::new(),
            ready: plan.ready.into_iter().map(id).collect(),
            loads: plan
                .loads
                .into_iter()
                .map(|l| Load {
                    component: id(l.key),
                    bytes: l.bytes,
                    settled: l.settled,
                    apart: by_pool(&l.apart),
                    beyond: l.beyond,
                    from: l.from,
                    load_time: l.load_time,
                    wave: l.wave,
                    under_way: l.under_way,
                })
                .collect(),
            evictions: plan
                .evictions
                .into_iter()
                .map(|e| Eviction {
                    component: id(e.key),
                    to: e.to,
                    bytes: e.bytes,
                    apart: by_pool(&e.apart),
                    conflict: e.conflict,
                })
                .collect(),
            holders: plan.holders,
            refusal: plan.refusal,
            left_out: plan
                .left_out
                .into_iter()
                .map(|l| LeftOut { id: id(l.component), refusal: l.refusal })
                .collect(),
            wait: plan.wait,
            parking: plan.parking,
        }
    }
}
