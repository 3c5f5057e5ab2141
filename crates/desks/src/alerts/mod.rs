//! Alerts: which of the alerts that a monitoring system raised, and which clusters of them, deserve a person's
//! time.

pub mod amlsim;
pub mod facts;
pub mod features;
pub mod files;
pub mod generate;
pub mod graph;
mod model;
mod truth;
mod window;

pub use facts::{Alert, Batch, BatchError, Cluster, Flow};
pub use features::{Context, Kind, Plan};
pub use files::Snapshot;
pub use model::AlertModel;
pub use truth::Truths;
pub use window::{AddressFlows, Window};
