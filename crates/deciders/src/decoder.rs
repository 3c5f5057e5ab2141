//! A decoder as a decider: it reads a prompt and writes an answer, which is taken as it is or refused.

use std::path::Path;

use ::lm::text::{Composer, ExampleOptions, Tokenizer, TooLong, Turns};
use ::lm::{Answer, Decoder as Model, Generation, Method};
use decision::{Case, DecideError, Decider, Decision, Identity, Worker};
use rayon::ThreadPool;
use serde_json::Value;

use crate::artifact::{Error, Manifest};
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
}

/// The decider.
pub struct Decoder {
    model: Model,
    tokenizer: Tokenizer,
    end: u32,
    options: ExampleOptions,
    /// Tokens that an answer may have.
    most: usize,
    reading: Reading,
    identity: Identity,
    pool: ThreadPool,
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
        manifest.check_input(folder, reading.input)?;
        let place = folder.join(crate::MODEL);
        let unfit = |problem: &str| Error::Unfit { path: place.clone(), problem: problem.to_owned() };
        let tokenizer = Tokenizer::open(&place)?;
        let end = tokenizer.end().ok_or_else(|| unfit("the tokenizer names no eos_token"))?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build()?;
        let model = pool.install(|| Model::open(&place, manifest.precision, &Method::None, 0))?;
        let positions = model.config().positions;
        let most = manifest.answer_tokens.filter(|most| *most < positions);
        let most = most.ok_or_else(|| unfit("the manifest leaves no room for a prompt and an answer"))?;
        Ok(Self {
            model,
            tokenizer,
            end,
            options: example_options(positions),
            most,
            reading,
            identity: manifest.identity(),
            pool,
        })
    }

    /// The tokens of a case's prompt. A prompt that leaves no room for the longest answer is refused: cut, it could be
    /// decided differently.
    fn prompt(&self, case: &Case<'_>) -> Result<Vec<u32>, DecideError> {
        let text = (self.reading.prompt)(&facts(case)?).map_err(DecideError::Unfit)?;
        let tokens = Composer::new(&self.tokenizer, &self.options).prompt(&text);
        let tokens = tokens.map_err(|error| DecideError::Failed(error.to_string()))?;
        let room = self.model.config().positions - self.most;
        if tokens.len() > room {
            let count = tokens.len();
            let problem = format!("the case has {count} tokens, the model takes {room}; decide it by rules");
            return Err(DecideError::Unfit(problem));
        }
        Ok(tokens)
    }

    /// The decision of an answer that came to an end of its own.
    fn decision(&self, answer: &Answer) -> Result<Decision, DecideError> {
        if !answer.ended {
            return Err(DecideError::Failed(format!("the answer does not end within {} tokens", self.most)));
        }
        let text =
            self.tokenizer.decode(&answer.tokens, false).map_err(|error| DecideError::Failed(error.to_string()))?;
        (self.reading.answer)(&text).map_err(DecideError::Failed)
    }
}

impl Decider for Decoder {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(DecoderWorker { of: self, model: self.model.clone() })
    }

    fn prefers_batches(&self) -> bool {
        true
    }
}

/// Decides with a model of its own, on the threads of all workers.
struct DecoderWorker<'m> {
    of: &'m Decoder,
    model: Model,
}

impl Worker for DecoderWorker<'_> {
    fn decide(&mut self, cases: &[Case<'_>]) -> Vec<Result<Decision, DecideError>> {
        let Self { of, model } = self;
        let options = Generation { most: of.most, end: vec![of.end] };
        batch::decide(
            cases,
            |case| of.prompt(case),
            |prompts| {
                let answers = of.pool.install(|| model.generate(prompts, &options))?;
                Ok(answers.iter().map(|answer| of.decision(answer)).collect())
            },
        )
    }
}
