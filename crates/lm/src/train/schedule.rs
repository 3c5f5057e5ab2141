//! How the rate changes over the steps of a phase, as `transformers`' `get_*_schedule_with_warmup` define it.

use serde::{Deserialize, Serialize};

/// The recipe's `[schedule]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Shape after the warm-up.
    pub kind: ScheduleKind,
    /// Rise from zero at the beginning: steps (`100`) or a share of all steps (`0.03`).
    pub warmup: Warmup,
}

/// Shapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// The full rate to the end.
    Constant,
    /// Falls to zero in a line.
    Linear,
    /// Falls to zero along half a cosine.
    #[default]
    Cosine,
}

/// Length of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of steps (100) or a share of them (0.03)")]
pub enum Warmup {
    /// Optimiser steps.
    Steps(u64),
    /// Share of the phase's steps, rounded up; from 0 to 1.
    Share(f64),
}

impl Default for Warmup {
    fn default() -> Self {
        Self::Steps(0)
    }
}

impl Warmup {
    /// Steps of the warm-up in a phase of `total` steps; none when it takes a total to know and there is none.
    pub fn steps(self, total: Option<u64>) -> Option<u64> {
        match self {
            Self::Steps(steps) => Some(steps),
            Self::Share(share) => total.map(|total| (total as f64 * share).ceil() as u64),
        }
    }
}

impl Schedule {
    /// What the rate is multiplied by at a step (from 0) of a phase of `total` steps. Without a total (it is not
    /// yet known how far the minutes reach) the warm-up alone applies.
    pub fn factor(&self, step: u64, total: Option<u64>) -> f64 {
        let warmup = self.warmup.steps(total).unwrap_or(0);
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let Some(total) = total else { return 1.0 };
        let span = total.saturating_sub(warmup).max(1) as f64;
        match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Linear => (total.saturating_sub(step)) as f64 / span,
            ScheduleKind::Cosine => half_cosine(((step - warmup) as f64 / span).min(1.0)),
        }
    }
}

/// `(1 + cos(pi x)) / 2` for x from 0 to 1. A system's cosine differs in the last bit between processors, and a rate
/// must not; the series is exact to 1e-16.
fn half_cosine(x: f64) -> f64 {
    // Half the angle, no more than a quarter turn: (1 + cos 2a) / 2 is the square of cos a.
    let square = (x * std::f64::consts::FRAC_PI_2).powi(2);
    let cosine = (1..=13).rev().fold(1.0, |sum, k| {
        let k = 2.0 * f64::from(k);
        1.0 - sum * square / (k * (k - 1.0))
    });
    cosine * cosine
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: ScheduleKind, warmup: Warmup) -> Schedule {
        Schedule { kind, warmup }
    }

    #[test]
    fn half_a_cosine_is_one() {
        for index in 0..=1000 {
            let x = f64::from(index) / 1000.0;
            let expected = 0.5 * (1.0 + (std::f64::consts::PI * x).cos());
            assert!((half_cosine(x) - expected).abs() < 3e-16, "{x}");
        }
        assert_eq!(half_cosine(0.0), 1.0);
        assert!(half_cosine(1.0) < 1e-30);
    }

    #[test]
    fn factors_are_those_of_transformers() {
        // get_cosine_schedule_with_warmup(optimizer, 4, 12): 0.5 * (1 + cos(pi * (step - 4) / 8)).
        let cosine = schedule(ScheduleKind::Cosine, Warmup::Steps(4));
        for (step, expected) in
            [(0, 0.0), (1, 0.25), (3, 0.75), (4, 1.0), (6, 0.853_553_390_593_273_8), (8, 0.5), (12, 0.0), (20, 0.0)]
        {
            assert!((cosine.factor(step, Some(12)) - expected).abs() < 1e-15, "{step}");
        }
        // get_linear_schedule_with_warmup(optimizer, 2, 10).
        let linear = schedule(ScheduleKind::Linear, Warmup::Steps(2));
        for (step, expected) in [(0, 0.0), (1, 0.5), (2, 1.0), (4, 0.75), (9, 0.125), (10, 0.0), (11, 0.0)] {
            assert_eq!(linear.factor(step, Some(10)), expected, "{step}");
        }
        // get_constant_schedule_with_warmup(optimizer, 2).
        let constant = schedule(ScheduleKind::Constant, Warmup::Steps(2));
        assert_eq!([0, 1, 2, 50].map(|step| constant.factor(step, Some(10))), [0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn shares_are_rounded_up_and_odd_lengths_do_no_harm() {
        assert_eq!(Warmup::Share(0.03).steps(Some(101)), Some(4));
        assert_eq!(Warmup::Share(0.03).steps(None), None);
        let linear = schedule(ScheduleKind::Linear, Warmup::Steps(8));
        assert_eq!(linear.factor(4, Some(3)), 0.5);
        assert_eq!(linear.factor(8, Some(3)), 0.0);
        assert_eq!(schedule(ScheduleKind::Cosine, Warmup::Steps(4)).factor(2, None), 0.5);
        assert_eq!(schedule(ScheduleKind::Cosine, Warmup::Steps(4)).factor(9, None), 1.0);
    }
}
