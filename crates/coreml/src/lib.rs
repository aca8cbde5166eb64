//! The dense layers of the text model as Core ML files, on every platform.
//!
//! Owns the two formats: an ML Program in an `.mlpackage` and a neural network in an `.mlmodel`, written with the same bytes
//! for the same model. Does not know when a model is exported, and needs none of Apple's tools.
#![deny(unsafe_op_in_unsafe_fn)]

#[allow(dead_code, reason = "the export that uses the messages follows")]
mod proto;
