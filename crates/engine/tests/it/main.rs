//! Tests of the engine from outside: rules by table, the whole against a naive model.

mod admission;
mod ahead;
mod commands;
mod configuration;
mod demands;
mod exchange;
mod failures;
mod guesses;
mod learned;
mod model;
mod partial;
mod pressure;
mod restarts;
mod retries;
mod rig;
mod shutdown;
mod waiting;
