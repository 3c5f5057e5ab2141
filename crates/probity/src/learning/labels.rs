//! Cases with what rules say of them.

use std::ops::Range;
use std::path::PathBuf;

use deciders::rules::{Rules, Runner};
use decision::{Case, Decision, Worker};
use desks::transactions::{Generator, Target};
use rayon::prelude::*;
use serde_json::Value;

/// A case and what is right: the raw view where rules said it, in which a reason stands as often as it applies.
#[derive(Clone, Debug)]
pub(crate) struct Labelled {
    pub(crate) facts: Value,
    pub(crate) decision: Decision,
}

impl Labelled {
    /// The codes of the reasons, in order.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = &str> {
        self.decision.reasons.iter().map(|reason| reason.code.as_str())
    }

    /// The classes of the label.
    ///
    /// # Errors
    /// When outcome or reasons are none of the desk's.
    pub(crate) fn target(&self) -> Result<Target, String> {
        Target::of(&self.decision.outcome, self.reasons()).map_err(|error| error.to_string())
    }
}

/// Cases that one runner labels; runners are not made for free.
const PART: u64 = 32;

/// Draws cases and labels them.
pub(crate) struct Labeller {
    pub(crate) generator: Generator,
    pub(crate) rules: Rules,
}

impl Labeller {
    /// The cases of some candidates, in order, without those on which the rules fail: mistyped ones have no label.
    /// Drawn on the threads of the current pool.
    ///
    /// # Errors
    /// When the rules give outcomes or reasons that are none of the desk's.
    pub(crate) fn draw(&self, candidates: Range<u64>) -> lm::Result<Vec<Labelled>> {
        let parts: Vec<Range<u64>> = (candidates.start..candidates.end)
            .step_by(PART as usize)
            .map(|start| start..(start + PART).min(candidates.end))
            .collect();
        let parts: Result<Vec<Vec<Labelled>>, String> =
            parts.into_par_iter().map(|part| self.draw_part(part)).collect();
        let refused = |problem| lm::Error::Configuration { path: PathBuf::from("the labelling rules"), problem };
        Ok(parts.map_err(refused)?.into_iter().flatten().collect())
    }

    fn draw_part(&self, candidates: Range<u64>) -> Result<Vec<Labelled>, String> {
        let mut runner = self.rules.runner();
        let mut all = Vec::with_capacity(PART as usize);
        for index in candidates {
            let facts = self.generator.candidate(index);
            if let Some(decision) = label(&mut runner, &facts) {
                let labelled = Labelled { facts, decision };
                labelled.target()?;
                all.push(labelled);
            }
        }
        Ok(all)
    }
}

fn label(runner: &mut Runner<'_>, facts: &Value) -> Option<Decision> {
    let case = Case { case_id: "".into(), facts: &facts.to_string() };
    runner.decide(&[case]).pop()?.ok()
}
