//! Tests of the engine by its interface: rules by table, and a comparison with a naive model.

mod admission;
mod commands;
mod configuration;
mod demands;
mod early_parks;
mod exchange;
mod failures;
mod ladder;
mod learned;
mod model;
mod park_on_request;
mod partial;
mod pools;
mod preload;
mod pressure;
mod priming;
mod read_ahead;
mod restarts;
mod retries;
mod rig;
mod shutdown;
mod speculation;
mod steps;
mod thrash;
mod waiting;
mod worth;
