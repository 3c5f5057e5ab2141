//! Answers: many requests at a time from one model.
//!
//! A [`Host`] is a folder that was opened to answer; its [`Service`] takes [`Request`]s and tells what happens to them
//! as [`Event`]s. Sequences enter as others end, long prompts are read in parts, and what many prompts begin with is
//! read once.
//!
//! Invariant: an answer, logarithms of probabilities included, depends on its request and the weights alone, to the
//! bit.

mod choosing;
mod engine;
mod host;
mod prefixes;
mod request;
mod sequence;
mod service;
mod statistics;

pub(crate) use engine::{Engine, Limits};
pub use host::{Host, HostOptions};
pub use request::{Done, Event, Finish, Reply, Request, Sampling, Token, Usage};
pub(crate) use sequence::{Question, Sink};
pub(crate) use service::check;
pub use service::{Service, ServiceOptions, Ticket};
pub(crate) use statistics::Counters;
pub use statistics::Statistics;
