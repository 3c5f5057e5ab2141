//! Which examples which phase gets.

use super::*;
use crate::text::TrainingOptions;
use std::collections::HashSet;

/// A folder with a file of 40 lines: even ones easy, odd ones hard, and one that cannot be used.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let line = |number: usize| {
            let difficulty = if number.is_multiple_of(2) { "easy" } else { "hard" };
            format!(r#"{{"prompt":"{number} ","completion":"answer {number}","difficulty":"{difficulty}"}}"#)
        };
        let lines: Vec<String> = (0..40).map(line).chain(["[]".to_owned()]).collect();
        std::fs::write(folder.path().join("train.jsonl"), lines.join("\n")).expect("a file");
        Self(folder)
    }

    fn read(&self, recipe: &str) -> Result<Examples> {
        let recipe = recipe.replace("FOLDER", self.0.path().to_str().expect("a plain path"));
        let recipe = DecoderRecipe::parse(Path::new("run.toml"), &recipe, &[])?;
        let options = TrainingOptions { vocabulary: 259, ..TrainingOptions::default() };
        let tokenizer = Tokenizer::train(std::iter::empty(), &options)?;
        Examples::read(&recipe, &tokenizer, 64)
    }
}

/// All sequences of an epoch.
fn epoch(examples: &mut Examples, phase: usize, number: u64) -> Vec<Vec<u32>> {
    let count = examples.batches(phase, number).expect("batches").expect("an end");
    let batches = (0..count).map(|index| examples.batch(phase, number, index).expect("a batch").expect("one of them"));
    let all = batches.flat_map(|batch| sequences(&batch)).collect();
    assert!(examples.batch(phase, number, count).expect("no batch").is_none());
    all
}

fn sequences(batch: &Tokens) -> Vec<Vec<u32>> {
    batch.starts.windows(2).map(|pair| batch.tokens[pair[0]..pair[1]].to_vec()).collect()
}

fn validation(examples: &mut Examples, phase: usize) -> Vec<Vec<u32>> {
    let batches = (0..).map_while(|index| examples.validation(phase, index).expect("a batch"));
    batches.collect::<Vec<_>>().iter().flat_map(sequences).collect()
}

const DATA: &str = "[batch]\ntokens = 64\n[data]\ntrain = \"FOLDER/train.jsonl\"\n";

#[test]
fn each_phase_has_its_examples_once_an_epoch_and_again_when_asked_again() {
    let phases = "[[phase]]\nname = \"easy\"\ndifficulty = [\"easy\"]\n[[phase]]\nname = \"all\"\n\
                  [[phase]]\nname = \"again\"\ndifficulty = [\"easy\"]\n";
    let mut examples = Folder::new().read(&format!("{DATA}{phases}")).expect("examples");
    let summaries: Vec<_> = examples.summaries().cloned().collect();
    assert_eq!(summaries.len(), 2, "two phases share a set");
    assert_eq!((summaries[0].examples, summaries[0].left_out, summaries[0].unusable), (20, 20, 1));
    assert_eq!((summaries[1].examples, summaries[1].left_out), (40, 0));
    assert!(summaries[0].counted < summaries[0].tokens && summaries[0].longest < 64);
    assert!(examples.refused().all(|error| error.to_string().contains("train.jsonl:41: ")));
    for (phase, count) in [(0, 20), (1, 40), (2, 20)] {
        let first = epoch(&mut examples, phase, 0);
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), count);
        assert_ne!(first, epoch(&mut examples, phase, 1));
        assert_eq!(first, epoch(&mut examples, phase, 0));
        assert_eq!(validation(&mut examples, phase), [[0; 0]; 0]);
    }
    assert_ne!(epoch(&mut examples, 0, 0), epoch(&mut examples, 2, 0));
}

#[test]
fn what_is_set_apart_is_learned_in_no_phase() {
    let phases = "validation = 0.25\n[[phase]]\nname = \"easy\"\ndifficulty = [\"easy\"]\n[[phase]]\nname = \"all\"\n";
    let mut examples = Folder::new().read(&format!("{DATA}{phases}")).expect("examples");
    let held: HashSet<_> = [0, 1].into_iter().flat_map(|phase| validation(&mut examples, phase)).collect();
    let learned: HashSet<_> = [0, 1].into_iter().flat_map(|phase| epoch(&mut examples, phase, 0)).collect();
    assert!(held.is_disjoint(&learned));
    assert_eq!(held.len() + learned.len(), 40);
    assert!((5..=16).contains(&held.len()), "{}", held.len());
}

#[test]
fn few_examples_are_shared_too_and_equal_ones_are_not() {
    let example = |token| Example { tokens: vec![token, 1], counted: vec![false, true] };
    for share in [1e-9, 0.5, 1.0 - 1e-9] {
        let (held, kept) = split((0..2).map(example).collect(), 3, share).expect("two sides");
        assert_eq!((held.len(), kept.len()), (1, 1));
    }
    assert!(split(vec![example(1), example(1)], 3, 0.5).is_none());
    assert!(split(Vec::new(), 3, 0.5).is_none());
}

#[test]
fn a_validation_file_is_read_as_the_training_file_is() {
    let folder = Folder::new();
    let lines = "{\"text\":\"held\",\"difficulty\":\"hard\"}\n{\"text\":\"held too\"}\n{}\n";
    std::fs::write(folder.0.path().join("held.jsonl"), lines).expect("a file");
    let file = "validation = \"FOLDER/held.jsonl\"\n";
    let mut examples = folder.read(&format!("{DATA}{file}")).expect("examples");
    assert_eq!(validation(&mut examples, 0).len(), 2);
    assert_eq!(examples.summaries().next().map(|summary| summary.unusable), Some(2));
    let phase = "[[phase]]\nname = \"easy\"\ndifficulty = [\"easy\"]\n";
    let problem = folder.read(&format!("{DATA}{file}{phase}")).expect_err("no easy line").to_string();
    assert!(problem.contains("held.jsonl") && problem.contains("2 left out"), "{problem}");
}

#[test]
fn what_a_model_has_no_room_for_is_refused() {
    let folder = Folder::new();
    let problem = folder.read(&format!("{DATA}tokens = 65\n")).expect_err("too long").to_string();
    assert!(problem.contains("64 positions"), "{problem}");
    let problem = folder.read(&format!("{DATA}tokens = 2\n")).expect_err("too short").to_string();
    assert!(problem.contains("40 too long"), "{problem}");
    let problem = folder.read(&DATA.replace("64", "8")).expect_err("too short").to_string();
    assert!(problem.contains("40 too long") && problem.contains("the longest may have 8"), "{problem}");
    let problem = folder.read("").expect_err("no data").to_string();
    assert!(problem.contains("data.train"), "{problem}");
    let examples = folder.read(&DATA.replace("64", "4").replace("[data]", "[data]\ntokens = 40")).expect("examples");
    assert!(examples.largest_batch() > 4);
}
