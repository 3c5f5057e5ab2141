//! A decoder as a decider: it reads a prompt and writes an answer, held to the form that answers have.

use std::path::Path;
use std::sync::Arc;

use ::lm::constraint::{Form, Grammar};
use ::lm::inference::{Finish, Host, HostOptions, Reply, Request, ServiceOptions};
use ::lm::text::{Composer, ExampleOptions, TooLong, Turns};
use decision::{Case, DecideError, Decider, Decision, Identity, Worker};
use serde_json::Value;

use crate::artifact::{Error, Manifest};
use crate::calibration::{Curve, weigh};
use crate::outcomes::{self, Open, Place, Step, Tally};
use crate::{batch, facts};

/// How a desk's cases come to the model, and its answers back.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// What the model reads, as the manifest names it.
    pub input: &'static str,
    /// The prompt for a case's facts, or why there is none.
    pub prompt: fn(&Value) -> Result<String, String>,
    /// The decision that an answer states, or why it states none.
    pub answer: fn(&str) -> Result<Decision, String>,
    /// What answers may be, widest first: the narrower ones are for prompts that leave little room.
    pub forms: fn() -> Vec<AnswerForm>,
    /// The key of an answer whose value is the outcome.
    pub key: &'static str,
    /// The desk's outcomes.
    pub outcomes: &'static [&'static str],
    /// The outcomes whose probability is the risk.
    pub positive: &'static [&'static str],
}

/// What an answer may be.
#[derive(Clone, Debug)]
pub struct AnswerForm {
    /// As JSON Schema.
    pub schema: Value,
    /// Bytes of the longest answer.
    pub longest: usize,
}

/// Alternatives that are told of each token: more than a form of enumerated texts ever allows.
const ALTERNATIVES: usize = 512;

/// Beginnings of outcomes that weigh less than this share are not asked about.
const NEGLIGIBLE: f64 = 1e-6;

/// Cases that are asked about at a time.
const TOGETHER: usize = 256;

/// The decider.
pub struct Decoder {
    host: Arc<Host>,
    options: ExampleOptions,
    /// Tokens that every answer has room for.
    room: usize,
    forms: Vec<(Grammar, usize)>,
    /// Each outcome with its closing quote.
    targets: Vec<Vec<u8>>,
    reading: Reading,
    curve: Option<Curve>,
    identity: Identity,
}

/// How prompts and answers become tokens: one behind the other, and what is longer than `longest` is refused.
pub fn example_options(longest: usize) -> ExampleOptions {
    ExampleOptions { chat: None, pairs_as_turns: false, turns: Turns::default(), longest, too_long: TooLong::Refuse }
}

impl Decoder {
    /// Loads the model of a folder whose manifest was read, to be run on some threads.
    ///
    /// # Errors
    /// When model or tokenizer cannot be loaded, or the model reads cases differently.
    pub fn open(folder: &Path, manifest: &Manifest, reading: Reading, threads: usize) -> Result<Self, Error> {
        let service = ServiceOptions { threads, ..ServiceOptions::default() };
        let options = HostOptions { precision: manifest.precision, service, ..HostOptions::default() };
        let host = Host::open(&folder.join(crate::MODEL), &options)?;
        Self::over(Arc::new(host), folder, manifest, reading)
    }

    /// Decides with a model that was opened already, and that others may ask, too.
    ///
    /// # Errors
    /// When the model reads cases differently, or cannot give answers of the form.
    pub fn over(host: Arc<Host>, folder: &Path, manifest: &Manifest, reading: Reading) -> Result<Self, Error> {
        manifest.check_input(folder, reading.input)?;
        let place = folder.join(crate::MODEL);
        let unfit = |problem: &str| Error::Unfit { path: place.clone(), problem: problem.to_owned() };
        if host.end().is_empty() {
            return Err(unfit("the tokenizer names no eos_token"));
        }
        let positions = host.service().config().positions;
        let room = manifest.answer_tokens.filter(|room| *room < positions);
        let room = room.ok_or_else(|| unfit("the manifest leaves no room for a prompt and an answer"))?;
        let compiled = |form: AnswerForm| Ok((host.grammar(&Form::Schema(form.schema))?, form.longest));
        let forms = (reading.forms)().into_iter().map(compiled).collect::<Result<_, Error>>()?;
        Ok(Self {
            options: example_options(positions),
            room,
            forms,
            targets: reading.outcomes.iter().map(|outcome| format!("{outcome}\"").into_bytes()).collect(),
            reading,
            curve: manifest.calibration.as_ref().map(|calibration| calibration.curve.clone()),
            identity: manifest.identity(),
            host,
        })
    }

    /// The tokens of a case's prompt. A prompt that leaves no room for an answer is refused: cut, it could be decided
    /// differently.
    fn prompt(&self, case: &Case<'_>) -> Result<Vec<u32>, DecideError> {
        let text = (self.reading.prompt)(&facts(case)?).map_err(DecideError::Unfit)?;
        let tokens = Composer::new(self.host.tokenizer(), &self.options).prompt(&text);
        let tokens = tokens.map_err(|error| DecideError::Failed(error.to_string()))?;
        let room = self.options.longest - self.room;
        if tokens.len() > room {
            let count = tokens.len();
            let problem = format!("the case has {count} tokens, the model takes {room}; decide it by rules");
            return Err(DecideError::Unfit(problem));
        }
        Ok(tokens)
    }

    /// Answers to prompts. One that had no room to end is asked for again in a narrower form, which has.
    fn replies(&self, prompts: &[Vec<u32>]) -> Vec<lm::Result<Reply>> {
        let ask = |(prompt, form): (&Vec<u32>, &(Grammar, usize))| Request {
            grammar: Some(form.0.clone()),
            allowed: ALTERNATIVES,
            ..Request::new(prompt.clone(), form.1, self.host.end())
        };
        let Some(widest) = self.forms.first() else { return Vec::new() };
        let service = self.host.service();
        let mut replies = service.answer(prompts.iter().map(|prompt| ask((prompt, widest))).collect());
        let was_cut = |reply: &lm::Result<Reply>| reply.as_ref().is_ok_and(|reply| reply.done.finish == Finish::Length);
        let cut: Vec<usize> = (0..replies.len()).filter(|place| was_cut(&replies[*place])).collect();
        let fitting = |prompt: &Vec<u32>| {
            let room = self.options.longest - prompt.len();
            self.forms.iter().find(|(_, longest)| *longest <= room).or(self.forms.last()).unwrap_or(widest)
        };
        let again = cut.iter().map(|place| ask((&prompts[*place], fitting(&prompts[*place])))).collect();
        for (place, reply) in cut.into_iter().zip(service.answer(again)) {
            replies[place] = reply;
        }
        replies
    }

    fn decide(&self, prompts: &[Vec<u32>]) -> Vec<Result<Decision, DecideError>> {
        let failed = |error: lm::Error| DecideError::Failed(error.to_string());
        let read = |reply: lm::Result<Reply>| reply.map_err(failed).and_then(|reply| self.read(&reply));
        let mut read: Vec<Result<Read, DecideError>> = self.replies(prompts).into_iter().map(read).collect();
        self.settle(prompts, &mut read);
        read.into_iter().map(|read| Ok(self.weighed(read?))).collect()
    }

    /// What an answer says that came to an end.
    fn read(&self, reply: &Reply) -> Result<Read, DecideError> {
        if reply.done.finish == Finish::Length {
            return Err(DecideError::Failed("the answer does not end within the model's positions".to_owned()));
        }
        let tokens: Vec<u32> = reply.tokens.iter().map(|token| token.token).collect();
        let text = String::from_utf8(self.host.vocabulary().text(&tokens));
        let text = text.map_err(|_| DecideError::Failed("the answer is not UTF-8".to_owned()))?;
        let decision = (self.reading.answer)(&text).map_err(DecideError::Failed)?;
        let outcome = outcomes::value(&text, self.reading.key);
        let tally = outcome.map(|outcome| self.tally(&text.as_bytes()[..outcome.start], &self.targets, reply));
        Ok(Read { decision, tally: tally.unwrap_or_default(), alternatives: alternatives(reply), tokens })
    }

    /// What an answer's tokens say of the texts that may follow on some bytes of it.
    fn tally(&self, before: &[u8], targets: &[Vec<u8>], reply: &Reply) -> Tally {
        let bytes = |token: u32| self.host.vocabulary().bytes(token).to_vec();
        let step = |token: &lm::inference::Token| Step {
            chosen: bytes(token.token),
            alternatives: token.alternatives.iter().map(|(token, log)| (bytes(*token), f64::from(*log))).collect(),
        };
        let steps: Vec<Step> = reply.tokens.iter().map(step).collect();
        let mut tally = Tally::of(Place { before, targets }, &steps);
        tally.drop_below(NEGLIGIBLE);
        tally
    }

    /// Asks how the model would go on from beginnings that leave the outcome open.
    fn settle(&self, prompts: &[Vec<u32>], read: &mut [Result<Read, DecideError>]) {
        let mut asked: Vec<(usize, Open)> = Vec::new();
        let mut requests = Vec::new();
        for (place, read) in read.iter_mut().enumerate() {
            let Ok(read) = read else { continue };
            for open in std::mem::take(&mut read.tally.open) {
                let Some(request) = self.question(&prompts[place], read, &open) else { continue };
                requests.push(request);
                asked.push((place, open));
            }
        }
        for ((place, open), reply) in asked.into_iter().zip(self.host.service().answer(requests)) {
            let (Ok(read), Ok(reply)) = (&mut read[place], reply) else { continue };
            let targets: Vec<Vec<u8>> = open.rest.iter().map(|(_, rest)| rest.clone()).collect();
            read.tally.settle(&open, &self.tally(b"", &targets, &reply));
        }
    }

    /// The request for what follows a beginning.
    fn question(&self, prompt: &[u32], read: &Read, open: &Open) -> Option<Request> {
        let token = *read.alternatives.get(open.steps)?.get(open.alternative)?;
        let rest =
            open.rest.iter().map(|(_, rest)| String::from_utf8(rest.clone()).ok()).collect::<Option<Vec<_>>>()?;
        let most = rest.iter().map(String::len).max()?;
        let prompt = [prompt, &read.tokens[..open.steps], &[token]].concat();
        let grammar = self.host.grammar(&Form::Choice(rest)).ok()?;
        Some(Request { grammar: Some(grammar), allowed: ALTERNATIVES, ..Request::new(prompt, most, self.host.end()) })
    }

    fn weighed(&self, read: Read) -> Decision {
        let Read { mut decision, tally, .. } = read;
        if let Some(probabilities) = tally.probabilities() {
            let outcomes = self.reading.outcomes.iter().map(|outcome| (*outcome).to_owned());
            weigh(&mut decision, outcomes.zip(probabilities).collect(), self.reading.positive, self.curve.as_ref());
        }
        decision
    }
}

/// An answer that was read.
struct Read {
    decision: Decision,
    tally: Tally,
    tokens: Vec<u32>,
    /// The tokens that might have come at each step.
    alternatives: Vec<Vec<u32>>,
}

fn alternatives(reply: &Reply) -> Vec<Vec<u32>> {
    reply.tokens.iter().map(|token| token.alternatives.iter().map(|(token, _)| *token).collect()).collect()
}

impl Decider for Decoder {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(DecoderWorker(self))
    }

    fn prefers_batches(&self) -> bool {
        true
    }
}

/// Asks the model that all workers share.
struct DecoderWorker<'m>(&'m Decoder);

impl Worker for DecoderWorker<'_> {
    fn decide(&mut self, cases: &[Case<'_>]) -> Vec<Result<Decision, DecideError>> {
        let some =
            |cases: &[Case<'_>]| batch::decide(cases, |case| self.0.prompt(case), |prompts| Ok(self.0.decide(prompts)));
        cases.chunks(TOGETHER).flat_map(some).collect()
    }
}
