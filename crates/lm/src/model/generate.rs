//! Greedy generation: the likeliest token again and again, many sequences at a time.

use super::advance::{Piece, Reader};
use super::cache::Cache;
use super::network::Network;
use crate::config::Scaling;
use crate::kernel::{Element, likeliest};
use crate::{Config, Error, Result};
use std::collections::VecDeque;

/// Tokens that one step works through at most, so that its memory is bounded.
const STEP: usize = 4096;
/// Sequences that advance together at most.
const SEQUENCES: usize = 256;
/// Bytes of keys and values that are held at most, except that one sequence always is.
const BYTES: usize = 1 << 30;

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

/// A sequence on its way.
struct Sequence<E> {
    /// Number of the prompt.
    number: usize,
    /// The prompt and what was answered, as far as it did not end the answer.
    tokens: Vec<u32>,
    prompt: usize,
    /// Tokens that it may reach.
    limit: usize,
    cache: Cache<E>,
    /// Tokens that the next step reads.
    next: usize,
    ended: bool,
    log_probability: f64,
}

impl<E: Element> Network<E> {
    /// Answers to prompts, in their order. Sequences enter as others end, as many as memory is set aside for.
    pub(crate) fn generate(&mut self, prompts: &[Vec<u32>], options: &Generation) -> Result<Vec<Answer>> {
        self.check_prompts(prompts)?;
        self.prepare_turns(prompts.iter().map(|prompt| self.limit(prompt, options)).max().unwrap_or(0));
        let network = &*self;
        let mut answers = vec![Answer::default(); prompts.len()];
        let grows = |number: &usize| network.limit(&prompts[*number], options) > prompts[*number].len();
        let mut waiting: VecDeque<usize> = (0..prompts.len()).filter(grows).collect();
        let mut live: Vec<Sequence<E>> = Vec::new();
        let mut reader = Reader::new(network);
        loop {
            network.admit(&mut live, &mut waiting, prompts, options);
            if live.is_empty() {
                return Ok(answers);
            }
            network.step(&mut reader, &mut live, &options.end)?;
            for done in live.extract_if(.., |sequence| sequence.is_done()) {
                let number = done.number;
                answers[number] = done.answer();
            }
        }
    }

    fn check_prompts(&self, prompts: &[Vec<u32>]) -> Result<()> {
        let Config { positions, vocabulary, .. } = self.config;
        for (number, prompt) in prompts.iter().enumerate() {
            let problem = if prompt.is_empty() {
                "it is empty; begin it with a token, such as the model's own".to_owned()
            } else if prompt.len() > positions {
                format!("its {} tokens are more than the model's {positions} positions; shorten it", prompt.len())
            } else if let Some(token) = prompt.iter().find(|token| **token as usize >= vocabulary) {
                format!("token {token} is beyond the vocabulary of {vocabulary}; is the tokenizer this model's?")
            } else {
                continue;
            };
            return Err(Error::Prompt { number, problem });
        }
        Ok(())
    }

    /// Tokens that a prompt and its answer may reach.
    fn limit(&self, prompt: &[u32], options: &Generation) -> usize {
        prompt.len().saturating_add(options.most).min(self.config.positions)
    }

    /// Lets sequences in while there is room for what they may reach.
    fn admit(
        &self,
        live: &mut Vec<Sequence<E>>,
        waiting: &mut VecDeque<usize>,
        prompts: &[Vec<u32>],
        options: &Generation,
    ) {
        let (shape, layers) = (&self.stack.attention, self.config.layers);
        let bytes = |limit| Cache::<E>::bytes(shape, layers, limit);
        let mut held: usize = live.iter().map(|sequence| bytes(sequence.limit)).sum();
        while let Some(&number) = waiting.front() {
            let limit = self.limit(&prompts[number], options);
            held = held.saturating_add(bytes(limit));
            if !live.is_empty() && (held > BYTES || live.len() == SEQUENCES) {
                return;
            }
            waiting.pop_front();
            live.push(Sequence {
                number,
                tokens: prompts[number].clone(),
                prompt: prompts[number].len(),
                limit,
                cache: Cache::new(shape, layers, limit),
                next: 0,
                ended: false,
                log_probability: 0.0,
            });
        }
    }

    /// Reads tokens that were not read yet, and adds one to every sequence that is read to its end.
    fn step(&self, reader: &mut Reader<'_, E>, live: &mut [Sequence<E>], end: &[u32]) -> Result<()> {
        let short = match self.config.rotary.scaling {
            Scaling::LongRope { original, .. } => original,
            _ => usize::MAX,
        };
        let mut room = STEP;
        for sequence in live.iter_mut() {
            sequence.cache.reach(sequence.tokens.len(), short);
            sequence.next = room.min(sequence.tokens.len() - sequence.cache.length());
            room -= sequence.next;
        }
        let reading = |sequence: &&mut Sequence<E>| sequence.next > 0;
        let mut pieces: Vec<Piece<'_, E>> = live.iter_mut().filter(reading).map(Sequence::piece).collect();
        let choices = reader.advance(&mut pieces, |_, logits| likeliest(logits));
        for (sequence, (token, log_probability)) in live.iter_mut().filter(reading).zip(choices) {
            if sequence.cache.length() < sequence.tokens.len() {
                continue;
            }
            if !log_probability.is_finite() {
                let problem = "the model's answer to it is not a number; its weights may be damaged".to_owned();
                return Err(Error::Prompt { number: sequence.number, problem });
            }
            sequence.push(token, f64::from(log_probability), end);
        }
        Ok(())
    }
}

impl<E: Element> Sequence<E> {
    /// What the next step reads.
    fn piece(&mut self) -> Piece<'_, E> {
        let read = self.cache.length();
        Piece { cache: &mut self.cache, tokens: &self.tokens[read..read + self.next] }
    }

    fn push(&mut self, token: u32, log_probability: f64, end: &[u32]) {
        self.log_probability += log_probability;
        match end.contains(&token) {
            true => self.ended = true,
            false => self.tokens.push(token),
        }
    }

    fn is_done(&self) -> bool {
        self.ended || self.tokens.len() == self.limit
    }

    fn answer(mut self) -> Answer {
        let tokens = self.tokens.split_off(self.prompt);
        Answer { tokens, ended: self.ended, log_probability: self.log_probability }
    }
}
