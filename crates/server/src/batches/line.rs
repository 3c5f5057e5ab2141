//! Lines of a batch: requests as OpenAI and vLLM write them, answers as OpenAI writes them.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead};

use decision::lines::{MAXIMUM_LINE, read_line};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request that can be put to the server.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Request {
    pub(super) custom_id: String,
    method: String,
    pub(super) url: String,
    pub(super) body: Value,
}

/// A line that is no request that can be put.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Refused {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Its number, from 1.
    pub(super) line: u64,
}

/// A line of the input that is not blank.
#[derive(Debug, PartialEq)]
pub(super) struct Item {
    /// Its place among such lines, from 1.
    pub(super) ordinal: u64,
    /// Its number among all lines, from 1.
    pub(super) line: u64,
    /// As far as it can be read.
    pub(super) custom_id: Option<String>,
    pub(super) request: Result<Request, Refused>,
}

/// Reads the requests of a batch, one at a time.
pub(super) struct Requests<R> {
    input: R,
    endpoint: String,
    text: Vec<u8>,
    ordinal: u64,
    line: u64,
    /// Hashes of the ids so far, so that what is remembered of a request does not grow with its id. Nobody can choose
    /// two ids of one hash: it is 128 bits with keys of chance.
    seen: HashSet<u128>,
    hashers: [RandomState; 2],
}

impl<R: BufRead> Requests<R> {
    /// Of a batch for this endpoint.
    pub(super) fn new(input: R, endpoint: &str) -> Self {
        Self {
            input,
            endpoint: endpoint.to_owned(),
            text: Vec::new(),
            ordinal: 0,
            line: 0,
            seen: HashSet::new(),
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// The next request; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Item>> {
        loop {
            self.text.clear();
            // What one long line took is given back.
            self.text.shrink_to(1 << 20);
            let Some(complete) = read_line(&mut self.input, &mut self.text)? else { return Ok(None) };
            self.line += 1;
            if complete && self.text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            self.ordinal += 1;
            let (ordinal, line) = (self.ordinal, self.line);
            let (custom_id, request) = if complete {
                self.understand()
            } else {
                (None, Err(("line_too_long", format!("the line is longer than {MAXIMUM_LINE} bytes"))))
            };
            let request = request.map_err(|(code, message)| Refused { code, message, line });
            return Ok(Some(Item { ordinal, line, custom_id, request }));
        }
    }

    /// How many requests there are.
    pub(super) fn count(mut self) -> io::Result<u64> {
        let mut count = 0;
        loop {
            self.text.clear();
            match read_line(&mut self.input, &mut self.text)? {
                None => return Ok(count),
                Some(complete) => count += u64::from(!complete || !self.text.iter().all(u8::is_ascii_whitespace)),
            }
        }
    }

    fn understand(&mut self) -> (Option<String>, Result<Request, (&'static str, String)>) {
        let value: Value = match serde_json::from_slice(&self.text) {
            Ok(value) => value,
            Err(error) => {
                // The library counts lines, of which there is one.
                let (column, text) = (error.column(), error.to_string());
                let text = text.split(" at line ").next().unwrap_or_default();
                let message = format!("the line is not JSON: {text} at column {column}");
                return (None, Err(("invalid_json_line", message)));
            }
        };
        let custom_id = value.get("custom_id").and_then(Value::as_str).map(str::to_owned);
        let request = self.check(value, custom_id.as_deref());
        (custom_id, request)
    }

    fn check(&mut self, value: Value, custom_id: Option<&str>) -> Result<Request, (&'static str, String)> {
        // A structure may also be read from an array; a request may not.
        if !value.is_object() {
            return Err(("invalid_request", "the line is not a JSON object".to_owned()));
        }
        let request: Request =
            serde_json::from_value(value).map_err(|error| ("invalid_request", format!("no request: {error}")))?;
        if let Some(id) = custom_id
            && !self.seen.insert(self.hash(id))
        {
            return Err(("duplicate_custom_id", "an earlier line has the same custom_id".to_owned()));
        }
        if request.method != "POST" {
            return Err(("invalid_method", "method must be POST".to_owned()));
        }
        if request.url != self.endpoint {
            return Err(("mismatched_endpoint", format!("url must be that of the batch, {}", self.endpoint)));
        }
        if request.body.get("stream").is_some_and(|stream| *stream == Value::Bool(true)) {
            return Err(("invalid_request", "a batch has whole answers: leave `stream` out".to_owned()));
        }
        Ok(request)
    }

    fn hash(&self, id: &str) -> u128 {
        let [high, low] = [0, 1].map(|half: usize| u128::from(self.hashers[half].hash_one(id)));
        high << 64 | low
    }
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was put, and this is the answer.
    Answered(u16, Value),
    /// It was not put.
    Refused(Refused),
}

impl Outcome {
    /// Whether its line belongs to the output file.
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Self::Answered(200..=299, _))
    }
}

/// A line of the output or the error file.
#[derive(Serialize)]
struct AnswerLine<'a> {
    id: &'a str,
    custom_id: Option<&'a str>,
    response: Option<Response<'a>>,
    error: Option<&'a Refused>,
}

#[derive(Serialize)]
struct Response<'a> {
    status_code: u16,
    request_id: &'a str,
    body: &'a Value,
}

/// The line of an answer, with its line break.
pub(super) fn answer_line(id: &str, custom_id: Option<&str>, outcome: &Outcome) -> io::Result<Vec<u8>> {
    let (response, error) = match outcome {
        Outcome::Answered(status_code, body) => {
            (Some(Response { status_code: *status_code, request_id: id, body }), None)
        }
        Outcome::Refused(refused) => (None, Some(refused)),
    };
    let mut line = serde_json::to_vec(&AnswerLine { id, custom_id, response, error })?;
    line.push(b'\n');
    Ok(line)
}

/// The id of a request's answer.
pub(super) fn answer_id(batch: &str, ordinal: u64) -> String {
    format!("batch_req_{}_{ordinal}", batch.trim_start_matches(super::PREFIX))
}

/// Which request a line of an output or error file answers; none if it is not a whole line.
pub(super) fn ordinal(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let line: Named = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
    line.id.rsplit('_').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Item> {
        let mut requests = Requests::new(text.as_bytes(), "/v1/completions");
        std::iter::from_fn(|| requests.next().expect("memory does not fail")).collect()
    }

    #[test]
    fn every_line_that_is_not_blank_has_its_item() {
        let good = r#"{"custom_id":"a","method":"POST","url":"/v1/completions","body":{"prompt":"x"}}"#;
        let other = good.replace("\"a\"", "\"b\"");
        let lines = [
            good.to_owned(),
            String::new(),
            "{".to_owned(),
            good.to_owned(),
            other.replace("POST", "GET"),
            good.replace("\"a\"", "\"c\"").replace("/v1/completions", "/v1/embeddings"),
            good.replace("\"a\"", "\"d\"").replace("{\"prompt\"", "{\"stream\":true,\"prompt\""),
            "[1]".to_owned(),
            good.replace("\"a\"", "7"),
            good.replace("\"a\"", "\"e\"") + "\r",
        ];
        let text = lines.join("\n");
        let items = read(&text);
        let codes: Vec<&str> =
            items.iter().map(|item| item.request.as_ref().map_or_else(|refused| refused.code, |_| "good")).collect();
        let expected = [
            "good",
            "invalid_json_line",
            "duplicate_custom_id",
            "invalid_method",
            "mismatched_endpoint",
            "invalid_request",
            "invalid_request",
            "invalid_request",
            "good",
        ];
        assert_eq!(codes, expected);
        assert!(items.iter().zip(1..).all(|(item, ordinal)| item.ordinal == ordinal));
        assert_eq!((items[1].line, items[2].line, items[2].custom_id.as_deref()), (3, 4, Some("a")));
        assert_eq!(Requests::new(text.as_bytes(), "/v1/completions").count().expect("a count"), 9);
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let text = format!("{}\n{{", "x".repeat(MAXIMUM_LINE + 1));
        let items = read(&text);
        let codes: Vec<_> = items.iter().filter_map(|item| item.request.as_ref().err()).map(|r| r.code).collect();
        assert_eq!(codes, ["line_too_long", "invalid_json_line"]);
    }

    #[test]
    fn an_answer_says_which_request_it_is_of() {
        let id = answer_id("batch_00ff", 12);
        let line = answer_line(&id, Some("batch_9_9"), &Outcome::Answered(200, Value::Null)).expect("a line");
        assert_eq!(ordinal(&line), Some(12));
        assert_eq!(ordinal(&line[..line.len() - 1]), None, "its break is missing");
    }
}
