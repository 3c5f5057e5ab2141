//! AdamW and Lion over the arena of [`Parameters`].

use super::elementwise::{self, AdamW, Lion};
use super::training::{OptimizerKind, OptimizerSettings};
use crate::Parameters;
use rayon::prelude::*;
use std::ops::Range;

/// Elements that one task handles: 256 KiB over the four arrays of AdamW, which a second-level cache holds. Norms
/// are summed over pieces of this length, so it is part of what fixes their bits.
const CHUNK: usize = 16 * 1024;

/// An optimiser with its state. The state is as long as the arena; moments that a kind has no use for are empty.
#[derive(Clone, Debug)]
pub struct Optimizer {
    kind: OptimizerKind,
    betas: [f64; 2],
    epsilon: f64,
    weight_decay: f64,
    /// Number of steps taken.
    pub steps: u64,
    /// Running mean of gradients, for each trained number.
    pub first: Vec<f32>,
    /// Running mean of squared gradients (AdamW), for each trained number.
    pub second: Vec<f32>,
}

impl Optimizer {
    /// An optimiser that has taken no step, for an arena of `length` numbers.
    pub fn new(settings: &OptimizerSettings, length: usize) -> Self {
        let second = match settings.kind {
            OptimizerKind::AdamW => vec![0.0; length],
            OptimizerKind::Lion => Vec::new(),
        };
        Self {
            kind: settings.kind,
            betas: settings.betas(),
            epsilon: settings.epsilon,
            weight_decay: settings.weight_decay,
            steps: 0,
            first: vec![0.0; length],
            second,
        }
    }

    /// Changes values by their gradients, which are multiplied by `scale` first (see [`clip`]) and zero afterwards.
    /// Weight decay is decoupled, and applies to spans that say so.
    ///
    /// AdamW is Loshchilov and Hutter (2019) with the operations of `torch.optim.AdamW` in its order; Lion is
    /// Chen et al. (2023), algorithm 2.
    pub fn step(&mut self, parameters: &mut Parameters, rate: f64, scale: f64) {
        self.steps += 1;
        for (range, decays) in runs(parameters) {
            let decay = if decays { 1.0 - rate * self.weight_decay } else { 1.0 };
            match self.kind {
                OptimizerKind::AdamW => self.adamw(parameters, range, rate, scale, decay),
                OptimizerKind::Lion => self.lion(parameters, range, rate, scale, decay),
            }
        }
    }

    fn adamw(&mut self, parameters: &mut Parameters, range: Range<usize>, rate: f64, scale: f64, decay: f64) {
        let [beta1, beta2] = self.betas;
        let power = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let step = AdamW {
            scale: scale as f32,
            decay: decay as f32,
            first: (1.0 - beta1) as f32,
            keep: beta2 as f32,
            second: (1.0 - beta2) as f32,
            rate: (rate / (1.0 - beta1.powi(power))) as f32,
            correction: (1.0 - beta2.powi(power)).sqrt() as f32,
            epsilon: self.epsilon as f32,
        };
        parameters.values[range.clone()]
            .par_chunks_mut(CHUNK)
            .zip(parameters.gradients[range.clone()].par_chunks_mut(CHUNK))
            .zip(self.first[range.clone()].par_chunks_mut(CHUNK))
            .zip(self.second[range].par_chunks_mut(CHUNK))
            .for_each(|(((values, gradients), first), second)| {
                elementwise::adamw(&step, values, gradients, first, second);
            });
    }

    fn lion(&mut self, parameters: &mut Parameters, range: Range<usize>, rate: f64, scale: f64, decay: f64) {
        let [beta1, beta2] = self.betas;
        let step = Lion {
            scale: scale as f32,
            decay: decay as f32,
            look: [beta1 as f32, (1.0 - beta1) as f32],
            keep: [beta2 as f32, (1.0 - beta2) as f32],
            rate: rate as f32,
        };
        parameters.values[range.clone()]
            .par_chunks_mut(CHUNK)
            .zip(parameters.gradients[range.clone()].par_chunks_mut(CHUNK))
            .zip(self.first[range].par_chunks_mut(CHUNK))
            .for_each(|((values, gradients), moments)| elementwise::lion(&step, values, gradients, moments));
    }
}

/// Neighbouring spans that are treated alike, as few ranges as possible.
fn runs(parameters: &Parameters) -> Vec<(Range<usize>, bool)> {
    let mut runs: Vec<(Range<usize>, bool)> = Vec::new();
    for span in &parameters.spans {
        match runs.last_mut() {
            Some((range, decays)) if *decays == span.decays => range.end = span.range().end,
            _ => runs.push((span.range(), span.decays)),
        }
    }
    runs
}

/// Euclidean norm of all gradients. Summed in `f64` over pieces of fixed length, so the bits do not depend on the
/// number of threads. Not finite when a gradient is not.
pub fn norm(gradients: &[f32]) -> f64 {
    let sums: Vec<f64> = gradients.par_chunks(CHUNK).map(elementwise::squares).collect();
    sums.iter().sum::<f64>().sqrt()
}

/// What gradients of this norm are to be multiplied by so that it is at most `limit`, as
/// `torch.nn.utils.clip_grad_norm_` computes it; 1 when there is no limit.
pub fn clip(norm: f64, limit: Option<f64>) -> f64 {
    limit.map_or(1.0, |limit| (limit / (norm + 1e-6)).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::ThreadPoolBuilder;

    fn settings(kind: OptimizerKind) -> OptimizerSettings {
        OptimizerSettings { kind, weight_decay: 0.1, ..OptimizerSettings::default() }
    }

    fn parameters(length: usize) -> Parameters {
        let mut parameters = Parameters::default();
        parameters.add("weight", &[length - 7], true);
        parameters.add("norm", &[7], false);
        for (index, value) in parameters.values.iter_mut().enumerate() {
            *value = ((index * 37 % 101) as f32 - 50.0) / 25.0;
        }
        parameters
    }

    fn gradients(parameters: &mut Parameters, step: usize) {
        for (index, gradient) in parameters.gradients.iter_mut().enumerate() {
            *gradient = (((index + 13 * step) * 53 % 97) as f32 - 48.0) / 200.0;
        }
    }

    /// The papers' formulas in `f64`, one number at a time.
    fn reference(kind: OptimizerKind, start: f64, gradients: &[f64], rate: f64, decay: f64) -> f64 {
        let (mut value, mut first, mut second) = (start, 0.0, 0.0);
        for (step, gradient) in gradients.iter().enumerate() {
            value -= rate * decay * value;
            match kind {
                OptimizerKind::AdamW => {
                    first = 0.9 * first + 0.1 * gradient;
                    second = 0.999 * second + 0.001 * gradient * gradient;
                    let power = step as i32 + 1;
                    let mean = first / (1.0 - 0.9f64.powi(power));
                    let square = second / (1.0 - 0.999f64.powi(power));
                    value -= rate * mean / (square.sqrt() + 1e-8);
                }
                OptimizerKind::Lion => {
                    let mixed: f64 = 0.9 * first + 0.1 * gradient;
                    value -= rate * if mixed == 0.0 { 0.0 } else { mixed.signum() };
                    first = 0.99 * first + 0.01 * gradient;
                }
            }
        }
        value
    }

    #[test]
    fn steps_follow_the_papers_and_decay_spares_norms() {
        for kind in [OptimizerKind::AdamW, OptimizerKind::Lion] {
            let mut trained = parameters(64);
            let start = trained.values.clone();
            let mut optimizer = Optimizer::new(&settings(kind), 64);
            let mut seen = vec![Vec::new(); 64];
            for step in 0..6 {
                gradients(&mut trained, step);
                for (seen, gradient) in seen.iter_mut().zip(&trained.gradients) {
                    seen.push(f64::from(*gradient) * 0.5);
                }
                optimizer.step(&mut trained, 0.01, 0.5);
                assert!(trained.gradients.iter().all(|gradient| *gradient == 0.0));
            }
            for (index, value) in trained.values.iter().enumerate() {
                let decay = if index < 57 { 0.1 } else { 0.0 };
                let expected = reference(kind, f64::from(start[index]), &seen[index], 0.01, decay);
                assert!((f64::from(*value) - expected).abs() < 1e-6, "{kind:?} {index}: {value} {expected}");
            }
        }
    }

    #[test]
    fn bytes_do_not_depend_on_threads() {
        let run = |threads| {
            ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool").install(|| {
                let length = 3 * CHUNK + 501;
                let mut trained = parameters(length);
                let mut optimizer = Optimizer::new(&settings(OptimizerKind::AdamW), length);
                let mut norms = Vec::new();
                for step in 0..3 {
                    gradients(&mut trained, step);
                    norms.push(norm(&trained.gradients).to_bits());
                    optimizer.step(&mut trained, 0.01, 1.0);
                }
                (norms, trained.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>())
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn norms_are_clipped_and_show_what_is_no_number() {
        assert!((norm(&[3.0, -4.0]) - 5.0).abs() < 1e-15);
        assert!((norm(&vec![1e30; CHUNK + 1]) / (1e30 * ((CHUNK + 1) as f64).sqrt()) - 1.0).abs() < 1e-6);
        assert!(norm(&[1.0, f32::NAN]).is_nan());
        assert_eq!(norm(&[1.0, f32::NEG_INFINITY]), f64::INFINITY);
        assert_eq!(clip(5.0, None), 1.0);
        assert_eq!(clip(0.5, Some(1.0)), 1.0);
        assert!((clip(5.0, Some(1.0)) - 0.2).abs() < 1e-7);
    }

    #[test]
    fn runs_join_neighbours() {
        let mut parameters = Parameters::default();
        parameters.add("a", &[2, 3], true);
        parameters.add("b", &[4], true);
        parameters.add("c", &[5], false);
        parameters.add("d", &[1], true);
        assert_eq!(runs(&parameters), [(0..10, true), (10..15, false), (15..16, true)]);
    }
}
