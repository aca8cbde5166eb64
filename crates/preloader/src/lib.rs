//! Decides what to preload: hints in, proposals out, and accounts of the results.
//!
//! A pure core: time is an argument, nothing is loaded here, and dependencies, conflicts and victims are
//! unknown; the caller requests the [next proposal](Preloader::next), decides whether to load it, and
//! reports the result. A new observation replaces the hints of the one before; duplicates
//! merge; a [`Governor`] moves the floor of confidence so that waste stays within a budget.
//!
//! ```
//! use majordomo_core::{
//!     ByteSize, ComponentKey, Confidence, Moment, PressureLevel, SpeculationConfig,
//! };
//! use majordomo_preloader::{Hint, HintSource, Preloader, Tier};
//! use std::time::Duration;
//!
//! let mut preloader = Preloader::new(&SpeculationConfig::default())?;
//! let hint = |key, p| Hint {
//!     key: ComponentKey(key),
//!     confidence: Confidence::saturating(p),
//!     tier: Tier::Delayed,
//!     source: HintSource::Sequence,
//! };
//! preloader.observe(&[hint(1, 0.3), hint(2, 0.7), hint(3, 0.01)], Moment::ZERO);
//! assert!(preloader.next(Moment::ZERO, true, PressureLevel::Low).is_none(), "delayed by 100 ms");
//! let now = Moment::ZERO + Duration::from_millis(100);
//! let first = preloader.next(now, true, PressureLevel::Low).unwrap();
//! assert_eq!(first.key, ComponentKey(2));
//!
//! // The caller loads it; the use after that makes it a hit.
//! preloader.on_started(&first, ByteSize::mib(200), now);
//! preloader.on_loaded(first.key, now + Duration::from_secs(2));
//! preloader.on_used(first.key, now + Duration::from_secs(5));
//! assert_eq!(preloader.account(first.key).hits, 1);
//! # Ok::<(), majordomo_preloader::PreloaderError>(())
//! ```
#![forbid(unsafe_code)]

mod account;
mod governor;
mod hint;
mod idle;
mod preloader;
#[cfg(feature = "worker")]
mod worker;

pub use account::{Harm, PreloadAccount};
pub use governor::{Governor, WasteBudget};
pub use hint::{Hint, HintAnswer, HintSource, Proposal, Tier};
pub use idle::IdleTrim;
pub use preloader::{HORIZON, Preloader, PreloaderError};
#[cfg(feature = "worker")]
pub use worker::{LoadOutcome, PreloadWorker, WorkerConfig};
