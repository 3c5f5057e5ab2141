//! Requests on their way: handed to the engine, and what it says put in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lm::inference::{Event, Finish};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::choice::{Choice, Ended, Piece};
use super::plan::Plan;
use super::usage::{PromptDetails, Usage};
use crate::ApiError;
use crate::writer_metrics::Ending;

/// The answers to a plan. What is not answered yet is given up when this is dropped.
///
/// The engine never waits for a caller: what it says lies in a queue that is no longer than the answers.
pub(crate) struct Run<'p> {
    plan: &'p Plan,
    events: UnboundedReceiver<(usize, Event)>,
    choices: Vec<Answering<'p>>,
    /// How many have not ended.
    live: usize,
    patience: Option<Duration>,
}

/// An answer on its way.
struct Answering<'p> {
    choice: Choice<'p>,
    /// Set when nothing more is to be said.
    enough: Arc<AtomicBool>,
    ended: bool,
    /// Tokens of the prompt that had been read before, once it is known.
    cached: Option<usize>,
    begun: Instant,
    /// When it last went on.
    last: Option<Instant>,
}

impl<'p> Run<'p> {
    /// Begins. `patience` is how long the engine may say nothing, at first and between pieces.
    ///
    /// # Errors
    /// When the engine does not take a request.
    pub(crate) fn start(plan: &'p Plan, patience: Option<Duration>) -> Result<Self, ApiError> {
        let (sender, events) = mpsc::unbounded_channel();
        let mut choices = Vec::new();
        for (number, request) in plan.requests.iter().enumerate() {
            let enough = Arc::new(AtomicBool::new(false));
            let (told, sender) = (Arc::clone(&enough), sender.clone());
            let sink = move |event| !told.load(Ordering::Relaxed) && sender.send((number, event)).is_ok();
            plan.writer.host.service().submit(request.clone(), sink).map_err(|error| refused(&error))?;
            let choice = Choice::new(number, plan.writer.host.tokenizer(), &plan.stops, plan.log_probabilities);
            let begun = Instant::now();
            choices.push(Answering { choice, enough, ended: false, cached: None, begun, last: None });
        }
        Ok(Self { plan, events, live: choices.len(), choices, patience })
    }

    /// The next piece of any answer; none when all have ended.
    ///
    /// # Errors
    /// When the engine fails on an answer, or says nothing for too long.
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>, ApiError> {
        while self.live > 0 {
            let event = match self.patience {
                Some(patience) => tokio::time::timeout(patience, self.events.recv()).await,
                None => Ok(self.events.recv().await),
            };
            let (number, event) = event.map_err(|_| ApiError::Timeout)?.ok_or(ApiError::Internal)?;
            let answering = &mut self.choices[number];
            // What was said before the engine heard that it is enough.
            if answering.ended {
                continue;
            }
            let piece = match event {
                Event::Tokens(tokens) => {
                    answering.note(self.plan, tokens.len());
                    answering.choice.push(tokens)?
                }
                Event::Done(finish, usage) => {
                    answering.cached = Some(usage.cached);
                    answering.choice.finish(if finish == Finish::Length { Ended::Length } else { Ended::Stop })
                }
                Event::Failed(message) => return Err(ApiError::Undecidable(message)),
            };
            if let Some(ended) = piece.finish {
                answering.end(self.plan, ended);
                self.live -= 1;
            }
            if !piece.text.is_empty() || !piece.tokens.is_empty() || piece.finish.is_some() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// What all answers took, so far.
    pub(crate) fn usage(&self) -> Usage {
        let first = || self.choices.iter().zip(&self.plan.requests).step_by(self.plan.answers);
        let prompt_tokens = first().map(|(_, request)| request.prompt.len()).sum();
        let completion_tokens = self.choices.iter().map(|answering| answering.choice.length).sum();
        let cached: Option<usize> = first().map(|(answering, _)| answering.cached).sum();
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            prompt_tokens_details: cached.map(|cached_tokens| PromptDetails { cached_tokens }),
        }
    }
}

impl Drop for Run<'_> {
    /// What is still being answered is answered for nobody.
    fn drop(&mut self) {
        for answering in self.choices.iter().filter(|answering| !answering.ended) {
            answering.enough.store(true, Ordering::Relaxed);
            self.plan.writer.metrics.count(Ending::Abort, answering.begun.elapsed());
        }
    }
}

impl Answering<'_> {
    /// Takes down when the answer went on.
    fn note(&mut self, plan: &Plan, tokens: usize) {
        let now = Instant::now();
        match self.last.replace(now) {
            None => plan.writer.metrics.first(now - self.begun),
            Some(last) => plan.writer.metrics.next(now - last),
        }
        plan.writer.metrics.tokens(tokens);
    }

    fn end(&mut self, plan: &Plan, ended: Ended) {
        self.ended = true;
        self.enough.store(true, Ordering::Relaxed);
        let ending = if ended == Ended::Length { Ending::Length } else { Ending::Stop };
        plan.writer.metrics.count(ending, self.begun.elapsed());
    }
}

/// Why the engine does not take a request.
fn refused(error: &lm::Error) -> ApiError {
    ApiError::Undecidable(error.to_string())
}
