//! Majordomo keeps an assistant's heavy components loaded when they are needed, inside a memory budget.
//!
//! [`Manager::command`] reads a command's text, decides which components it needs, loads them with their
//! dependencies and hands out leases; idle components are unloaded when others need their memory. See
//! `docs/embedding.md` for ownership, drop order, runtimes and tests.
//!
//! ```
//! use majordomo::{ByteSize, ComponentSpec, Manager};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     struct Alarm;
//!     impl Alarm {
//!         fn set(&self, hour: u8) -> String {
//!             format!("alarm set for {hour}:00")
//!         }
//!     }
//!
//!     let mut spec = ComponentSpec::builtin("alarm")?;
//!     spec.memory = ByteSize::mib(20);
//!     spec.keywords = vec!["alarm".into(), "wake me".into()];
//!     let manager = Manager::builder()
//!         .budget(ByteSize::mib(64))
//!         .builtin(spec, |_| Ok(Alarm))
//!         .start()
//!         .await?;
//!
//!     let outcome = manager.command("please wake me at seven").await;
//!     assert_eq!(outcome.needed()[0].id.as_str(), "alarm");
//!     let alarm = outcome.component::<Alarm>("alarm").expect("it is leased");
//!     assert_eq!(alarm.set(7), "alarm set for 7:00");
//!
//!     drop(outcome);
//!     manager.shutdown(None).await;
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("Majordomo runs on Linux and macOS; on Windows use WSL 2");

#[cfg(feature = "coreml")]
mod back_ends;
mod builder;
mod change;
mod check;
mod component_ref;
mod core_ml;
#[cfg(doctest)]
mod documents;
mod error;
mod exchange;
mod factories;
mod factory;
mod handle;
mod intents;
mod manager;
mod outcome;
mod parts;
mod plan;
mod problems;
#[cfg(doctest)]
mod readme;
mod start;
mod state;
mod state_dir;
mod temporary;
mod unkept;
mod without_uses;

#[cfg(feature = "coreml")]
pub use back_ends::{BackEnds, calibration_main};
pub use builder::{Builder, memory_limit};
pub use change::{Change, ChangeEffect, Reloaded};
pub use check::{check_config, check_standalone};
pub use component_ref::{ComponentRef, LeasedAs};
#[cfg(feature = "coreml")]
pub use core_ml::CoreMlModel;
pub use error::{BuildError, ReloadError, StateError};
pub use factory::Factory;
pub use handle::Handle;
#[cfg(feature = "coreml")]
pub use intents::IntentExportError;
pub use intents::{
    Decision, Evidence, Fit, IntentError, IntentsAnswer, LearnReport, Learned, MAX_TEXT, NGram,
    Need, OfflineIntents, Prediction, Scored,
};
pub use manager::{Declared, Intents, Manager, Operator, UnderWay, Usage};
pub use outcome::{LeftOut, Outcome};
pub use plan::{Eviction, Load, Plan, PoolMemory};
pub use state::{Figures, Remembered, StoredState, StoredValue};

pub use majordomo_core::{
    BackOffConfig, BoundStatus, BudgetSetting, BudgetSettingError, ByteSize, ByteSizeError, Cause,
    CauseClass, ColdStatus, CommandId, ComponentId, ComponentKey, ComponentParking, ComponentState,
    ComponentStatus, Confidence, ConfidenceError, Config, DeadlineConfig, DeclaredMemory, Domain,
    EncodingError, EventKind, EventRecord, HintOutcome, HintSource, HintTier, Holder, HolderKind,
    IdleConfig, IdleTrimWhen, IntentConfig, LoadConfig, LoadStage, LoadUnderWay, MeasuredNeed,
    MemoryConfig, MemoryStatus, Moment, NameError, OpId, Opinion, OverdraftStatus, ParkChoice,
    ParkingConfig, ParkingStatus, PolicyKind, PoolStatus, PreloadEnd, PressureLevel,
    PressureProfile, PressureRecord, PressureStatus, Priority, ProbeFailure, QuarantineConfig,
    QueueConfig, ReadAheadConfig, Refusal, Rung, Section, ServerConfig, Setting, SettingProblem,
    SettingValue, SpeculationConfig, StageTime, StateConfig, StateStore, Status, StatusValue,
    StoreError, StoreOp, TriggerConfig, TrimStatus, UnknownWord, WaiterId, WallSeconds, count,
    decode_line, decode_text, printable, printable_json, quoted, quoted_path, quoted_start,
    start_of, start_within,
};
#[cfg(feature = "coreml")]
pub use majordomo_coreml::{
    ChildCommand, ExportError as CoreMlExportError, ExportSettings as CoreMlExportSettings,
    Exported as CoreMlExport, Format as CoreMlFormat, MAX_BATCH as MAX_CORE_ML_BATCH, Maker,
    ModelFile as CoreMlFile, ModelInput, Plan as CalibrationPlan, Precision as CoreMlPrecision,
    ReadError as CoreMlReadError, Stamp as CoreMlStamp, Tensor, TensorData,
    WriteError as CoreMlWriteError,
};
pub use majordomo_memory::{
    ARENA_ALIGNMENT, Arena, ArenaBuf, ArenaError, MappedBuf, PressureReading, PressureSource,
    SharedSlice, SourceError, bound_heaps, release_program,
};
pub use majordomo_paging::{Swap, SwapDevice, SwapKind};
#[cfg(feature = "coreml")]
pub use majordomo_predictor::{Backend, BackendError, DenseWeights};
pub use majordomo_registry::{
    AsleepSpec, CatalogError, ComponentSpec, ComputeUnits, ConflictPolicy, ConnectionUse,
    CoreMlSpec, ExternalSpec, GatewaySpec, ListenAddress, LoadOn, LoadedConfig, LoaderSpec,
    OnAbandon, OverLimit, PoolSpec, ProbeRule, ProbeSpec, Problem, Problems, ProcessSpec, Protocol,
    ReadySpec, ResolvedComponent, ResolvedKey, RestartPolicy, RouteSpec, Select, SelectorSpec,
    Serves, ServiceRequest, ServiceUrl, Severity, StdinMode, StdioSpec, StepRequest, StepSpec,
    StopSignal, StopSpec, TokenSpec, TrimSignal, TrimSpec, UrlScheme, WarmUpRequest, WarmUpSpec,
    WhileLeased, environment_variable, read_config, schema, temporary_folder,
};
pub use majordomo_runtime::guard::{GuardForm, hidden_main};
pub use majordomo_runtime::logs::{LogChunk, LogFollower, LogLine, LogStream};
pub use majordomo_runtime::process::{Endpoint, Exit};
pub use majordomo_runtime::stdio::{
    CallAnswer, CallError, CallRequest, CallSlot, Caller, CallsEnded,
};
pub use majordomo_runtime::{
    AcquireOptions, AnyLease, Component, ComponentMemory, Dependency, Followed, Follower, Lease,
    LoadContext, LoadError, OldLeases, Party, Revocation, Tagged, UsageSummary, try_parking,
    usage_trace,
};
