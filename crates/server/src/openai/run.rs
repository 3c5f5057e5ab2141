//! Requests on their way: handed to the engine, and what it says put in order.

use std::time::{Duration, Instant};

use lm::inference::{Event, Finish, Ticket};
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
    ticket: Ticket,
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
        let mut run = Self { plan, events, choices: Vec::new(), live: 0, patience };
        for number in 0..plan.choices() {
            let sender = sender.clone();
            let sink = move |event| sender.send((number, event)).is_ok();
            let ticket = match plan.writer.host.service().submit(plan.request(number), sink) {
                Ok(ticket) => ticket,
                Err(lm::Error::Busy) => return Err(ApiError::Busy),
                Err(error) => return Err(ApiError::Undecidable(error.to_string())),
            };
            let choice = Choice::new(number, plan.writer.host.tokenizer(), &plan.stops, plan.log_probabilities);
            run.choices.push(Answering {
                choice,
                ticket,
                ended: false,
                cached: None,
                begun: Instant::now(),
                last: None,
            });
            run.live += 1;
        }
        Ok(run)
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
                    answering.note(self.plan);
                    answering.choice.push(tokens)?
                }
                Event::Done(done) => {
                    answering.cached = Some(done.usage.cached);
                    answering.choice.finish(if done.finish == Finish::Length { Ended::Length } else { Ended::Stop })
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
        let prompt_tokens = self.plan.prompt_tokens();
        let completion_tokens = self.choices.iter().map(|answering| answering.choice.length).sum();
        let first = self.choices.iter().step_by(self.plan.answers);
        let cached: Option<usize> = first.map(|answering| answering.cached).sum();
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
            answering.ticket.cancel();
            self.plan.writer.metrics.ended(Ending::Abort, answering.begun.elapsed());
        }
    }
}

impl Answering<'_> {
    /// Takes down when the answer went on.
    fn note(&mut self, plan: &Plan) {
        let now = Instant::now();
        match self.last.replace(now) {
            None => plan.writer.metrics.first(now - self.begun),
            Some(last) => plan.writer.metrics.next(now - last),
        }
    }

    fn end(&mut self, plan: &Plan, ended: Ended) {
        self.ended = true;
        // A stop was found, if the engine does not know yet.
        self.ticket.cancel();
        let ending = if ended == Ended::Length { Ending::Length } else { Ending::Stop };
        plan.writer.metrics.ended(ending, self.begun.elapsed());
    }
}
