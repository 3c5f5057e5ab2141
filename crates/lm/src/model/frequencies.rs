//! Frequencies of the rotary position embedding under each scaling rule, as `transformers` computes them.

use crate::config::{Rotary, Scaling};
use std::f64::consts::TAU;

/// Radians a position turns each pair of dimensions by, and what sines and cosines are multiplied by. `long` asks
/// for those of sequences beyond the original length, where the rule tells them apart.
pub(crate) fn frequencies(rotary: &Rotary, long: bool) -> (Vec<f64>, f64) {
    let pairs = rotary.dimensions / 2;
    let plain = (0..pairs).map(|pair| rotary.base.powf(-(2.0 * pair as f64) / rotary.dimensions as f64));
    match &rotary.scaling {
        Scaling::None => (plain.collect(), 1.0),
        Scaling::Linear { factor } => (plain.map(|frequency| frequency / factor).collect(), 1.0),
        &Scaling::Llama3 { factor, low, high, original } => {
            (plain.map(|frequency| llama3(frequency, factor, low, high, original as f64)).collect(), 1.0)
        }
        Scaling::LongRope { short, long: longer, attention_factor, .. } => {
            let divisors = if long { longer } else { short };
            (plain.zip(divisors).map(|(frequency, divisor)| frequency / divisor).collect(), *attention_factor)
        }
    }
}

/// Long wavelengths are stretched by the factor, short ones kept, those between blended linearly in the number of
/// turns within the original length.
fn llama3(frequency: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let turns = original * frequency / TAU;
    if turns < low {
        frequency / factor
    } else if turns > high {
        frequency
    } else {
        let share = (turns - low) / (high - low);
        (1.0 - share) * frequency / factor + share * frequency
    }
}
