//! Merged weights: what the adapter beside them gave, they give alone.

mod recorded;

use lm::{Adapter, Checkpoint, Config, Decoder, Dtype, Method, Precision, TensorInfo, merge};
use recorded::{Recorded, difference, fixture};
use std::path::Path;

fn logits(folder: &Path, recorded: &Recorded) -> Vec<f32> {
    let mut decoder = Decoder::open(folder, Precision::F32, &Method::None, 0).unwrap();
    decoder.logits(&recorded.batch()).unwrap()
}

#[test]
fn merged_weights_give_the_recorded_logits_of_the_adapter() {
    for name in ["llama", "qwen3", "phi3"] {
        let folder = tempfile::tempdir().unwrap();
        let (base, adapter) = (fixture(name), fixture(&format!("{name}/adapter")));
        assert_eq!(merge(&base, &adapter, folder.path(), None).unwrap(), Dtype::F32);
        let recorded = Recorded::read(&format!("{name}/adapter/expected.safetensors"));
        let gap = difference(&logits(folder.path(), &recorded), &recorded.floats("logits"));
        assert!(gap < 1e-4, "{name}: logits differ by {gap}");
    }
}

#[test]
fn merged_weights_are_the_exact_sums_rounded_once() {
    let (base, out) = (fixture("qwen3"), tempfile::tempdir().unwrap());
    let config = Config::read(&base).unwrap();
    let adapter = Adapter::open(&base.join("adapter"), &config).unwrap();
    merge(&base, &base.join("adapter"), out.path(), None).unwrap();
    let [before, after] = [&base, out.path()].map(|folder| Checkpoint::open(folder).unwrap());
    let scale = adapter.config().scale();
    for factors in adapter.config().factors(&config) {
        let factor = |tensor: &TensorInfo| {
            let mut values = vec![0.0; tensor.len()];
            adapter.read(tensor, &mut values).unwrap();
            values.into_iter().map(f64::from).collect::<Vec<_>>()
        };
        let (a, b) = (factor(&factors.a), factor(&factors.b));
        let (name, shape) = (factors.projection.weight_name(factors.layer), [b.len() / 4, a.len() / 4]);
        let weights = |checkpoint: &Checkpoint| {
            let mut values = vec![0.0; shape[0] * shape[1]];
            checkpoint.read_f32(&name, &shape, &mut values).unwrap();
            values
        };
        let (before, after) = (weights(&before), weights(&after));
        for (place, weight) in after.iter().enumerate() {
            let (row, column) = (place / shape[1], place % shape[1]);
            let sum: f64 = (0..4).map(|k| b[row * 4 + k] * a[k * shape[1] + column]).sum();
            let exact = f64::from(before[place]) + scale * sum;
            assert!((f64::from(*weight) - exact).abs() <= exact.abs() * 6e-8, "{name} {place}");
        }
    }
}

#[test]
fn formats_and_files_beside_the_weights_are_kept() {
    let (base, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("llama").join(name), base.path().join(name)).unwrap();
    }
    std::fs::write(base.path().join("tokenizer_config.json"), b"{ }").unwrap();
    let merged = merge(base.path(), &fixture("llama/adapter"), out.path(), Some(Dtype::Bf16)).unwrap();
    assert_eq!(merged, Dtype::Bf16);
    let weights = Checkpoint::open(out.path()).unwrap();
    assert!(weights.names().all(|name| weights.dtype(name) == Some(Dtype::Bf16)));
    assert_eq!(std::fs::read(out.path().join("tokenizer_config.json")).unwrap(), b"{ }");
    let config = std::fs::read_to_string(out.path().join("config.json")).unwrap();
    assert!(config.contains("\"bfloat16\"") && !config.contains("\"float32\""), "{config}");
    let again = merge(base.path(), &fixture("llama/adapter"), out.path(), None).unwrap_err().to_string();
    assert!(again.contains("files in it already"), "{again}");
}

#[test]
fn an_adapter_of_another_model_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("merged");
    let problem = merge(&fixture("llama"), &fixture("phi3/adapter"), &out, None).unwrap_err().to_string();
    assert!(problem.contains("adapter"), "{problem}");
    assert!(!out.exists());
}
