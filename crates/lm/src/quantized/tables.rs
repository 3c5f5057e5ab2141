//! What codes stand for.

/// The 16 numbers of NF4: quantiles of the normal distribution, eight below zero, zero, seven above, scaled to end at
/// -1 and 1 (`get_4bit_type("nf4")` of bitsandbytes, which rounds the quantiles of QLoRA's appendix E to fp32).
pub(super) const CODES: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// What the two codes of a byte stand for, the upper half first.
pub(super) static PAIRS: [[f32; 2]; 256] = pairs();

/// The 8-bit code of block maxima, ascending (`create_dynamic_map` of bitsandbytes; Dettmers 2015). Seven decades from
/// 1e-6 to 1, each cut into twice as many equal steps as the one below; the codes are the middles of the steps, with
/// either sign, and 0 and 1.
pub(super) static DYNAMIC: [f32; 256] = dynamic();

const fn pairs() -> [[f32; 2]; 256] {
    let mut pairs = [[0.0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [CODES[byte >> 4], CODES[byte & 15]];
        byte += 1;
    }
    pairs
}

const fn dynamic() -> [f32; 256] {
    const DECADES: [f32; 7] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];
    const ZERO: usize = 127;
    let mut map = [0.0; 256];
    map[255] = 1.0;
    let mut at = 0;
    let mut decade = 0;
    while decade < DECADES.len() {
        let steps = 1 << decade;
        let mut step = 0;
        while step < steps {
            let middle = DECADES[decade] * ((edge(step, steps) + edge(step + 1, steps)) / 2.0);
            map[ZERO + 1 + at] = middle;
            map[ZERO - 1 - at] = -middle;
            at += 1;
            step += 1;
        }
        decade += 1;
    }
    map
}

/// `torch.linspace(0.1, 1, steps + 1)` in fp32: from the nearer end, multiplied and added with one rounding. The sum of
/// such numbers is exact in fp64, so that it is the conversion that rounds.
const fn edge(at: usize, steps: usize) -> f32 {
    const START: f32 = 0.1;
    let width = (1.0 - START) / steps as f32;
    if at < steps.div_ceil(2) {
        (START as f64 + width as f64 * at as f64) as f32
    } else {
        (1.0 - width as f64 * (steps - at) as f64) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables that bitsandbytes used, bit for bit.
    #[test]
    fn tables_are_those_of_bitsandbytes() {
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kernels/nf4.safetensors");
        let recorded = crate::Checkpoint::open_file(fixture.as_ref()).unwrap();
        let mut codes = [f32::NAN; 16];
        recorded.read_f32("codes", &[16], &mut codes).unwrap();
        assert_eq!(codes, CODES);
        let mut codes = [f32::NAN; 256];
        recorded.read_f32("nested_codes", &[256], &mut codes).unwrap();
        assert_eq!(codes, DYNAMIC);
    }
}
