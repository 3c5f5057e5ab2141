//! A decoder as a decider: it reads a prompt and writes an answer, held to the form that answers have.

use std::path::Path;
use std::sync::Arc;

use ::lm::WeightStorage;
use ::lm::constraint::{Form, Grammar};
use ::lm::inference::{Finish, Host, HostOptions, Reply, Request, ServiceOptions};
use ::lm::text::{Composer, ExampleOptions, TooLong, Turns};
use decision::{Case, DecideError, Decider, Decision, Identity, Worker};

use crate::artifact::{Error, Manifest};
use crate::calibration::{Curve, weigh};
use crate::outcomes::Step;
use crate::paths::{Branch, Paths, Statement};
use crate::reading::{AnswerForm, Reading};
use crate::{batch, facts};

/// Alternatives that are told of each token: more than a form of enumerated texts ever allows.
const ALTERNATIVES: usize = 512;

/// Cases, or branches, that are asked about at a time.
const TOGETHER: usize = 256;

/// The decider.
pub struct Decoder {
    host: Arc<Host>,
    options: ExampleOptions,
    /// Tokens that every answer has room for.
    room: usize,
    /// What answers may be, and their bytes at most; then the same, ever narrower.
    widest: (Grammar, usize),
    narrower: Vec<(Grammar, usize)>,
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
        Self::over(Arc::new(host), options.storage, folder, manifest, reading)
    }

    /// Decides with a model that was opened already, its weights held in some way, and that others may ask, too. A
    /// calibration is that of plain weights: held otherwise, the model says something a little different.
    ///
    /// # Errors
    /// When the model reads cases differently, or cannot give answers of the form.
    pub fn over(
        host: Arc<Host>,
        storage: WeightStorage,
        folder: &Path,
        manifest: &Manifest,
        reading: Reading,
    ) -> Result<Self, Error> {
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
        let narrower = (reading.narrower)().into_iter().map(compiled).collect::<Result<_, Error>>()?;
        Ok(Self {
            options: example_options(positions),
            room,
            widest: compiled((reading.form)())?,
            narrower,
            targets: reading.outcomes.iter().map(|outcome| format!("{outcome}\"").into_bytes()).collect(),
            reading,
            curve: manifest.calibration.as_ref().map(|calibration| calibration.curve.clone()),
            identity: manifest.identity(storage),
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
    fn replies(&self, prompts: &[Vec<u32>]) -> Vec<(lm::Result<Reply>, &(Grammar, usize))> {
        let ask = |(prompt, form): (&Vec<u32>, &(Grammar, usize))| Request {
            grammar: Some(form.0.clone()),
            allowed: ALTERNATIVES,
            ..Request::new(prompt.clone(), form.1, self.host.end())
        };
        let service = self.host.service();
        let mut replies = service.answer(prompts.iter().map(|prompt| ask((prompt, &self.widest))).collect());
        let was_cut = |reply: &lm::Result<Reply>| reply.as_ref().is_ok_and(|reply| reply.done.finish == Finish::Length);
        let cut: Vec<usize> = (0..replies.len()).filter(|place| was_cut(&replies[*place])).collect();
        let fitting = |prompt: &Vec<u32>| {
            let room = self.options.longest - prompt.len();
            let fits = self.narrower.iter().find(|(_, longest)| *longest <= room);
            fits.or(self.narrower.last()).unwrap_or(&self.widest)
        };
        let mut forms = vec![&self.widest; prompts.len()];
        cut.iter().for_each(|place| forms[*place] = fitting(&prompts[*place]));
        let again = cut.iter().map(|place| ask((&prompts[*place], forms[*place]))).collect();
        for (place, reply) in cut.into_iter().zip(service.answer(again)) {
            replies[place] = reply;
        }
        replies.into_iter().zip(forms).collect()
    }

    fn decide(&self, prompts: &[Vec<u32>]) -> Vec<Result<Decision, DecideError>> {
        let read = |(reply, form): (lm::Result<Reply>, _)| self.read(&reply.map_err(failed)?, form);
        let mut read: Vec<Result<Read<'_>, DecideError>> = self.replies(prompts).into_iter().map(read).collect();
        self.follow(prompts, &mut read);
        read.into_iter().map(|read| Ok(self.weighed(read?))).collect()
    }

    /// What an answer says that came to an end.
    fn read<'m>(&self, reply: &Reply, form: &'m (Grammar, usize)) -> Result<Read<'m>, DecideError> {
        if reply.done.finish == Finish::Length {
            return Err(DecideError::Failed("the answer does not end within the model's positions".to_owned()));
        }
        let tokens: Vec<u32> = reply.tokens.iter().map(|token| token.token).collect();
        let text = String::from_utf8(self.host.vocabulary().text(&tokens));
        let text = text.map_err(|_| DecideError::Failed("the answer is not UTF-8".to_owned()))?;
        let decision = (self.reading.answer)(&text).map_err(DecideError::Failed)?;
        let mut paths = Paths::new(self.targets.len());
        for beginning in paths.next_branches() {
            self.take(&mut paths, &beginning, reply);
        }
        Ok(Read { decision, paths, form })
    }

    /// Takes in how an answer went on from a branch.
    fn take(&self, paths: &mut Paths, from: &Branch, reply: &Reply) {
        let bytes = |token: u32| self.host.vocabulary().bytes(token).to_vec();
        let step = |token: &lm::inference::Token| Step {
            chosen: bytes(token.token),
            alternatives: token.alternatives.iter().map(|(token, log)| (bytes(*token), f64::from(*log))).collect(),
        };
        let steps: Vec<Step> = reply.tokens.iter().map(step).collect();
        let numbers = reply.tokens.iter().map(|token| {
            let alternatives = token.alternatives.iter().map(|(token, _)| *token).collect();
            (token.token, alternatives)
        });
        let statement = Statement { key: self.reading.key, targets: &self.targets };
        paths.take(statement, from, &steps, &numbers.collect::<Vec<_>>());
    }

    /// Asks how answers would have gone on from what they could have begun with, for all cases at once, until nothing is
    /// left that weighs enough. A branch that cannot be followed fails its case: what a decision says must not depend on
    /// what else the model does.
    fn follow(&self, prompts: &[Vec<u32>], read: &mut [Result<Read<'_>, DecideError>]) {
        loop {
            let mut asked: Vec<(usize, Branch)> = Vec::new();
            for (place, read) in read.iter_mut().enumerate() {
                let Ok(read) = read else { continue };
                // Behind so long a beginning there is no room for an answer.
                let fits = |branch: &Branch| prompts[place].len() + branch.tokens.len() < self.options.longest;
                let branches = read.paths.next_branches().into_iter().filter(fits);
                asked.extend(branches.map(|branch| (place, branch)));
            }
            if asked.is_empty() && read.iter().flatten().all(|read| read.paths.is_done()) {
                return;
            }
            for some in asked.chunks(TOGETHER) {
                let question = |(place, branch): &(usize, Branch)| {
                    let form = read[*place].as_ref().map_or(&self.widest, |read| read.form);
                    self.question(&prompts[*place], branch, form)
                };
                let requests = some.iter().map(question).collect();
                for ((place, branch), reply) in some.iter().zip(self.host.service().answer(requests)) {
                    match (&mut read[*place], reply) {
                        (Ok(read), Ok(reply)) => self.take(&mut read.paths, branch, &reply),
                        (read, Err(error)) => *read = Err(failed(error)),
                        (Err(_), Ok(_)) => {}
                    }
                }
            }
        }
    }

    /// The request for how an answer goes on.
    fn question(&self, prompt: &[u32], branch: &Branch, form: &(Grammar, usize)) -> Request {
        Request {
            begun: branch.tokens.len(),
            grammar: Some(form.0.clone()),
            allowed: ALTERNATIVES,
            ..Request::new([prompt, &branch.tokens].concat(), form.1, self.host.end())
        }
    }

    fn weighed(&self, read: Read<'_>) -> Decision {
        let Read { mut decision, paths, .. } = read;
        if let Some(probabilities) = paths.probabilities() {
            let outcomes = self.reading.outcomes.iter().map(|outcome| (*outcome).to_owned());
            weigh(&mut decision, outcomes.zip(probabilities).collect(), self.reading.positive, self.curve.as_ref());
        }
        decision
    }
}

/// An answer that was read.
struct Read<'m> {
    decision: Decision,
    paths: Paths,
    /// The form that it was held to.
    form: &'m (Grammar, usize),
}

fn failed(error: lm::Error) -> DecideError {
    DecideError::Failed(error.to_string())
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
