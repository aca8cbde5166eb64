//! Drives the production crates without a machine: trace replay and simulated days behind a virtual clock.
//!
//! Knows no real clock and starts no thread; everything is deterministic.
//!
//! A [simulated day](stress) with faults checks every invariant after every input:
//!
//! ```
//! use std::time::Duration;
//!
//! use majordomo_sim::stress::{Script, run, shrink};
//!
//! let script = Script::seeded(7, 12, Duration::from_secs(600));
//! let outcome = run(&script, false);
//! if let Some(failure) = &outcome.failure {
//!     // A broken invariant, reduced to the few actions that cause it.
//!     let shrunk = shrink(&script, failure, 1_000);
//!     panic!("{}: {:?}", shrunk.failure.broken, shrunk.script.actions);
//! }
//! assert!(outcome.counts.n_inputs() > 0);
//! ```
//!
//! A [`replay`] measures policies on recorded usage:
//!
//! ```
//! use std::path::Path;
//!
//! use majordomo_sim::replay::{Budget, PolicyName, Report, Tally, Trace, replay_trace};
//!
//! // user, unix seconds, item: eight items in a cycle, one a minute.
//! let text: String = (0..400).map(|i| format!("ann\t{}\titem-{}\n", 60 * i, i % 8)).collect();
//! let trace = Trace::read(Path::new("cycle.tsv"), text.as_bytes())?;
//! let mut hit_pct = Vec::new();
//! for policy in [PolicyName::Lru, PolicyName::VRank] {
//!     let mut sum = Tally::default();
//!     for user in replay_trace(&trace, Budget::Slots(4), policy, None, &mut || {}) {
//!         sum.add(&user);
//!     }
//!     hit_pct.push(Report::new(&policy.to_string(), Budget::Slots(4), "cycle", None, &sum).hit_pct);
//! }
//! // LRU has always just evicted the item that is used next; V-rank preloads it.
//! assert!(hit_pct[0] == 0.0 && hit_pct[1] > 80.0, "{hit_pct:?}");
//! # Ok::<(), majordomo_sim::replay::TraceError>(())
//! ```
#![forbid(unsafe_code)]

pub mod replay;
mod rng;
pub mod stress;

pub use rng::Rng;
