//! Training of any [`Trainee`](crate::Trainee): recipes, optimisers, schedules, checkpoints and run folders.

mod checkpoint;
mod cursor;
mod curve;
mod decoder_recipe;
mod elementwise;
mod estimate;
mod examples;
mod judgement;
mod optimizer;
mod plan;
mod progress;
mod recipe;
mod report;
mod run;
mod schedule;
mod source;
mod stop;
mod summary;
mod trainer;
mod training;

pub use decoder_recipe::{
    AdapterSettings, DataSettings, DecoderDetails, DecoderRecipe, MethodSettings, ModelSettings, Shape,
    ValidationSettings,
};
pub use estimate::{Counts, Memory, estimate};
pub use examples::{Examples, SetSummary};
pub use optimizer::{Optimizer, clip, norm};
pub use progress::{Progress, Step, Validation};
pub use recipe::{Details, Recipe};
pub use run::Run;
pub use schedule::{Schedule, ScheduleKind, Warmup};
pub use source::Source;
pub use summary::{Ending, PhaseSummary, Summary};
pub use trainer::train;
pub use training::{
    BatchSettings, CheckpointSettings, Every, Gate, OptimizerKind, OptimizerSettings, Phase, PhaseSettings,
    StopSettings, Training,
};
