//! Logits, losses and gradients of every architecture against `transformers`.

mod recorded;

use lm::{Decoder, Method, Precision, Tokens, Trainee};
use recorded::{Recorded, difference, fixture, relative};

const ARCHITECTURES: [&str; 8] =
    ["llama", "smollm2", "mistral", "qwen3", "phi3", "phi3_long", "llama_gelu", "llama_gelu_tanh"];

fn open(name: &str, method: &Method) -> Decoder {
    Decoder::open(&fixture(name), Precision::F32, method, 0).unwrap()
}

fn compare(name: &str, file: &str, mut decoder: Decoder) {
    let recorded = Recorded::read(&format!("{name}/{file}"));
    let batch = recorded.batch();
    let logits = difference(&decoder.logits(&batch).unwrap(), &recorded.floats("logits"));
    assert!(logits < 1e-4, "{name}/{file}: logits differ by {logits}");
    let count = decoder.counted(&batch);
    let loss = decoder.accumulate(&batch, 1.0 / count as f32, 0).unwrap();
    assert!((loss.mean() - f64::from(recorded.floats("loss")[0])).abs() < 1e-5, "{name}/{file}");
    let parameters = decoder.parameters();
    let mut compared = 0;
    for span in &parameters.spans {
        let expected = recorded.floats(&format!("grad.{}", span.name));
        let gap = relative(&parameters.gradients[span.range()], &expected);
        assert!(gap < 1e-3, "{name}/{file}: gradient of {} is off by {gap}", span.name);
        compared += 1;
    }
    assert_eq!(compared, recorded.names().iter().filter(|name| name.starts_with("grad.")).count());
}

#[test]
fn logits_losses_and_gradients_equal_those_of_transformers() {
    for name in ARCHITECTURES {
        compare(name, "expected.safetensors", open(name, &Method::Full));
    }
}

#[test]
fn packed_sequences_do_not_see_each_other() {
    for name in ["llama", "mistral", "phi3_long"] {
        compare(name, "packed.safetensors", open(name, &Method::Full));
    }
}

#[test]
fn computing_activations_again_changes_no_bit() {
    for name in ARCHITECTURES {
        let batch = Recorded::read(&format!("{name}/expected.safetensors")).batch();
        let gradients = |recompute: bool| {
            let mut decoder = open(name, &Method::Full);
            decoder.recompute(recompute);
            decoder.accumulate(&batch, 1.0, 0).unwrap();
            decoder.parameters().gradients.clone()
        };
        assert!(gradients(true) == gradients(false), "{name}");
    }
}

#[test]
fn sixteen_bit_checkpoints_are_read_as_transformers_reads_them() {
    for name in ["llama_bf16", "llama_fp16"] {
        let recorded = Recorded::read(&format!("{name}/expected.safetensors"));
        let logits = open(name, &Method::None).logits(&recorded.batch()).unwrap();
        assert!(difference(&logits, &recorded.floats("logits")) < 1e-4, "{name}");
    }
}

#[test]
fn bf16_stays_close_to_fp32() {
    for name in ARCHITECTURES {
        let recorded = Recorded::read(&format!("{name}/expected.safetensors"));
        let batch = recorded.batch();
        let mut decoder = Decoder::open(&fixture(name), Precision::Bf16, &Method::Full, 0).unwrap();
        let gap = relative(&decoder.logits(&batch).unwrap(), &recorded.floats("logits"));
        assert!(gap < 0.02, "{name}: logits are off by {gap}");
        let count = decoder.counted(&batch);
        decoder.accumulate(&batch, 1.0 / count as f32, 0).unwrap();
        for span in &decoder.parameters().spans {
            let gap = relative(
                &decoder.parameters().gradients[span.range()],
                &recorded.floats(&format!("grad.{}", span.name)),
            );
            // Slopes of GELU change faster than those of SiLU.
            let most = if name.starts_with("llama_gelu") { 0.1 } else { 0.08 };
            assert!(gap < most, "{name}: gradient of {} is off by {gap}", span.name);
        }
    }
}

#[test]
fn neighbours_and_threads_change_no_bit() {
    for precision in [Precision::F32, Precision::Bf16] {
        let mut decoder = Decoder::open(&fixture("mistral"), precision, &Method::None, 0).unwrap();
        let both = Recorded::read("mistral/packed.safetensors").batch();
        let first = both.starts[1];
        let alone = Tokens { tokens: both.tokens[..first].to_vec(), starts: vec![0, first], targets: Vec::new() };
        let together = decoder.logits(&both).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let single = pool.install(|| decoder.logits(&alone).unwrap());
        assert!(single[..] == together[..single.len()], "{precision:?}");
    }
}
