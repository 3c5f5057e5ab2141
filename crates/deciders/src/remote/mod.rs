//! A model behind an endpoint that speaks as OpenAI's does.
//!
//! `options` says which endpoint and how, `exchange` what is sent and what comes back, `transport` how often, how fast
//! and how many at a time.

mod exchange;
mod options;
mod transport;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use decision::{Account, Case, DecideError, Decider, Decision, Identity, Worker};
use serde_json::json;

use crate::calibration::weigh;
use crate::outcomes::{self, Place, Tally};
use crate::reading::{AnswerForm, Reading};
use crate::{facts, sha256};
use exchange::Answer;
pub use options::{Endpoint, Options, SchemaStyle};
use transport::Transport;

/// Of the weight of an outcome, what may stay open when its probability is given.
const OPEN: f64 = 0.01;

/// The decider.
pub struct Remote {
    options: Options,
    transport: Transport,
    reading: Reading,
    form: AnswerForm,
    targets: Vec<Vec<u8>>,
    identity: Identity,
    prompt_tokens: AtomicU64,
    answer_tokens: AtomicU64,
}

impl Remote {
    /// A decider that asks an endpoint. Nothing is sent yet.
    pub fn new(options: Options, reading: Reading) -> Self {
        let form = (reading.form)();
        let text = format!("{} {} {} {}", reading.input, options.fingerprint(), form.schema, form.longest);
        let identity = Identity {
            name: format!("remote:{}:{}", options.host(), options.model),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hash: sha256(text.as_bytes()),
        };
        Self {
            transport: Transport::new(&options),
            targets: reading.outcomes.iter().map(|outcome| format!("{outcome}\"").into_bytes()).collect(),
            options,
            reading,
            form,
            identity,
            prompt_tokens: AtomicU64::new(0),
            answer_tokens: AtomicU64::new(0),
        }
    }

    fn decide(&self, case: &Case<'_>) -> Result<Decision, DecideError> {
        let prompt = (self.reading.prompt)(&facts(case)?).map_err(DecideError::Unfit)?;
        let body = exchange::body(&self.options, &prompt, &self.form);
        let answer = self.transport.post(&body).and_then(|reply| exchange::read(&reply, self.options.endpoint));
        let answer = answer.map_err(DecideError::Failed)?;
        self.prompt_tokens.fetch_add(answer.prompt_tokens, Ordering::Relaxed);
        self.answer_tokens.fetch_add(answer.answer_tokens, Ordering::Relaxed);
        let text = answer.text().map_err(DecideError::Failed)?;
        let mut decision = (self.reading.answer)(text.trim()).map_err(DecideError::Failed)?;
        if let Some(probabilities) = self.probabilities(&answer, text) {
            let outcomes = self.reading.outcomes.iter().map(|outcome| (*outcome).to_owned());
            weigh(&mut decision, outcomes.zip(probabilities).collect(), self.reading.positive, None);
        }
        Ok(decision)
    }

    /// What the tokens that were told say of each outcome. The endpoint tells the likeliest only.
    fn probabilities(&self, answer: &Answer, text: &str) -> Option<Vec<f64>> {
        let outcome = outcomes::value(text, self.reading.key)?;
        let place = Place { before: &text.as_bytes()[..outcome.start], targets: &self.targets };
        let tally = Tally::of(place, &answer.steps);
        tally.probabilities().filter(|_| tally.open_share() <= OPEN)
    }
}

impl Decider for Remote {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(RemoteWorker(self))
    }

    fn prefers_batches(&self) -> bool {
        true
    }

    fn account(&self) -> Option<Account> {
        let [prompt, answer] = [&self.prompt_tokens, &self.answer_tokens].map(|count| count.load(Ordering::Relaxed));
        let requests = self.transport.requests();
        Some(Account {
            text: format!("{requests} requests, {prompt} tokens of prompts, {answer} tokens of answers"),
            figures: json!({"requests": requests, "prompt_tokens": prompt, "completion_tokens": answer}),
        })
    }
}

/// Asks for many cases at a time.
struct RemoteWorker<'r>(&'r Remote);

impl Worker for RemoteWorker<'_> {
    fn decide(&mut self, cases: &[Case<'_>]) -> Vec<Result<Decision, DecideError>> {
        let next = AtomicUsize::new(0);
        let threads = self.0.options.concurrency.min(cases.len());
        let ask = || {
            let mut done = Vec::new();
            while let Some(place) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|place| *place < cases.len()) {
                done.push((place, self.0.decide(&cases[place])));
            }
            done
        };
        let mut all: Vec<Result<Decision, DecideError>> =
            vec![Err(DecideError::Failed("the request was lost".to_owned())); cases.len()];
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..threads).map(|_| scope.spawn(ask)).collect();
            for (place, result) in asking.into_iter().flat_map(|thread| thread.join().unwrap_or_default()) {
                all[place] = result;
            }
        });
        all
    }
}

#[cfg(test)]
mod tests;
