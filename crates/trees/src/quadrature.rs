//! Gauss-Legendre points and weights on [0, 1].

use std::f64::consts::PI;

/// Points and weights that integrate polynomials up to degree `2 n - 1` exactly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quadrature {
    pub(crate) points: Vec<f64>,
    pub(crate) weights: Vec<f64>,
}

impl Quadrature {
    /// Enough points for Shapley values of a game of `players`: the integrand has degree `players - 1`.
    pub(crate) fn exact_for(players: usize) -> Self {
        Self::new(players.div_ceil(2))
    }

    /// `n` points, by Newton's method from Chebyshev's nodes.
    fn new(n: usize) -> Self {
        let mut quadrature = Self::default();
        for i in 0..n {
            let mut x = (PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..100 {
                let (value, derivative) = legendre(n, x);
                slope = derivative;
                let step = value / slope;
                x -= step;
                if step.abs() < 1e-16 {
                    break;
                }
            }
            quadrature.points.push((1.0 + x) / 2.0);
            quadrature.weights.push(1.0 / ((1.0 - x * x) * slope * slope));
        }
        quadrature
    }
}

/// Legendre's polynomial of degree `n` and its derivative.
fn legendre(n: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for k in 2..=n {
        let k = k as f64;
        (before, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k);
    }
    (value, n as f64 * (x * value - before) / (x * x - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_integrated_exactly() {
        for n in 1..=40 {
            let quadrature = Quadrature::new(n);
            for degree in [0, 1, n, 2 * n - 1] {
                let sum: f64 = quadrature
                    .points
                    .iter()
                    .zip(&quadrature.weights)
                    .map(|(x, weight)| weight * x.powi(degree as i32))
                    .sum();
                assert!((sum - 1.0 / (degree as f64 + 1.0)).abs() < 1e-14, "{n} points, degree {degree}: {sum}");
            }
        }
    }
}
