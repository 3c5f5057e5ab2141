//! Those who watch runs in these tests, and the folders that they run in.

use crate::perceptron::{Examples, Perceptron};
use lm::train::{Progress, Recipe, Run, Step, Summary, Training, Validation};
use lm::{Result, train};
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Remembers everything; stops or panics at a step.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) steps: Vec<Step>,
    pub(crate) validations: Vec<Validation>,
    pub(crate) notes: Vec<String>,
    pub(crate) stops_at: Option<u64>,
    pub(crate) panics_at: Option<u64>,
    pub(crate) does: Option<Box<dyn FnMut(u64)>>,
}

impl Progress for Watch {
    fn step(&mut self, step: &Step) -> ControlFlow<()> {
        self.steps.push(step.clone());
        if let Some(does) = &mut self.does {
            does(step.step);
        }
        assert_ne!(self.panics_at, Some(step.step), "killed");
        if self.stops_at == Some(step.step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn validation(&mut self, validation: &Validation) {
        self.validations.push(validation.clone());
    }

    fn note(&mut self, message: &str) {
        self.notes.push(message.to_owned());
    }
}

/// A folder of its own for each test, removed at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lm-training-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(name)).expect(name);
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Names in a folder, sorted.
    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(name)).expect(name);
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// What must not depend on interruptions: all of the log but times.
    pub(crate) fn curve(&self) -> Vec<String> {
        let mut lines = self.lines("log.jsonl");
        lines.extend(self.lines("validation.jsonl"));
        let timeless = |line: &mut Value| {
            let line = line.as_object_mut().expect("an object");
            line.remove("seconds");
            line.remove("items_per_second");
        };
        lines.iter_mut().for_each(timeless);
        lines.iter().map(Value::to_string).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A recipe without model, method and data.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

impl train::Details for Nothing {
    const KEYS: &'static [&'static str] = &[];
    const MEASURES_ACCURACY: bool = true;

    fn resolve(&mut self) -> std::result::Result<(), String> {
        Ok(())
    }
}

pub(crate) fn recipe(text: &str) -> Training {
    Recipe::<Nothing>::parse(Path::new("test.toml"), text, &[]).expect("a recipe").training
}

/// Trains a perceptron in a folder, beginning or resuming.
pub(crate) fn run(
    folder: &Folder,
    training: &Training,
    perceptron: &mut Perceptron,
    examples: &mut Examples,
    watch: &mut Watch,
) -> Result<Summary> {
    let run = Run::open(&folder.0, training, true)?;
    train::train(perceptron, examples, training, &run, watch)
}
