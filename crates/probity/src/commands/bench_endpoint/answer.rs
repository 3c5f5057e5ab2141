//! What an endpoint sends back, whole or in pieces, as a text with its tokens.

use std::time::Instant;

use evaluate::endpoint::Tokens;
use serde::Deserialize;

/// A text that an endpoint has written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) tokens: Tokens,
}

/// A body of `/v1/completions` or `/v1/chat/completions`, or a piece of it.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    text: Option<String>,
    #[serde(default, alias = "delta")]
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

impl Usage {
    fn tokens(&self) -> Tokens {
        Tokens {
            prompt: self.prompt_tokens,
            cached: self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens),
            output: self.completion_tokens,
        }
    }
}

impl Choice {
    fn text(self) -> Option<String> {
        self.message.and_then(|message| message.content).or(self.text)
    }
}

/// A body that came whole; none if it is of another form.
pub(super) fn whole(body: &[u8]) -> Option<Written> {
    let body: Body = serde_json::from_slice(body).ok()?;
    let text = body.choices.into_iter().next()?.text()?;
    Some(Written { text, tokens: body.usage.map_or_else(Tokens::default, |usage| usage.tokens()) })
}

/// A body that comes as server-sent events, each with a piece of the text.
#[derive(Default)]
pub(super) struct Pieces {
    /// The line that has not come to its end.
    line: Vec<u8>,
    written: Written,
    /// When the first text came.
    pub(super) first: Option<Instant>,
    done: bool,
    /// Whether an event was an error, or of another form.
    broken: bool,
}

impl Pieces {
    /// Takes what has arrived.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.event(line.trim_ascii());
            }
        }
    }

    fn event(&mut self, line: &[u8]) {
        // Comments, names of events and the blank lines between them say nothing here.
        let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { return };
        if data == b"[DONE]" {
            self.done = true;
            return;
        }
        let Ok(body) = serde_json::from_slice::<Body>(data) else {
            self.broken = true;
            return;
        };
        self.broken |= body.error.is_some();
        if let Some(usage) = body.usage {
            self.written.tokens = usage.tokens();
        }
        if let Some(text) = body.choices.into_iter().next().and_then(Choice::text).filter(|text| !text.is_empty()) {
            self.first.get_or_insert_with(Instant::now);
            self.written.text += &text;
        }
    }

    /// The whole text; none if the stream did not come to its end, or said that something failed.
    pub(super) fn end(self) -> Option<Written> {
        (self.done && !self.broken).then_some(self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str, size: usize) -> Pieces {
        let mut pieces = Pieces::default();
        text.as_bytes().chunks(size).for_each(|bytes| pieces.take(bytes));
        pieces
    }

    #[test]
    fn answers_of_both_kinds_are_read() {
        let chat = br#"{"choices":[{"message":{"role":"assistant","content":"a"}}],
            "usage":{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}"#;
        let tokens = Tokens { prompt: Some(7), cached: Some(4), output: Some(2) };
        assert_eq!(whole(chat), Some(Written { text: "a".to_owned(), tokens }));
        let completion = br#"{"choices":[{"text":"b"}],"usage":null}"#;
        assert_eq!(whole(completion), Some(Written { text: "b".to_owned(), tokens: Tokens::default() }));
        for other in ["{}", r#"{"choices":[{"message":{"content":null}}]}"#, "busy"] {
            assert_eq!(whole(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn pieces_make_up_the_answer_however_they_are_cut() {
        let text = ": hello\r\n\r\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\r\n\r\n\
            data: {\"choices\":[{\"delta\":{\"content\":\"é\"}}]}\n\ndata:{\"choices\":[{\"text\":\"b\"}],\"usage\":null}\n\n\
            data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
        for size in [1, 2, 7, 1000] {
            let pieces = pieces(text, size);
            assert!(pieces.first.is_some());
            let written = pieces.end().expect("an end");
            assert_eq!((written.text.as_str(), written.tokens.prompt, written.tokens.output), ("éb", Some(3), Some(2)));
        }
    }

    #[test]
    fn a_stream_that_is_cut_or_fails_is_no_answer() {
        let good = "data: {\"choices\":[{\"text\":\"a\"}]}\n\n";
        assert_eq!(pieces(good, 9).end(), None);
        for bad in ["data: {\"error\":{\"message\":\"m\"}}\n\n", "data: busy\n\n"] {
            assert_eq!(pieces(&format!("{good}{bad}data: [DONE]\n\n"), 9).end(), None, "{bad}");
        }
        let empty = "data: {\"choices\":[{\"text\":\"\"}]}\n\n";
        assert_eq!(pieces(empty, 9).first, None, "no text, no first token");
    }
}
