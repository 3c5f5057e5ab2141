//! Cases that a model of this process decides, measured as those that an endpoint decides.

use std::path::Path;
use std::time::Instant;

use decision::Desk;
use desks::transactions::{PromptStyle, Transactions, prompt};
use evaluate::endpoint::{Answer, Level, Sample, Tokens};
use lm::constraint::Form;
use lm::inference::{Host, Request};
use lm::text::Composer;
use serde_json::{Value, json};

use super::drive::{Timed, drive};
use super::speed::Noise;
use crate::commands::bench_endpoint::cases::{Cases, Labelled};
use crate::commands::bench_endpoint::question::{answer_schema, stated};
use crate::streams;

/// The cases as prompts, and how they are answered.
pub(super) struct Decisions<'c> {
    cases: &'c Cases,
    prompts: Vec<Prompt>,
    /// Tokens that an answer may have.
    most: usize,
}

struct Prompt {
    text: String,
    tokens: Vec<u32>,
}

/// Tokens of the prompt that warms up.
const WARM_UP: usize = 16;

impl<'c> Decisions<'c> {
    /// Writes the cases as the desk's decoders read them.
    ///
    /// # Errors
    /// When a case cannot be written, or is too long for the model.
    pub(super) fn new(host: &Host, cases: &'c Cases, most: usize) -> anyhow::Result<Self> {
        let options = deciders::decoder::example_options(host.service().config().positions);
        let composer = Composer::new(host.tokenizer(), &options);
        let write = |case: &Labelled| -> anyhow::Result<Prompt> {
            let facts: Value = serde_json::from_str(&case.facts)?;
            let text = prompt(&facts, PromptStyle::Compact)?;
            let tokens = composer.prompt(&text).map_err(|refusal| anyhow::anyhow!("{}: {refusal}", case.case_id))?;
            Ok(Prompt { text, tokens })
        };
        Ok(Self { cases, prompts: cases.list.iter().map(write).collect::<Result<_, _>>()?, most })
    }

    /// Decides all cases with so many in flight. The host must not have seen them: it would know their prompts.
    pub(super) fn measure(&self, host: &Host, concurrency: usize) -> anyhow::Result<(Level, Vec<Timed>)> {
        let grammar = host.grammar(&Form::Schema(answer_schema()))?;
        let request = |tokens: Vec<u32>| Request {
            grammar: Some(grammar.clone()),
            ..Request::new(tokens, self.most, host.end())
        };
        // The first request finds weights unread and threads asleep.
        drive(host.service(), [request(Noise::new(host).tokens(WARM_UP))], 1)?;
        let begin = Instant::now();
        let requests = self.prompts.iter().map(|prompt| request(prompt.tokens.clone()));
        let answers = drive(host.service(), requests, concurrency)?;
        let seconds = begin.elapsed().as_secs_f64();
        let samples: Vec<Sample> = self
            .cases
            .list
            .iter()
            .zip(&answers)
            .map(|(case, timed)| sample(host, case, timed))
            .collect::<anyhow::Result<_>>()?;
        Ok((Level::new(concurrency, &samples, seconds, Transactions.outcomes()), answers))
    }

    /// Writes prompts and answers, for other programs to answer the same.
    pub(super) fn write(&self, host: &Host, answers: &[Timed], path: &Path) -> anyhow::Result<()> {
        let mut cases = Vec::with_capacity(answers.len());
        for ((case, prompt), timed) in self.cases.list.iter().zip(&self.prompts).zip(answers) {
            cases.push(json!({
                "case_id": case.case_id,
                "prompt": prompt.text,
                "tokens": prompt.tokens,
                "answer": host.tokenizer().decode(&timed.tokens, false)?,
                "truth": case.truth,
            }));
        }
        let all = json!({"schema": answer_schema(), "most": self.most, "end": host.end(), "cases": cases});
        streams::write_file(path, format!("{all}\n").as_bytes())
    }
}

fn sample(host: &Host, case: &Labelled, timed: &Timed) -> anyhow::Result<Sample> {
    let text = host.tokenizer().decode(&timed.tokens, false)?;
    let usage = timed.done.usage;
    Ok(Sample {
        truth: case.truth.clone(),
        answer: stated(&text).map_or(Answer::Invalid, Answer::Decision),
        time: timed.time(),
        first_token: Some(timed.until_first()),
        tokens: Tokens {
            prompt: Some(usage.prompt as u64),
            cached: Some(usage.cached as u64),
            output: Some(usage.completion as u64),
        },
    })
}
