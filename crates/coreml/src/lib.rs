//! The dense layers of the text model as Core ML files, on every platform.
//!
//! Owns the two formats: an ML Program in an `.mlpackage` and a neural network in an `.mlmodel`, written with the same bytes
//! for the same model. Does not know when a model is exported, and needs none of Apple's tools.
#![deny(unsafe_op_in_unsafe_fn)]

#[allow(dead_code, reason = "the export that uses the messages follows")]
mod proto;

mod calibration;
mod queue;
mod runtime;
mod selected;
mod service;
mod tensor;

pub use calibration::cache::{Calibration, CalibrationKey, machine};
pub use calibration::child::{CHILD_ARG, ChildCommand, child_main};
pub use calibration::measure::{RealTime, Stopwatch};
pub use calibration::{BUCKETS, Candidate, Maker, Measured, Plan, Rejection, Timing, bucket_of};
pub use queue::{MAX_TIME_OUTS, Opening, QueueLimits, QueuedBackend, Session};
pub use runtime::{open_model, platform_maker};
pub use selected::Selected;
pub use service::{CalibrationStore, NoStore, Part, PartReport, Service, ServiceConfig, Then};
pub use tensor::{ComputeUnits, OpenModel, Tensor, TensorModel, TensorThread};
