//! What the person at the terminal sees of a run.

use std::ops::ControlFlow;

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use lm::train::{Progress, Step, Validation};

use crate::streams;

/// A bar with loss, speed and remaining time, and a line for each validation.
pub(super) struct Bar {
    bar: ProgressBar,
    /// What is counted, for the speed.
    items: &'static str,
}

impl Bar {
    pub(super) fn new(items: &'static str) -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{prefix}: {bar:30} {pos}/{len} steps, {msg}") {
            bar.set_style(style);
        }
        Self { bar, items }
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| streams::note(text));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn phase(&mut self, name: &str, total: Option<u64>) {
        self.bar.set_prefix(name.to_owned());
        self.bar.set_length(total.unwrap_or(0));
    }

    fn step(&mut self, step: &Step) -> ControlFlow<()> {
        self.bar.set_length(step.total.unwrap_or(step.step));
        self.bar.set_position(step.step);
        let rest = step.remaining.map_or_else(String::new, |rest| format!(", {} left", HumanDuration(rest)));
        self.bar.set_message(format!("loss {:.4}, {:.0} {}/s{rest}", step.loss, step.items_per_second, self.items));
        ControlFlow::Continue(())
    }

    fn validation(&mut self, validation: &Validation) {
        let accuracy = validation.accuracy.map_or_else(String::new, |accuracy| format!(", accuracy {accuracy:.4}"));
        self.say(&format!("step {}: validation loss {:.5}{accuracy}", validation.step, validation.loss));
    }

    fn note(&mut self, message: &str) {
        self.say(message);
    }
}
