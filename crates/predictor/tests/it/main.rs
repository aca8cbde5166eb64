//! Integration tests of the predictor: one module a feature.

mod backend;
mod classifier;
mod habits;
mod hostile;
mod keywords;
mod negation;
mod predictor;
mod sequence;
