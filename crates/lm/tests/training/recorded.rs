//! Optimisers, clipping and schedules against what `torch` and `transformers` recorded.

use lm::Parameters;
use lm::train::{Optimizer, OptimizerKind, OptimizerSettings, Schedule, ScheduleKind, Warmup, clip, norm};
use serde::Deserialize;
use serde::de::DeserializeOwned;

fn recorded<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/tests/fixtures/kernels/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("a fixture")).expect("a fixture")
}

#[derive(Deserialize)]
struct Optimisers {
    start: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    adamw: Steps,
    lion: Steps,
}

#[derive(Deserialize)]
struct Steps {
    lr: f64,
    betas: [f64; 2],
    #[serde(default)]
    eps: Option<f64>,
    weight_decay: f64,
    after: Vec<Vec<f32>>,
}

#[test]
fn optimisers_step_as_recorded() {
    let recorded: Optimisers = recorded("optimisers");
    for (kind, steps) in [(OptimizerKind::AdamW, &recorded.adamw), (OptimizerKind::Lion, &recorded.lion)] {
        let settings = OptimizerSettings {
            kind,
            betas: Some(steps.betas),
            epsilon: steps.eps.unwrap_or(1e-8),
            weight_decay: steps.weight_decay,
            ..OptimizerSettings::default()
        };
        let mut parameters = Parameters::default();
        parameters.add("vector", &[recorded.start.len()], true);
        parameters.values.copy_from_slice(&recorded.start);
        let mut optimizer = Optimizer::new(&settings, recorded.start.len());
        assert_eq!(recorded.gradients.len(), steps.after.len());
        for (number, (gradients, after)) in recorded.gradients.iter().zip(&steps.after).enumerate() {
            parameters.gradients.copy_from_slice(gradients);
            optimizer.step(&mut parameters, steps.lr, 1.0);
            for (value, expected) in parameters.values.iter().zip(after) {
                // Operations are rounded one by one here, some of them together there.
                let close = (value - expected).abs() <= 3e-7 * expected.abs().max(0.1);
                assert!(close, "{kind:?} step {number}: {value} {expected}");
            }
        }
    }
}

#[derive(Deserialize)]
struct Clipping {
    limit: f64,
    gradients: Vec<Vec<f32>>,
    norm: f64,
    clipped: Vec<Vec<f32>>,
}

#[test]
fn gradients_are_clipped_as_recorded() {
    for case in recorded::<Vec<Clipping>>("clipping") {
        let gradients = case.gradients.concat();
        let norm = norm(&gradients);
        assert!((norm / case.norm - 1.0).abs() < 2e-7, "{norm} {}", case.norm);
        let scale = clip(norm, Some(case.limit)) as f32;
        for (gradient, expected) in gradients.iter().zip(case.clipped.concat()) {
            assert!((gradient * scale - expected).abs() <= 2e-7 * expected.abs(), "{gradient} {scale} {expected}");
        }
    }
}

#[derive(Deserialize)]
struct Rates {
    shape: ScheduleKind,
    warmup: u64,
    total: u64,
    rates: Vec<f64>,
}

#[test]
fn rates_are_those_recorded() {
    let cases: Vec<Rates> = recorded("schedules");
    assert!(cases.iter().any(|case| case.shape == ScheduleKind::Linear));
    for case in &cases {
        let schedule = Schedule { kind: case.shape, warmup: Warmup::Steps(case.warmup) };
        for (step, expected) in case.rates.iter().enumerate() {
            let factor = schedule.factor(step as u64, Some(case.total));
            assert!((factor - expected).abs() < 1e-15, "{:?} {step}: {factor} {expected}", case.shape);
        }
    }
}
