//! Training of any [`Trainee`](crate::Trainee): recipes, optimisers, schedules, checkpoints and run folders.

mod elementwise;
mod optimizer;
mod schedule;
mod training;

pub use optimizer::{Optimizer, clip, norm};
pub use schedule::{Schedule, ScheduleKind, Warmup};
pub use training::{
    BatchSettings, CheckpointSettings, Every, Gate, OptimizerKind, OptimizerSettings, Phase, PhaseSettings,
    StopSettings, Training,
};
