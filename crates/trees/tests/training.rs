//! Training: what it must reach, and that nothing but table, parameters and seed decides the model.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trees::{Compiled, Model, Parameters, Table, TrainError, Trained, train};

struct Made {
    names: Vec<String>,
    rows: Vec<f64>,
    labels: Vec<f64>,
}

impl Made {
    fn table(&self) -> Table<'_> {
        Table { names: &self.names, rows: &self.rows, labels: &self.labels, weights: None, groups: None }
    }
}

/// Rows of eight features, of which three matter: one by a threshold, one with missing values, one by
/// category.
fn made(count: usize, seed: u64) -> Made {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let names = (0..8).map(|index| format!("f{index}")).collect();
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let mut row: Vec<f64> = (0..8).map(|_| random.random_range(-1.0..1.0)).collect();
        row[2] = f64::from(random.random_range(0..40u32));
        if random.random_bool(0.2) {
            row[1] = f64::NAN;
        }
        let sum = f64::from(u8::from(row[0] > 0.3))
            + f64::from(u8::from(row[1].is_nan()))
            + f64::from(u8::from(row[2] as u32 * 7 % 5 == 1));
        let chance = 1.0 / (1.0 + (3.0 - 3.0 * sum).exp());
        labels.push(f64::from(u8::from(random.random_bool(chance))));
        rows.extend(row);
    }
    Made { names, rows, labels }
}

fn parameters(text: &str) -> Parameters {
    let mut parameters = Parameters::default();
    for pair in text.split_ascii_whitespace() {
        let (name, value) = pair.split_once('=').expect("name=value");
        parameters.set(name, value).expect("a parameter");
    }
    parameters
}

fn run(table: &Table<'_>, text: &str, threads: usize) -> Trained {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| train(table, None, &parameters(text), &mut |_, _| {})).expect("a model")
}

/// Share of pairs in the right order.
fn auc(model: &Model, data: &Made) -> f64 {
    let sums = Compiled::new(model).raw(&data.rows);
    let mut order: Vec<usize> = (0..sums.len()).collect();
    order.sort_by(|a, b| sums[*a].total_cmp(&sums[*b]));
    let (mut below, mut pairs) = (0.0, 0.0);
    for row in order {
        if data.labels[row] == 1.0 { pairs += below } else { below += 1.0 }
    }
    pairs / (below * (data.labels.len() as f64 - below))
}

const SETTINGS: [&str; 5] = [
    "objective=binary num_iterations=20",
    "objective=binary num_iterations=20 categorical_feature=2 min_data_per_group=20",
    "objective=binary num_iterations=20 bagging_freq=2 bagging_fraction=0.6 feature_fraction=0.7 \
     feature_fraction_bynode=0.8 seed=9",
    "objective=regression num_iterations=20 lambda_l1=0.1 lambda_l2=2 max_depth=4",
    "objective=multiclass num_class=2 num_iterations=10",
];

#[test]
fn threads_do_not_change_the_model() {
    let data = made(3000, 1);
    for text in SETTINGS {
        let one = run(&data.table(), text, 1).model.to_text();
        for threads in [2, 3, 5] {
            assert!(one == run(&data.table(), text, threads).model.to_text(), "{text} on {threads} threads");
        }
    }
}

#[test]
fn what_matters_is_learned() {
    let (data, fresh) = (made(4000, 2), made(4000, 3));
    for text in &SETTINGS[..3] {
        let model = run(&data.table(), text, 2).model;
        let reached = auc(&model, &fresh);
        assert!(reached > 0.8, "{text}: {reached}");
        let gains = model.importance();
        let useful: f64 = gains[..3].iter().map(|(_, gain)| gain).sum();
        assert!(useful > 4.0 * gains[3..].iter().map(|(_, gain)| gain).sum::<f64>(), "{text}: {gains:?}");
    }
}

#[test]
fn monotone_features_are_monotone() {
    let data = made(3000, 4);
    let constraints = "monotone_constraints=1,0,0,-1,1,0,0,0";
    let model = run(&data.table(), &format!("objective=binary num_iterations=30 {constraints}"), 1).model;
    for row in data.rows.chunks_exact(8).take(200) {
        let at = |feature: usize, value: f64| {
            let mut row = row.to_vec();
            row[feature] = value;
            model.raw(&row)[0]
        };
        for step in 0..20 {
            let (low, high) = (f64::from(step) / 10.0 - 1.0, f64::from(step + 1) / 10.0 - 1.0);
            assert!(at(0, low) <= at(0, high) && at(4, low) <= at(4, high) && at(3, low) >= at(3, high));
        }
    }
}

#[test]
fn training_stops_early_and_keeps_the_best_rounds() {
    let (data, fresh) = (made(600, 5), made(2000, 6));
    let parameters = parameters("objective=binary metric=auc num_iterations=300 early_stopping_round=10 num_leaves=63");
    let validation = fresh.table();
    let trained = train(&data.table(), Some(&validation), &parameters, &mut |_, _| {}).expect("a model");
    assert!(trained.history.len() < 300 && trained.history.len() == trained.rounds + 10);
    let best = trained.history.iter().copied().fold(0.0, f64::max);
    assert!((auc(&trained.model, &fresh) - best).abs() < 0.002, "{best}");
}

#[test]
fn ranking_puts_the_relevant_first() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let names: Vec<String> = (0..3).map(|index| format!("f{index}")).collect();
    let groups = vec![10; 200];
    let rows: Vec<f64> = (0..6000).map(|_| random.random_range(0.0..1.0)).collect();
    let labels: Vec<f64> = rows
        .chunks_exact(3)
        .map(|row| (row[1] * 3.0 + random.random_range(-0.2..0.2)).clamp(0.0, 3.0).floor())
        .collect();
    let table = Table { names: &names, rows: &rows, labels: &labels, weights: None, groups: Some(&groups) };
    let parameters = parameters("objective=lambdarank num_iterations=30 eval_at=5");
    let trained = train(&table, Some(&table), &parameters, &mut |_, _| {}).expect("a model");
    assert!(*trained.history.last().expect("measured") > 0.97, "{:?}", trained.history.last());
}

#[test]
fn what_cannot_be_trained_on_is_refused() {
    let data = made(100, 8);
    let one_class = vec![1.0; 100];
    let table = Table { labels: &one_class, ..data.table() };
    let binary = parameters("objective=binary");
    let none = &mut |_, _| {};
    assert_eq!(train(&table, None, &binary, none).expect_err("refused"), TrainError::OneClass);
    let ranking = parameters("objective=lambdarank");
    assert_eq!(train(&data.table(), None, &ranking, none).expect_err("refused"), TrainError::NoGroups);
    let mut labels = data.labels.clone();
    labels[7] = 2.0;
    let table = Table { labels: &labels, ..data.table() };
    assert!(matches!(train(&table, None, &binary, none), Err(TrainError::Label { row: 7, .. })));
    assert!(Parameters::default().set("boosting", "dart").is_err());
    assert!(Parameters::default().set("no_such_thing", "1").is_err());
    assert!(Parameters::default().set("learning_rate", "-1").is_err());
}

#[test]
fn a_written_model_reads_back_the_same() {
    let data = made(1000, 9);
    for text in SETTINGS {
        let model = run(&data.table(), text, 1).model;
        assert_eq!(Model::parse(&model.to_text()).expect("our own text"), model, "{text}");
    }
}
