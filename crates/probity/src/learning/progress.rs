//! Training as people watch it: a bar on a terminal, a line now and then elsewhere; Ctrl-C ends it with a checkpoint.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lm::train::{Progress, Step, Validation};

use crate::commands::serve;
use crate::streams;

/// Time between two lines where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(10);

/// Watches a run.
pub(crate) struct Watch {
    /// None where there is no terminal.
    bar: Option<ProgressBar>,
    told: Arc<AtomicBool>,
    /// When the last line was written.
    last: Option<Instant>,
    /// What items are.
    items: &'static str,
}

impl Watch {
    /// Begins to listen for Ctrl-C. `items` says what the trainee works through: tokens, cases.
    pub(crate) fn new(items: &'static str) -> anyhow::Result<Self> {
        let bar = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {msg}")?;
            Some(ProgressBar::new(0).with_style(style))
        } else {
            None
        };
        Ok(Self { bar, told: listen()?, last: None, items })
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| streams::note(text)),
            None => streams::note(text),
        }
    }

    fn figures(&self, step: &Step) -> String {
        let speed = step.items_per_second;
        let rest = step.remaining.map_or_else(String::new, |rest| format!(", {} left", duration(rest)));
        format!("loss {:.4}, rate {:.2e}, {speed:.0} {}/s{rest}", step.loss, step.rate, self.items)
    }
}

impl Progress for Watch {
    fn phase(&mut self, name: &str, total: Option<u64>) {
        match (&self.bar, total) {
            (Some(bar), total) => {
                bar.set_prefix(name.to_owned());
                bar.set_length(total.unwrap_or(0));
            }
            (None, Some(total)) => streams::note(&format!("phase {name}, {total} steps in all")),
            (None, None) => streams::note(&format!("phase {name}")),
        }
    }

    fn step(&mut self, step: &Step) -> ControlFlow<()> {
        let figures = self.figures(step);
        match &self.bar {
            Some(bar) => {
                bar.set_length(step.total.unwrap_or(step.step));
                bar.set_position(step.step);
                bar.set_message(figures);
            }
            None if step.total == Some(step.step) || self.last.is_none_or(|last| last.elapsed() >= INTERVAL) => {
                let total = step.total.map_or_else(String::new, |total| format!("/{total}"));
                streams::note(&format!("step {}{total}: {figures}", step.step));
                self.last = Some(Instant::now());
            }
            None => {}
        }
        if self.told.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn validation(&mut self, validation: &Validation) {
        let accuracy = validation.accuracy.map_or_else(String::new, |accuracy| format!(", accuracy {accuracy:.4}"));
        let best = if validation.best { ", the best so far" } else { "" };
        self.line(&format!("step {}: validation loss {:.5}{accuracy}{best}", validation.step, validation.loss));
    }

    fn note(&mut self, message: &str) {
        self.line(message);
    }
}

/// True once SIGINT or SIGTERM has come; a second one ends the process at once.
fn listen() -> anyhow::Result<Arc<AtomicBool>> {
    let told = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let set = Arc::clone(&told);
    std::thread::spawn(move || {
        runtime.block_on(async {
            serve::first_signal().await;
            set.store(true, Ordering::Relaxed);
            streams::note("told to stop: saving after this step; told again, stopping at once");
            serve::first_signal().await;
            serve::end();
        });
    });
    Ok(told)
}

/// `2 h 05 min`, `3 min 07 s`, `12 s`.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let text = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!([text(7), text(187), text(7499)], ["7 s", "3 min 07 s", "2 h 04 min"]);
    }
}
