//! The ways to decide, one file per engine. A decider knows facts as JSON and desks not at all.

#![forbid(unsafe_code)]

pub mod rules;
pub mod trees;
