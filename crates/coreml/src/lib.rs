//! The dense layers of the text model as Core ML files, on every platform.
//!
//! Owns the two formats: an ML Program in an `.mlpackage` and a neural network in an `.mlmodel`, written with the same bytes
//! for the same model ([`Exported`]), and read back and evaluated by a reference interpreter ([`ModelFile`]). Needs none of
//! Apple's tools for that. Owns the choice among back ends by measurement too ([`Service`]), and the runtime on macOS.
//!
//! ```
//! use majordomo_core::ComponentId;
//! use majordomo_coreml::{ExportSettings, Exported, ModelFile, Stamp};
//! use majordomo_predictor::{DenseWeights, Head};
//!
//! // Two units, and the outputs "no component" and "music".
//! let weights = DenseWeights::new(
//!     1,
//!     Head::Exclusive,
//!     vec![0.5, -1.0],
//!     vec![1.0, 2.0, -1.0, 0.0],
//!     vec![0.0, 4.0],
//! )?;
//! let stamp = Stamp::new(&weights, &[ComponentId::new("music")?]);
//! let exported = Exported::new(&weights, &stamp, ExportSettings::default())?;
//! let [_, (_, model), (_, blobs)] = exported.files() else { panic!("a package has three files") };
//!
//! let read = ModelFile::from_bytes(model, Some(blobs))?;
//! assert_eq!(read.stamp(), Some(&stamp));
//! let mut scores = [0.0; 2];
//! read.evaluate(&[0.5, 3.0], &mut scores)?;
//! assert_eq!(scores, [5.0, 3.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_op_in_unsafe_fn)]

mod arrays;
mod batches;
mod calibration;
mod export;
mod graph;
mod half;
mod layout;
mod place;
mod proto;
mod queue;
mod read;
mod runtime;
mod selected;
mod service;
mod stamp;
mod tensor;
mod wire;

pub use arrays::{ModelInput, Tensor, TensorData};
pub use batches::{FixedBatches, FixedModel, export_batches};
pub use calibration::cache::{Calibration, CalibrationKey, machine};
pub use calibration::child::child_main;
pub use calibration::measure::{RealTime, Stopwatch};
pub use calibration::spawn::{CHILD_ARG, ChildCommand, Children, PlainChildren, is_child};
pub use calibration::{BUCKETS, Candidate, Maker, Measured, Plan, Rejection, Timing, bucket_of};
pub use export::{ExportError, Exported};
pub use layout::{ExportSettings, Format, INPUT, MAX_BATCH, MAX_FILE, OUTPUT, Precision};
pub use place::WriteError;
pub use queue::{MAX_TIME_OUTS, Opening, QueueLimits, QueuedBackend, Session};
pub use read::{ModelFile, ReadError};
pub use runtime::{open_model, platform_maker};
pub use selected::Selected;
pub use service::{CalibrationStore, NoStore, Part, PartReport, Service, ServiceConfig, Then};
pub use stamp::Stamp;
pub use tensor::{ComputeUnits, OpenModel, TensorModel, TensorThread};
