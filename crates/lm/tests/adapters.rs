//! LoRA and QLoRA against `peft`.

mod recorded;

use lm::train::{Optimizer, OptimizerSettings};
use lm::{AdapterConfig, Config, Decoder, Method, Precision, Rotary, Trainee};
use recorded::{Recorded, difference, fixture, relative};

/// The checkpoint with its adapter as peft wrote it, its base quantised if asked for.
fn open(name: &str, quantised: bool) -> Decoder {
    let (base, adapter) = (fixture(name), fixture(&format!("{name}/adapter")));
    let decoder = Decoder::open_adapted(&base, &adapter, Precision::F32).unwrap();
    if !quantised {
        return decoder;
    }
    let method = Method::Qlora(decoder.adapter().unwrap().clone());
    let mut other = Decoder::open(&base, Precision::F32, &method, 0).unwrap();
    other.parameters_mut().values.clone_from(&decoder.parameters().values);
    other
}

fn compare(name: &str, mut decoder: Decoder) {
    let recorded = Recorded::read(&format!("{name}/adapter/expected.safetensors"));
    let batch = recorded.batch();
    let gap = difference(&decoder.logits(&batch).unwrap(), &recorded.floats("logits"));
    assert!(gap < 1e-4, "{name}: logits differ by {gap}");
    let count = decoder.counted(&batch);
    let loss = decoder.accumulate(&batch, 1.0 / count as f32, 0).unwrap();
    assert!((loss.mean() - f64::from(recorded.floats("loss")[0])).abs() < 1e-5, "{name}");
    let spans = decoder.parameters().spans.clone();
    assert_eq!(spans.len(), recorded.names().iter().filter(|name| name.starts_with("grad.")).count());
    for span in &spans {
        let gap =
            relative(&decoder.parameters().gradients[span.range()], &recorded.floats(&format!("grad.{}", span.name)));
        assert!(gap < 1e-3, "{name}: gradient of {} is off by {gap}", span.name);
    }
    let settings = OptimizerSettings { rate: 1e-2, weight_decay: 0.01, ..OptimizerSettings::default() };
    Optimizer::new(&settings, decoder.parameters().values.len()).step(decoder.parameters_mut(), settings.rate, 1.0);
    for span in &spans {
        let stepped = recorded.floats(&format!("stepped.{}", span.name));
        // Where a gradient is near zero, Adam's first step turns its rounding into a part of the rate.
        let gap = relative(&decoder.parameters().values[span.range()], &stepped);
        assert!(gap < 2e-3, "{name}: {} after a step is off by {gap}", span.name);
    }
}

#[test]
fn lora_equals_peft() {
    for name in ["llama", "qwen3", "phi3"] {
        compare(name, open(name, false));
    }
}

#[test]
fn qlora_equals_peft_over_bitsandbytes() {
    compare("llama64", open("llama64", true));
}

#[test]
fn adapters_written_here_read_back() {
    let decoder = open("qwen3", false);
    let folder = tempfile::tempdir().unwrap();
    decoder.export(folder.path()).unwrap();
    let again = Decoder::open_adapted(&fixture("qwen3"), folder.path(), Precision::F32).unwrap();
    assert!(again.parameters().values == decoder.parameters().values);
}

#[test]
fn checkpoints_written_here_read_back() {
    let recorded = Recorded::read("phi3/expected.safetensors");
    let mut decoder = Decoder::open(&fixture("phi3"), Precision::F32, &Method::Full, 0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    decoder.export(folder.path()).unwrap();
    let mut again = Decoder::open(folder.path(), Precision::F32, &Method::None, 0).unwrap();
    let batch = recorded.batch();
    assert!(again.logits(&batch).unwrap() == decoder.logits(&batch).unwrap());
}

#[test]
fn dropout_is_the_same_again_and_gone_when_answering() {
    let mut decoder = open("llama", false);
    let mut config = decoder.adapter().unwrap().clone();
    config.dropout = 0.5;
    let values = decoder.parameters().values.clone();
    let batch = Recorded::read("llama/adapter/expected.safetensors").batch();
    let plain = decoder.logits(&batch).unwrap();
    let mut dropping = Decoder::open(&fixture("llama"), Precision::F32, &Method::Lora(config), 0).unwrap();
    dropping.parameters_mut().values = values;
    assert!(dropping.logits(&batch).unwrap() == plain);
    let mut gradient = |draw: u64, recompute: bool| {
        dropping.recompute(recompute);
        dropping.parameters_mut().gradients.fill(0.0);
        let loss = dropping.accumulate(&batch, 1.0, draw).unwrap();
        (loss, dropping.parameters().gradients.clone())
    };
    let first = gradient(1, false);
    assert!(first == gradient(1, false) && first == gradient(1, true));
    assert!(first != gradient(2, false));
}

/// A model whose layers are wider than what a task sums the gradient of an adapter for, with adapters that are not zero.
fn wide(precision: Precision, dropout: f64) -> Decoder {
    let llama = Config::read(&fixture("llama")).unwrap();
    let rotary = Rotary { dimensions: 80, ..llama.rotary.clone() };
    let config =
        Config { hidden: 160, heads: 2, key_value_heads: 1, head_size: 80, intermediate: 272, rotary, ..llama };
    let targets = ["q_proj", "v_proj", "up_proj", "down_proj"].map(str::to_owned).to_vec();
    let adapter = AdapterConfig { base: None, rank: 3, alpha: 6.0, dropout, rank_stabilised: false, targets };
    let mut decoder = Decoder::random(config, precision, &Method::Lora(adapter), 7).unwrap();
    for (place, value) in decoder.parameters_mut().values.iter_mut().enumerate() {
        *value = ((place * 37 % 101) as f32 - 50.0) / 500.0;
    }
    decoder
}

#[test]
fn gradients_of_wide_layers_equal_differences() {
    let batch = Recorded::read("llama/packed.safetensors").batch();
    for dropout in [0.0, 0.5] {
        let mut decoder = wide(Precision::F32, dropout);
        decoder.accumulate(&batch, 1.0, 5).unwrap();
        let (values, gradients) = (decoder.parameters().values.clone(), decoder.parameters().gradients.clone());
        for span in decoder.parameters().spans.clone() {
            let norm = gradients[span.range()].iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
            let step = 2e-2 / norm.sqrt();
            let mut moved = |sign: f64| {
                let parameters = decoder.parameters_mut();
                parameters.values.clone_from(&values);
                for place in span.range() {
                    parameters.values[place] += (sign * step * f64::from(gradients[place])) as f32;
                }
                // The same draw drops the same inputs.
                decoder.accumulate(&batch, 1.0, 5).unwrap().sum
            };
            let ratio = (moved(1.0) - moved(-1.0)) / (2.0 * step) / norm;
            assert!((ratio - 1.0).abs() < 0.02, "{}, dropout {dropout}: {ratio}", span.name);
        }
    }
}

#[test]
fn threads_change_no_bit_of_gradients() {
    let batch = Recorded::read("llama/packed.safetensors").batch();
    let all = [Precision::F32, Precision::Bf16].map(|precision| [(precision, 0.0), (precision, 0.5)]);
    for (precision, dropout) in all.concat() {
        let gradients = |threads: usize| {
            let mut decoder = wide(precision, dropout);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| decoder.accumulate(&batch, 1.0, 0)).unwrap();
            decoder.parameters().gradients.clone()
        };
        assert!(gradients(1) == gradients(3), "{precision:?}, dropout {dropout}");
    }
}
