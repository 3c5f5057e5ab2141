//! Temperature scaling of a risk: log-odds divided by the number that makes the truths likeliest.

/// Divisors that are looked at lie between `e^-5` and `e^5`.
const RANGE: f64 = 5.0;

/// The divisor for log-odds with their truths. The loss is convex in its inverse, so halving what brackets the minimum
/// finds it (golden section, Kiefer 1953).
pub(super) fn fit(cases: &[(f64, bool)]) -> f64 {
    let loss = |logarithm: f64| -> f64 {
        let slope = (-logarithm).exp();
        let one = |(odds, truth): &(f64, bool)| {
            let value = slope * odds;
            value.max(0.0) - if *truth { value } else { 0.0 } + (-value.abs()).exp().ln_1p()
        };
        cases.iter().map(one).sum()
    };
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-RANGE, RANGE);
    let inner = |low: f64, high: f64| (high - golden * (high - low), low + golden * (high - low));
    let (mut left, mut right) = inner(low, high);
    let (mut left_loss, mut right_loss) = (loss(left), loss(right));
    for _ in 0..60 {
        if left_loss <= right_loss {
            (high, right, right_loss) = (right, left, left_loss);
            left = inner(low, high).0;
            left_loss = loss(left);
        } else {
            (low, left, left_loss) = (left, right, right_loss);
            right = inner(low, high).1;
            right_loss = loss(right);
        }
    }
    ((low + high) / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::super::tests::overconfident;
    use super::*;

    #[test]
    fn the_divisor_is_the_one_that_truths_were_drawn_with() {
        let odds: Vec<(f64, bool)> =
            overconfident(20_000).into_iter().map(|(score, truth)| (super::super::log_odds(score), truth)).collect();
        assert!((fit(&odds) - 2.0).abs() < 0.02);
    }
}
