use lm::train::{Optimizer, OptimizerSettings};
use lm::*;
use std::time::Instant;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let big = a[1] == "30m";
    let precision = if a[2] == "bf16" { Precision::Bf16 } else { Precision::F32 };
    let config = Config {
        architecture: Architecture::Llama,
        vocabulary: 4096,
        hidden: if big { 512 } else { 256 },
        layers: if big { 8 } else { 6 },
        heads: if big { 8 } else { 4 },
        key_value_heads: if big { 8 } else { 4 },
        head_size: 64,
        intermediate: if big { 1376 } else { 688 },
        norm_epsilon: 1e-5,
        tied: false,
        sliding_window: None,
        query_key_norm: false,
        positions: 2048,
        rotary: Rotary { base: 10000.0, dimensions: 64, scaling: Scaling::None },
        beginning: None,
        end: vec![],
    };
    let lora = AdapterConfig {
        base: None,
        rank: 16,
        alpha: 32.0,
        rank_stabilised: false,
        dropout: 0.0,
        targets: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
            .map(String::from)
            .to_vec(),
    };
    let method = match a[3].as_str() {
        "full" => Method::Full,
        "lora" => Method::Lora(lora),
        _ => Method::Qlora(lora),
    };
    let mut d = Decoder::random(config, precision, &method, 1).unwrap();
    let n = 4096;
    let tokens: Vec<u32> = (0..n).map(|i| ((i as u64 * 2654435761 + 12345) >> 7) as u32 % 4096).collect();
    let targets = tokens.iter().map(|t| (t * 7 + 1) % 4096).collect();
    let batch = Tokens { tokens, starts: (0..=16).map(|i| i * 256).collect(), targets };
    let mut o = Optimizer::new(&OptimizerSettings::default(), d.parameters().values.len());
    let mut times = vec![];
    for i in 0..a[4].parse().unwrap() {
        let t = Instant::now();
        let l = d.accumulate(&batch, 1.0 / n as f32, i).unwrap();
        let t1 = t.elapsed().as_secs_f64();
        o.step(d.parameters_mut(), 3e-4, 1.0);
        times.push(t.elapsed().as_secs_f64());
        if i < 3 {
            println!("{:.4} {:.3} {:.3}", l.mean(), t1, times.last().unwrap());
        }
    }
    times.sort_by(f64::total_cmp);
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    println!(
        "median {:.3}s {:.0} tok/s best {:.0} {}",
        times[times.len() / 2],
        n as f64 / times[times.len() / 2],
        n as f64 / times[0],
        s.lines().find(|l| l.starts_with("VmHWM")).unwrap()
    );
}
