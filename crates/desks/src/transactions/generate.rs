//! Synthetic cases. Candidate `i` of a seed is the same wherever and whenever it is drawn.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{OUTCOMES, scenarios};

/// How cases are drawn; see the shipped `recipe.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of this file's form.
    pub format: u32,
    /// Size of the population.
    pub persons: u32,
    /// The last day of transactions.
    pub last_day: String,
    /// Candidates drawn per case at most.
    pub candidates_per_case: u64,
    /// Share of boundary cases.
    pub boundary: f64,
    /// Share of cases moved onto edges of the rules, several at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub edges: f64,
    /// Share of cases on edges in which a field is missing or mistyped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub malformed: f64,
    /// Share of persons forced to be unverified.
    pub unverified: f64,
    /// Share of sanctioned persons in any scenario.
    pub background_sanctions: f64,
    /// Chance of each scenario.
    pub scenarios: BTreeMap<String, f64>,
    /// Share of each outcome.
    pub quotas: BTreeMap<String, f64>,
}

/// Shares that are not used are not written, as in recipes from before they were there.
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

/// A recipe that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Not TOML of the right form.
    #[error("{0}")]
    Toml(#[from] Box<toml::de::Error>),
    /// A form of another version.
    #[error("format {0} is not known; this program reads format 1")]
    Format(u32),
    /// A scenario that does not exist.
    #[error("unknown scenario `{0}`; known: {known}", known = scenarios::names().join(", "))]
    Scenario(String),
    /// An outcome that does not exist.
    #[error("unknown outcome `{0}`; known: {known}", known = OUTCOMES.join(", "))]
    Outcome(String),
    /// A number outside of its range.
    #[error("`{0}` is out of range")]
    Range(&'static str),
}

impl Recipe {
    /// Reads a recipe and checks it.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub fn read(text: &str) -> Result<Self, RecipeError> {
        let recipe: Recipe = toml::from_str(text).map_err(Box::new)?;
        if recipe.format != 1 {
            return Err(RecipeError::Format(recipe.format));
        }
        if let Some(name) = recipe.scenarios.keys().find(|name| !scenarios::names().contains(&name.as_str())) {
            return Err(RecipeError::Scenario(name.clone()));
        }
        if let Some(name) = recipe.quotas.keys().find(|name| !OUTCOMES.contains(&name.as_str())) {
            return Err(RecipeError::Outcome(name.clone()));
        }
        let share = |value: f64| (0.0..=1.0).contains(&value);
        for (name, valid) in [
            ("persons", recipe.persons > 0),
            ("last_day", recipe.last_day.parse::<Date>().is_ok()),
            ("candidates_per_case", recipe.candidates_per_case > 0),
            ("boundary", share(recipe.boundary)),
            ("edges", share(recipe.edges)),
            ("malformed", share(recipe.malformed)),
            ("unverified", share(recipe.unverified)),
            ("background_sanctions", share(recipe.background_sanctions)),
            ("scenarios", recipe.scenarios.values().all(|p| *p >= 0.0) && recipe.scenarios.values().sum::<f64>() > 0.0),
            ("quotas", recipe.quotas.values().all(|q| share(*q)) && recipe.quotas.values().sum::<f64>() > 0.0),
        ] {
            if !valid {
                return Err(RecipeError::Range(name));
            }
        }
        Ok(recipe)
    }

    /// How many cases of each outcome make up `cases`; the remainder goes to the largest shares.
    pub fn targets(&self, cases: u64) -> BTreeMap<String, u64> {
        let total: f64 = self.quotas.values().sum();
        let mut targets: BTreeMap<String, u64> =
            self.quotas.iter().map(|(name, share)| (name.clone(), (cases as f64 * share / total) as u64)).collect();
        let mut by_share: Vec<(&String, f64)> = self.quotas.iter().map(|(name, share)| (name, *share)).collect();
        by_share.sort_by(|a, b| b.1.total_cmp(&a.1));
        let missing = cases - targets.values().sum::<u64>();
        for (name, _) in by_share.iter().cycle().take(missing as usize) {
            if let Some(target) = targets.get_mut(*name) {
                *target += 1;
            }
        }
        targets
    }
}

/// Draws candidates.
#[derive(Clone, Debug)]
pub struct Generator {
    recipe: Recipe,
    last_day: Date,
    seed: u64,
}

impl Generator {
    /// A generator for a recipe that [`Recipe::read`] has checked.
    pub fn new(recipe: Recipe, seed: u64) -> Self {
        let last_day = recipe.last_day.parse().unwrap_or(Date::constant(2026, 6, 30));
        Self { recipe, last_day, seed }
    }

    /// An endless stream of cases to train models on: candidates of [`TRAINING_RECIPE`](super::TRAINING_RECIPE),
    /// as they come. Their labels are what the rules say of them.
    ///
    /// # Errors
    /// When the shipped recipe cannot be read, which a test rules out.
    pub fn training(seed: u64) -> Result<Self, RecipeError> {
        Ok(Self::new(Recipe::read(super::TRAINING_RECIPE)?, seed))
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The facts of candidate `index`. Each candidate has a stream of random numbers of its own, so that the
    /// order in which candidates are drawn does not matter.
    pub fn candidate(&self, index: u64) -> Value {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(index);
        scenarios::draw(&self.recipe, self.last_day, &mut random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::{Digest, Md5};

    #[test]
    fn the_shipped_recipe_is_valid_and_its_targets_add_up() {
        let recipe = Recipe::read(super::super::RECIPE).expect("the shipped recipe");
        let targets = recipe.targets(1003);
        assert_eq!(targets.values().sum::<u64>(), 1003);
        assert_eq!(targets["BLOCK"], 70);
    }

    #[test]
    fn mistakes_in_a_recipe_are_named() {
        let changed = |from: &str, to: &str| Recipe::read(&super::super::RECIPE.replace(from, to));
        assert!(matches!(changed("format = 1", "format = 2"), Err(RecipeError::Format(2))));
        assert!(matches!(changed("odd_hour", "even_hour"), Err(RecipeError::Scenario(name)) if name == "even_hour"));
        assert!(matches!(changed("CLEAR =", "CLEAN ="), Err(RecipeError::Outcome(_))));
        assert!(matches!(changed("boundary = 0.10", "boundary = 1.5"), Err(RecipeError::Range("boundary"))));
        assert!(matches!(changed("persons", "people"), Err(RecipeError::Toml(_))));
    }

    #[test]
    fn the_shipped_recipe_draws_what_it_always_drew() {
        let generator = Generator::new(Recipe::read(super::super::RECIPE).expect("the shipped recipe"), 7);
        let mut hash = Md5::new();
        (0..300).for_each(|index| hash.update(generator.candidate(index).to_string()));
        let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "efb7e5fd33d998a90c6145de8cec18dc");
    }

    #[test]
    fn a_candidate_is_the_same_whatever_was_drawn_before() {
        let generator = Generator::new(Recipe::read(super::super::RECIPE).expect("the shipped recipe"), 7);
        let alone = generator.candidate(41);
        (0..41).for_each(|index| drop(generator.candidate(index)));
        assert_eq!(generator.candidate(41), alone);
        assert_ne!(generator.candidate(42), alone);
    }
}
