//! The vocabulary of Majordomo: the types that all other crates share. No code here decides.
//!
//! Plain data only: names, priorities, sizes, times, states, refusals, events, settings and the
//! [`StateStore`] trait. No algorithm, no clock, no I/O; no dependency but `serde` behind a feature.
//!
//! ```
//! use majordomo_core::{BudgetSetting, ByteSize, ComponentId, Config};
//!
//! let name = ComponentId::new("speech")?;
//! assert!(ComponentId::new("Speech").is_err(), "names are checked, in {name} too");
//!
//! // Every setting is declared once, with its default, unit and range.
//! let mut config = Config::default();
//! assert_eq!(config.memory.budget, "60%".parse::<BudgetSetting>()?);
//! config.memory.budget = BudgetSetting::Bytes(ByteSize::gib(4));
//! config.loads.max_concurrent = Some(0);
//! let problems: Vec<_> = config.problems().iter().map(ToString::to_string).collect();
//! assert_eq!(problems[0], "loads.max_concurrent is 0; it must lie within 1 and 64");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod cause;
mod confidence;
mod config;
mod count;
mod encoding;
mod endpoint;
mod event;
mod failure;
mod hint;
mod id;
mod level;
mod load_stage;
mod printable;
mod refusal;
mod rung;
mod settings;
mod size;
mod state;
mod status;
mod store;
mod time;
mod values;
mod whole;
mod words;

pub use cause::{Cause, CauseClass};
pub use confidence::{Confidence, ConfidenceError};
pub use config::{
    BackOffConfig, BudgetSetting, BudgetSettingError, Config, DeadlineConfig, IdleConfig,
    IdleTrimWhen, IntentConfig, LEASE_TTL_MAX, LoadConfig, MemoryConfig, ParkChoice, ParkingConfig,
    PolicyKind, PressureProfile, QuarantineConfig, QueueConfig, ReadAheadConfig, ServerConfig,
    SpeculationConfig, StateConfig, TriggerConfig,
};
pub use count::{Count, count};
pub use encoding::{EncodingError, decode_line, decode_text, plain_text};
pub use endpoint::{Endpoint, Loopback};
pub use event::{EventKind, EventRecord, HintOutcome, Opinion};
pub use failure::FailureCause;
pub use hint::{HintSource, HintTier, PreloadEnd};
pub use id::{
    CommandId, ComponentId, ComponentKey, IncarnationId, NameError, OpId, StepId, WaiterId,
};
pub use level::{PressureLevel, Priority};
pub use load_stage::{LoadStage, StageTime, learned_time};
pub use printable::{
    Quoted, printable, printable_json, quoted, quoted_path, quoted_start, start_of, start_within,
};
pub use refusal::{Holder, HolderKind, LeftOut, LoadUnderWay, MeasuredNeed, NoPark, Refusal};
pub use rung::Rung;
pub use settings::{
    Domain, Section, Setting, SettingProblem, SettingType, SettingValue, WithRange, WithoutRange,
};
pub use size::{ByteSize, ByteSizeError};
pub use state::ComponentState;
pub use status::{
    BoundStatus, ColdStatus, ComponentParking, ComponentStatus, DeclaredMemory, MemoryStatus,
    OverdraftStatus, ParkingStatus, PoolStatus, PressureRecord, PressureStatus, ProbeFailure,
    Status, StatusValue, TrimStatus,
};
pub use store::{StateStore, StoreError, StoreOp};
pub use time::{Moment, WallSeconds};
pub use values::{Value, Values};
pub use whole::whole_number;
pub use words::UnknownWord;
