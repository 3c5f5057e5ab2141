//! Recipes as people write them, and what is said of wrong ones.

use super::*;
use crate::train::{Every, OptimizerKind, ScheduleKind, StopSettings, Warmup};
use std::path::Path;

fn read(text: &str, overrides: &[&str]) -> Result<DecoderRecipe, String> {
    let overrides: Vec<String> = overrides.iter().map(|line| (*line).to_owned()).collect();
    DecoderRecipe::parse(Path::new("run.toml"), text, &overrides).map_err(|error| error.to_string())
}

const SCREENING: &str = r#"
seed = 7
dtype = "bf16"
checkpointing = true

[model]
checkpoint = "models/Llama"

[method]
kind = "lora"
rank = 16
alpha = 32
dropout = 0.05

[data]
train = "train.jsonl"
validation = "validation.jsonl"
tokens = 4096

[batch]
tokens = 8192
accumulate = 16

[optimizer]
rate = 1e-5

[schedule]
kind = "cosine"
warmup = 0.03

[stop]

[[phase]]
name = "easy"
difficulty = ["easy"]
epochs = 2
gate = { loss = 0.4 }

[[phase]]
name = "hard"
difficulty = ["hard"]
epochs = 1
rate = 5e-6
"#;

#[test]
fn a_curriculum_of_the_screening_kind_can_be_said() {
    let recipe = read(SCREENING, &[]).expect("a recipe");
    assert_eq!(recipe.details.dtype, Precision::Bf16);
    assert_eq!(recipe.details.method, MethodSettings::Lora(AdapterSettings::default()));
    assert_eq!(recipe.training.stop, Some(StopSettings { improvement: 0.05, epochs: 3 }));
    assert_eq!(recipe.training.schedule.warmup, Warmup::Share(0.03));
    assert_eq!(recipe.training.checkpoint.every, Every::Epoch);
    assert_eq!(recipe.training.phases()[1].rate, 5e-6);
    let json = serde_json::to_value(&recipe).expect("JSON");
    assert_eq!(json["method"]["kind"], "lora");
    assert_eq!(json["optimizer"]["betas"], serde_json::json!([0.9, 0.999]));
    assert_eq!(json["model"]["checkpoint"], "models/Llama");
    assert_eq!(json["checkpoint"]["every"], "epoch");
    assert_eq!(json["phase"][0]["name"], "easy");
    assert_eq!(json["data"]["validation"], "validation.jsonl");
}

#[test]
fn quantised_adapters_of_the_rule_kind_can_be_said() {
    let recipe = read(
        "epochs = 2\n[model]\ncheckpoint = \"m\"\n[method]\nkind = \"qlora\"\nrank = 32\nalpha = 16\n\
         [optimizer]\nrate = 2e-4\n",
        &[],
    )
    .expect("a recipe");
    let adapter = recipe.details.method.adapter().expect("an adapter");
    assert_eq!((adapter.rank, adapter.alpha, adapter.targets.len()), (32, 16.0, 7));
    assert!(matches!(recipe.details.method, MethodSettings::Qlora(_)));
}

#[test]
fn every_value_can_be_overridden() {
    let overrides = [
        "seed=9",
        "optimizer.kind=lion",
        "optimizer.rate=1",
        "schedule.kind = \"linear\"",
        "schedule.warmup=20",
        "phase.1.epochs=5",
        "method.targets=[\"q_proj\"]",
        "checkpoint.every=50",
        "data.validation=0.1",
        "stop.epochs=2",
    ];
    let recipe = read(SCREENING, &overrides).expect("a recipe");
    let training = &recipe.training;
    assert_eq!((training.seed, training.optimizer.kind, training.optimizer.rate), (9, OptimizerKind::Lion, 1.0));
    assert_eq!(training.optimizer.betas(), [0.9, 0.99]);
    assert_eq!((training.schedule.kind, training.schedule.warmup), (ScheduleKind::Linear, Warmup::Steps(20)));
    assert_eq!(training.phases()[1].epochs, Some(5));
    assert_eq!(recipe.details.method.adapter().expect("an adapter").targets, ["q_proj"]);
    assert_eq!(training.checkpoint.every, Every::Steps(50));
    assert_eq!(recipe.details.data.validation, Some(ValidationSettings::Share(0.1)));
    assert_eq!(training.stop, Some(StopSettings { improvement: 0.05, epochs: 2 }));
    // In an empty recipe, sections are made.
    let recipe = read("", &["model.hidden=512", "model.heads=8", "data.train=my cases.jsonl"]).expect("a recipe");
    let ModelSettings::Scratch(shape) = recipe.details.model else { panic!("no shape") };
    assert_eq!((shape.intermediate, shape.key_value_heads, shape.config().head_size), (1376, 8, 64));
    assert_eq!(recipe.details.data.train, Some("my cases.jsonl".into()));
}

#[test]
fn refusals_say_where_and_what() {
    for (text, overrides, said) in [
        ("seed = 1\n[batch]\ntoken = 5\n", &[][..], "run.toml: line 3: unknown field `token`"),
        ("seed = 1\n\n[optimiser]\nrate = 1\n", &[], "line 3: there is no key \"optimiser\"; there are batch"),
        ("seed = \"x\"\n", &[], "line 1: invalid type: string"),
        ("a b", &[], "line 1: "),
        ("[method]\nkind = \"lorra\"\n", &[], "unknown variant `lorra`"),
        ("[method]\nkind = \"lora\"\nranks = 3\n", &[], "unknown field `ranks`"),
        ("[[phase]]\nepochs = 2\n", &[], "missing field `name`"),
        ("[model]\ncheckpoint = \"m\"\nhidden = 3\n", &[], "leave either it or the shape out"),
        ("[data]\nvalidation = true\n", &[], "expected a file of examples or a share"),
        ("[model]\nheads = 3\n", &[], "hidden (256) must be heads (3) times an even number"),
        ("[method]\nkind = \"lora\"\n", &[], "adapters need model.checkpoint"),
        ("", &["optimizer.rate=fast"], "optimizer.rate=fast: invalid type: string \"fast\""),
        ("", &["optimizer.rates=1"], "optimizer.rates=1: unknown field `rates`"),
        ("seed = 1\n", &["x=2", "y=1"], "x=2: there is no key \"x\""),
        ("seed = 1\n", &["seed.x=2"], "seed.x=2: there is a plain value where \"x\" should be"),
        ("", &["seed"], "seed: write KEY.PATH=VALUE"),
        ("[[phase]]\nname = \"a\"\n", &["phase.1.rate=1"], "\"1\" is not one of the 1 entries"),
        ("", &["seed=1\nthreads=2"], "invalid type: string"),
    ] {
        let overrides: Vec<&str> = overrides.to_vec();
        let problem = read(text, &overrides).expect_err(text);
        assert!(problem.contains(said), "{text:?} {overrides:?}: {problem}");
    }
}

#[test]
fn numbers_of_adapters_are_checked() {
    for (line, key) in [
        ("method.rank=0", "method.rank"),
        ("method.alpha=-1", "method.alpha"),
        ("method.alpha=1e40", "method.alpha"),
        ("method.alpha=1e-60", "method.alpha"),
        ("method.dropout=1", "method.dropout"),
        ("method.dropout=0.99999999", "method.dropout"),
        ("method.targets=[]", "method.targets"),
        ("phase.0.gate={ accuracy = 0.9 }", "gate.accuracy"),
        ("data.validation=1.0", "data.validation"),
        ("data.tokens=0", "data.tokens"),
    ] {
        let problem = read(SCREENING, &[line]).expect_err(line);
        assert!(problem.contains(key), "{problem}");
    }
}
