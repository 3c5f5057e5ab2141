//! What training comes to, and what it does not depend on.

use crate::perceptron::{Examples, Perceptron};
use crate::watch::{Folder, Watch, recipe, run};
use lm::Trainee;
use lm::train::Ending;

const RECIPE: &str = "epochs = 6\nseed = 3\n[batch]\naccumulate = 3\n[optimizer]\nrate = 0.03\nweight_decay = 0.01\n\
                      [schedule]\nwarmup = 0.1\n";

#[test]
fn the_loss_falls_and_the_folder_tells_how() {
    let folder = Folder::new("learning");
    let mut watch = Watch::default();
    let mut perceptron = Perceptron::new();
    let summary = run(&folder, &recipe(RECIPE), &mut perceptron, &mut Examples::default(), &mut watch).expect("a run");
    // 14 micro-batches are five steps an epoch, the last of them of two.
    assert_eq!((summary.steps, summary.items, summary.ending), (30, 240, Ending::Length));
    assert_eq!(watch.steps.iter().filter(|step| step.items == 4).count(), 6);
    assert_eq!(watch.steps.len(), 30);
    assert_eq!(watch.steps[29].total, Some(30));
    assert_eq!(watch.steps[29].remaining, Some(std::time::Duration::ZERO));
    assert_eq!(watch.steps[0].rate, 0.0);
    let first = watch.validations[0].loss;
    let last = watch.validations[5].loss;
    assert!(last < 0.5 * first, "{first} {last}");
    assert_eq!(summary.phases[0].validation_loss, watch.validations.iter().map(|v| v.loss).reduce(f64::min));

    let lines = folder.lines("log.jsonl");
    assert_eq!(lines.len(), 30);
    for (line, step) in lines.iter().zip(&watch.steps) {
        assert_eq!(line["loss"].as_f64(), Some(step.loss));
        assert_eq!(line["step"].as_u64(), Some(step.step));
    }
    assert_eq!(folder.lines("validation.jsonl").len(), 6);
    assert_eq!(
        folder.names("."),
        [
            "checkpoints",
            "log.jsonl",
            "loss.svg",
            "model",
            "recipe.json",
            "report.html",
            "summary.json",
            "validation.jsonl"
        ]
    );
    assert_eq!(folder.names("checkpoints/step-30"), ["SHA256SUMS", "cursor.json", "state.safetensors"]);
    let report = std::fs::read_to_string(folder.path("report.html")).expect("a report");
    assert!(report.contains("30 steps, 240 items") && report.contains("class=\"validation\""));
    assert!(watch.notes.is_empty());
}

#[test]
fn micro_batches_add_up_to_the_batch() {
    let train = |name: &str, size, accumulate| {
        let folder = Folder::new(name);
        let mut perceptron = Perceptron::new();
        perceptron.dropout = false;
        let mut examples = Examples { size, ..Examples::default() };
        let mut watch = Watch::default();
        let text = format!("steps = 5\n[optimizer]\nrate = 0.01\nclip = 0.0\n[batch]\naccumulate = {accumulate}\n");
        run(&folder, &recipe(&text), &mut perceptron, &mut examples, &mut watch).expect("a run");
        let losses: Vec<f64> = watch.steps.iter().map(|step| step.loss).collect();
        (losses, perceptron.parameters().values.clone())
    };
    let (losses, values) = train("whole", 12, 1);
    let (again, same) = train("parts", 3, 4);
    assert_eq!(losses.len(), 5);
    for (a, b) in losses.iter().zip(&again) {
        assert!((a - b).abs() < 1e-6, "{losses:?} {again:?}");
    }
    for (a, b) in values.iter().zip(&same) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let train = |threads: usize| {
        let folder = Folder::new(&format!("threads-{threads}"));
        let training = recipe(RECIPE);
        let mut perceptron = Perceptron::new();
        let pool = lm::train::Training { threads, ..training.clone() }.pool().expect("a pool");
        assert_eq!(pool.current_num_threads(), threads);
        pool.install(|| {
            run(&folder, &training, &mut perceptron, &mut Examples::default(), &mut Watch::default()).expect("a run");
        });
        (perceptron.bits(), folder.curve())
    };
    assert_eq!(train(1), train(3));
}

#[test]
fn the_seed_matters() {
    let train = |seed: u64| {
        let folder = Folder::new(&format!("seed-{seed}"));
        let training = recipe(&RECIPE.replace("seed = 3", &format!("seed = {seed}")));
        let mut perceptron = Perceptron::new();
        run(&folder, &training, &mut perceptron, &mut Examples::default(), &mut Watch::default()).expect("a run");
        perceptron.bits()
    };
    assert_ne!(train(3), train(4));
}

#[test]
fn what_counts_nothing_is_passed_over() {
    let folder = Folder::new("uncounted");
    let mut watch = Watch::default();
    let mut examples = Examples { uncounted: |index| index % 2 == 1, ..Examples::default() };
    let summary = run(&folder, &recipe("epochs = 2\n"), &mut Perceptron::new(), &mut examples, &mut watch);
    assert_eq!(summary.expect("a run").steps, 14);
    assert!(watch.steps.iter().all(|step| step.loss.is_finite()));

    let folder = Folder::new("nothing-counted");
    let mut examples = Examples { uncounted: |_| true, ..Examples::default() };
    let error = run(&folder, &recipe("steps = 9\n"), &mut Perceptron::new(), &mut examples, &mut watch);
    assert!(error.expect_err("nothing to learn").to_string().contains("nothing in the training data"));
    let folder = Folder::new("empty");
    let mut examples = Examples { examples: 0, ..Examples::default() };
    let error = run(&folder, &recipe("steps = 9\n"), &mut Perceptron::new(), &mut examples, &mut watch);
    assert!(error.expect_err("nothing to learn").to_string().contains("nothing in the training data"));
}
