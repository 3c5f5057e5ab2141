//! A small model with random weights, its tokenizer and an adapter, written by the test itself.

use std::path::{Path, PathBuf};

use lm::text::{Tokenizer, TrainingOptions};
use lm::{Activation, AdapterConfig, Architecture, Config, Decoder, Method, Precision, Rotary, Scaling, Trainee};

fn config(tokenizer: &Tokenizer, positions: usize) -> Config {
    Config {
        architecture: Architecture::Llama,
        vocabulary: tokenizer.vocabulary(),
        hidden: 32,
        layers: 2,
        heads: 2,
        key_value_heads: 1,
        head_size: 16,
        intermediate: 48,
        activation: Activation::Silu,
        norm_epsilon: 1e-5,
        tied: false,
        sliding_window: None,
        query_key_norm: false,
        positions,
        rotary: Rotary { base: 10_000.0, dimensions: 16, scaling: Scaling::None },
        beginning: None,
        end: tokenizer.end().into_iter().collect(),
    }
}

fn tokenizer() -> Tokenizer {
    let line =
        |number: usize| format!(r#"{{"outcome": "review", "amount": {}, "why": "as it is"}}"#, number * 37 % 997);
    let options = TrainingOptions { vocabulary: 300, ..TrainingOptions::default() };
    Tokenizer::train((0..200).map(line), &options).expect("a tokenizer")
}

/// Writes a checkpoint in Hugging Face layout.
pub fn write(folder: &Path, positions: usize) -> PathBuf {
    let tokenizer = tokenizer();
    let model = Decoder::random(config(&tokenizer, positions), Precision::F32, &Method::Full, 7).expect("a model");
    model.export(folder).expect("a checkpoint");
    tokenizer.save(folder).expect("a tokenizer");
    folder.to_owned()
}

/// Writes an adapter that changes what the model says.
pub fn write_adapter(folder: &Path, positions: usize) -> PathBuf {
    let adapter = AdapterConfig {
        base: None,
        rank: 4,
        alpha: 8.0,
        dropout: 0.0,
        rank_stabilised: false,
        targets: vec!["q_proj".to_owned(), "down_proj".to_owned()],
    };
    let config = config(&tokenizer(), positions);
    let mut model = Decoder::random(config, Precision::F32, &Method::Lora(adapter), 11).expect("a model");
    for (place, value) in model.parameters_mut().values.iter_mut().enumerate() {
        *value += ((place * 7919 % 101) as f32 - 50.0) / 50.0;
    }
    model.export(folder).expect("an adapter");
    folder.to_owned()
}
