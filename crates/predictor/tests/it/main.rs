//! The predictor from outside: one module a feature.

mod keywords;
