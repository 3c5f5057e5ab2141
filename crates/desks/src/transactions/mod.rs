//! Transaction monitoring: a person, an account and recent transactions; clear, review, report or block.

pub mod answer;
mod edges;
pub mod facts;
pub mod features;
pub mod generate;
pub mod prompt;
mod reading;
mod scenarios;
mod targets;
mod truth;

use decision::{Decision, Desk, Truth};

pub use answer::{MOST_REASONS, OUTCOME_KEY, answer_schema, longest_answer, paired_schema};
pub use facts::Facts;
pub use features::{FeatureShape, Features, features};
pub use generate::{Generator, Recipe, RecipeError};
pub use prompt::{AnswerError, PromptStyle, completion, parse_answer, prompt, whole_tokens};
pub use reading::{MOST_TRANSACTIONS, TooMany};
pub use targets::{LabelError, Target};
pub use truth::training_line;

/// The rule file that ships with the desk.
pub const RULES: &str = include_str!("data/transactions.drl");

/// The recipe that ships with the desk.
pub const RECIPE: &str = include_str!("data/recipe.toml");

/// The recipe of cases to train models on: half of them like those of [`RECIPE`], half on the edges of the rules.
pub const TRAINING_RECIPE: &str = include_str!("data/training.toml");

/// The outcomes, least severe first; the place is the canonical level of escalation.
pub const OUTCOMES: [&str; 4] = ["CLEAR", "REVIEW", "SAR", "BLOCK"];

/// Codes of the reasons that the shipped rules give.
pub const REASONS: [&str; 8] = [
    "SANCTIONS_HIT",
    "PEP",
    "LARGE_WIRE",
    "HIGH_RISK_COUNTERPARTY",
    "ODD_HOUR",
    "STRUCTURING",
    "ROUND_TRIP",
    "BEHAVIOR_SHIFT",
];

/// What counts as positive where cases are ranked by risk.
pub const POSITIVE: [&str; 2] = ["SAR", "BLOCK"];

/// The recipes of models that ship with the desk, by name.
pub const MODEL_RECIPES: [(&str, &str); 2] =
    [("multihead", include_str!("data/multihead.toml")), ("decoder", include_str!("data/decoder.toml"))];

/// Rules that fire on every case and say nothing about it.
pub const NOISE_RULES: [&str; 2] = ["INIT", "FINAL_DECISION"];

/// The desk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transactions;

impl Desk for Transactions {
    fn name(&self) -> &'static str {
        "transactions"
    }

    fn outcomes(&self) -> &'static [&'static str] {
        &OUTCOMES
    }

    fn truth(&self, line: &[u8]) -> Option<Truth> {
        truth::read(line)
    }

    fn canonical(&self, decision: Decision) -> Decision {
        truth::canonical(decision)
    }
}
