//! The table of policies by name.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use majordomo_core::{IdleConfig, PolicyKind};
use majordomo_memory::{Gdsf, Lru, VRankMode};

use super::budget::ReplayBudget;
use super::control;
use super::policy::{OnDemand, ReplayPolicy};
use super::report::WITH_RUNGS;
use super::trace::UserTrace;
use super::vrank::VRankReplay;

/// A policy that can be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyName {
    /// Least recently used (product).
    Lru,
    /// Least frequently used, lifetime counts.
    Lfu,
    /// S3-FIFO (Yang et al. 2023).
    S3Fifo,
    /// Greedy-dual-size-frequency (product).
    Gdsf,
    /// LRU with the most frequent successor preloaded.
    LruMarkov,
    /// LRU with a fixed idle timeout in minutes.
    KeepAlive(u32),
    /// LRU with the hybrid-histogram keep-alive of "Serverless in the Wild".
    HybridHistogram,
    /// Farthest next use, on demand.
    Belady,
    /// Knows the future and preloads it.
    Clairvoyant,
    /// V-rank with preloading, sparing misses (product).
    VRank,
    /// V-rank with preloading, sparing waits (product).
    VRankWait,
    /// V-rank with idle trimming and refill (product).
    VRankTrim,
    /// The three V-rank policies, decided by the full engine (product).
    Engine(EnginePolicy),
}

/// The settings of the full engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EnginePolicy {
    /// V-rank with preloading, sparing misses.
    VRank,
    /// V-rank with preloading, sparing waits.
    VRankWait,
    /// V-rank with idle trimming and refill.
    VRankTrim,
}

impl PolicyName {
    /// Every policy, in the order of tables.
    pub const ALL: [Self; 17] = [
        Self::Lru,
        Self::Lfu,
        Self::S3Fifo,
        Self::Gdsf,
        Self::LruMarkov,
        Self::KeepAlive(10),
        Self::KeepAlive(30),
        Self::KeepAlive(60),
        Self::HybridHistogram,
        Self::Belady,
        Self::Clairvoyant,
        Self::VRank,
        Self::VRankWait,
        Self::VRankTrim,
        Self::Engine(EnginePolicy::VRank),
        Self::Engine(EnginePolicy::VRankWait),
        Self::Engine(EnginePolicy::VRankTrim),
    ];

    /// The policies of these names in their order, each once; `all` names every one.
    ///
    /// # Errors
    /// When no policy has a name.
    pub fn chosen(names: &[impl AsRef<str>]) -> Result<Vec<Self>, UnknownPolicy> {
        let mut chosen = Vec::new();
        for name in names {
            let named = match name.as_ref() {
                "all" => Self::ALL.to_vec(),
                name => vec![name.parse()?],
            };
            for policy in named {
                if !chosen.contains(&policy) {
                    chosen.push(policy);
                }
            }
        }
        Ok(chosen)
    }

    /// Its name in tables, with rungs or without.
    #[must_use]
    pub fn in_tables(self, with_rungs: bool) -> String {
        format!("{self}{}", if with_rungs { WITH_RUNGS } else { "" })
    }

    /// The policy that decides inside the full engine, and whether idle memory is trimmed; none for policies
    /// that run alone.
    pub(super) fn through_engine(self) -> Option<(PolicyKind, bool)> {
        let Self::Engine(policy) = self else { return None };
        Some(match policy {
            EnginePolicy::VRank => (PolicyKind::Vrank, false),
            EnginePolicy::VRankWait => (PolicyKind::VrankWait, false),
            EnginePolicy::VRankTrim => (PolicyKind::Vrank, true),
        })
    }

    /// A policy that has seen nothing, for one user; of an [engine policy](Self::Engine), its policy alone.
    #[must_use]
    pub fn build(self, user: &UserTrace, budget: ReplayBudget) -> Box<dyn ReplayPolicy> {
        match self {
            Self::Lru => Box::new(OnDemand(Lru)),
            Self::Lfu => Box::new(OnDemand(control::Lfu::default())),
            Self::S3Fifo => Box::new(OnDemand(control::S3Fifo::new(budget.total))),
            Self::Gdsf => Box::new(OnDemand(Gdsf::default())),
            Self::LruMarkov => Box::new(control::LruMarkov::default()),
            Self::KeepAlive(minutes) => {
                Box::new(control::KeepAlive::new(Duration::from_secs(u64::from(minutes) * 60)))
            }
            Self::HybridHistogram => Box::new(control::HybridHistogram::default()),
            Self::Belady => Box::new(control::Belady::new(user)),
            Self::Clairvoyant => Box::new(control::Clairvoyant::new(user)),
            Self::VRank | Self::Engine(EnginePolicy::VRank) => {
                Box::new(VRankReplay::new(VRankMode::Hits, None, budget))
            }
            Self::VRankWait | Self::Engine(EnginePolicy::VRankWait) => {
                Box::new(VRankReplay::new(VRankMode::Wait, None, budget))
            }
            Self::VRankTrim | Self::Engine(EnginePolicy::VRankTrim) => {
                let trim = Some(IdleConfig::default());
                Box::new(VRankReplay::new(VRankMode::Hits, trim, budget))
            }
        }
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lru => "lru",
            Self::Lfu => "lfu",
            Self::S3Fifo => "s3-fifo",
            Self::Gdsf => "gdsf",
            Self::LruMarkov => "lru+markov-1",
            Self::KeepAlive(minutes) => return f.pad(&format!("keep-alive-{minutes}")),
            Self::HybridHistogram => "hybrid-histogram",
            Self::Belady => "belady",
            Self::Clairvoyant => "clairvoyant",
            Self::VRank => "vrank",
            Self::VRankWait => "vrank-wait",
            Self::VRankTrim => "vrank-trim",
            Self::Engine(EnginePolicy::VRank) => "vrank-engine",
            Self::Engine(EnginePolicy::VRankWait) => "vrank-wait-engine",
            Self::Engine(EnginePolicy::VRankTrim) => "vrank-trim-engine",
        })
    }
}

/// A name that no policy has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no policy {0:?}; choose from all, {list}", list = names())]
pub struct UnknownPolicy(String);

fn names() -> String {
    PolicyName::ALL.map(|p| p.to_string()).join(", ")
}

impl FromStr for PolicyName {
    type Err = UnknownPolicy;
    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL
            .into_iter()
            .find(|p| p.to_string() == text)
            .ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}
