//! Whatever text comes in, the answer is a model that runs or an error. `ROBUSTNESS_SECONDS` sets how long
//! to try.

use std::path::Path;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trees::{Compiled, Level, Model, Predictor};

#[test]
fn damaged_models_do_not_panic() {
    let seconds = std::env::var("ROBUSTNESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let end = Instant::now() + Duration::from_secs(seconds);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let texts: Vec<String> = ["binary_nan", "categorical_wide", "multiclass", "rf"]
        .iter()
        .map(|name| std::fs::read_to_string(folder.join(format!("{name}.model.txt"))).expect("a model"))
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let pieces = [
        "num_tree_per_iteration=1000000000000",
        "max_feature_idx=-1",
        "num_leaves=4000000000",
        "-1",
        "0",
        "99999999999",
        "1e308",
        "nan",
        "inf",
        "=",
        "\n",
        " ",
        "Tree=",
        "num_cat=1",
        "",
        "-2147483648",
    ];
    let mut ran = 0;
    while Instant::now() < end {
        let text = &texts[random.random_range(0..texts.len())];
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..random.random_range(1..4) {
            let start = random.random_range(0..bytes.len());
            let stop = (start + random.random_range(0..12)).min(bytes.len());
            let piece = pieces[random.random_range(0..pieces.len())];
            bytes.splice(start..stop, piece.bytes());
        }
        let text = String::from_utf8_lossy(&bytes);
        let Ok(model) = Model::parse(&text) else { continue };
        if model.features() > 100 {
            continue;
        }
        ran += 1;
        let compiled = Compiled::new(&model);
        let rows: Vec<f64> = (0..model.features() * 70).map(|_| random.random_range(-3.0..3.0)).collect();
        let mut sums = vec![0.0; 70 * model.classes];
        Predictor::new(&compiled).raw(&rows, &mut sums);
        let mut twin = vec![0.0; sums.len()];
        Predictor::at_level(&compiled, Level::Portable).raw(&rows, &mut twin);
        let bits = |list: &[f64]| list.iter().map(|x| if x.is_nan() { 0 } else { x.to_bits() }).collect::<Vec<_>>();
        assert_eq!(bits(&sums), bits(&twin));
        if compiled.explains() {
            compiled.contributions(&rows);
        }
        sums.chunks_exact_mut(model.classes).for_each(|row| model.transform(row));
    }
    assert!(ran > 50, "only {ran} damaged models could be run");
}
