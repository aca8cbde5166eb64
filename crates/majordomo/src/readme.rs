//! The examples of the READMEs as tests.

#[doc = include_str!("../README.md")]
struct Package;

#[doc = include_str!("../../../README.md")]
struct Project;
