//! `probity bench train`: full steps of a small decoder, and how near they come to the machine's products.

use std::time::Instant;

use clap::{Args, ValueEnum};
use decision::mixing;
use lm::train::{Optimizer, OptimizerSettings};
use lm::{
    Activation, AdapterConfig, Architecture, Config, Decoder, Level, Method, Precision, Rotary, Scaling, Tokens,
    Trainee,
};
use serde_json::json;

use super::bench::{median, peak_memory_mb};
use crate::exit::{Outcome, Status, UsageError};
use crate::streams;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The model: 6.8 or 29.5 million parameters.
    #[arg(long, value_enum, default_value = "8m")]
    model: Model,
    /// In what products run.
    #[arg(long, value_enum, default_value = "bf16")]
    dtype: Dtype,
    /// What learns: everything, or adapters beside frozen matrices.
    #[arg(long, value_enum, default_value = "full")]
    method: Learning,
    /// Rank of the adapters.
    #[arg(long, default_value_t = 16)]
    rank: usize,
    /// Linear layers that have adapters; all if left out. The defaults of peft are q_proj,v_proj and rank 8.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    targets: Vec<String>,
    /// Threads.
    #[arg(long, env = "PROBITY_THREADS", default_value_t = super::generate::threads())]
    threads: usize,
    /// Steps that are timed, after three that are not; the median counts.
    #[arg(long, default_value_t = 10)]
    steps: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Model {
    #[value(name = "8m")]
    Small,
    #[value(name = "30m")]
    Large,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    Bf16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Learning {
    Full,
    Lora,
    Qlora,
}

/// Sequences of a step, tokens of a sequence and of the vocabulary.
const BATCH: usize = 16;
const LENGTH: usize = 256;
const VOCABULARY: usize = 4096;
/// Steps before those that are timed: buffers are allocated in them.
const WARM_UP: usize = 3;
/// Rounds of each product; the median counts.
const ROUNDS: usize = 15;

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads.max(1)).build()?;
    let result = pool.install(|| measure(arguments))?;
    streams::print(&format!("{result}\n"))?;
    Ok(Status::Done)
}

fn measure(arguments: &Arguments) -> anyhow::Result<serde_json::Value> {
    let config = config(arguments.model);
    let precision = match arguments.dtype {
        Dtype::F32 => Precision::F32,
        Dtype::Bf16 => Precision::Bf16,
    };
    let method = method(arguments, &config);
    let mut decoder =
        Decoder::random(config.clone(), precision, &method, 7).map_err(|error| UsageError(error.to_string()))?;
    let trained = decoder.parameters().values.len();
    let (mut seconds, losses) = train(&mut decoder, arguments.steps.max(1))?;
    // Read before the products are measured, which need memory of their own.
    let peak_rss = peak_memory_mb();
    let adapter = decoder.adapter().cloned();
    drop(decoder);
    let step = median(&mut seconds);
    let work = Work::of(&config, arguments.method, trained);
    let peak = product_peak(&config, precision);
    Ok(json!({
        "tokens_per_second": (BATCH * LENGTH) as f64 / step,
        "step_seconds": step,
        "fastest_step_seconds": seconds.first(),
        "peak_rss_mib": peak_rss,
        "model": value_name(arguments.model),
        "dtype": value_name(arguments.dtype),
        "method": value_name(arguments.method),
        "rank": adapter.as_ref().map(|adapter| adapter.rank),
        "targets": adapter.as_ref().map(|adapter| &adapter.targets),
        "threads": arguments.threads.max(1),
        "steps": seconds.len(),
        "parameters": work.matrices + work.others,
        "trained": trained,
        "first_loss": losses.first(),
        "last_loss": losses.last(),
        "level": level(),
        "step_gflop": work.flop() / 1e9,
        "flop_formula": Work::FORMULA,
        "gflops": work.flop() / step / 1e9,
        "product_peak_gflops": peak / 1e9,
        "fraction_of_peak": work.flop() / step / peak,
    }))
}

/// The models of `oracles/transformers/bench.py`.
fn config(model: Model) -> Config {
    let (hidden, layers, heads, intermediate) = match model {
        Model::Small => (256, 6, 4, 688),
        Model::Large => (512, 8, 8, 1376),
    };
    Config {
        architecture: Architecture::Llama,
        vocabulary: VOCABULARY,
        hidden,
        layers,
        heads,
        key_value_heads: heads,
        head_size: hidden / heads,
        intermediate,
        activation: Activation::Silu,
        norm_epsilon: 1e-5,
        tied: false,
        sliding_window: None,
        query_key_norm: false,
        positions: LENGTH,
        rotary: Rotary { base: 10_000.0, dimensions: hidden / heads, scaling: Scaling::None },
        beginning: None,
        end: Vec::new(),
    }
}

fn method(arguments: &Arguments, config: &Config) -> Method {
    let all = || config.projections().iter().map(|projection| projection.name().to_owned()).collect();
    let adapter = AdapterConfig {
        base: None,
        rank: arguments.rank,
        alpha: 32.0,
        dropout: 0.0,
        rank_stabilised: false,
        targets: if arguments.targets.is_empty() { all() } else { arguments.targets.clone() },
    };
    match arguments.method {
        Learning::Full => Method::Full,
        Learning::Lora => Method::Lora(adapter),
        Learning::Qlora => Method::Qlora(adapter),
    }
}

/// Seconds of the timed steps, and the losses of all.
fn train(decoder: &mut Decoder, steps: usize) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let settings =
        OptimizerSettings { rate: 1e-3, betas: Some([0.9, 0.95]), weight_decay: 0.1, ..OptimizerSettings::default() };
    let mut optimizer = Optimizer::new(&settings, decoder.parameters().values.len());
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    for step in 0..WARM_UP + steps {
        let batch = batch(step as u64);
        let start = Instant::now();
        let loss = decoder.accumulate(&batch, 1.0 / (BATCH * LENGTH) as f32, step as u64)?;
        optimizer.step(decoder.parameters_mut(), settings.rate, 1.0);
        seconds.push(start.elapsed().as_secs_f64());
        losses.push(loss.mean());
    }
    seconds.drain(..WARM_UP);
    Ok((seconds, losses))
}

/// Random tokens, others in each step; every one of them predicts the next.
fn batch(step: u64) -> Tokens {
    let mut place = 0;
    let mut token = || {
        place += 1;
        (mixing::drawn(step, place) >> 33) as u32 % VOCABULARY as u32
    };
    let mut batch = Tokens { starts: vec![0], ..Tokens::default() };
    for _ in 0..BATCH {
        let row: Vec<u32> = (0..=LENGTH).map(|_| token()).collect();
        batch.tokens.extend_from_slice(&row[..LENGTH]);
        batch.targets.extend_from_slice(&row[1..]);
        batch.starts.push(batch.tokens.len());
    }
    batch
}

/// What a step has to compute, whatever the way.
struct Work {
    /// Numbers of the blocks' matrices and of the head.
    matrices: usize,
    /// Numbers of embedding and norms, which no product reads.
    others: usize,
    /// Numbers of adapters; none if everything learns.
    adapters: usize,
    /// Products that a token's attention has, forward: two for each position that it sees, on average.
    attention: usize,
}

impl Work {
    const FORMULA: &str = "tokens * (c * matrices + 6 * adapters + 12 * layers * width * (length + 1) / 2), with c = 6 \
                           if matrices learn and 4 if they are frozen; matrices are those of the blocks and the head, \
                           the last term is causal attention";

    fn of(config: &Config, learning: Learning, trained: usize) -> Self {
        let block: usize = config.projections().iter().map(|layer| layer.inputs * layer.outputs).sum();
        let embedding = config.vocabulary * config.hidden;
        Self {
            matrices: config.layers * block + embedding,
            others: embedding + (2 * config.layers + 1) * config.hidden,
            adapters: if matches!(learning, Learning::Full) { 0 } else { trained },
            attention: config.layers * config.heads * config.head_size * (LENGTH + 1),
        }
    }

    /// Floating-point operations of a step: two for each number of a matrix and token forward, as many again for the
    /// gradient of the input and, where the matrix learns, for its own.
    fn flop(&self) -> f64 {
        let passes = if self.adapters == 0 { 6 } else { 4 };
        (BATCH * LENGTH * (passes * self.matrices + 6 * self.adapters + 6 * self.attention)) as f64
    }
}

/// Operations a second of the forward products of a step alone, each as often as a step has it.
fn product_peak(config: &Config, precision: Precision) -> f64 {
    let (tokens, width) = (BATCH * LENGTH, config.hidden);
    // The head takes some tokens at a time, so that not all logits are held.
    let head = 1024;
    let products = [
        ([tokens, 3 * width, width], config.layers),
        ([tokens, width, width], config.layers),
        ([tokens, 2 * config.intermediate, width], config.layers),
        ([tokens, width, config.intermediate], config.layers),
        ([head, config.vocabulary, width], tokens / head),
    ];
    let (mut flop, mut seconds) = (0.0, 0.0);
    for (shape, times) in products {
        let own = times as f64 * 2.0 * shape.iter().map(|size| *size as f64).product::<f64>();
        flop += own;
        seconds += own / lm::product_speed(precision, shape, ROUNDS);
    }
    flop / seconds
}

fn value_name(value: impl ValueEnum) -> Option<String> {
    value.to_possible_value().map(|value| value.get_name().to_owned())
}

fn level() -> &'static str {
    match Level::current() {
        Level::Portable => "portable",
        Level::Avx2 => "avx2",
        Level::Avx512 => "avx512",
        Level::Avx512Bf16 => "avx512_bf16",
    }
}
