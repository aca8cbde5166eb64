//! The predictor from outside: one module a feature.

mod classifier;
mod keywords;
mod predictor;
mod sequence;
