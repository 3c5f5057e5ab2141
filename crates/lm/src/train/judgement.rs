//! What validation says: the best weights, the early stop, and whether the next phase may begin.

use super::cursor::{Best, Cursor};
use super::optimizer::Optimizer;
use super::progress::{Progress, Validation};
use super::source::Source;
use super::summary::{Ending, PhaseSummary};
use super::trainer::Trainer;
use super::training::{Gate, Phase};
use crate::{Error, Loss, Result, Trainee};

impl<T, S, P> Trainer<'_, T, S, P>
where
    T: Trainee,
    S: Source<T>,
    P: Progress,
{
    /// Measures the validation loss, if there is validation data. An ending, if it says that the phase should end.
    pub(super) fn validate(&mut self, phase: &Phase) -> Result<Option<Ending>> {
        let number = self.cursor.phase;
        let mut loss = Loss::default();
        let mut index = 0;
        while let Some(batch) = self.source.validation(number, index)? {
            loss += self.trainee.evaluate(&batch)?;
            index += 1;
        }
        if loss.count == 0 {
            return Ok(None);
        }
        let loss = self.finite("validation loss", loss.mean())?;
        let accuracy = self.source.accuracy(self.trainee, number)?;
        if phase.gate.is_some_and(|gate| gate.accuracy.is_some()) && accuracy.is_none() {
            let problem = format!("phase {:?}: its gate asks for an accuracy, and this data has none", phase.name);
            return Err(Error::Configuration { path: self.run.path("recipe.json"), problem });
        }
        let Cursor { step, epoch, .. } = self.cursor;
        let best = self.cursor.plateau.take(loss);
        self.measured = Some(Best { step, loss, accuracy });
        if best {
            self.cursor.best = self.measured;
        }
        let validation = Validation { step, phase: number, epoch, loss, accuracy, best };
        self.validations.push(&validation)?;
        self.progress.validation(&validation);
        let stop = self.training.stop.is_some_and(|rule| self.cursor.plateau.reached(&rule));
        Ok(stop.then_some(Ending::Plateau))
    }

    /// Puts back the best weights, tries the gate and goes to the next phase.
    pub(super) fn end_phase(&mut self, phase: &Phase, ending: Ending) -> Result<()> {
        let weights_of_step = self.restore_best()?;
        // What the weights are now was measured when they were saved, or just before.
        let measured =
            [self.measured, self.cursor.best].into_iter().flatten().find(|best| best.step == weights_of_step);
        let passed = phase.gate.is_none_or(|gate| passes(gate, measured));
        if ending == Ending::Plateau {
            self.progress.note(&format!("phase {:?} was stopped early: its validation loss hardly falls", phase.name));
        }
        if !passed {
            self.progress.note(&format!("phase {:?} did not pass its gate", phase.name));
        }
        let summary = PhaseSummary {
            name: phase.name.clone(),
            ending: if passed { ending } else { Ending::Gate },
            steps: self.cursor.phase_step,
            last_loss: self.cursor.last_loss,
            validation_loss: measured.map(|measured| measured.loss),
            accuracy: measured.and_then(|measured| measured.accuracy),
            weights_of_step,
        };
        self.totals[self.cursor.phase] = Some(self.cursor.phase_step);
        let last = self.cursor.phase + 1 == self.phases.len();
        let end = if !passed { Some(Ending::Gate) } else { last.then_some(ending) };
        self.cursor.next_phase(summary, self.phases.len(), end);
        self.measured = None;
        self.optimizer = Optimizer::new(&self.training.optimizer, self.optimizer.first.len());
        Ok(())
    }

    /// The step that the trainee's weights are of afterwards.
    fn restore_best(&mut self) -> Result<u64> {
        let step = self.cursor.step;
        let Some(best) = self.cursor.best.filter(|best| self.training.checkpoint.restore_best && best.step != step)
        else {
            return Ok(step);
        };
        self.checkpoints.restore(best.step, self.trainee.parameters_mut())?;
        Ok(best.step)
    }
}

/// Whether what was measured meets the bounds.
fn passes(gate: Gate, measured: Option<Best>) -> bool {
    let loss = gate.loss.is_none_or(|bound| measured.is_some_and(|best| best.loss <= bound));
    let accuracy = measured.and_then(|best| best.accuracy);
    loss && gate.accuracy.is_none_or(|bound| accuracy.is_some_and(|accuracy| accuracy >= bound))
}
