//! From a recipe to an artifact: material, trainee, training, figures, manifest.

use std::path::PathBuf;

use deciders::artifact::{Kind, Manifest};
use evaluate::Scorecard;
use lm::Trainee;
use lm::train::{Ending, MethodSettings, Recipe, Run, Summary, estimate};
use serde::Serialize;
use serde_json::{Value, json};

use super::calibrating::{not_assured, standing};
use super::decoder::Answers;
use super::material::{Material, Origin, Set};
use super::measure::{Measured, keep, scorecards};
use super::multihead::Classes;
use super::progress::Watch;
use super::recipe::{Common, DeskDecoderDetails, MultiheadDetails, Script};
use super::source::{Encoding, Source};
use super::{decider, decoder, multihead};
use crate::streams;

/// What is to be trained, from what, and where to.
pub(crate) struct Order {
    pub(crate) script: Script,
    /// `KEY.PATH=VALUE`.
    pub(crate) overrides: Vec<String>,
    pub(crate) origin: Origin,
    pub(crate) out: PathBuf,
    pub(crate) resume: bool,
}

/// What came of it.
pub(crate) struct Learned {
    pub(crate) summary: Summary,
    /// One for each validation set; none when the run was interrupted or did not pass a gate.
    pub(crate) scorecards: Vec<Scorecard>,
}

/// Trains, measures and seals.
///
/// # Errors
/// When recipe or data cannot be used, or training fails; what was saved until then can be resumed.
pub(crate) fn learn(order: &Order) -> anyhow::Result<Learned> {
    match order.script.kind {
        Kind::Multihead => learn_multihead(&Job::begin(order)?),
        Kind::Decoder => learn_decoder(&Job::begin(order)?),
    }
}

fn learn_multihead(job: &Job<'_, MultiheadDetails>) -> anyhow::Result<Learned> {
    let recipe = &job.recipe;
    let summary = recipe.training.pool()?.install(|| {
        let mut model = Classes::model(recipe, &job.material.sample)?;
        streams::note(&format!("{} parameters", model.parameters().values.len()));
        job.train(&Classes, &mut model, recipe.training.batch.tokens)
    })?;
    job.seal(summary, multihead::READING.input)
}

fn learn_decoder(job: &Job<'_, DeskDecoderDetails>) -> anyhow::Result<Learned> {
    let recipe = &job.recipe;
    let (summary, answers) = recipe.training.pool()?.install(|| {
        let answers = Answers::new(recipe, &job.material.sample)?;
        let memory =
            estimate(&answers.config(recipe), &MethodSettings::Full, recipe.details.dtype(), &recipe.training).total();
        let mut model = answers.model(recipe)?;
        let (count, memory) = (model.parameters().values.len(), memory >> 20);
        streams::note(&format!("{count} parameters; training takes about {memory} MiB of memory"));
        let cases = answers.cases(recipe.training.batch.tokens, &job.material.sample);
        let summary = job.train(&answers, &mut model, cases)?;
        anyhow::Ok((summary, answers))
    })?;
    if summary.ending != Ending::Interrupted {
        answers.tokenizer().save(&job.order.out.join(deciders::MODEL))?;
    }
    job.seal(summary, decoder::READING.input)
}

/// A run that was begun.
struct Job<'o, D> {
    order: &'o Order,
    recipe: Recipe<D>,
    material: Material,
    run: Run,
}

/// What the run folder keeps as its recipe: with what the cases are and who labelled them.
#[derive(Serialize)]
struct Begun<'r, D> {
    #[serde(flatten)]
    recipe: &'r Recipe<D>,
    material: &'r Value,
    /// What the model reads, and whose program makes it: another one would resume with other numbers.
    reads: &'r str,
    program: &'static str,
}

impl<'r, D: Common> Begun<'r, D> {
    fn new(recipe: &'r Recipe<D>, material: &'r Value) -> Self {
        let reads = match D::KIND {
            Kind::Multihead => multihead::READING.input,
            Kind::Decoder => decoder::READING.input,
        };
        Self { recipe, material, reads, program: env!("CARGO_PKG_VERSION") }
    }
}

impl<'o, D: Common> Job<'o, D> {
    fn begin(order: &'o Order) -> anyhow::Result<Self> {
        let recipe: Recipe<D> = order.script.read(&order.overrides)?;
        if recipe.training.phases.iter().any(|phase| phase.train.is_some() || phase.difficulty.is_some()) {
            anyhow::bail!(lm::Error::Configuration {
                path: "recipe".into(),
                problem: "phase: train and difficulty choose among files of examples; here phases share the cases"
                    .into(),
            });
        }
        let cases = recipe.details.cases().validation;
        let material = recipe.training.pool()?.install(|| order.origin.open(recipe.training.seed, cases))?;
        let run = Run::open(&order.out, &Begun::new(&recipe, &material.card), order.resume)?;
        Ok(Self { order, recipe, material, run })
    }

    fn train<E: Encoding>(&self, encoding: &E, trainee: &mut E::Trainee, size: usize) -> anyhow::Result<Summary> {
        let training = &self.recipe.training;
        let mut source = Source::new(encoding, &self.material, size, training.seed)?;
        let mut watch = Watch::new(self.order.script.items())?;
        let summary = lm::train::train(trainee, &mut source, training, &self.run, &mut watch);
        watch.finish();
        Ok(summary?)
    }

    /// Measures the exported model as it will be used, and writes the manifest that makes the folder an artifact. A run
    /// that was interrupted has nothing to measure yet, and of one that did not pass a gate nobody shall decide.
    fn seal(&self, summary: Summary, input: &str) -> anyhow::Result<Learned> {
        if matches!(summary.ending, Ending::Interrupted | Ending::Gate) {
            return Ok(Learned { summary, scorecards: Vec::new() });
        }
        let out = &self.order.out;
        let details = &self.recipe.details;
        let mut manifest = Manifest {
            format: 0,
            desk: "transactions".to_owned(),
            kind: D::KIND,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            input: input.to_owned(),
            precision: details.dtype(),
            answer_tokens: details.answer_tokens(),
            calibration: None,
            files: Default::default(),
            recipe: serde_json::to_value(Begun::new(&self.recipe, &self.material.card))?,
            training: serde_json::to_value(&summary)?,
            scorecards: Vec::new(),
        };
        manifest.seal(out)?;
        let scorecards = self.measure(&mut manifest)?;
        manifest.scorecards = scorecards.iter().map(figures).collect();
        if let Some(first) = scorecards.first() {
            keep(first, out)?;
        }
        manifest.write(out)?;
        Ok(Learned { summary, scorecards })
    }

    /// Calibrates on the first validation set and measures on all. The set may have chosen the step that was kept, so the
    /// calibration promises nothing.
    fn measure(&self, manifest: &mut Manifest) -> anyhow::Result<Vec<Scorecard>> {
        let out = &self.order.out;
        let threads = self.recipe.training.pool()?.current_num_threads();
        let sets: Vec<&Set> = self.material.validation.iter().filter(|set| !set.cases.is_empty()).collect();
        if let Some(first) = sets.first() {
            let scored = Measured::of(&*decider(out, manifest, threads)?, first, threads)?.scored(first);
            match self.recipe.details.calibration().fit(&scored, first.sha256()) {
                Ok(calibration) => {
                    let calibration = not_assured(calibration);
                    streams::note(&standing(&calibration));
                    manifest.calibration = Some(calibration);
                }
                Err(problem) => streams::note(&format!("scores are not calibrated: {problem}")),
            }
        }
        scorecards(out, manifest, &sets, threads)
    }
}

/// The figures of a scorecard that a manifest has.
fn figures(card: &Scorecard) -> Value {
    let recall = card.classes.iter().map(|class| (class.outcome.clone(), json!(class.score.recall)));
    json!({
        "set": card.set,
        "cases": card.cases,
        "invalid": card.invalid,
        "accuracy": card.accuracy.value,
        "macro_f1": card.macro_f1.value,
        "reasons_f1": card.reasons_f1.value,
        "exact_match": card.exact_match,
        "recall": recall.collect::<serde_json::Map<_, _>>(),
        "at_threshold": card.ranking.as_ref().and_then(|ranking| ranking.at_threshold),
        "calibration_error": card.ranking.as_ref().map(|ranking| ranking.calibration_error),
        "cases_per_second": card.throughput,
    })
}
