//! `probity bench trees`: scores and explanations a second, at every level that the processor has.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, Value, json};
use trees::{Compiled, Level, Model, Predictor};

use super::super::bench::{median, peak_memory_mb};
use super::table::Table;
use crate::exit::{InputError, Outcome, Status};
use crate::streams;

/// Rows of the file that are used; more would only take longer.
const ROWS: usize = 20_000;
/// Rows that are explained in a round.
const EXPLAINED: usize = 2048;
/// Rows that are taken one by one.
const SINGLE: usize = 500;

pub(crate) fn run(model: &PathBuf, rows: &Path, threads: usize, rounds: usize) -> Outcome {
    let text = std::fs::read_to_string(model).unwrap_or_default();
    let parsed = super::load(model)?;
    let features = parsed.features();
    let data = read(&parsed, rows)?;
    let count = data.len() / features;
    let mut load = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        let _ = Model::parse(&text).map(|model| Compiled::new(&model));
        load.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let compiled = Compiled::new(&parsed);
    let mut levels = Map::new();
    for level in [Level::Portable, Level::Avx2, Level::Avx512].into_iter().filter(|level| level.available()) {
        levels.insert(level.name().to_owned(), measure(&compiled, level, &data, threads, rounds));
    }
    let result = json!({
        "engine": "trees",
        "model": model.display().to_string(),
        "trees": parsed.trees.len(),
        "leaves": parsed.trees.iter().map(|tree| tree.leaves.len()).max(),
        "features": features,
        "rows": count,
        "threads": threads,
        "rounds": rounds,
        "level": Level::detect().name(),
        "levels": levels,
        "load_ms": median(&mut load),
        "peak_memory_mb": peak_memory_mb(),
    });
    streams::print(&format!("{result}\n"))?;
    Ok(Status::Done)
}

fn read(model: &Model, path: &Path) -> anyhow::Result<Vec<f64>> {
    let mut table = Table::open(path)?;
    let columns = table.features(&model.feature_names)?;
    let mut rows = Vec::new();
    while rows.len() < ROWS * columns.len() {
        match table.next(&columns, &mut rows) {
            None => break,
            Some(Ok(_)) => {}
            Some(Err(bad)) => {
                return Err(InputError(format!("{}, line {}: {}", path.display(), bad.line, bad.problem)).into());
            }
        }
    }
    if rows.is_empty() { Err(InputError(format!("{} has no rows", path.display())).into()) } else { Ok(rows) }
}

fn measure(compiled: &Compiled, level: Level, rows: &[f64], threads: usize, rounds: usize) -> Value {
    let features = compiled.features();
    let width = (features + 1) * compiled.classes();
    let rate = |rows: &[f64], run: &(dyn Fn(&mut Predictor<'_>, &[f64]) + Sync)| {
        let count = rows.len() / features;
        let mut rates: Vec<f64> = (0..rounds)
            .map(|_| {
                let start = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| run(&mut Predictor::at_level(compiled, level), rows));
                    }
                });
                (count * threads) as f64 / start.elapsed().as_secs_f64()
            })
            .collect();
        median(&mut rates)
    };
    let score = |predictor: &mut Predictor<'_>, rows: &[f64]| {
        let mut out = vec![0.0; rows.len() / features * compiled.classes()];
        predictor.raw(rows, &mut out);
        std::hint::black_box(out);
    };
    let explain = |predictor: &mut Predictor<'_>, rows: &[f64]| {
        let mut out = vec![0.0; rows.len() / features * width];
        predictor.contributions(rows, &mut out);
        std::hint::black_box(out);
    };
    let some = &rows[..rows.len().min(EXPLAINED * features)];
    let mut single = (Vec::new(), Vec::new());
    let mut predictor = Predictor::at_level(compiled, level);
    for row in rows.chunks_exact(features).take(SINGLE) {
        let start = Instant::now();
        score(&mut predictor, row);
        single.0.push(start.elapsed().as_secs_f64() * 1e6);
        if compiled.explains() {
            let start = Instant::now();
            explain(&mut predictor, row);
            single.1.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    json!({
        "scores_per_second": rate(rows, &score),
        "explanations_per_second": compiled.explains().then(|| rate(some, &explain)),
        "single_score_microseconds": median(&mut single.0),
        "single_explanation_microseconds": compiled.explains().then(|| median(&mut single.1)),
    })
}
