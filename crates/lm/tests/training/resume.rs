//! Stopped at any moment and resumed, a run is the run that was never stopped.

use crate::perceptron::{Examples, Perceptron};
use crate::watch::{Folder, Watch, recipe, run};
use lm::train::{Ending, Training};
use lm::{Error, Trainee};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Two phases, the first of which ends early, with the best weights put back.
fn training() -> Training {
    recipe(
        "epochs = 4\nseed = 5\n[batch]\naccumulate = 4\n[optimizer]\nrate = 0.05\n[schedule]\nwarmup = 2\n\
         [stop]\nimprovement = 0.3\nepochs = 1\n[[phase]]\nname = \"easy\"\n[[phase]]\nname = \"hard\"\nrate = 0.4\n",
    )
}

fn examples() -> Examples {
    Examples { noise: 0.3, ..Examples::default() }
}

/// Weights and loss curve of a run, resumed if it was begun.
fn finish(folder: &Folder) -> (Vec<u32>, Vec<String>, Watch) {
    let mut watch = Watch::default();
    let mut perceptron = Perceptron::new();
    let summary = run(folder, &training(), &mut perceptron, &mut examples(), &mut watch).expect("a run");
    assert_ne!(summary.ending, Ending::Interrupted);
    assert_eq!(fs::read_to_string(folder.path("model/values")).expect("values"), format!("{:?}", perceptron.bits()));
    (perceptron.bits(), folder.curve(), watch)
}

fn uninterrupted(name: &str) -> (Vec<u32>, Vec<String>) {
    let folder = Folder::new(name);
    let (bits, curve, watch) = finish(&folder);
    // The case is worth testing only if an early stop and a return to better weights happen in it.
    assert!(watch.notes.iter().any(|note| note.contains("stopped early")));
    assert!(watch.steps.iter().any(|step| step.phase == 1));
    assert!(!watch.validations.last().expect("a validation").best);
    (bits, curve)
}

/// Kills a run at a step.
fn kill(folder: &Folder, step: u64) {
    let mut watch = Watch { panics_at: Some(step), ..Watch::default() };
    let died = catch_unwind(AssertUnwindSafe(|| {
        run(folder, &training(), &mut Perceptron::new(), &mut examples(), &mut watch)
    }));
    assert!(died.is_err());
}

#[test]
fn killed_at_any_step() {
    let (bits, curve) = uninterrupted("whole-kill");
    let steps = curve.iter().filter(|line| line.contains("gradient_norm")).count() as u64;
    assert!(steps > 12, "{steps}");
    for step in 1..=steps {
        let folder = Folder::new("kill");
        kill(&folder, step);
        let (resumed, again, _) = finish(&folder);
        assert_eq!(resumed, bits, "killed at {step}");
        assert_eq!(again, curve, "killed at {step}");
    }
}

#[test]
fn stopped_politely_at_any_step_nothing_is_done_twice() {
    let (bits, curve) = uninterrupted("whole-stop");
    let folder = Folder::new("stop");
    let mut steps = Vec::new();
    loop {
        let stops_at = Some(steps.len() as u64 + 1);
        let mut watch = Watch { stops_at, ..Watch::default() };
        let mut perceptron = Perceptron::new();
        let summary = run(&folder, &training(), &mut perceptron, &mut examples(), &mut watch).expect("a run");
        steps.extend(watch.steps.iter().map(|step| step.step));
        if summary.ending != Ending::Interrupted {
            assert_eq!(perceptron.bits(), bits);
            break;
        }
        assert!(!folder.path("summary.json").exists());
    }
    assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>());
    assert_eq!(folder.curve(), curve);
}

#[test]
fn killed_while_saving_and_while_logging() {
    let (bits, curve) = uninterrupted("whole-part");
    let folder = Folder::new("part");
    kill(&folder, 7);
    // A checkpoint that was being written, older ones not yet removed, and half a line of the log.
    let part = folder.path("checkpoints/step-12.part");
    fs::create_dir_all(&part).expect("a folder");
    fs::write(part.join("state.safetensors"), b"half").expect("half a file");
    let mut log = fs::read(folder.path("log.jsonl")).expect("a log");
    log.extend_from_slice(b"{\"step\": 8, \"pha");
    fs::write(folder.path("log.jsonl"), log).expect("a log");
    let (resumed, again, watch) = finish(&folder);
    assert_eq!((resumed, again), (bits, curve));
    assert!(watch.notes.iter().all(|note| !note.contains("checkpoint")));
    assert!(!part.exists());
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let (bits, curve) = uninterrupted("whole-damage");
    for (file, at) in [("state.safetensors", 700), ("cursor.json", 40), ("SHA256SUMS", 3), ("state.safetensors", 2)] {
        let folder = Folder::new("damage");
        kill(&folder, 9);
        let checkpoints = folder.names("checkpoints");
        assert_eq!(checkpoints, ["step-4", "step-8"]);
        let path = folder.path("checkpoints/step-8").join(file);
        let mut bytes = fs::read(&path).expect("a file");
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).expect("a damaged file");
        let (resumed, again, watch) = finish(&folder);
        assert_eq!((&resumed, &again), (&bits, &curve), "{file}");
        assert!(watch.notes[0].contains("step-8.damaged") && watch.notes[0].contains("step-8"), "{:?}", watch.notes);
        assert!(folder.path("checkpoints/step-8.damaged").exists());
        assert_eq!(watch.steps[0].step, 5);
    }
}

#[test]
fn with_no_whole_checkpoint_it_says_so() {
    let folder = Folder::new("all-damaged");
    kill(&folder, 6);
    for name in folder.names("checkpoints") {
        fs::write(folder.path("checkpoints").join(name).join("state.safetensors"), b"").expect("a damaged file");
    }
    let names = folder.names("checkpoints");
    // The second time as well: a run is not begun anew because it could not go on.
    for _ in 0..2 {
        let error = run(&folder, &training(), &mut Perceptron::new(), &mut examples(), &mut Watch::default());
        assert!(error.expect_err("no checkpoint").to_string().contains("no checkpoint is whole"));
        assert_eq!(folder.names("checkpoints"), names);
    }
}

#[test]
fn a_checkpoint_of_another_model_is_named_and_all_are_left_as_they_were() {
    let (bits, curve) = uninterrupted("whole-other");
    let folder = Folder::new("other");
    kill(&folder, 9);
    for _ in 0..2 {
        let mut other = Perceptron::new();
        other.parameters_mut().add("more", &[2], true);
        let error = run(&folder, &training(), &mut other, &mut examples(), &mut Watch::default());
        let error = error.expect_err("a tensor is missing").to_string();
        assert!(error.contains("step-8") && error.contains("more"), "{error}");
        assert_eq!(folder.names("checkpoints"), ["step-4", "step-8"]);
    }
    let (resumed, again, _) = finish(&folder);
    assert_eq!((resumed, again), (bits, curve));
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_not_taken_for_damaged() {
    let folder = Folder::new("unreadable");
    kill(&folder, 9);
    // A folder in a file's place can be read by nobody, the superuser included.
    let (path, kept) = (folder.path("checkpoints/step-8/state.safetensors"), folder.path("kept"));
    fs::rename(&path, &kept).expect("a file");
    fs::create_dir(&path).expect("a folder");
    let error = run(&folder, &training(), &mut Perceptron::new(), &mut examples(), &mut Watch::default());
    assert!(matches!(error.expect_err("no file"), Error::Io { .. }));
    assert_eq!(folder.names("checkpoints"), ["step-4", "step-8"]);
}

#[test]
fn what_is_no_number_stops_the_run_and_leaves_the_checkpoint() {
    let (bits, curve) = uninterrupted("whole-nan");
    let good = {
        let folder = Folder::new("good");
        let mut perceptron = Perceptron::new();
        let mut watch = Watch { stops_at: Some(5), ..Watch::default() };
        run(&folder, &training(), &mut perceptron, &mut examples(), &mut watch).expect("a run");
        perceptron.bits()
    };
    for (fails_at, overflows_at, said) in [(Some(22), None, "loss"), (None, Some(22), "gradient norm")] {
        let folder = Folder::new("nan");
        let mut perceptron = Perceptron::new();
        (perceptron.fails_at, perceptron.overflows_at) = (fails_at, overflows_at);
        let mut watch = Watch::default();
        let error = run(&folder, &training(), &mut perceptron, &mut examples(), &mut watch).expect_err("no number");
        assert!(matches!(error, Error::NotFinite { what, step: 6 } if what == said), "{error}");
        assert_eq!(watch.steps.last().map(|step| step.step), Some(5));
        assert_eq!(perceptron.bits(), good);
        assert_eq!(folder.names("checkpoints"), ["step-4"]);
        let (resumed, again, _) = finish(&folder);
        assert_eq!((&resumed, &again), (&bits, &curve));
    }
}

#[test]
fn resuming_a_run_that_has_ended_trains_no_further() {
    let folder = Folder::new("ended");
    let (bits, curve, _) = finish(&folder);
    let (again, same, watch) = finish(&folder);
    assert_eq!((again, same), (bits, curve));
    assert!(watch.steps.is_empty());
}
