//! Prompts a second of greedy generation on a random model of 8 million parameters.
//! `generation_speed f32|bf16 [PROMPTS] [LENGTH] [NEW]`

use lm::{Architecture, Config, Decoder, Generation, Method, Precision, Rotary, Scaling};
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let precision = if arguments[1] == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let (count, length, most) = (number(2, 256), number(3, 80), number(4, 40));
    let config = Config {
        architecture: Architecture::Llama,
        vocabulary: 4096,
        hidden: 256,
        layers: 6,
        heads: 4,
        key_value_heads: 4,
        head_size: 64,
        intermediate: 688,
        norm_epsilon: 1e-5,
        tied: false,
        sliding_window: None,
        query_key_norm: false,
        positions: 2048,
        rotary: Rotary { base: 10000.0, dimensions: 64, scaling: Scaling::None },
        beginning: None,
        end: Vec::new(),
    };
    let mut decoder = Decoder::random(config, precision, &Method::Full, 1).unwrap();
    let token = |i: usize| ((i as u64 * 2654435761 + 12345) >> 7) as u32 % 4096;
    let prompts: Vec<Vec<u32>> =
        (0..count).map(|prompt| (0..length).map(|place| token(prompt * length + place)).collect()).collect();
    for new in [1, most, most] {
        let start = Instant::now();
        let answers = decoder.generate(&prompts, &Generation { most: new, end: Vec::new() }).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let sum: f64 = answers.iter().map(|answer| answer.log_probability).sum();
        println!("{new} new tokens: {seconds:.3} s, {:.1} prompts/s, {sum}", count as f64 / seconds);
    }
}
