//! The gated feed-forward activation (Shazeer 2020): `f(gate) * up`, gate and up side by side in a row.

use super::element::Element;
use super::level::dispatched;
use super::math::{exp, normal, sigmoid};
use super::product::TASK_ROWS;
use rayon::prelude::*;

/// What the gate goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e^-x)`.
    #[default]
    Silu,
    /// `x` times the share of a normal distribution below it (Hendrycks and Gimpel 2016).
    Gelu,
    /// The same, with their approximation by tanh.
    GeluTanh,
}

/// Rows that one task takes on the way back.
const ROWS: usize = 16;

impl Activation {
    /// `out` of `width` numbers a row from rows of `2 * width`.
    pub(crate) fn gated<E: Element>(self, out: &mut [E], gate_up: &[E], width: usize) {
        assert!(gate_up.len() == 2 * out.len());
        let forward = match self {
            Self::Silu => forward::<E, Silu>,
            Self::Gelu => forward::<E, Gelu>,
            Self::GeluTanh => forward::<E, GeluTanh>,
        };
        // No more tasks than products have: those of a segment of a pass stay on its thread.
        out.par_chunks_mut(width * TASK_ROWS)
            .zip(gate_up.par_chunks(2 * width * TASK_ROWS))
            .for_each(|(out, gate_up)| forward(out, gate_up, width));
    }

    /// Replaces `out_gradient` by the activation itself (which the gradient of the next weights needs) and `gate_up` by
    /// its gradient.
    pub(crate) fn gated_backward<E: Element>(self, out_gradient: &mut [E], gate_up: &mut [E], width: usize) {
        assert!(gate_up.len() == 2 * out_gradient.len());
        let backward = match self {
            Self::Silu => backward::<E, Silu>,
            Self::Gelu => backward::<E, Gelu>,
            Self::GeluTanh => backward::<E, GeluTanh>,
        };
        out_gradient
            .par_chunks_mut(width * ROWS)
            .zip(gate_up.par_chunks_mut(2 * width * ROWS))
            .for_each(|(out_gradient, gate_up)| backward(out_gradient, gate_up, width));
    }
}

dispatched! {
    fn forward<E: Element, G: Gate>(out: &mut [E], gate_up: &[E], width: usize) {
        for (out, row) in out.chunks_exact_mut(width).zip(gate_up.chunks_exact(2 * width)) {
            let (gate, up) = row.split_at(width);
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = E::of(G::value(gate.value()) * up.value());
            }
        }
    }
}

dispatched! {
    fn backward<E: Element, G: Gate>(out_gradient: &mut [E], gate_up: &mut [E], width: usize) {
        for (out, row) in out_gradient.chunks_exact_mut(width).zip(gate_up.chunks_exact_mut(2 * width)) {
            let (gate, up) = row.split_at_mut(width);
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                let (u, gradient) = (up.value(), out.value());
                let (value, slope) = G::value_and_slope(gate.value());
                *out = E::of(value * u);
                *gate = E::of(gradient * u * slope);
                *up = E::of(gradient * value);
            }
        }
    }
}

/// A function of the gate, compiled into the loops.
trait Gate {
    fn value(x: f32) -> f32;
    fn value_and_slope(x: f32) -> (f32, f32);
}

struct Silu;

impl Gate for Silu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * sigmoid(x)
    }

    #[inline(always)]
    fn value_and_slope(x: f32) -> (f32, f32) {
        let s = sigmoid(x);
        let value = x * s;
        (value, s + value * (1.0 - s))
    }
}

struct Gelu;

impl Gate for Gelu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * normal(x).0
    }

    #[inline(always)]
    fn value_and_slope(x: f32) -> (f32, f32) {
        let (below, density) = normal(x);
        (x * below, below + x * density)
    }
}

struct GeluTanh;

impl GeluTanh {
    /// `(1 + tanh u) / 2` and `(1 - tanh u) / 2` with `u = sqrt(2 / pi) (x + 0.044715 x^3)`, and twice the slope of `u`.
    /// From 10 on the first two are 0 and 1: the cube could overflow, and of the largest numbers a share that is only
    /// almost 0 would be much.
    #[inline(always)]
    fn shares(x: f32) -> (f32, f32, f32) {
        const TWICE_ROOT: f32 = 2.0 * 0.797_884_6;
        const CUBIC: f32 = 0.044_715;
        let x = if x > 10.0 { 10.0 } else { x };
        let x = if x < -10.0 { -10.0 } else { x };
        let square = x * x;
        let falling = exp(-(TWICE_ROOT * (x + CUBIC * square * x)));
        let share = 1.0 / (1.0 + falling);
        let share = if x <= -10.0 { 0.0 } else { share };
        (share, falling * share, TWICE_ROOT * (1.0 + 3.0 * CUBIC * square))
    }
}

impl Gate for GeluTanh {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * Self::shares(x).0
    }

    #[inline(always)]
    fn value_and_slope(x: f32) -> (f32, f32) {
        let (share, rest, slope) = Self::shares(x);
        let value = x * share;
        (value, share + value * rest * slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checkpoint;
    use crate::kernel::{Bf16, Level};
    use std::path::Path;

    const ALL: [Activation; 3] = [Activation::Silu, Activation::Gelu, Activation::GeluTanh];

    /// Gates from -9 to 9, and as many values of up.
    fn row(count: usize) -> Vec<f32> {
        let gate = (0..count).map(|place| (place as f32 / count as f32 - 0.5) * 18.0);
        let up = (0..count).map(|place| ((place * 7 % 13) as f32 - 6.0) / 5.0);
        gate.chain(up).collect()
    }

    fn forward(activation: Activation, gate_up: &[f32]) -> Vec<f32> {
        let width = gate_up.len() / 2;
        let mut out = vec![0.0; width];
        activation.gated(&mut out, gate_up, width);
        out
    }

    #[test]
    fn both_forms_of_gelu_and_their_slopes_are_those_of_pytorch() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kernels/encoder.safetensors");
        let recorded = Checkpoint::open_file(&path).unwrap();
        let read = |name: &str| {
            let mut values = [0.0; 65];
            recorded.read_f32(name, &[65], &mut values).unwrap();
            values
        };
        for (activation, name) in [(Activation::Gelu, "erf"), (Activation::GeluTanh, "tanh")] {
            let mut gate_up = [read("gelu.input"), [1.0; 65]].concat();
            let out = forward(activation, &gate_up);
            let mut gradient = [1.0; 65];
            activation.gated_backward(&mut gradient, &mut gate_up, 65);
            assert_eq!(gradient[..], out[..]);
            let expected = (read(&format!("gelu.{name}")), read(&format!("gelu.grad.{name}")));
            for place in 0..65 {
                assert!((out[place] - expected.0[place]).abs() < 2e-6, "{name} {place}");
                assert!((gate_up[place] - expected.1[place]).abs() < 2e-6, "{name} {place}");
            }
        }
    }

    #[test]
    fn gradients_are_those_of_small_steps() {
        for activation in ALL {
            let (given, width, step) = (row(61), 61, 1.0 / 128.0);
            let mut gradient = given.clone();
            let mut slopes: Vec<f32> = (0..width).map(|place| (place % 5) as f32 - 2.0).collect();
            let scales = slopes.clone();
            activation.gated_backward(&mut slopes, &mut gradient, width);
            for place in 0..2 * width {
                let moved = |by: f32| {
                    let mut moved = given.clone();
                    moved[place] += by;
                    forward(activation, &moved)[place % width]
                };
                let exact = scales[place % width] * (moved(step) - moved(-step)) / (2.0 * step);
                assert!((gradient[place] - exact).abs() < 1e-3, "{activation:?} {place}");
            }
        }
    }

    #[test]
    fn far_from_zero_gates_are_open_or_closed() {
        for activation in ALL {
            let mut gate_up = [-1e30, -200.0, 200.0, 1e30, f32::NAN, 1.0, 1.0, 1.0, 1.0, 1.0];
            let mut gradient = [1.0; 5];
            activation.gated_backward(&mut gradient, &mut gate_up, 5);
            assert!(gradient[..2].iter().chain(&gate_up[..2]).all(|value| value.abs() < 1e-6), "{activation:?}");
            assert_eq!((&gradient[2..4], &gate_up[2..4]), (&[200.0, 1e30][..], &[1.0, 1.0][..]), "{activation:?}");
            assert!(gradient[4].is_nan() && gate_up[4].is_nan(), "{activation:?}");
        }
    }

    #[test]
    fn the_largest_gates_open_gelu_wholly_or_not_at_all() {
        for activation in [Activation::Gelu, Activation::GeluTanh] {
            let mut gate_up = [-3e38, -1e9, 3e38, 1.0, 1.0, 1.0];
            assert_eq!(forward(activation, &gate_up), [0.0, 0.0, 3e38], "{activation:?}");
            let mut gradient = [1.0; 3];
            activation.gated_backward(&mut gradient, &mut gate_up, 3);
            assert_eq!((gradient, &gate_up[..3]), ([0.0, 0.0, 3e38], &[0.0, 0.0, 1.0][..]), "{activation:?}");
        }
    }

    fn bits<E: Element>(activation: Activation) -> Vec<u32> {
        let width = 53;
        let mut gate_up: Vec<E> = row(width).into_iter().map(E::of).collect();
        let mut out = vec![E::default(); width];
        activation.gated(&mut out, &gate_up, width);
        activation.gated_backward(&mut out.clone(), &mut gate_up, width);
        out.iter().chain(&gate_up).map(|value| value.bits()).collect()
    }

    #[test]
    fn all_processors_give_the_same_bits() {
        for activation in ALL {
            let best = (bits::<f32>(activation), bits::<Bf16>(activation));
            for level in Level::ALL {
                level.choose();
                assert_eq!((bits::<f32>(activation), bits::<Bf16>(activation)), best, "{activation:?} {level:?}");
            }
        }
    }
}
