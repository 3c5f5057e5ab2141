//! What is sent to an endpoint and what comes back.

use serde_json::{Value, json};

use super::options::{Endpoint, Options, SchemaStyle};
use crate::outcomes::Step;
use crate::reading::AnswerForm;

/// Likeliest tokens that are asked for: the most that OpenAI tells.
const LIKELIEST: usize = 20;

/// The body of a request.
pub(super) fn body(options: &Options, prompt: &str, form: &AnswerForm) -> Value {
    let most = options.tokens.unwrap_or(form.longest);
    let mut body = json!({"model": options.model, "temperature": 0, "seed": 0});
    match options.endpoint {
        Endpoint::Chat => {
            body["messages"] = json!([{"role": "user", "content": prompt}]);
            // The older name is refused by newer models of OpenAI's, and so are both at once.
            body["max_completion_tokens"] = json!(most);
        }
        Endpoint::Completions => {
            body["prompt"] = json!(prompt);
            body["max_tokens"] = json!(most);
        }
    }
    match options.schema {
        SchemaStyle::ResponseFormat => {
            let named = json!({"name": "decision", "strict": true, "schema": form.schema});
            body["response_format"] = json!({"type": "json_schema", "json_schema": named});
        }
        SchemaStyle::StructuredOutputs => body["structured_outputs"] = json!({"json": form.schema}),
        SchemaStyle::None => {}
    }
    match options.endpoint {
        _ if !options.logprobs => {}
        Endpoint::Chat => {
            body["logprobs"] = json!(true);
            body["top_logprobs"] = json!(LIKELIEST);
        }
        Endpoint::Completions => body["logprobs"] = json!(LIKELIEST),
    }
    body
}

/// An answer as it came.
pub(super) struct Answer {
    text: Option<String>,
    refusal: bool,
    finish: String,
    /// Its tokens with others that were told, if they were.
    pub(super) steps: Vec<Step>,
    pub(super) prompt_tokens: u64,
    pub(super) answer_tokens: u64,
}

impl Answer {
    /// The whole text.
    ///
    /// # Errors
    /// When there is none, or only a part of it.
    pub(super) fn text(&self) -> Result<&str, String> {
        match &self.text {
            _ if self.refusal => Err("the model refuses to answer".to_owned()),
            _ if self.finish == "length" => Err("the answer was cut: it has reached its length".to_owned()),
            _ if self.finish == "content_filter" => Err("the endpoint's filter took the answer away".to_owned()),
            Some(text) => Ok(text),
            None => Err("the endpoint gave no text".to_owned()),
        }
    }
}

/// Takes an answer apart.
///
/// # Errors
/// When it has no choice in the form of its path.
pub(super) fn read(reply: &Value, endpoint: Endpoint) -> Result<Answer, String> {
    let choice = &reply["choices"][0];
    if !choice.is_object() {
        return Err("the endpoint's answer has no choices".to_owned());
    }
    let (text, steps) = match endpoint {
        Endpoint::Chat => (&choice["message"]["content"], chat_steps(&choice["logprobs"]["content"])),
        Endpoint::Completions => (&choice["text"], completion_steps(&choice["logprobs"])),
    };
    let count = |name: &str| reply["usage"][name].as_u64().unwrap_or(0);
    Ok(Answer {
        text: text.as_str().map(str::to_owned),
        refusal: choice["message"]["refusal"].as_str().is_some_and(|refusal| !refusal.is_empty()),
        finish: choice["finish_reason"].as_str().unwrap_or_default().to_owned(),
        steps,
        prompt_tokens: count("prompt_tokens"),
        answer_tokens: count("completion_tokens"),
    })
}

/// Tokens of a chat's answer: each an object with its likeliest others in `top_logprobs`.
fn chat_steps(list: &Value) -> Vec<Step> {
    let token = |token: &Value| {
        let bytes = token["bytes"].as_array().map(|list| list.iter().filter_map(Value::as_u64));
        let bytes = bytes.map(|bytes| bytes.filter_map(|byte| u8::try_from(byte).ok()).collect::<Vec<u8>>());
        let bytes = bytes.unwrap_or_else(|| token["token"].as_str().unwrap_or_default().as_bytes().to_vec());
        (bytes, token["logprob"].as_f64().unwrap_or(f64::NEG_INFINITY))
    };
    let others = |of: &Value| of["top_logprobs"].as_array().into_iter().flatten().map(token).collect();
    list.as_array().into_iter().flatten().map(|of| step(token(of), others(of))).collect()
}

/// Tokens of a completion: lists side by side, the likeliest others as objects of text and logarithm.
fn completion_steps(lists: &Value) -> Vec<Step> {
    let tokens = lists["tokens"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let pairs = tokens.enumerate().map(|(place, token)| {
        let logarithm = lists["token_logprobs"][place].as_f64().unwrap_or(f64::NEG_INFINITY);
        let others = lists["top_logprobs"][place].as_object().into_iter().flatten();
        let others = others.filter_map(|(token, log)| Some((token.as_bytes().to_vec(), log.as_f64()?)));
        step((token.as_bytes().to_vec(), logarithm), others.collect())
    });
    pairs.collect()
}

/// A token with the others; it counts among them, also if it is none of the likeliest.
fn step(chosen: (Vec<u8>, f64), mut alternatives: Vec<(Vec<u8>, f64)>) -> Step {
    if alternatives.iter().all(|(token, _)| *token != chosen.0) {
        alternatives.push(chosen.clone());
    }
    Step { chosen: chosen.0, alternatives }
}
