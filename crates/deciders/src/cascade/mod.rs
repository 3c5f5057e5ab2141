//! A cheap decider first, and dearer ones for what it is unsure of.

mod fit;

use std::sync::atomic::{AtomicU64, Ordering};

use decision::{Account, Case, DecideError, Decider, Decision, Identity, Worker};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::sha256;
pub use fit::{Fitted, Seen, fit};

/// Scores that are passed on, ends included. Nothing is if `low` is above `high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// From here on.
    pub low: f64,
    /// Up to here.
    pub high: f64,
}

impl Band {
    /// What every score lies in.
    pub const ALL: Self = Self { low: 0.0, high: 1.0 };

    /// Whether a case with this score goes on. One without a score does: nothing says that it is sure.
    pub fn passes_on(&self, score: Option<f64>) -> bool {
        score.is_none_or(|score| self.low <= score && score <= self.high)
    }
}

/// A decider with what it costs.
pub struct Stage {
    /// Who decides.
    pub decider: Box<dyn Decider>,
    /// What a decision costs, in a unit that all stages share.
    pub cost: f64,
    /// What it leaves to the next stage; the last one leaves nothing.
    pub band: Band,
}

/// The decider. A case that a stage cannot decide goes on, too.
pub struct Cascade {
    stages: Vec<Stage>,
    /// Cases that each stage was asked about.
    asked: Vec<AtomicU64>,
    identity: Identity,
}

impl Cascade {
    /// A cascade of some stages, at least one, under a name.
    pub fn new(name: &str, stages: Vec<Stage>) -> Self {
        // The program is a part of what decides, and so is which of two endpoints is asked.
        let part = |stage: &Stage| {
            let Identity { name, version, hash } = stage.decider.identity();
            format!("{name} {version} {hash} {:?}\n", stage.band)
        };
        let text: String = stages.iter().map(part).collect();
        Self {
            asked: stages.iter().map(|_| AtomicU64::new(0)).collect(),
            stages,
            identity: Identity {
                name: format!("cascade:{name}"),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                hash: sha256(text.as_bytes()),
            },
        }
    }
}

impl Decider for Cascade {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn worker(&self) -> Box<dyn Worker + '_> {
        let workers = self.stages.iter().map(|stage| stage.decider.worker()).collect();
        Box::new(CascadeWorker { of: self, workers })
    }

    fn prefers_batches(&self) -> bool {
        self.stages.iter().any(|stage| stage.decider.prefers_batches())
    }

    /// Which share went on, and what that cost against the last stage alone.
    fn account(&self) -> Option<Account> {
        let asked: Vec<u64> = self.asked.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let cases = *asked.first()?;
        let cost: f64 = asked.iter().zip(&self.stages).map(|(count, stage)| *count as f64 * stage.cost).sum();
        let alone = cases as f64 * self.stages.last()?.cost;
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let mut text = format!("{cases} cases");
        for (stage, count) in self.stages.iter().zip(&asked).skip(1) {
            let percent = 100.0 * share(*count as f64, cases as f64);
            text += &format!(", {count} ({percent:.1} %) on to {}", stage.decider.identity().name);
        }
        let percent = 100.0 * share(cost, alone);
        text += &format!("; cost {cost} of {alone} ({percent:.1} %) that the last stage alone would take");
        let stages: Vec<_> = self
            .stages
            .iter()
            .zip(&asked)
            .map(|(stage, count)| {
                let more = stage.decider.account().map(|account| account.figures);
                json!({
                    "decided_by": stage.decider.identity(),
                    "asked": count,
                    "share": share(*count as f64, cases as f64),
                    "cost": *count as f64 * stage.cost,
                    "account": more,
                })
            })
            .collect();
        Some(Account { text, figures: json!({"cases": cases, "cost": cost, "last_alone": alone, "stages": stages}) })
    }
}

struct CascadeWorker<'c> {
    of: &'c Cascade,
    workers: Vec<Box<dyn Worker + 'c>>,
}

impl Worker for CascadeWorker<'_> {
    fn decide(&mut self, cases: &[Case<'_>]) -> Vec<Result<Decision, DecideError>> {
        let Self { of, workers } = self;
        let mut all: Vec<Option<Result<Decision, DecideError>>> = vec![None; cases.len()];
        let mut left: Vec<usize> = (0..cases.len()).collect();
        let last = of.stages.len() - 1;
        for (number, (stage, worker)) in of.stages.iter().zip(workers).enumerate() {
            if left.is_empty() {
                break;
            }
            of.asked[number].fetch_add(left.len() as u64, Ordering::Relaxed);
            let chosen: Vec<Case<'_>> = left.iter().map(|place| cases[*place].clone()).collect();
            let results = worker.decide(&chosen);
            left = std::mem::take(&mut left)
                .into_iter()
                .zip(results)
                .filter_map(|(place, result)| {
                    let goes_on =
                        number < last && result.as_ref().map_or(true, |decision| stage.band.passes_on(decision.score));
                    let by = || stage.decider.identity().clone();
                    all[place] = Some(result.map(|decision| Decision { stage: Some(by()), ..decision }));
                    goes_on.then_some(place)
                })
                .collect();
        }
        let missing = || Err(DecideError::Failed("the decider gave no answer".to_owned()));
        all.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decides numbers: the facts are the score, `x` cannot be decided.
    struct Scores(Identity);

    impl Decider for Scores {
        fn identity(&self) -> &Identity {
            &self.0
        }

        fn worker(&self) -> Box<dyn Worker + '_> {
            struct Of<'n>(&'n str);
            impl Worker for Of<'_> {
                fn decide(&mut self, cases: &[Case<'_>]) -> Vec<Result<Decision, DecideError>> {
                    let outcome = || self.0.to_owned();
                    let one = |case: &Case<'_>| match (case.facts, self.0) {
                        ("x", "cheap") => Err(DecideError::Failed("no".to_owned())),
                        (facts, _) => {
                            Ok(Decision { outcome: outcome(), score: facts.parse().ok(), ..Decision::default() })
                        }
                    };
                    cases.iter().map(one).collect()
                }
            }
            Box::new(Of(&self.0.name))
        }
    }

    fn identity(name: &str, version: &str) -> Identity {
        Identity { name: name.to_owned(), version: version.to_owned(), hash: "same".to_owned() }
    }

    fn stage(name: &str, cost: f64, band: Band) -> Stage {
        Stage { decider: Box::new(Scores(identity(name, "1"))), cost, band }
    }

    #[test]
    fn what_is_unsure_goes_on_and_the_stage_that_decided_is_named() {
        let band = Band { low: 0.2, high: 0.8 };
        let cascade = Cascade::new("test", vec![stage("cheap", 1.0, band), stage("dear", 10.0, Band::ALL)]);
        let facts = ["0.1", "0.2", "0.5", "0.81", "x", "none"];
        let cases: Vec<Case<'_>> = facts.iter().map(|facts| Case { case_id: "c".into(), facts }).collect();
        let decided = cascade.worker().decide(&cases);
        let by: Vec<String> =
            decided.into_iter().map(|decision| decision.expect("a decision").stage.expect("a stage").name).collect();
        assert_eq!(by, ["cheap", "dear", "dear", "cheap", "dear", "dear"]);
        let account = cascade.account().expect("an account");
        assert_eq!((&account.figures["cost"], &account.figures["last_alone"]), (&json!(46.0), &json!(60.0)));
        assert!(account.text.contains("4 (66.7 %) on to dear") && account.text.contains("76.7 %"), "{}", account.text);
        let other = Cascade::new("test", vec![stage("cheap", 1.0, Band::ALL), stage("dear", 10.0, Band::ALL)]);
        assert_ne!(other.identity(), cascade.identity());
    }

    #[test]
    fn its_identity_covers_all_that_names_its_stages() {
        let last = |name: &str, version: &str| {
            let last = Stage { decider: Box::new(Scores(identity(name, version))), cost: 1.0, band: Band::ALL };
            Cascade::new("test", vec![stage("cheap", 1.0, Band::ALL), last]).identity().clone()
        };
        assert_eq!(last("dear", "1"), last("dear", "1"));
        assert!(last("dear", "1") != last("dearer", "1") && last("dear", "1") != last("dear", "2"));
    }

    #[test]
    fn nothing_lies_in_an_empty_band() {
        assert!(!Band { low: 1.0, high: 0.0 }.passes_on(Some(0.5)) && Band::ALL.passes_on(Some(1.0)));
    }
}
