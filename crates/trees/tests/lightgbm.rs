//! Equality with LightGBM: models that it trained, rows at the edges of what floats can be, and what it
//! answered (`oracles/lightgbm/record.py`).

use std::path::{Path, PathBuf};

use serde_json::Value;
use trees::{Compiled, Level, Model, Predictor, Problem};

const LEVELS: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];

struct Fixture {
    name: String,
    model: Model,
    rows: Vec<f64>,
    expected: Vec<Value>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn fixtures() -> Vec<Fixture> {
    let mut list = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("the fixtures") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let Some(name) = file.strip_suffix(".expected.jsonl") else { continue };
        let read = |ending: &str| std::fs::read_to_string(folder().join(format!("{name}.{ending}"))).expect("a file");
        let model = Model::parse(&read("model.txt")).unwrap_or_else(|error| panic!("{name}: {error}"));
        let cell = |text: &str| if text.is_empty() { f64::NAN } else { text.parse().expect("a number") };
        let rows = read("rows.csv").lines().skip(1).flat_map(|line| line.split(',').map(cell)).collect();
        let lines = read("expected.jsonl");
        let expected = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        list.push(Fixture { name: name.to_owned(), model, rows, expected });
    }
    assert!(list.len() > 20, "only {} fixtures", list.len());
    list
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().map(|item| item.as_f64().expect("a number")).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}

fn bits(list: &[f64]) -> Vec<u64> {
    list.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn scores_are_lightgbms_bit_for_bit() {
    for fixture in fixtures() {
        let compiled = Compiled::new(&fixture.model);
        let (features, classes) = (compiled.features(), compiled.classes());
        for level in LEVELS {
            let mut raw = vec![0.0; fixture.rows.len() / features * classes];
            Predictor::at_level(&compiled, level).raw(&fixture.rows, &mut raw);
            for (index, expected) in fixture.expected.iter().enumerate() {
                let row = &mut raw[index * classes..(index + 1) * classes];
                let plain = fixture.model.raw(&fixture.rows[index * features..(index + 1) * features]);
                let place = format!("{} row {index} at {}", fixture.name, level.name());
                assert_eq!(bits(row), bits(&numbers(&expected["raw"])), "raw, {place}");
                assert_eq!(bits(row), bits(&plain), "plain, {place}");
                fixture.model.transform(row);
                assert_eq!(bits(row), bits(&numbers(&expected["score"])), "score, {place}");
            }
        }
    }
}

#[test]
fn contributions_are_lightgbms() {
    for fixture in fixtures() {
        let compiled = Compiled::new(&fixture.model);
        let width = (compiled.features() + 1) * compiled.classes();
        let mut first: Option<Vec<f64>> = None;
        for level in LEVELS {
            let mut out = vec![0.0; fixture.expected.len() * width];
            Predictor::at_level(&compiled, level).contributions(&fixture.rows, &mut out);
            for (index, expected) in fixture.expected.iter().enumerate() {
                let expected = numbers(&expected["contributions"]);
                for (ours, theirs) in out[index * width..(index + 1) * width].iter().zip(&expected) {
                    // Values may be large (a regression's target): compare on their own scale.
                    let scale = expected.iter().fold(1.0f64, |scale, value| scale.max(value.abs()));
                    assert!((ours - theirs).abs() <= 1e-12 * scale, "{} row {index}: {ours} {theirs}", fixture.name);
                }
            }
            match &first {
                Some(first) => assert_eq!(bits(first), bits(&out), "{} at {}", fixture.name, level.name()),
                None => first = Some(out),
            }
        }
    }
}

#[test]
fn a_row_is_the_same_alone_and_in_a_batch() {
    for fixture in fixtures() {
        let compiled = Compiled::new(&fixture.model);
        let features = compiled.features();
        let rows: Vec<f64> = fixture.rows.repeat(8);
        let (raw, contributions) = (compiled.raw(&rows), compiled.contributions(&rows));
        let mut predictor = Predictor::new(&compiled);
        let width = contributions.len() / (rows.len() / features);
        for (index, row) in rows.chunks_exact(features).enumerate() {
            let mut alone = vec![0.0; compiled.classes()];
            predictor.raw(row, &mut alone);
            assert_eq!(bits(&alone), bits(&raw[index * alone.len()..(index + 1) * alone.len()]), "{}", fixture.name);
            let mut alone = vec![0.0; width];
            predictor.contributions(row, &mut alone);
            assert_eq!(bits(&alone), bits(&contributions[index * width..(index + 1) * width]), "{}", fixture.name);
        }
    }
}

#[test]
fn what_is_written_reads_back_the_same() {
    for fixture in fixtures() {
        let again = Model::parse(&fixture.model.to_text()).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        assert_eq!(again, fixture.model, "{}", fixture.name);
    }
}

#[test]
fn linear_trees_are_refused_by_name() {
    let text = std::fs::read_to_string(folder().join("linear_tree.model.txt")).expect("the model");
    let error = Model::parse(&text).expect_err("refused");
    assert_eq!(error.problem, Problem::Unsupported("linear trees"));
}
