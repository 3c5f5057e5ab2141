//! Greedy answers to many prompts at once.

use super::network::Network;
use crate::inference::{Counters, Engine, Event, Finish, Limits, Question, Request, Sink, check};
use crate::kernel::Element;
use crate::{Config, Error, Result};
use std::sync::{Arc, mpsc};

const LIMITS: Limits = Limits { sequences: 256, tokens: 4096, bytes: 1 << 30 };

/// How answers are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Tokens of an answer at most. The model's longest sequence bounds it too.
    pub most: usize,
    /// Tokens that end an answer.
    pub end: Vec<u32>,
}

impl Generation {
    /// Answers of at most so many tokens, which end where the model's own do.
    pub fn new(config: &Config, most: usize) -> Self {
        Self { most, end: config.end.clone() }
    }
}

/// What a model answers to a prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Its tokens, without the one that ended it.
    pub tokens: Vec<u32>,
    /// Whether a token ended it, not its length.
    pub ended: bool,
    /// Sum of the natural logarithms of the chosen tokens' probabilities, that of the end included.
    pub log_probability: f64,
}

impl<E: Element> Network<E> {
    /// Answers to prompts, in their order.
    pub(crate) fn generate(&self, prompts: &[Vec<u32>], options: &Generation) -> Result<Vec<Answer>> {
        let mut engine = Engine::new(self, LIMITS, Arc::<Counters>::default());
        let (tell, told) = mpsc::channel();
        for (number, prompt) in prompts.iter().enumerate() {
            let request = Request::new(prompt.clone(), options.most, &options.end);
            let limit = check(&self.config, &request).map_err(|problem| Error::Prompt { number, problem })?;
            let tell = tell.clone();
            let sink = Sink::new(move |event| tell.send((number, event)).is_ok(), Arc::default());
            engine.submit(Question { request, limit, adapter: None, sink });
        }
        drop(tell);
        while !engine.is_idle() {
            engine.step();
        }
        let mut answers = vec![Answer::default(); prompts.len()];
        for (number, event) in told.try_iter() {
            let answer = &mut answers[number];
            match event {
                Event::Tokens(tokens) => answer.tokens.extend(tokens.iter().map(|token| token.token)),
                Event::Done(done) => {
                    answer.ended = done.finish == Finish::End;
                    answer.log_probability = done.log_probability;
                }
                Event::Failed(problem) => return Err(Error::Prompt { number, problem }),
            }
        }
        Ok(answers)
    }
}
