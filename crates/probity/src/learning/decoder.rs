//! The decoder of the transactions desk: it reads the compact prompt and writes reasons and decision.

use deciders::decoder::example_options;
use deciders::reading::{AnswerForm, Reading};
use decision::Decision;
use desks::transactions::{
    MOST_REASONS, OUTCOME_KEY, OUTCOMES, POSITIVE, PromptStyle, completion, longest_answer, paired_schema,
    parse_answer, prompt, whole_tokens,
};
use lm::text::{Composer, Example, ExampleOptions, Packing, Record, Tokenizer, TrainingOptions};
use lm::train::Recipe;
use lm::{Config, Decoder, Generation, Method, Tokens};
use serde_json::Value;

use super::labels::Labelled;
use super::recipe::{Common, DeskDecoderDetails};
use super::source::Encoding;

const STYLE: PromptStyle = PromptStyle::Compact;

/// How cases come to the model, and answers back.
pub(super) const READING: Reading = Reading {
    input: STYLE.version(),
    prompt: write,
    answer: read,
    form: || form(MOST_REASONS),
    narrower: || FEWER_REASONS.into_iter().map(form).collect(),
    key: OUTCOME_KEY,
    outcomes: &OUTCOMES,
    positive: &POSITIVE,
};

/// Numbers of reasons that an answer may give, where there is less and less room.
const FEWER_REASONS: [usize; 3] = [8, 2, 0];

fn form(reasons: usize) -> AnswerForm {
    AnswerForm { schema: paired_schema(reasons), longest: longest_answer(reasons) }
}

/// Validation cases that are answered to measure the accuracy while the model learns.
const ANSWERED: usize = 256;

fn write(facts: &Value) -> Result<String, String> {
    prompt(facts, STYLE).map_err(|error| error.to_string())
}

fn read(answer: &str) -> Result<Decision, String> {
    parse_answer(answer).map_err(|error| error.to_string())
}

fn record(case: &Labelled) -> Result<Record, String> {
    let completion = completion(&case.decision.outcome, case.reasons()).map_err(|error| error.to_string())?;
    Ok(Record::Pair { prompt: write(&case.facts)?, completion })
}

/// Learns to answer: reasons as often as they apply, then the decision that they come to.
pub(super) struct Answers {
    tokenizer: Tokenizer,
    options: ExampleOptions,
    generation: Generation,
}

impl Answers {
    /// With a tokenizer made for the sample, in which what the prompt is made of is never taken apart.
    pub(super) fn new(recipe: &Recipe<DeskDecoderDetails>, sample: &[Labelled]) -> lm::Result<Self> {
        let shape = recipe.details.shape();
        let texts = sample.iter().filter_map(|case| record(case).ok()).flat_map(Record::into_texts);
        let options =
            TrainingOptions { vocabulary: shape.vocabulary, special: Vec::new(), whole: whole_tokens(), digits: true };
        let tokenizer = Tokenizer::train(texts, &options)?;
        let end = tokenizer.end().into_iter().collect();
        let most = recipe.details.answer_tokens().unwrap_or_default();
        Ok(Self { tokenizer, options: example_options(shape.positions), generation: Generation { most, end } })
    }

    /// A new model for the tokenizer's vocabulary.
    pub(super) fn model(&self, recipe: &Recipe<DeskDecoderDetails>) -> lm::Result<Decoder> {
        let config = self.config(recipe);
        let mut model = Decoder::random(config, recipe.details.dtype(), &Method::Full, recipe.training.seed)?;
        model.recompute(recipe.training.checkpointing);
        Ok(model)
    }

    pub(super) fn config(&self, recipe: &Recipe<DeskDecoderDetails>) -> Config {
        let end = self.tokenizer.end().into_iter().collect();
        Config { vocabulary: self.tokenizer.vocabulary(), end, ..recipe.details.shape().config() }
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Prompts and right completions of examples, without the prompts that leave no room for every answer: the decider
    /// refuses them.
    fn asked<'i>(&self, items: &[&'i Example]) -> impl Iterator<Item = (Vec<u32>, &'i [u32])> {
        let room = self.options.longest - self.generation.most;
        let part = |item: &&'i Example| {
            let start = item.counted.iter().position(|counted| *counted).unwrap_or(0);
            (item.tokens[..start].to_vec(), &item.tokens[start..])
        };
        items.iter().map(part).filter(move |(prompt, _)| prompt.len() <= room)
    }

    /// How many cases have so many tokens, going by a sample. A batch is a number of cases and not of tokens, so that
    /// any batch can be made without those before it.
    pub(super) fn cases(&self, tokens: usize, sample: &[Labelled]) -> usize {
        let lengths: Vec<usize> =
            sample.iter().take(1024).filter_map(|case| Some(self.item(case).ok()?.tokens.len())).collect();
        (tokens * lengths.len() / lengths.iter().sum::<usize>().max(1)).max(1)
    }
}

impl Encoding for Answers {
    type Trainee = Decoder;
    type Item = Example;

    fn item(&self, case: &Labelled) -> Result<Example, String> {
        let composer = Composer::new(&self.tokenizer, &self.options);
        composer.example(&record(case)?).map_err(|error| error.to_string())
    }

    fn batch(&self, items: Vec<Example>) -> Tokens {
        let all: Vec<usize> = (0..items.len()).collect();
        Packing::batch(&items, &all)
    }

    /// Of answers that are right to the last reason. A prompt that is not asked counts as one that was answered wrongly.
    fn accuracy(&self, trainee: &mut Decoder, items: &[Example]) -> lm::Result<f64> {
        let chosen: Vec<&Example> = items.iter().step_by(items.len().div_ceil(ANSWERED).max(1)).collect();
        let (prompts, completions): (Vec<Vec<u32>>, Vec<&[u32]>) = self.asked(&chosen).unzip();
        let answers = trainee.generate(&prompts, &self.generation)?;
        let end = self.generation.end.as_slice();
        let right = answers
            .iter()
            .zip(completions)
            .filter(|(answer, right)| answer.ended && right.strip_suffix(end) == Some(&answer.tokens[..]));
        Ok(right.count() as f64 / chosen.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_that_the_decider_refuses_are_not_asked_while_training_either() {
        let texts = ["a prompt and an answer".to_owned()];
        let options = TrainingOptions { vocabulary: 300, ..TrainingOptions::default() };
        let tokenizer = Tokenizer::train(texts.into_iter(), &options).expect("a tokenizer");
        let generation = Generation { most: 4, end: tokenizer.end().into_iter().collect() };
        let answers = Answers { tokenizer, options: example_options(16), generation };
        let example = |prompt: usize| {
            let tokens: Vec<u32> = (0..prompt as u32 + 2).collect();
            Example { counted: (0..tokens.len()).map(|place| place >= prompt).collect(), tokens }
        };
        let examples = [example(12), example(13), example(3)];
        let asked: Vec<(Vec<u32>, &[u32])> = answers.asked(&examples.each_ref()).collect();
        assert_eq!(asked, [((0..12).collect(), &[12, 13][..]), ((0..3).collect(), &[3, 4][..])]);
    }
}
