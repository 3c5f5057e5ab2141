//! What a request asks for, checked: which writer, on which prompts, how.

use decision::mixing;
use lm::inference::{Request, Sampling};
use serde_json::Value;

use super::fields::{Chat, Common, Completion, Prompts, Stop, invalid, read};
use super::{form, messages, unsupported};
use crate::language::Writer;
use crate::{ApiError, State};

/// In which of the two forms is asked and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completion,
}

/// Answers to one prompt at most.
const ANSWERS: usize = 16;
/// Prompts of one request at most, and answers to all of them.
const PROMPTS: usize = 1024;
/// Texts that end an answer, at most.
const STOPS: usize = 4;
/// Tokens that are told beside each of the answer's, at most.
const LIKELIEST: usize = 20;
/// Tokens of a completion if the request does not say, as OpenAI has it.
const COMPLETION: usize = 16;

/// See the module.
pub(crate) struct Plan {
    pub(crate) dialect: Dialect,
    pub(crate) writer: Writer,
    /// Each, with the tokens that an answer to it may have.
    prompts: Vec<(Vec<u32>, usize)>,
    /// What all requests have in common.
    common: Request,
    /// Answers to each prompt.
    pub(crate) answers: usize,
    pub(crate) stops: Vec<String>,
    /// Whether log-probabilities are told.
    pub(crate) log_probabilities: bool,
    pub(crate) stream: bool,
    /// Whether a stream tells the usage.
    pub(crate) usage: bool,
}

/// What the two forms say in fields of their own.
struct Own {
    prompts: Vec<Vec<u32>>,
    /// Where the prompt is, for messages.
    field: &'static str,
    most: Option<usize>,
    /// The allowance if nothing else says it; none for what is left.
    usual: Option<usize>,
    /// Likeliest tokens to tell; none if no log-probabilities are asked for.
    likeliest: Option<usize>,
}

impl Plan {
    /// Checks a request. Takes time: conversations and prompts become tokens, schemas are compiled.
    ///
    /// # Errors
    /// The field that is wrong, and why; or that the writer is not there.
    pub(crate) fn new(state: &State, dialect: Dialect, body: &Value) -> Result<Self, ApiError> {
        let common: Common = read(body)?;
        unsupported::refuse(body)?;
        let writer = state.writer(common.model.as_deref())?;
        let own = match dialect {
            Dialect::Chat => chat(&writer, &read(body)?)?,
            Dialect::Completion => completion(&writer, read(body)?)?,
        };
        let answers = within("n", common.n.unwrap_or(1), 1, ANSWERS)?;
        if own.prompts.len() * answers > PROMPTS {
            let message = format!("{answers} answers to each of {} prompts are more than {PROMPTS}", own.prompts.len());
            return Err(invalid("n", message));
        }
        let (request, allowance) = request(&writer, &own, &common)?;
        let (usage, stream) = (common.stream_options.as_ref().and_then(|options| options.include_usage), common.stream);
        Ok(Self {
            dialect,
            log_probabilities: own.likeliest.is_some(),
            prompts: with_room(&writer, own, allowance)?,
            common: request,
            answers,
            stops: stops(common.stop)?,
            stream: stream.unwrap_or(false),
            usage: usage.unwrap_or(false),
            writer,
        })
    }

    /// How many answers there are to all prompts.
    pub(crate) fn choices(&self) -> usize {
        self.prompts.len() * self.answers
    }

    /// The request for an answer: those to the first prompt come first.
    pub(crate) fn request(&self, choice: usize) -> Request {
        let (prompt, most) = &self.prompts[choice / self.answers];
        let mut request = Request { prompt: prompt.clone(), most: *most, ..self.common.clone() };
        request.sampling.seed = derived(request.sampling.seed, (choice % self.answers) as u64);
        request
    }

    /// Tokens of all prompts, each counted once.
    pub(crate) fn prompt_tokens(&self) -> usize {
        self.prompts.iter().map(|(prompt, _)| prompt.len()).sum()
    }
}

fn chat(writer: &Writer, chat: &Chat) -> Result<Own, ApiError> {
    let likeliest = match (chat.logprobs.unwrap_or(false), chat.top_logprobs) {
        (true, count) => Some(within("top_logprobs", count.unwrap_or(0), 0, LIKELIEST)?),
        (false, None | Some(0)) => None,
        (false, Some(_)) => return Err(invalid("top_logprobs", "it needs `logprobs`: true")),
    };
    let prompts = vec![messages::render(&writer.host, &chat.messages)?];
    Ok(Own { prompts, field: "messages", most: chat.max_completion_tokens, usual: None, likeliest })
}

fn completion(writer: &Writer, completion: Completion) -> Result<Own, ApiError> {
    let likeliest = completion.logprobs.map(|count| within("logprobs", count, 0, LIKELIEST)).transpose()?;
    let prompts = prompts(writer, completion.prompt)?;
    Ok(Own { prompts, field: "prompt", most: None, usual: Some(COMPLETION), likeliest })
}

fn prompts(writer: &Writer, prompts: Prompts) -> Result<Vec<Vec<u32>>, ApiError> {
    let encode = |text: &String| {
        writer.host.tokenizer().encode(text, true).map_err(|error| invalid("prompt", error.to_string()))
    };
    let count = match &prompts {
        Prompts::Text(_) | Prompts::Tokens(_) => 1,
        Prompts::Texts(texts) => texts.len(),
        Prompts::TokenLists(lists) => lists.len(),
    };
    within("prompt", count, 1, PROMPTS)?;
    let prompts = match prompts {
        Prompts::Text(text) => vec![encode(&text)?],
        Prompts::Texts(texts) => texts.iter().map(encode).collect::<Result<_, _>>()?,
        Prompts::Tokens(tokens) => vec![tokens],
        Prompts::TokenLists(lists) => lists,
    };
    let vocabulary = writer.host.service().config().vocabulary;
    if let Some(token) = prompts.iter().flatten().find(|token| **token as usize >= vocabulary) {
        return Err(invalid("prompt", format!("{token} is no token: the model has {vocabulary}")));
    }
    Ok(prompts)
}

/// A number within bounds, both included.
fn within(field: &str, number: usize, least: usize, most: usize) -> Result<usize, ApiError> {
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(invalid(field, format!("{number} is not from {least} to {most}")))
}

fn stops(stop: Option<Stop>) -> Result<Vec<String>, ApiError> {
    let stops = match stop {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text],
        Some(Stop::Any(texts)) => texts,
    };
    within("stop", stops.len(), 0, STOPS)?;
    if stops.iter().any(String::is_empty) {
        return Err(invalid("stop", "an empty text would end every answer"));
    }
    Ok(stops)
}

fn sampling(common: &Common) -> Result<Sampling, ApiError> {
    let (temperature, top_p) = (common.temperature.unwrap_or(1.0), common.top_p.unwrap_or(1.0));
    if !(0.0..=2.0).contains(&temperature) {
        return Err(invalid("temperature", format!("{temperature} is not from 0 to 2")));
    }
    if !(top_p > 0.0 && top_p <= 1.0) {
        return Err(invalid("top_p", format!("{top_p} is not above 0 and at most 1")));
    }
    Ok(Sampling { temperature, top_p, seed: common.seed.unwrap_or(0).cast_unsigned() })
}

/// What all requests have in common, and the tokens of an answer, if anything says them.
fn request(writer: &Writer, own: &Own, common: &Common) -> Result<(Request, Option<usize>), ApiError> {
    let sampling = sampling(common)?;
    let wanted = form::form(common)?;
    let grammar = wanted
        .map(|(field, form)| writer.host.grammar(&form).map_err(|error| invalid(field, error.to_string())))
        .transpose()?;
    let stated = own.most.or(common.max_tokens);
    // An answer of the schema is never cut, unless the request says so.
    let longest = grammar.as_ref().and_then(|grammar| grammar.longest());
    let usual = if grammar.is_some() { None } else { own.usual };
    if stated == Some(0) {
        return Err(invalid("max_tokens", "it is 0: an answer has at least one token"));
    }
    let request = Request {
        adapter: writer.adapter.clone(),
        sampling,
        grammar,
        likeliest: own.likeliest.unwrap_or(0),
        ..Request::new(Vec::new(), 0, writer.host.end())
    };
    Ok((request, stated.or(longest).or(usual)))
}

/// The prompts, each with the tokens that an answer to it may have.
fn with_room(writer: &Writer, own: Own, allowance: Option<usize>) -> Result<Vec<(Vec<u32>, usize)>, ApiError> {
    let with_room = |prompt: Vec<u32>| {
        let most = room(writer, prompt.len(), allowance, own.field)?;
        Ok((prompt, most))
    };
    own.prompts.into_iter().map(with_room).collect()
}

/// Tokens that the answer to a prompt may have.
fn room(writer: &Writer, prompt: usize, allowance: Option<usize>, field: &'static str) -> Result<usize, ApiError> {
    if prompt == 0 {
        return Err(invalid(field, "it has no tokens"));
    }
    let positions = writer.host.service().config().positions;
    let answer = allowance.unwrap_or_else(|| positions.saturating_sub(prompt).max(1));
    match prompt.checked_add(answer) {
        Some(all) if all <= positions => Ok(answer),
        _ => Err(ApiError::ContextLength { prompt, answer, positions, field }),
    }
}

/// The seed of an answer: the request's own for the first, so that more answers do not change it.
fn derived(seed: u64, answer: u64) -> u64 {
    if answer == 0 { seed } else { mixing::drawn(seed, answer) }
}
