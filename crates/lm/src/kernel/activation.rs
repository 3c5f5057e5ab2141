//! The gated feed-forward activation (Shazeer 2020): `silu(gate) * up`, gate and up side by side in a row.

use super::element::Element;
use super::level::dispatched;
use super::math::sigmoid;
use rayon::prelude::*;

/// Rows that one task takes.
const ROWS: usize = 16;

/// `out` of `width` numbers a row from rows of `2 * width`.
pub(crate) fn swiglu<E: Element>(out: &mut [E], gate_up: &[E], width: usize) {
    assert!(gate_up.len() == 2 * out.len());
    out.par_chunks_mut(width * ROWS)
        .zip(gate_up.par_chunks(2 * width * ROWS))
        .for_each(|(out, gate_up)| forward(out, gate_up, width));
}

dispatched! {
    fn forward<E: Element>(out: &mut [E], gate_up: &[E], width: usize) {
        for (out, row) in out.chunks_exact_mut(width).zip(gate_up.chunks_exact(2 * width)) {
            let (gate, up) = row.split_at(width);
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                let gate = gate.value();
                *out = E::of(gate * sigmoid(gate) * up.value());
            }
        }
    }
}

/// Replaces `out_gradient` by the activation itself (which the gradient of the next weights needs) and `gate_up` by
/// its gradient.
pub(crate) fn swiglu_backward<E: Element>(out_gradient: &mut [E], gate_up: &mut [E], width: usize) {
    assert!(gate_up.len() == 2 * out_gradient.len());
    out_gradient
        .par_chunks_mut(width * ROWS)
        .zip(gate_up.par_chunks_mut(2 * width * ROWS))
        .for_each(|(out_gradient, gate_up)| backward(out_gradient, gate_up, width));
}

dispatched! {
    fn backward<E: Element>(out_gradient: &mut [E], gate_up: &mut [E], width: usize) {
        for (out, row) in out_gradient.chunks_exact_mut(width).zip(gate_up.chunks_exact_mut(2 * width)) {
            let (gate, up) = row.split_at_mut(width);
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                let (g, u, gradient) = (gate.value(), up.value(), out.value());
                let s = sigmoid(g);
                let silu = g * s;
                *out = E::of(silu * u);
                *gate = E::of(gradient * u * (s + silu * (1.0 - s)));
                *up = E::of(gradient * silu);
            }
        }
    }
}
