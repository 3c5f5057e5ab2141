//! `config.json` as checkpoints on the hub have it, its defaults, its refusals, and the way back.

use lm::{Activation, Architecture, Checkpoint, Config, Dtype, Error, Rotary, Scaling};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn read(config: &Value) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    Config::read(folder.path()).map_err(|error| match error {
        Error::Configuration { problem, .. } => problem,
        other => panic!("{other}"),
    })
}

/// Reading what was written gives the same, whatever the type of the weights.
fn returns(config: &Config) {
    let folder = tempfile::tempdir().unwrap();
    config.write(folder.path(), Dtype::Bf16).unwrap();
    assert_eq!(&Config::read(folder.path()).unwrap(), config);
}

fn llama_3_2_1b() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu",
        "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192,
        "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32,
        "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "transformers_version": "4.45.0.dev0", "use_cache": true, "vocab_size": 128256
    })
}

fn qwen3_4b() -> Value {
    json!({
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 2560,
        "initializer_range": 0.02, "intermediate_size": 9728, "max_position_embeddings": 262144,
        "max_window_layers": 36, "model_type": "qwen3", "num_attention_heads": 32, "num_hidden_layers": 36,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 5000000,
        "sliding_window": null, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "use_sliding_window": false, "vocab_size": 151936
    })
}

/// Phi-4-mini, with its 96 of 128 dimensions turned.
fn phi_4_mini() -> Value {
    json!({
        "architectures": ["Phi3ForCausalLM"], "attention_bias": false, "bos_token_id": 199999, "embd_pdrop": 0.0,
        "eos_token_id": 199999, "full_attn_mod": 1, "hidden_act": "silu", "hidden_size": 3072,
        "intermediate_size": 8192, "interpolate_factor": 1, "lm_head_bias": false,
        "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "phi3", "num_attention_heads": 24,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "original_max_position_embeddings": 4096,
        "pad_token_id": 199999, "partial_rotary_factor": 0.75, "resid_pdrop": 0.0, "rms_norm_eps": 1e-05,
        "rope_scaling": {"long_factor": vec![1.5; 48], "short_factor": vec![1.0; 48], "type": "longrope"},
        "rope_theta": 10000.0, "sliding_window": 262144, "tie_word_embeddings": true, "vocab_size": 200064
    })
}

fn changed(mut config: Value, key: &str, value: Value) -> Value {
    config[key] = value;
    config
}

fn without(mut config: Value, key: &str) -> Value {
    config.as_object_mut().unwrap().remove(key);
    config
}

#[test]
fn llama_is_read_as_it_stands() {
    let config = read(&llama_3_2_1b()).unwrap();
    let expected = Config {
        architecture: Architecture::Llama,
        vocabulary: 128_256,
        hidden: 2_048,
        layers: 16,
        heads: 32,
        key_value_heads: 8,
        head_size: 64,
        intermediate: 8_192,
        activation: Activation::Silu,
        norm_epsilon: 1e-5,
        tied: true,
        sliding_window: None,
        query_key_norm: false,
        positions: 131_072,
        rotary: Rotary {
            base: 500_000.0,
            dimensions: 64,
            scaling: Scaling::Llama3 { factor: 32.0, low: 1.0, high: 4.0, original: 8_192 },
        },
        beginning: Some(128_000),
        end: vec![128_001, 128_008, 128_009],
    };
    assert_eq!(config, expected);
    returns(&config);
}

#[test]
fn version_5_says_the_same_in_rope_parameters() {
    let old = llama_3_2_1b();
    let mut parameters = old["rope_scaling"].clone();
    parameters["rope_theta"] = old["rope_theta"].clone();
    let new = changed(without(without(old.clone(), "rope_theta"), "rope_scaling"), "rope_parameters", parameters);
    assert_eq!(read(&new), read(&old));
}

#[test]
fn qwen3_has_norms_and_its_own_head_size() {
    let config = read(&qwen3_4b()).unwrap();
    assert!(config.query_key_norm && config.tied);
    assert_eq!((config.heads * config.head_size, config.hidden), (4_096, 2_560));
    assert_eq!((config.rotary.base, config.sliding_window), (5e6, None));
    returns(&config);
    assert_eq!(read(&without(qwen3_4b(), "head_dim")).unwrap().head_size, 128);
}

#[test]
fn qwen3_windows_must_be_those_of_all_layers() {
    let windowed = changed(changed(qwen3_4b(), "use_sliding_window", json!(true)), "sliding_window", json!(512));
    assert_eq!(read(&windowed).unwrap().sliding_window, None, "no layer comes after max_window_layers");
    let all = read(&changed(windowed.clone(), "max_window_layers", json!(0))).unwrap();
    assert_eq!(all.sliding_window, Some(512));
    returns(&all);
    let mixed = read(&changed(windowed.clone(), "max_window_layers", json!(28))).unwrap_err();
    assert!(mixed.contains("others full_attention"), "{mixed}");
    let mut kinds = vec!["sliding_attention"; 36];
    let listed = changed(windowed.clone(), "layer_types", json!(kinds));
    assert_eq!(read(&listed).unwrap().sliding_window, Some(512));
    kinds[3] = "full_attention";
    assert!(read(&changed(windowed, "layer_types", json!(kinds))).unwrap_err().contains("all of one kind"));
}

#[test]
fn phi3_turns_a_part_and_scales_sines_as_transformers_does() {
    let config = read(&phi_4_mini()).unwrap();
    let expected = Rotary {
        base: 10_000.0,
        dimensions: 96,
        scaling: Scaling::LongRope {
            short: vec![1.0; 48],
            long: vec![1.5; 48],
            original: 4_096,
            // sqrt(1 + ln(131072 / 4096) / ln(4096))
            attention_factor: (1.0 + 5.0 / 12.0f64).sqrt(),
        },
    };
    assert_eq!(config.rotary.dimensions, 96);
    match (&config.rotary.scaling, &expected.scaling) {
        (
            Scaling::LongRope { attention_factor: got, short, long, original },
            Scaling::LongRope { attention_factor: want, short: shorts, long: longs, original: originals },
        ) => {
            assert!((got - want).abs() < 1e-12, "{got} {want}");
            assert_eq!((short, long, original), (shorts, longs, originals));
        }
        (scaling, _) => panic!("{scaling:?}"),
    }
    assert_eq!(config.sliding_window, Some(262_144));
    returns(&config);

    // Version 4 accepts only these three fields.
    let written = config.to_json(Dtype::Bf16);
    assert_eq!(written["rope_scaling"].as_object().unwrap().len(), 3);
    assert_eq!(written["original_max_position_embeddings"], 4_096);

    let mut stated = phi_4_mini();
    stated["rope_scaling"]["attention_factor"] = json!(1.25);
    let stated = read(&stated).unwrap();
    assert!(matches!(stated.rotary.scaling, Scaling::LongRope { attention_factor: 1.25, .. }));
    returns(&stated);
}

#[test]
fn every_partial_rotation_survives_the_way_through_a_share() {
    let mut config = read(&without(without(phi_4_mini(), "rope_scaling"), "partial_rotary_factor")).unwrap();
    for head_size in (2..=256).step_by(2) {
        for dimensions in (2..=head_size).step_by(2) {
            config.head_size = head_size;
            config.rotary.dimensions = dimensions;
            let share = config.to_json(Dtype::F32)["partial_rotary_factor"].as_f64().unwrap();
            assert!(share <= 1.0);
            assert_eq!((head_size as f64 * share) as usize, dimensions, "of {head_size}");
        }
    }
}

#[test]
fn absent_fields_are_what_transformers_makes_of_them() {
    let llama = read(&json!({ "model_type": "llama" })).unwrap();
    assert_eq!((llama.vocabulary, llama.hidden, llama.intermediate, llama.positions), (32_000, 4_096, 11_008, 2_048));
    assert_eq!((llama.heads, llama.key_value_heads, llama.head_size), (32, 32, 128));
    assert_eq!((llama.beginning, llama.end.as_slice(), llama.tied), (Some(1), [2].as_slice(), false));
    assert_eq!((llama.norm_epsilon, llama.rotary.base), (1e-6, 10_000.0));

    let mistral = read(&json!({ "model_type": "mistral" })).unwrap();
    assert_eq!((mistral.key_value_heads, mistral.sliding_window, mistral.positions), (8, Some(4_096), 131_072));
    returns(&mistral);
    let nulls = json!({ "model_type": "mistral", "sliding_window": null, "num_key_value_heads": null,
                        "eos_token_id": null, "bos_token_id": null });
    let nulls = read(&nulls).unwrap();
    assert_eq!((nulls.key_value_heads, nulls.sliding_window), (32, None));
    assert_eq!((nulls.beginning, nulls.end.len()), (None, 0));
    returns(&nulls);

    let phi3 = read(&json!({ "model_type": "phi3" })).unwrap();
    assert_eq!((phi3.hidden, phi3.vocabulary, phi3.sliding_window), (3_072, 32_064, None));
    assert_eq!((phi3.end.as_slice(), phi3.norm_epsilon), ([32_000].as_slice(), 1e-5));
    returns(&phi3);
}

#[test]
fn chat_models_end_as_their_generation_config_says() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), phi_4_mini().to_string()).unwrap();
    fs::write(folder.path().join("generation_config.json"), r#"{"eos_token_id": [200020, 199999]}"#).unwrap();
    assert_eq!(Config::read(folder.path()).unwrap().end, [200_020, 199_999]);
}

#[test]
fn what_cannot_be_run_exactly_is_refused_by_name() {
    let llama = llama_3_2_1b;
    let scaling = |kind: &str| changed(llama(), "rope_scaling", json!({ "rope_type": kind, "factor": 4.0 }));
    let cases = [
        (changed(llama(), "model_type", json!("gemma3")), "gemma3"),
        (without(llama(), "model_type"), "model_type"),
        (changed(llama(), "attention_bias", json!(true)), "attention_bias"),
        (changed(llama(), "mlp_bias", json!(true)), "mlp_bias"),
        (changed(llama(), "hidden_act", json!("relu")), "relu"),
        (changed(llama(), "quantization_config", json!({ "quant_method": "awq" })), "quantised already"),
        (changed(llama(), "num_local_experts", json!(8)), "mixture of experts"),
        (changed(llama(), "partial_rotary_factor", json!(0.5)), "only phi3"),
        (changed(llama(), "rope_scaling", json!({ "full_attention": {} })), "full_attention"),
        (scaling("yarn"), "yarn"),
        (scaling("dynamic"), "dynamic"),
        (changed(phi_4_mini(), "original_max_position_embeddings", json!(null)), ""),
    ];
    for (config, named) in &cases[..11] {
        let problem = read(config).unwrap_err();
        assert!(problem.contains(named), "{named}: {problem}");
    }
    assert!(read(&cases[11].0).is_ok(), "4096 is the default of phi3");
    assert!(matches!(read(&scaling("linear")).unwrap().rotary.scaling, Scaling::Linear { factor: 4.0 }));
}

#[test]
fn activations_have_the_names_of_transformers() {
    let names = [
        ("silu", Activation::Silu),
        ("swish", Activation::Silu),
        ("gelu", Activation::Gelu),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
        ("gelu_new", Activation::GeluTanh),
        ("gelu_fast", Activation::GeluTanh),
    ];
    for (name, activation) in names {
        let config = read(&changed(llama_3_2_1b(), "hidden_act", json!(name))).unwrap();
        assert_eq!(config.activation, activation, "{name}");
        returns(&config);
    }
    assert_eq!(read(&without(llama_3_2_1b(), "hidden_act")).unwrap().activation, Activation::Silu);
    assert!(read(&changed(llama_3_2_1b(), "hidden_act", json!("quick_gelu"))).unwrap_err().contains("quick_gelu"));
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let cases = [
        ("num_hidden_layers", json!(0), "number of layers is 0"),
        ("num_attention_heads", json!(0), "number of heads is 0"),
        ("num_key_value_heads", json!(0), "0 key and value heads"),
        ("num_key_value_heads", json!(5), "must divide"),
        ("head_dim", json!(63), "even number"),
        ("hidden_size", json!(1u64 << 40), "hidden size"),
        ("vocab_size", json!(-1), "`vocab_size` is -1"),
        ("vocab_size", json!("many"), "not a whole number"),
        ("rms_norm_eps", json!(-1e-5), "epsilon"),
        ("rope_theta", json!(0), "rope_theta"),
        ("eos_token_id", json!([1, -2]), "eos_token_id"),
        ("rope_scaling", json!([1]), "rope_scaling"),
        ("layer_types", json!(["full_attention"]), "lists 1 layers"),
    ];
    for (key, value, named) in cases {
        let problem = read(&changed(llama_3_2_1b(), key, value)).unwrap_err();
        assert!(problem.contains(named), "{key}: {problem}");
    }
    let mut factors = phi_4_mini();
    factors["rope_scaling"]["short_factor"] = json!([1.0, 1.0]);
    assert!(read(&factors).unwrap_err().contains("short_factor"));
    assert!(read(&changed(without(llama_3_2_1b(), "head_dim"), "num_attention_heads", json!(0))).is_err());
    assert!(read(&json!([])).is_err());
}

#[test]
fn a_configuration_that_transformers_could_not_express_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = read(&llama_3_2_1b()).unwrap();
    config.sliding_window = Some(128);
    let problem = config.write(folder.path(), Dtype::F32).unwrap_err().to_string();
    assert!(problem.contains("mistral"), "{problem}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// `config.json` as version 5 of `transformers` wrote it, and the same model in the layout of the hub.
#[test]
fn recorded_configurations_say_the_same_in_both_layouts() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in ["llama", "smollm2", "mistral", "qwen3", "phi3", "phi3_long", "llama_gelu", "llama_gelu_tanh"] {
        let folder = fixtures.join(name);
        let config = Config::read(&folder).unwrap();
        let published = fs::read_to_string(folder.join("config.published.json")).unwrap();
        assert_eq!(read(&serde_json::from_str(&published).unwrap()).as_ref(), Ok(&config), "{name}");
        returns(&config);
        let expected = Checkpoint::open_file(&folder.join("expected.safetensors")).unwrap();
        let mut factor = [0.0];
        expected
            .read_f32("rotary.attention_factor", expected.shape("rotary.attention_factor").unwrap(), &mut factor)
            .unwrap();
        match config.rotary.scaling {
            Scaling::LongRope { attention_factor, .. } => assert_eq!(attention_factor as f32, factor[0]),
            _ => assert_eq!(factor[0], 1.0),
        }
    }
}
