//! The run folder: what it refuses, what it keeps, and what a full disk does to it.

use crate::perceptron::{Examples, Perceptron};
use crate::watch::{Folder, Watch, recipe, run};
use lm::Error;
use lm::train::Run;
use std::fs;

const RECIPE: &str = "epochs = 5\nthreads = 1\n[optimizer]\nrate = 0.5\n[schedule]\nkind = \"constant\"\n";

#[test]
fn a_folder_with_files_is_not_written_over() {
    let folder = Folder::new("occupied");
    let training = recipe(RECIPE);
    Run::open(&folder.0, &training, false).expect("a new folder");
    let error = Run::open(&folder.0, &training, false).expect_err("a folder in use");
    assert!(error.to_string().contains("resume the run or choose another folder"), "{error}");
    Run::open(&folder.0, &training, true).expect("the same recipe");

    let foreign = Folder::new("foreign");
    fs::create_dir_all(&foreign.0).expect("a folder");
    fs::write(foreign.path("thesis.txt"), "do not touch").expect("a file");
    assert!(Run::open(&foreign.0, &training, false).is_err());
    let error = Run::open(&foreign.0, &training, true).expect_err("not a run");
    assert!(error.to_string().contains("recipe.json"), "{error}");
    assert_eq!(foreign.names("."), ["thesis.txt"]);
}

#[test]
fn another_recipe_is_refused_by_the_keys_that_differ() {
    let folder = Folder::new("differs");
    Run::open(&folder.0, &recipe(RECIPE), false).expect("a new folder");
    let other = format!(
        "seed = 2\n{}[[phase]]\nname = \"x\"\n",
        RECIPE.replace("0.5", "0.25").replace("threads = 1", "threads = 2")
    );
    let error = Run::open(&folder.0, &recipe(&other), true).expect_err("another recipe").to_string();
    assert!(error.ends_with("these differ: seed, optimizer.rate, phase"), "{error}");
    let threads = recipe(&RECIPE.replace("threads = 1", "threads = 2"));
    Run::open(&folder.0, &threads, true).expect("threads change nothing");
}

#[test]
fn the_last_and_the_best_are_kept() {
    let folder = Folder::new("kept");
    let mut watch = Watch::default();
    let place = folder.path("checkpoints");
    let (send, receive) = std::sync::mpsc::channel();
    watch.does = Some(Box::new(move |step| {
        // Seen at the first step after a checkpoint.
        if step % 14 == 1 && step > 1 {
            let names = fs::read_dir(&place).expect("checkpoints");
            let mut names: Vec<String> =
                names.map(|name| name.expect("a name").file_name().into_string().expect("a name")).collect();
            names.sort();
            let _ = send.send(names);
        }
    }));
    let training = recipe(&format!("{RECIPE}[checkpoint]\nrestore_best = false\nkeep = 1\n"));
    run(&folder, &training, &mut Perceptron::new(), &mut Examples::default(), &mut watch).expect("a run");
    let mut best = 0;
    let mut apart = 0;
    for (names, validation) in receive.try_iter().zip(&watch.validations) {
        best = if validation.best { validation.step } else { best };
        let mut expected = vec![format!("step-{best}"), format!("step-{}", validation.step)];
        expected.dedup();
        apart += expected.len() - 1;
        assert_eq!(names, expected);
    }
    assert!(apart > 0, "the last was always the best, so this tests nothing");
    // The phase is over, and with it the need for its best.
    assert_eq!(folder.names("checkpoints"), ["step-70"]);
}

#[test]
fn what_cannot_be_saved_leaves_the_checkpoint_before() {
    let whole = Folder::new("whole-full");
    let training = recipe(RECIPE);
    let mut expected = Perceptron::new();
    run(&whole, &training, &mut expected, &mut Examples::default(), &mut Watch::default()).expect("a run");

    let folder = Folder::new("full");
    let place = folder.path("checkpoints/step-28.part");
    let obstacle = place.clone();
    let obstruct = move |step| {
        if step == 20 {
            fs::write(&obstacle, "in the way").expect("a file");
        }
    };
    let mut watch = Watch { does: Some(Box::new(obstruct)), ..Watch::default() };
    let error = run(&folder, &training, &mut Perceptron::new(), &mut Examples::default(), &mut watch);
    let error = error.expect_err("nowhere to save");
    assert!(matches!(&error, Error::Io { path, .. } if *path == place), "{error}");
    assert_eq!(folder.names("checkpoints"), ["step-14", "step-28.part"]);
    fs::remove_file(&place).expect("the obstacle");
    let mut perceptron = Perceptron::new();
    run(&folder, &training, &mut perceptron, &mut Examples::default(), &mut Watch::default()).expect("a run");
    assert_eq!(perceptron.bits(), expected.bits());
    assert_eq!(folder.curve(), whole.curve());
}

/// Run again as a process that may write only a little: as on a full disk, writing fails in the middle of a file.
#[test]
#[cfg(unix)]
fn a_disk_that_fills_while_saving_leaves_the_checkpoint_before() {
    const PLACE: &str = "LM_TRAINING_FULL_DISK";
    const NAME: &str = "folder::a_disk_that_fills_while_saving_leaves_the_checkpoint_before";
    // Values and moments of so many numbers are larger than the limit, while they are few.
    let wide = |perceptron: &mut Perceptron| lm::Trainee::parameters_mut(perceptron).add("idle", &[40_000], true);
    let training = recipe("epochs = 2\n");
    if let Some(place) = std::env::var_os(PLACE) {
        let folder = std::mem::ManuallyDrop::new(Folder(place.into()));
        let mut perceptron = Perceptron::new();
        wide(&mut perceptron);
        let error = run(&folder, &training, &mut perceptron, &mut Examples::default(), &mut Watch::default());
        let error = error.expect_err("a full disk");
        let state = folder.path("checkpoints/step-28.part/state.safetensors");
        assert!(matches!(&error, Error::Io { path, .. } if *path == state), "{error}");
        return;
    }
    let folder = Folder::new("disk");
    let mut perceptron = Perceptron::new();
    wide(&mut perceptron);
    let mut watch = Watch { stops_at: Some(16), ..Watch::default() };
    run(&folder, &training, &mut perceptron, &mut Examples::default(), &mut watch).expect("a run");
    let before = folder.names("checkpoints");
    assert_eq!(before, ["step-14", "step-16"]);
    let program = std::env::current_exe().expect("this program");
    // 128 blocks of 512 bytes (of 1024 in some shells) are less than the 480,000 bytes of a checkpoint.
    let script = "trap '' XFSZ; ulimit -f 128; exec \"$0\" --exact \"$1\"";
    let mut shell = std::process::Command::new("sh");
    let output = shell.args(["-c", script]).arg(program).arg(NAME).env(PLACE, &folder.0).output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(folder.names("checkpoints"), before);
    let mut watch = Watch::default();
    run(&folder, &training, &mut perceptron, &mut Examples::default(), &mut watch).expect("a run");
    assert_eq!((watch.steps[0].step, watch.notes.len()), (17, 0));
}
