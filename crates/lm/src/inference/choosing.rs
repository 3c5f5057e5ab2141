//! One token of those that may come next.

use super::request::{Request, Token};
use crate::constraint::Allowed;
use crate::kernel::log_sum;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Chooses the token at a place of the answer. The logits are used up. The logarithm is not a number if a logit is
/// not.
pub(super) fn choose(request: &Request, allowed: Option<&Allowed>, place: usize, logits: &mut [f32]) -> Token {
    if let Some(allowed) = allowed {
        for (token, logit) in logits.iter_mut().enumerate() {
            if !allowed.contains(token as u32) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
    let sampling = &request.sampling;
    let token = match sampling.temperature > 0.0 {
        true => draw(logits, request, place),
        false => likeliest(logits),
    };
    let few = allowed.map(Allowed::count).filter(|count| *count <= request.allowed);
    let mut alternatives = alternatives(logits, few.unwrap_or(0).max(request.likeliest));
    let chosen = logits[token as usize];
    let sum = log_sum(logits);
    alternatives.iter_mut().for_each(|(_, logit)| *logit -= sum);
    Token { token, log_probability: chosen - sum, forced: false, alternatives }
}

/// The place of the largest, the first of equals.
fn likeliest(logits: &[f32]) -> u32 {
    let most = crate::kernel::largest(logits);
    logits.iter().position(|logit| *logit == most).unwrap_or(0) as u32
}

/// The largest so many, falling, of equals the first first, without those that are ruled out.
fn alternatives(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    if count == 0 {
        return Vec::new();
    }
    let mut all: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).filter(|(_, l)| *l > f32::NEG_INFINITY).collect();
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if all.len() > count {
        all.select_nth_unstable_by(count - 1, order);
        all.truncate(count);
    }
    all.sort_unstable_by(order);
    all
}

/// A token drawn by its probability at the temperature, of the likeliest that make up `top_p`.
fn draw(logits: &[f32], request: &Request, place: usize) -> u32 {
    let sampling = &request.sampling;
    let most = crate::kernel::largest(logits);
    let temperature = f64::from(sampling.temperature);
    let weight = |logit: f32| (f64::from(logit - most) / temperature).exp();
    let mut candidates: Vec<(u32, f64)> = (0..).zip(logits.iter().map(|logit| weight(*logit))).collect();
    candidates.retain(|(_, weight)| *weight > 0.0);
    let mut total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    if sampling.top_p < 1.0 {
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let (mut kept, mut sum) = (0, 0.0);
        while kept < candidates.len() && (kept == 0 || sum < f64::from(sampling.top_p) * total) {
            sum += candidates[kept].1;
            kept += 1;
        }
        candidates.truncate(kept);
        total = sum;
    }
    let mut generator = ChaCha8Rng::seed_from_u64(sampling.seed);
    generator.set_stream(place as u64);
    let mut rest = generator.random::<f64>() * total;
    for (token, weight) in &candidates {
        rest -= weight;
        if rest < 0.0 {
            return *token;
        }
    }
    // Rounding can leave a little; nothing at all is left only where no logit is a number.
    candidates.last().map_or(0, |(token, _)| *token)
}

#[cfg(test)]
mod tests {
    use super::super::request::Sampling;
    use super::*;

    fn request(temperature: f32, top_p: f32, seed: u64) -> Request {
        let mut request = Request::new(vec![0], 1, &[]);
        request.sampling = Sampling { temperature, top_p, seed };
        request.likeliest = 2;
        request
    }

    #[test]
    fn the_likeliest_is_the_first_of_equals_and_logarithms_are_those_of_probabilities() {
        let token = choose(&request(0.0, 1.0, 0), None, 0, &mut [0.0, 2.0, 2.0, 1.0]);
        let sum = f64::ln(1.0 + 2.0 * 2_f64.exp() + 1_f64.exp());
        assert_eq!(token.token, 1);
        assert_eq!(token.alternatives.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [1, 2]);
        assert!((f64::from(token.log_probability) - (2.0 - sum)).abs() < 1e-6);
        assert_eq!(token.alternatives[1].1, token.log_probability);
    }

    #[test]
    fn draws_follow_probabilities_and_top_p_cuts_the_rest() {
        let logits = [0.0, 1.0, 2.0, f32::NEG_INFINITY];
        for (temperature, top_p) in [(1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.7)] {
            let mut counts = [0; 4];
            for seed in 0..20_000 {
                counts[choose(&request(temperature, top_p, seed), None, 3, &mut logits.clone()).token as usize] += 1;
            }
            let weights: Vec<f64> = logits.iter().map(|l| (f64::from(*l) / f64::from(temperature)).exp()).collect();
            let kept: Vec<f64> = if top_p < 1.0 { vec![0.0, weights[1], weights[2]] } else { weights };
            // 0.665 of the probability is the largest's alone, so that 0.7 needs the second as well.
            for (count, weight) in counts.iter().zip(&kept) {
                let expected = weight / kept.iter().sum::<f64>();
                let deviation = (expected * (1.0 - expected) / 20_000.0).sqrt().max(1e-9);
                assert!((f64::from(*count) / 20_000.0 - expected).abs() < 5.0 * deviation, "{counts:?} {kept:?}");
            }
            assert_eq!(counts[3], 0);
        }
        let draws = |place| {
            let draw = |seed| choose(&request(1.0, 1.0, seed), None, place, &mut logits.clone()).token;
            (0..50).map(draw).collect::<Vec<_>>()
        };
        assert!(draws(0) == draws(0) && draws(0) != draws(1));
    }

    #[test]
    fn what_is_no_number_shows() {
        assert!(choose(&request(0.0, 1.0, 0), None, 0, &mut [0.0, f32::NAN]).log_probability.is_nan());
        assert!(choose(&request(1.0, 0.5, 0), None, 0, &mut [f32::NAN, f32::NAN]).log_probability.is_nan());
    }
}
