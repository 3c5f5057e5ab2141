//! Answers over HTTP what the deciders decide.
//!
//! # Key types
//! - [`Settings`]: every option, by flag, environment or file.
//! - [`State`]: the models that are loaded, the limits and the counters; shared by all requests.
//! - [`Server`]: a bound socket and a state; [`Server::run`] answers until it is told to stop.
//! - [`ApiError`]: everything that a request can be refused with.
//!
//! What holds for every route stands in one place, `gate`: request id, key, concurrency, counters, log line,
//! panics, the form of errors. A route group is one file in `routes` and one line in its list; a model is one
//! field of [`State`] and one line in [`State::models`].
//!
//! Invariants: a request that was taken is answered, also over a reload and a shutdown; no fact of a case is
//! logged.

mod alerts_engine;
mod api_error;
mod batches;
mod body;
mod data;
mod deciding;
mod error;
mod files;
mod gate;
mod jobs;
mod language;
mod listen;
mod metrics;
mod model;
mod openai;
mod reload;
mod request_id;
mod routes;
mod rules_engine;
mod server;
mod settings;
mod state;
mod work;
mod writer_metrics;

pub use alerts_engine::AlertsEngine;
pub use api_error::ApiError;
pub use batches::Answerer;
pub use deciding::NamedDecider;
pub use error::{Error, LoadError};
pub use language::{NamedFolder, Opened, Opener, Products, Weights, name as model_name};
pub use metrics::Metrics;
pub use model::{Model, Slot};
pub use openai::respond;
pub use routes::open_api;
pub use rules_engine::RulesEngine;
pub use server::Server;
pub use settings::{Secret, Settings};
pub use state::State;
