//! Log-probabilities of an answer's tokens, in the forms of chats and of completions.

use std::fmt::Write;

use lm::inference::Host;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::choice::Placed;

/// What cannot be written as JSON, minus infinity, is written as this, as OpenAI does.
const IMPOSSIBLE: f64 = -9999.0;

/// A token with its log-probability.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Likelihood {
    /// Its text, or `bytes:\xf0\x9f` if it is a part of a character.
    token: String,
    /// Natural logarithm of its probability among the tokens that might have come. 0 if nothing else could.
    logprob: f64,
    /// Its bytes; none of special tokens, which are no text.
    bytes: Option<Vec<u8>>,
}

/// A token of the answer of a chat.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChatToken {
    #[serde(flatten)]
    token: Likelihood,
    /// The likeliest tokens at its place.
    top_logprobs: Vec<Likelihood>,
}

/// Log-probabilities of a chat's answer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChatLogprobs {
    content: Vec<ChatToken>,
}

/// Log-probabilities of a completion, one entry a token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f64>,
    /// The likeliest tokens and the one of the answer.
    top_logprobs: Vec<Map<String, Value>>,
    /// Where the token's text begins in that of the answer, in characters.
    text_offset: Vec<usize>,
}

/// Of a chat.
pub(crate) fn of_chat(host: &Host, tokens: &[Placed]) -> ChatLogprobs {
    let content = tokens.iter().map(|Placed { token, .. }| ChatToken {
        token: likelihood(host, token.token, token.log_probability),
        top_logprobs: token.alternatives.iter().map(|(token, log)| likelihood(host, *token, *log)).collect(),
    });
    ChatLogprobs { content: content.collect() }
}

/// Of a completion.
pub(crate) fn of_text(host: &Host, tokens: &[Placed]) -> TextLogprobs {
    let mut all = TextLogprobs::default();
    for Placed { token, offset } in tokens {
        let own = likelihood(host, token.token, token.log_probability);
        let likeliest = token.alternatives.iter().map(|(token, log)| likelihood(host, *token, *log));
        let likeliest = likeliest.chain([own.clone()]);
        all.top_logprobs.push(likeliest.map(|one| (one.token, Value::from(one.logprob))).collect());
        all.tokens.push(own.token);
        all.token_logprobs.push(own.logprob);
        all.text_offset.push(*offset);
    }
    all
}

fn likelihood(host: &Host, token: u32, log: f32) -> Likelihood {
    let (token, bytes) = match host.vocabulary().bytes(token) {
        [] => (host.tokenizer().decode(&[token], false).unwrap_or_default(), None),
        bytes => (spelled(bytes), Some(bytes.to_vec())),
    };
    Likelihood { token, logprob: if log.is_finite() { f64::from(log) } else { IMPOSSIBLE }, bytes }
}

/// Bytes as text, or spelled out if they are none.
fn spelled(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(
        |_| {
            bytes.iter().fold("bytes:".to_owned(), |mut text, byte| {
                // Writing to a string does not fail.
                let _ = write!(text, "\\x{byte:02x}");
                text
            })
        },
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_characters_are_spelled_out() {
        assert_eq!(spelled("é".as_bytes()), "é");
        assert_eq!(spelled(&"é".as_bytes()[..1]), "bytes:\\xc3");
    }
}
