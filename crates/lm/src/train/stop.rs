//! The early stop.

use super::training::StopSettings;
use serde::{Deserialize, Serialize};

/// The lowest validation losses of a phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Plateau {
    /// The lowest loss so far after each validation, in order.
    lowest: Vec<f64>,
}

impl Plateau {
    /// Takes the next validation loss; whether it is lower than all before.
    pub(super) fn take(&mut self, loss: f64) -> bool {
        let before = self.lowest.last().copied();
        let best = before.is_none_or(|before| loss < before);
        self.lowest.push(if best { loss } else { before.unwrap_or(loss) });
        best
    }

    /// Whether the lowest loss has improved by less than the rule's share over the rule's number of validations.
    pub(super) fn reached(&self, rule: &StopSettings) -> bool {
        let Some(start) = self.lowest.len().checked_sub(rule.epochs + 1) else { return false };
        let (before, now) = (self.lowest[start], self.lowest[self.lowest.len() - 1]);
        before - now < rule.improvement * before.abs() || before == now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of validations after which the rule stops.
    fn stops(losses: &[f64], rule: StopSettings) -> Option<usize> {
        let mut plateau = Plateau::default();
        losses.iter().position(|loss| {
            plateau.take(*loss);
            plateau.reached(&rule)
        })
    }

    #[test]
    fn three_epochs_without_five_percent_stop() {
        let rule = StopSettings::default();
        // From 1.0 to 0.96 over epochs 1 to 3 is 4 %; 0.9 before that was an improvement.
        assert_eq!(stops(&[2.0, 1.0, 0.99, 0.98, 0.96, 0.5], rule), Some(4));
        // 2 % an epoch are 6 % over three.
        assert_eq!(stops(&[1.0, 0.98, 0.96, 0.94, 0.92, 0.90], rule), None);
        // What is worse than the best counts as no improvement of the best.
        assert_eq!(stops(&[1.0, 1.5, 0.9, 1.5, 1.5, 1.5], rule), Some(5));
        assert_eq!(stops(&[1.0, 1.0], rule), None);
    }

    #[test]
    fn a_loss_that_reached_zero_stops() {
        let rule = StopSettings { improvement: 0.0, epochs: 2 };
        assert_eq!(stops(&[1.0, 0.0, 0.0, 0.0], rule), Some(3));
    }

    #[test]
    fn the_best_is_known() {
        let mut plateau = Plateau::default();
        assert_eq!([0.5, 0.6, 0.4, 0.4].map(|loss| plateau.take(loss)), [true, false, true, false]);
    }
}
