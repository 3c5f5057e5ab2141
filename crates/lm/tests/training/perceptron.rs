//! A perceptron with one hidden layer and dropout, and made-up data for it.

use lm::train::Source;
use lm::{Loss, Parameters, Result, Trainee};
use std::path::Path;

const INPUTS: usize = 4;
const HIDDEN: usize = 16;

pub(crate) struct Example {
    inputs: [f32; INPUTS],
    target: f32,
    /// Whether the loss counts it.
    pub(crate) counted: bool,
}

pub(crate) struct Perceptron {
    parameters: Parameters,
    pub(crate) dropout: bool,
    /// The pass, from 1, whose loss is no number.
    pub(crate) fails_at: Option<u64>,
    /// The pass, from 1, that leaves an infinite gradient.
    pub(crate) overflows_at: Option<u64>,
    passes: u64,
}

/// A number from 0 to 1 that depends on two others and looks random.
pub(crate) fn hash(a: u64, b: u64) -> f32 {
    let mut z = a.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(b).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 32)) >> 40) as f32 / (1u64 << 24) as f32
}

impl Perceptron {
    pub(crate) fn new() -> Self {
        let mut parameters = Parameters::default();
        parameters.add("inner.weight", &[HIDDEN, INPUTS], true);
        parameters.add("inner.bias", &[HIDDEN], false);
        parameters.add("outer.weight", &[HIDDEN], true);
        for (index, value) in parameters.values.iter_mut().enumerate() {
            *value = hash(index as u64, 99) - 0.5;
        }
        Self { parameters, dropout: true, fails_at: None, overflows_at: None, passes: 0 }
    }

    pub(crate) fn bits(&self) -> Vec<u32> {
        self.parameters.values.iter().map(|value| value.to_bits()).collect()
    }

    /// Loss of an example, and its gradient times `scale` added if there is a scale.
    fn pass(&mut self, example: &Example, scale: Option<f32>, kept: impl Fn(usize) -> f32) -> f64 {
        let (inner, rest) = self.parameters.values.split_at(HIDDEN * INPUTS);
        let (bias, outer) = rest.split_at(HIDDEN);
        let mut hidden = [0.0; HIDDEN];
        for (unit, hidden) in hidden.iter_mut().enumerate() {
            let row = &inner[unit * INPUTS..][..INPUTS];
            let sum: f32 = row.iter().zip(&example.inputs).map(|(weight, input)| weight * input).sum();
            *hidden = (sum + bias[unit]).max(0.0) * kept(unit);
        }
        let output: f32 = outer.iter().zip(&hidden).map(|(weight, hidden)| weight * hidden).sum();
        let error = output - example.target;
        if let Some(scale) = scale {
            let (inner, rest) = self.parameters.gradients.split_at_mut(HIDDEN * INPUTS);
            let (bias, outer_gradient) = rest.split_at_mut(HIDDEN);
            for unit in 0..HIDDEN {
                outer_gradient[unit] += 2.0 * error * hidden[unit] * scale;
                let back = if hidden[unit] > 0.0 { 2.0 * error * outer[unit] * kept(unit) * scale } else { 0.0 };
                bias[unit] += back;
                for (gradient, input) in inner[unit * INPUTS..][..INPUTS].iter_mut().zip(&example.inputs) {
                    *gradient += back * input;
                }
            }
        }
        f64::from(error) * f64::from(error)
    }
}

impl Trainee for Perceptron {
    type Batch = Vec<Example>;

    fn counted(&self, batch: &Self::Batch) -> u64 {
        batch.iter().filter(|example| example.counted).count() as u64
    }

    fn items(&self, batch: &Self::Batch) -> u64 {
        batch.len() as u64
    }

    fn accumulate(&mut self, batch: &Self::Batch, scale: f32, draw: u64) -> Result<Loss> {
        self.passes += 1;
        let mut loss = Loss { sum: 0.0, count: self.counted(batch) };
        let dropout = self.dropout;
        for example in batch.iter().filter(|example| example.counted) {
            let kept = |unit| if dropout && hash(draw, unit as u64) < 0.1 { 0.0 } else { 1.0 };
            loss.sum += self.pass(example, Some(scale), kept);
        }
        if self.fails_at == Some(self.passes) {
            loss.sum = f64::NAN;
        }
        if self.overflows_at == Some(self.passes) {
            self.parameters.gradients[3] = f32::INFINITY;
        }
        Ok(loss)
    }

    fn evaluate(&mut self, batch: &Self::Batch) -> Result<Loss> {
        let mut loss = Loss { sum: 0.0, count: self.counted(batch) };
        for example in batch {
            loss.sum += self.pass(example, None, |_| 1.0);
        }
        Ok(loss)
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn export(&self, folder: &Path) -> Result<()> {
        let failed = |source| lm::Error::Io { path: folder.into(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        std::fs::write(folder.join("values"), format!("{:?}", self.bits())).map_err(failed)
    }
}

/// Examples of a function with noise, shuffled anew in each epoch.
pub(crate) struct Examples {
    pub(crate) examples: u64,
    /// Examples of a micro-batch.
    pub(crate) size: u64,
    /// Whether batches never end.
    pub(crate) endless: bool,
    /// The micro-batches that count nothing, by number.
    pub(crate) uncounted: fn(u64) -> bool,
    /// Validation batches.
    pub(crate) validation: u64,
    /// Noise of validation targets by phase: what a model cannot get below.
    pub(crate) noise: f32,
    pub(crate) accuracy: Option<f64>,
}

impl Default for Examples {
    fn default() -> Self {
        Self { examples: 40, size: 3, endless: false, uncounted: |_| false, validation: 2, noise: 0.0, accuracy: None }
    }
}

impl Examples {
    fn example(&self, seed: u64) -> Example {
        let inputs = std::array::from_fn(|input| hash(seed, input as u64) - 0.5);
        let target = 2.0 * inputs[0] - inputs[1] + (inputs[2] * inputs[3]).abs();
        Example { inputs, target: target + self.noise * (hash(seed, 7) - 0.5), counted: true }
    }
}

impl Source<Perceptron> for Examples {
    fn batches(&mut self, _phase: usize, _epoch: u64) -> Result<Option<u64>> {
        Ok((!self.endless).then(|| self.examples.div_ceil(self.size)))
    }

    fn batch(&mut self, phase: usize, epoch: u64, index: u64) -> Result<Option<Vec<Example>>> {
        let salt = 1000 * phase as u64 + epoch;
        let mut order: Vec<u64> = (0..self.examples).collect();
        order.sort_by(|a, b| hash(*a, salt).total_cmp(&hash(*b, salt)));
        let start = if self.endless { index * self.size % self.examples } else { index * self.size };
        let uncounted = (self.uncounted)(index);
        let examples = order.iter().skip(start as usize).take(self.size as usize);
        let batch: Vec<Example> = examples.map(|seed| Example { counted: !uncounted, ..self.example(*seed) }).collect();
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn validation(&mut self, _phase: usize, index: u64) -> Result<Option<Vec<Example>>> {
        let batch = || (0..10).map(|number| self.example(5000 + 10 * index + number)).collect();
        Ok((index < self.validation).then(batch))
    }

    fn accuracy(&mut self, _trainee: &mut Perceptron, _phase: usize) -> Result<Option<f64>> {
        Ok(self.accuracy)
    }
}
