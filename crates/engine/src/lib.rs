//! The one pure type that decides: demands, victims, conflicts, speculation, pressure, health, restarts.
//!
//! [`Engine::handle`] takes an [`Input`] and the time and returns [`Effects`]; it reads no clock, does no
//! I/O and asks nothing but lease cells. The runtime's shell, the simulator and the replay drive this
//! same type.
//!
//! The documentation of [`Engine`] states its contract with the caller and has a driving loop that compiles.
#![forbid(unsafe_code)]

mod admit;
mod answers;
mod attribution;
mod audit;
mod configure;
mod early_parks;
mod engine;
mod evict;
mod exchange;
mod forecast;
mod grant;
mod health;
mod held;
mod hints;
mod idle;
mod idle_park;
mod input;
mod ladder;
mod measured;
mod next_room;
mod operate;
mod pace;
mod partial;
mod plan;
mod preload;
mod priming;
mod queue;
mod read_ahead;
mod relieve;
mod shutdown;
mod start;
mod status;
mod thrash;
mod timers;
mod usage;
mod waiting;

pub use audit::Violation;
pub use configure::needs_reload;
pub use engine::{Effects, Engine};
pub use input::{Footprints, Input, OperatorAction, Sample, Usage};
pub use ladder::Offers;
pub use majordomo_lifecycle::{
    Cells, CloseAnswer, Effect, LoadFailure, LoadReport, OutOfMemory, ParkReport, PeekCells,
    Persisted, PersistedRung, RungOffer, WakeReport,
};
pub use majordomo_memory::{LearnedRung, Need, RungFigures};
pub use majordomo_predictor::{SequenceModel, SequenceStateError};
pub use plan::{Plan, PlannedEviction, PlannedLoad};
