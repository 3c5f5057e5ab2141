//! The structured transformer: gradients against differences, files, neighbours, and that it learns.

use lm::multihead::{Head, HeadKind, Labelled, Multihead, MultiheadConfig, Record};
use lm::train::{Optimizer, OptimizerSettings};
use lm::{Precision, Trainee};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn config() -> MultiheadConfig {
    let classes = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    MultiheadConfig {
        global_numbers: 2,
        global_categories: vec![3],
        item_numbers: 1,
        item_categories: vec![4, 2],
        bins: 4,
        hidden: 32,
        layers: 2,
        heads: 2,
        intermediate: 48,
        outputs: vec![
            Head { name: "one".into(), classes: classes(&["a", "b", "c"]), kind: HeadKind::OneOf, weight: 1.0 },
            Head { name: "any".into(), classes: classes(&["x", "y"]), kind: HeadKind::AnyOf, weight: 0.5 },
        ],
    }
}

/// Cases whose answers follow from them: how many items are of kind 3, and whether one of them exceeds a number.
fn cases(count: usize, seed: u64) -> Vec<Labelled> {
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    let case = |_| {
        let items = draw.random_range(0..6);
        let numbers: Vec<f32> = (0..items).map(|_| draw.random_range(0.0..100.0)).collect();
        let kinds: Vec<u32> = (0..items).map(|_| draw.random_range(0..4)).collect();
        let count = kinds.iter().filter(|kind| **kind == 3).count() as u32;
        let large = numbers.iter().zip(&kinds).any(|(number, kind)| *number > 60.0 && *kind == 3);
        let any = [large, items > 3].iter().enumerate().filter(|(_, holds)| **holds).map(|(i, _)| i as u32).collect();
        let record = Record {
            global_numbers: vec![draw.random_range(-1.0..1.0), items as f32],
            global_categories: vec![draw.random_range(0..3)],
            item_numbers: numbers,
            item_categories: kinds.iter().flat_map(|kind| [*kind, draw.random_range(0..2)]).collect(),
        };
        Labelled { record, targets: vec![vec![count.min(2)], any] }
    };
    (0..count).map(case).collect()
}

fn records(cases: &[Labelled]) -> Vec<Record> {
    cases.iter().map(|case| case.record.clone()).collect()
}

fn model(precision: Precision) -> Multihead {
    Multihead::new(config(), &records(&cases(200, 1)), precision, 3).unwrap()
}

#[test]
fn gradients_equal_differences() {
    let mut model = model(Precision::F32);
    for value in &mut model.parameters_mut().values {
        *value *= 4.0;
    }
    let batch = cases(12, 2);
    model.accumulate(&batch, 1.0, 0).unwrap();
    let (values, gradients) = (model.parameters().values.clone(), model.parameters().gradients.clone());
    for span in model.parameters().spans.clone() {
        let norm = gradients[span.range()].iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        assert!(norm > 0.0, "{}", span.name);
        let step = 2e-3 / norm.sqrt();
        let mut moved = |sign: f64| {
            let parameters = model.parameters_mut();
            parameters.values.clone_from(&values);
            for place in span.range() {
                parameters.values[place] += (sign * step * f64::from(gradients[place])) as f32;
            }
            model.evaluate(&batch).unwrap().sum
        };
        let ratio = (moved(1.0) - moved(-1.0)) / (2.0 * step) / norm;
        assert!((ratio - 1.0).abs() < 0.02, "{}: {ratio}", span.name);
    }
}

#[test]
fn answers_survive_files_neighbours_and_threads() {
    for precision in [Precision::F32, Precision::Bf16] {
        let mut model = model(precision);
        let records = records(&cases(50, 5));
        let all = model.answer(&records).unwrap();
        let folder = tempfile::tempdir().unwrap();
        model.export(folder.path()).unwrap();
        let mut again = Multihead::open(folder.path(), precision).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for (record, expected) in records.iter().zip(&all) {
            let alone = pool.install(|| again.answer(std::slice::from_ref(record)).unwrap());
            assert!(alone[0] == *expected);
        }
        for heads in &all {
            assert!((heads[0].iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn computing_activations_again_changes_no_bit() {
    for precision in [Precision::F32, Precision::Bf16] {
        let gradients = |recompute: bool| {
            let mut model = model(precision);
            model.recompute(recompute);
            model.accumulate(&cases(20, 5), 1.0, 0).unwrap();
            model.parameters().gradients.clone()
        };
        assert!(gradients(true) == gradients(false), "{precision:?}");
    }
}

#[test]
fn weights_of_heads_that_are_no_numbers_are_refused() {
    for weight in [-0.5, f32::NAN, f32::INFINITY] {
        let mut config = config();
        config.outputs[1].weight = weight;
        assert!(config.check().unwrap_err().contains("\"any\""), "{weight}");
    }
    let mut config = config();
    config.outputs[1].weight = 0.0;
    assert_eq!(config.check(), Ok(()));
}

#[test]
fn it_learns_what_follows_from_the_items() {
    let mut model = model(Precision::Bf16);
    let settings = OptimizerSettings { rate: 3e-3, ..OptimizerSettings::default() };
    let mut optimizer = Optimizer::new(&settings, model.parameters().values.len());
    for step in 0..250 {
        model.accumulate(&cases(64, 100 + step), 1.0 / 64.0, 0).unwrap();
        optimizer.step(model.parameters_mut(), settings.rate, 1.0);
    }
    let fresh = cases(500, 9);
    let answers = model.answer(&records(&fresh)).unwrap();
    let right = answers.iter().zip(&fresh).filter(|(heads, case)| {
        let best = (0..3).max_by(|a, b| heads[0][*a].total_cmp(&heads[0][*b])).unwrap();
        case.targets[0] == [best as u32]
    });
    let right = right.count();
    assert!(right > 480, "{right} of 500");
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut model = model(Precision::F32);
    let mut case = cases(1, 1).remove(0);
    case.targets[0] = vec![7];
    assert!(model.accumulate(&vec![case.clone()], 1.0, 0).is_err());
    case.record.global_numbers.pop();
    assert!(model.answer(&[case.record]).is_err());
    let folder = tempfile::tempdir().unwrap();
    model.export(folder.path()).unwrap();
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"format\": 1", "\"format\": 9")).unwrap();
    let error = Multihead::open(folder.path(), Precision::F32).unwrap_err().to_string();
    assert!(error.contains("format 9"), "{error}");
    std::fs::write(&path, text.replace("\"hidden\": 32", "\"hidden\": 33")).unwrap();
    assert!(Multihead::open(folder.path(), Precision::F32).is_err());
}
