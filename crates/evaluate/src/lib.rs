//! Measures decisions against the ground truth. Nothing else in the program computes a metric.
//!
//! [`Observations`] pairs each truth with the decision on the same case; [`Scorecard`] is what comes of
//! them; [`report`] draws it, [`compare`] sets several side by side.

#![forbid(unsafe_code)]

mod bootstrap;
pub mod compare;
mod curves;
pub mod endpoint;
mod explanations;
mod observations;
pub mod rank;
pub mod report;
mod scorecard;
mod svg;
pub mod table;
mod tolerance;

pub use curves::{Curve, OperatingPoint, Ranking, calibration_error};
pub use explanations::{Explanations, Importance, Waterfall};
pub use observations::{JoinError, Observation, Observations};
pub use scorecard::{ClassScore, Interval, Latency, PrecisionRecall, Scorecard, Settings};
pub use tolerance::Tolerance;
