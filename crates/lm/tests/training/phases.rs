//! Length, early stop, gates and the best weights.

use crate::perceptron::{Examples, Perceptron};
use crate::watch::{Folder, Watch, recipe, run};
use lm::train::{Ending, Summary};

fn trained(name: &str, text: &str, examples: &mut Examples) -> (lm::Result<Summary>, Watch, Vec<u32>) {
    let folder = Folder::new(name);
    let mut watch = Watch::default();
    let mut perceptron = Perceptron::new();
    let summary = run(&folder, &recipe(text), &mut perceptron, examples, &mut watch);
    (summary, watch, perceptron.bits())
}

#[test]
fn each_phase_has_its_own_schedule() {
    let text = "[schedule]\nkind = \"linear\"\n[[phase]]\nname = \"a\"\nsteps = 4\nrate = 0.4\n\
                [[phase]]\nname = \"b\"\nsteps = 2\nrate = 0.02\n";
    let (summary, watch, _) = trained("schedules", text, &mut Examples::default());
    let rates: Vec<f64> = watch.steps.iter().map(|step| step.rate).collect();
    for (rate, expected) in rates.iter().zip([0.4, 0.3, 0.2, 0.1, 0.02, 0.01]) {
        assert!((rate - expected).abs() < 1e-12, "{rates:?}");
    }
    assert_eq!(watch.steps[0].total, Some(6));
    let summary = summary.expect("a run");
    assert_eq!(summary.phases.iter().map(|phase| phase.steps).collect::<Vec<_>>(), [4, 2]);
}

#[test]
fn the_best_weights_are_put_back_if_that_is_wanted() {
    let text = "epochs = 5\n[optimizer]\nrate = 0.5\n[schedule]\nkind = \"constant\"\n[checkpoint]\nkeep = 1\n";
    let (summary, watch, best) = trained("best", text, &mut Examples::default());
    let summary = summary.expect("a run");
    let lowest = watch.validations.iter().rfind(|validation| validation.best).expect("a validation");
    assert!(lowest.step < 70, "the last weights are not the best, or this tests nothing");
    assert_eq!(summary.phases[0].weights_of_step, lowest.step);
    let (summary, _, last) = trained("last", &format!("{text}restore_best = false\n"), &mut Examples::default());
    assert_eq!(summary.expect("a run").phases[0].weights_of_step, 70);
    assert_ne!(best, last);
    let short = text.replace("epochs = 5", &format!("steps = {}", lowest.step));
    let (_, _, reached) = trained("short", &short, &mut Examples::default());
    assert_eq!(best, reached);
}

#[test]
fn a_gate_that_is_not_passed_ends_the_run() {
    let gated = |gate: &str| {
        format!("epochs = 1\n[[phase]]\nname = \"easy\"\ngate = {{ {gate} }}\n[[phase]]\nname = \"hard\"\n")
    };
    let with_accuracy = || Examples { accuracy: Some(0.8), ..Examples::default() };
    for (gate, passes) in
        [("loss = 100.0", true), ("loss = 1e-9", false), ("accuracy = 0.8", true), ("accuracy = 0.81", false)]
    {
        let (summary, watch, _) = trained("gate", &gated(gate), &mut with_accuracy());
        let summary = summary.expect("a run");
        assert_eq!(summary.ending == Ending::Gate, !passes, "{gate}");
        assert_eq!(summary.phases.len(), if passes { 2 } else { 1 });
        assert_eq!(watch.notes.iter().any(|note| note.contains("did not pass its gate")), !passes);
    }
    let (error, ..) = trained("no-accuracy", &gated("accuracy = 0.5"), &mut Examples::default());
    assert!(error.expect_err("no accuracy").to_string().contains("asks for an accuracy"));
    let mut bare = Examples { validation: 0, ..Examples::default() };
    let (error, watch, _) = trained("no-validation", &gated("loss = 0.5"), &mut bare);
    assert!(error.expect_err("no validation data").to_string().contains("needs validation data"));
    assert!(watch.steps.is_empty());
}

#[test]
fn data_without_end_is_measured_in_steps_or_minutes() {
    let endless = || Examples { endless: true, ..Examples::default() };
    let (summary, watch, _) = trained("endless", "steps = 20\n[checkpoint]\nevery = 6\n", &mut endless());
    assert_eq!(summary.expect("a run").steps, 20);
    assert_eq!(watch.validations.iter().map(|v| v.step).collect::<Vec<_>>(), [6, 12, 18, 20]);
    let (error, ..) = trained("endless-epochs", "epochs = 2\n", &mut endless());
    assert!(error.expect_err("no end").to_string().contains("give steps or minutes"));
    let (summary, ..) =
        trained("endless-minutes", "minutes = 0.0001\n[schedule]\nkind = \"constant\"\n", &mut endless());
    assert!(summary.expect("a run").steps > 0);
}

#[test]
fn a_run_of_minutes_can_be_repeated_by_its_steps() {
    let text = "minutes = 0.002\n[optimizer]\nrate = 0.01\n[schedule]\nwarmup = 12\n";
    let mut endless = Examples { endless: true, ..Examples::default() };
    let (summary, watch, bits) = trained("minutes", text, &mut endless);
    let summary = summary.expect("a run");
    assert!(summary.steps > 24, "{}", summary.steps);
    assert_eq!((watch.steps[5].total, watch.steps[12].total), (None, Some(summary.steps)));
    let rates: Vec<f64> = watch.steps.iter().map(|step| step.rate).collect();
    assert!(rates[rates.len() - 1] < 0.05 * rates[12], "{rates:?}");
    let text = text.replace("minutes = 0.002", &format!("steps = {}", summary.steps));
    let (_, watch, again) = trained("steps", &text, &mut endless);
    assert_eq!(watch.steps.iter().map(|step| step.rate).collect::<Vec<_>>(), rates);
    assert_eq!(again, bits);
}
