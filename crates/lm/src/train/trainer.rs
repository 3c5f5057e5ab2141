//! The loop: batches in, steps taken, checkpoints and logs out.

use super::checkpoint::{Checkpoints, remove};
use super::cursor::{Best, Cursor};
use super::optimizer::{Optimizer, clip, norm};
use super::progress::{Progress, Step, Validation};
use super::run::{Log, Run};
use super::source::Source;
use super::summary::{Ending, Summary};
use super::training::{Every, Phase, Training};
use super::{plan, report};
use crate::{Error, Loss, Result, Trainee};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Trains from where the run folder stands: from the beginning in a new one, from the newest checkpoint that is whole
/// in one to resume. The weights and losses of a resumed run are, bit for bit, those of one that was never stopped.
///
/// Runs on the threads of the current rayon pool (see [`Training::pool`]); the result does not depend on their number.
/// At the end the trainee is exported to `model/` in the folder.
///
/// # Errors
/// [`Error::NotFinite`] when loss or gradient is no number: that step is not taken, and the checkpoints before it stay.
/// [`Error::Configuration`] when the recipe asks for what the source cannot give. Otherwise what trainee, source and
/// file system report. After any of them, the run can be resumed from its last checkpoint.
pub fn train<T, S, P>(
    trainee: &mut T,
    source: &mut S,
    training: &Training,
    run: &Run,
    progress: &mut P,
) -> Result<Summary>
where
    T: Trainee,
    S: Source<T>,
    P: Progress,
{
    let mut trainer = Trainer::begin(trainee, source, training, run, progress)?;
    while let Some(phase) = trainer.phases.get(trainer.cursor.phase).cloned() {
        trainer.progress.phase(&phase.name, trainer.total());
        if trainer.phase(&phase)?.is_break() {
            return Ok(trainer.summary(Ending::Interrupted));
        }
    }
    trainer.finish()
}

/// A run under way.
pub(super) struct Trainer<'a, T, S, P> {
    pub(super) trainee: &'a mut T,
    pub(super) source: &'a mut S,
    pub(super) training: &'a Training,
    pub(super) run: &'a Run,
    pub(super) progress: &'a mut P,
    pub(super) checkpoints: Checkpoints,
    pub(super) phases: Vec<Phase>,
    /// Steps of each phase, where they are known.
    pub(super) totals: Vec<Option<u64>>,
    pub(super) optimizer: Optimizer,
    pub(super) cursor: Cursor,
    log: Log,
    pub(super) validations: Log,
    /// The epoch that was last asked for.
    length: Option<Length>,
    /// The last validation of the phase.
    pub(super) measured: Option<Best>,
    /// When seconds were last added up.
    clock: Instant,
    /// Seconds of a step, smoothed over this process.
    pace: Option<f64>,
}

/// How many micro-batches an epoch has.
#[derive(Clone, Copy)]
struct Length {
    phase: usize,
    epoch: u64,
    batches: Option<u64>,
}

/// The micro-batches of a step.
struct Gathered<B> {
    batches: Vec<B>,
    /// Whether they are the last of the epoch.
    last: bool,
    /// Whether the epoch has no end.
    endless: bool,
}

impl<'a, T, S, P> Trainer<'a, T, S, P>
where
    T: Trainee,
    S: Source<T>,
    P: Progress,
{
    fn begin(
        trainee: &'a mut T,
        source: &'a mut S,
        training: &'a Training,
        run: &'a Run,
        progress: &'a mut P,
    ) -> Result<Self> {
        let phases = training.phases();
        let totals = phases
            .iter()
            .enumerate()
            .map(|(number, phase)| plan::steps(source, training, phase, number))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|problem| problem.at(run))?;
        for (number, phase) in phases.iter().enumerate() {
            if training.checkpoint.every == Every::Epoch && source.batches(number, 0)?.is_none() {
                let note = "checkpoint.every is an epoch, and the training data has no end: nothing is saved or measured \
                            before the run ends; give a number of steps";
                progress.note(note);
            }
            let needed = training.stop.is_some() || phase.gate.is_some();
            if needed && source.validation(number, 0)?.is_none() {
                let problem = format!("phase {:?}: an early stop or a gate needs validation data", phase.name);
                return Err(Error::Configuration { path: run.path("recipe.json"), problem });
            }
        }
        let mut optimizer = Optimizer::new(&training.optimizer, trainee.parameters().values.len());
        let checkpoints = run.checkpoints();
        let resumed = checkpoints.resume(trainee.parameters_mut(), &mut optimizer, |message| progress.note(message))?;
        let cursor = resumed.unwrap_or_default();
        trainee.parameters_mut().gradients.fill(0.0);
        let log = run.log("log.jsonl", |step: &Step| step.step <= cursor.step)?;
        let validations = run.log("validation.jsonl", |validation: &Validation| validation.step <= cursor.step)?;
        Ok(Self {
            trainee,
            source,
            training,
            run,
            progress,
            checkpoints,
            phases,
            totals,
            optimizer,
            cursor,
            log,
            validations,
            length: None,
            measured: None,
            clock: Instant::now(),
            pace: None,
        })
    }

    /// Trains a phase to its end, or until who watches has enough.
    fn phase(&mut self, phase: &Phase) -> Result<ControlFlow<()>> {
        loop {
            let gathered = self.gather()?;
            let counted = gathered.batches.iter().map(|batch| self.trainee.counted(batch)).sum();
            let flow = match counted {
                0 => ControlFlow::Continue(()),
                _ => self.step(phase, &gathered.batches, counted)?,
            };
            self.turn_epoch(&gathered, counted)?;
            let mut ending = self.length_reached(phase);
            let due = self.is_due(&gathered, counted) || ending.is_some();
            if due {
                ending = self.validate(phase)?.or(ending);
                if let Some(ending) = ending {
                    self.end_phase(phase, ending)?;
                }
            }
            if due || flow.is_break() {
                self.save()?;
            }
            if flow.is_break() || ending.is_some() {
                return Ok(flow);
            }
        }
    }

    /// The next micro-batches, up to the end of the epoch.
    fn gather(&mut self) -> Result<Gathered<T::Batch>> {
        let Cursor { phase, epoch, .. } = self.cursor;
        let count = match self.length {
            Some(length) if length.phase == phase && length.epoch == epoch => length.batches,
            _ => {
                let batches = self.source.batches(phase, epoch)?;
                self.length = Some(Length { phase, epoch, batches });
                batches
            }
        };
        let endless = count.is_none();
        let ends = |batch| count.is_some_and(|count| batch >= count);
        let mut batches = Vec::with_capacity(self.training.batch.accumulate);
        while batches.len() < self.training.batch.accumulate && !ends(self.cursor.batch) {
            let Some(batch) = self.source.batch(phase, epoch, self.cursor.batch)? else {
                return Ok(Gathered { batches, last: true, endless });
            };
            self.cursor.batch += 1;
            batches.push(batch);
        }
        Ok(Gathered { batches, last: ends(self.cursor.batch), endless })
    }

    /// One optimiser step: the gradient of the mean loss over all counted items of the batches.
    fn step(&mut self, phase: &Phase, batches: &[T::Batch], counted: u64) -> Result<ControlFlow<()>> {
        let scale = (1.0 / counted as f64) as f32;
        let mut loss = Loss::default();
        let mut items = 0;
        for batch in batches {
            items += self.trainee.items(batch);
            let draw = self.cursor.draw(self.training.seed);
            loss += self.trainee.accumulate(batch, scale, draw)?;
        }
        let loss = self.finite("loss", loss.mean())?;
        let gradient_norm = self.finite("gradient norm", norm(&self.trainee.parameters().gradients))?;
        let rate = phase.rate * self.training.schedule.factor(self.cursor.phase_step, self.phase_total());
        let scale = clip(gradient_norm, self.training.optimizer.limit());
        self.optimizer.step(self.trainee.parameters_mut(), rate, scale);
        self.stepped(phase, loss, items);
        self.report(loss, rate, gradient_norm, items)
    }

    pub(super) fn finite(&self, what: &'static str, value: f64) -> Result<f64> {
        if value.is_finite() { Ok(value) } else { Err(Error::NotFinite { what, step: self.cursor.step + 1 }) }
    }

    /// Counts a step that was taken.
    fn stepped(&mut self, phase: &Phase, loss: f64, items: u64) {
        let seconds = self.tick();
        self.pace = Some(self.pace.map_or(seconds, |pace| pace + 0.1 * (seconds - pace)));
        let cursor = &mut self.cursor;
        cursor.step += 1;
        cursor.phase_step += 1;
        cursor.epoch_step += 1;
        cursor.items += items;
        cursor.first_loss.get_or_insert(loss);
        cursor.last_loss = Some(loss);
        if cursor.phase_step == 1 {
            cursor.measured_from = cursor.phase_seconds;
        }
        if self.training.needs_plan(phase) && cursor.planned.is_none() {
            cursor.planned = plan::from_pace(self.training, phase, cursor);
        }
    }

    fn report(&mut self, loss: f64, rate: f64, gradient_norm: f64, items: u64) -> Result<ControlFlow<()>> {
        let cursor = &self.cursor;
        let total = self.total();
        let pace = self.pace.unwrap_or_default();
        let remaining =
            total.and_then(|total| Duration::try_from_secs_f64(total.saturating_sub(cursor.step) as f64 * pace).ok());
        let step = Step {
            step: cursor.step,
            phase: cursor.phase,
            epoch: cursor.epoch,
            loss,
            rate,
            gradient_norm,
            items,
            items_per_second: items as f64 / pace.max(f64::MIN_POSITIVE),
            seconds: cursor.seconds,
            total,
            remaining,
        };
        self.log.push(&step)?;
        Ok(self.progress.step(&step))
    }

    /// Seconds since the last call, added to the run's and the phase's.
    fn tick(&mut self) -> f64 {
        let now = Instant::now();
        let seconds = now.duration_since(self.clock).as_secs_f64();
        self.clock = now;
        self.cursor.seconds += seconds;
        self.cursor.phase_seconds += seconds;
        seconds
    }

    /// Goes to the next epoch behind the last batch of one.
    fn turn_epoch(&mut self, gathered: &Gathered<T::Batch>, counted: u64) -> Result<()> {
        // Batches that count nothing are passed over, but a phase of steps would never end if there were no others.
        let barren = if gathered.endless { counted == 0 } else { gathered.last && self.cursor.epoch_step == 0 };
        if barren {
            let name = &self.phases[self.cursor.phase].name;
            let problem = format!("phase {name:?}: there is nothing in the training data that the loss counts");
            return Err(Error::Configuration { path: self.run.path("recipe.json"), problem });
        }
        if gathered.last {
            self.cursor.epoch += 1;
            self.cursor.epoch_step = 0;
            self.cursor.batch = 0;
        }
        Ok(())
    }

    fn length_reached(&self, phase: &Phase) -> Option<Ending> {
        let cursor = &self.cursor;
        let epochs = phase.epochs.is_some_and(|epochs| cursor.epoch >= epochs);
        let steps = phase.steps.or(cursor.planned).is_some_and(|steps| cursor.phase_step >= steps);
        let late = phase.minutes.is_some_and(|minutes| cursor.phase_seconds >= 60.0 * minutes);
        let minutes = late && !self.training.needs_plan(phase);
        (epochs || steps || minutes).then_some(Ending::Length)
    }

    fn is_due(&self, gathered: &Gathered<T::Batch>, counted: u64) -> bool {
        match self.training.checkpoint.every {
            Every::Epoch => gathered.last,
            Every::Steps(steps) => counted > 0 && self.cursor.phase_step.is_multiple_of(steps),
        }
    }

    fn save(&mut self) -> Result<()> {
        self.log.sync()?;
        self.validations.sync()?;
        self.tick();
        let keep = self.training.checkpoint.keep;
        self.checkpoints.save(&self.cursor, self.trainee.parameters(), &self.optimizer, keep)?;
        report::write(self.run, &self.phases)?;
        // What saving takes is no part of the next step's pace.
        self.tick();
        Ok(())
    }

    /// Steps of the phase, if that is known.
    fn phase_total(&self) -> Option<u64> {
        self.totals[self.cursor.phase].or(self.cursor.planned)
    }

    /// Steps of the run, if that is known.
    fn total(&self) -> Option<u64> {
        let done: u64 = self.cursor.ended.iter().map(|phase| phase.steps).sum();
        let rest = self.totals.iter().enumerate().skip(self.cursor.phase);
        rest.map(|(phase, total)| total.or(self.cursor.planned.filter(|_| phase == self.cursor.phase)))
            .try_fold(done, |sum, total| Some(sum + total?))
    }

    fn summary(&self, ending: Ending) -> Summary {
        let cursor = &self.cursor;
        Summary {
            version: env!("CARGO_PKG_VERSION").into(),
            seed: self.training.seed,
            ending,
            steps: cursor.step,
            items: cursor.items,
            seconds: cursor.seconds,
            items_per_second: cursor.items as f64 / cursor.seconds.max(f64::MIN_POSITIVE),
            first_loss: cursor.first_loss,
            last_loss: cursor.last_loss,
            phases: cursor.ended.clone(),
        }
    }

    /// Exports the model and writes the summary. Repeated when a run is resumed that had already ended.
    fn finish(self) -> Result<Summary> {
        let place = self.run.path("model");
        let part = self.run.path("model.part");
        remove(&part)?;
        self.trainee.export(&part)?;
        remove(&place)?;
        std::fs::rename(&part, &place).map_err(Error::io(&place))?;
        report::write(self.run, &self.phases)?;
        let summary = self.summary(self.cursor.ending.unwrap_or(Ending::Length));
        self.run.write_json("summary.json", &summary)?;
        Ok(summary)
    }
}
