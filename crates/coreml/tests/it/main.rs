//! Tests of the Core ML files.
