//! Adapters of `peft`, read, written and read again, and what is refused.

use lm::{Adapter, AdapterConfig, Config, Dtype, Error, TensorInfo};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn read(adapter: &Adapter, tensor: &TensorInfo) -> Vec<f32> {
    let mut values = vec![f32::NAN; tensor.len()];
    adapter.read(tensor, &mut values).unwrap();
    values
}

fn copied(from: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(from.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn adapters_of_peft_are_read_and_written_the_same() {
    for (name, targets) in [("llama", 7), ("qwen3", 7), ("phi3", 4)] {
        let model = Config::read(&fixture(name)).unwrap();
        let folder = fixture(name).join("adapter");
        let adapter = Adapter::open(&folder, &model).unwrap();
        let config = adapter.config();
        assert_eq!((config.rank, config.scale(), config.dropout, config.targets.len()), (4, 2.0, 0.0, targets));
        assert_eq!(config.base.as_deref(), Some(format!("tiny-{name}").as_str()));
        let factors = config.factors(&model);
        assert_eq!(factors.len(), targets * model.layers);
        assert!(factors.iter().all(|factors| read(&adapter, &factors.b).iter().any(|value| *value != 0.0)));

        let copy = tempfile::tempdir().unwrap();
        Adapter::write(copy.path(), config, &model, Dtype::F32, |tensor, sink| sink.push(&read(&adapter, tensor)))
            .unwrap();
        let again = Adapter::open(copy.path(), &model).unwrap();
        assert_eq!(again.config(), config);
        for factors in factors {
            assert_eq!(read(&again, &factors.a), read(&adapter, &factors.a));
            assert_eq!(read(&again, &factors.b), read(&adapter, &factors.b));
        }
    }
}

#[test]
fn tensors_have_the_names_and_shapes_of_peft() {
    let model = Config::read(&fixture("llama")).unwrap();
    let config = AdapterConfig {
        base: None,
        rank: 16,
        alpha: 32.0,
        dropout: 0.05,
        rank_stabilised: true,
        targets: vec!["k_proj".into()],
    };
    assert_eq!(config.scale(), 8.0);
    let factors = config.factors(&model);
    assert_eq!(factors.iter().map(|factors| factors.layer).collect::<Vec<_>>(), [0, 1]);
    let prefix = "base_model.model.model.layers.1.self_attn.k_proj";
    assert_eq!(factors[1].a, TensorInfo::new(format!("{prefix}.lora_A.weight"), [16, 32]));
    assert_eq!(factors[1].b, TensorInfo::new(format!("{prefix}.lora_B.weight"), [16, 16]));
    assert_eq!(factors[1].projection.weight_name(1), "model.layers.1.self_attn.k_proj.weight");
}

/// What `adapter_config.json` says with some fields changed.
fn changed(changes: Value) -> Result<AdapterConfig, String> {
    let folder = fixture("llama/adapter");
    let copy = copied(&folder);
    let path = copy.path().join("adapter_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    fs::write(&path, config.to_string()).unwrap();
    let model = Config::read(&fixture("llama")).unwrap();
    AdapterConfig::read(copy.path(), &model).map_err(|error| match error {
        Error::Configuration { problem, .. } => problem,
        other => panic!("{other}"),
    })
}

#[test]
fn targets_are_names_or_all_linear_layers() {
    let all = changed(json!({})).unwrap();
    assert_eq!(all.targets, ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]);
    assert_eq!(changed(json!({ "target_modules": "all-linear" })).unwrap(), all);
    let some = changed(json!({ "target_modules": ["self_attn.v_proj", "q_proj", "qkv_proj"] })).unwrap();
    assert_eq!(some.targets, ["q_proj", "v_proj"], "targets that the model does not have are ignored, as by peft");
    assert_eq!(changed(json!({ "use_rslora": true, "lora_alpha": 2.5 })).unwrap().scale(), 1.25);
}

#[test]
fn what_is_not_plain_lora_is_refused_by_name() {
    let cases = [
        (json!({ "peft_type": "LOHA" }), "peft_type"),
        (json!({ "peft_type": null }), "peft_type"),
        (json!({ "task_type": "SEQ_CLS" }), "task_type"),
        (json!({ "bias": "all" }), "bias"),
        (json!({ "use_dora": true }), "use_dora"),
        (json!({ "fan_in_fan_out": true }), "fan_in_fan_out"),
        (json!({ "modules_to_save": ["lm_head"] }), "modules_to_save"),
        (json!({ "rank_pattern": { "q_proj": 8 } }), "rank_pattern"),
        (json!({ "alpha_pattern": { "q_proj": 8 } }), "alpha_pattern"),
        (json!({ "layers_to_transform": [0] }), "layers_to_transform"),
        (json!({ "init_lora_weights": "pissa" }), "init_lora_weights"),
        (json!({ "something_new": 3 }), "something_new"),
        (json!({ "target_modules": ".*proj" }), "pattern"),
        (json!({ "target_modules": ["lm_head"] }), "lm_head"),
        (json!({ "target_modules": ["qkv_proj"] }), "choose from q_proj"),
        (json!({ "target_modules": null }), "target_modules"),
        (json!({ "r": 0 }), "rank is 0"),
        (json!({ "r": null }), "`r`"),
        (json!({ "lora_alpha": -1 }), "alpha is -1"),
        (json!({ "lora_alpha": 1e40 }), "alpha is 1e40"),
        (json!({ "lora_alpha": 1e-60 }), "alpha is 1e-60"),
        (json!({ "lora_dropout": 1.0 }), "dropout is 1"),
    ];
    for (change, named) in cases {
        let problem = changed(change).unwrap_err();
        assert!(problem.contains(named), "{named}: {problem}");
    }
}

#[test]
fn weights_of_another_model_are_refused() {
    let llama = Config::read(&fixture("llama")).unwrap();
    let open =
        |folder: &Path, model: &Config| Adapter::open(folder, model).err().expect("should be refused").to_string();
    let folder = fixture("llama/adapter");
    let wider = Config { hidden: 64, ..llama.clone() };
    assert!(open(&folder, &wider).contains("has the shape [4, 32], but should have [4, 64]"));
    let deeper = Config { layers: 3, ..llama.clone() };
    assert!(open(&folder, &deeper).contains("layers.2.self_attn.q_proj.lora_A.weight` is missing"));
    let shallower = Config { layers: 1, ..llama.clone() };
    assert!(open(&folder, &shallower).contains("layers.1.") && open(&folder, &shallower).contains("no factor"));
    assert!(open(&fixture("phi3/adapter"), &llama).contains("belongs to another model"));
}

#[test]
fn a_failure_leaves_the_old_adapter() {
    let model = Config::read(&fixture("llama")).unwrap();
    let folder = copied(&fixture("llama/adapter"));
    let adapter = Adapter::open(folder.path(), &model).unwrap();
    let contents = || {
        let mut names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        names.sort();
        names.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = contents();
    let config = AdapterConfig { rank: 2, ..adapter.config().clone() };
    let error = Adapter::write(folder.path(), &config, &model, Dtype::F32, |_, sink| sink.push(&[0.0])).unwrap_err();
    assert!(error.to_string().contains("lacks 63 numbers"), "{error}");
    let config = AdapterConfig { targets: vec!["lm_head".into()], ..config };
    assert!(Adapter::write(folder.path(), &config, &model, Dtype::F32, |_, _| Ok(())).is_err());
    assert_eq!(contents(), before);
}
