//! `URL,model=NAME,KEY=VALUE…`: which endpoint is asked, and how.

use std::time::Duration;

/// What is asked, and with it how cases are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/chat/completions`, for models that were told much: `prompt=json`.
    Chat,
    /// `/v1/completions`, for small decoders that were trained on prompts of their own: `prompt=compact`.
    Completions,
}

/// How the endpoint is told what an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaStyle {
    /// OpenAI's `response_format`.
    ResponseFormat,
    /// vLLM's `structured_outputs`.
    StructuredOutputs,
    /// It is not.
    None,
}

/// See the module.
#[derive(Clone)]
pub struct Options {
    /// Up to and with `/v1`.
    pub(super) base: String,
    /// What the endpoint calls the model.
    pub model: String,
    /// Requests under way at most.
    pub concurrency: usize,
    /// Requests begun in a second at most.
    pub rate: Option<f64>,
    /// How often a request is repeated that failed for a while only.
    pub retries: u32,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How answers are held to their form.
    pub schema: SchemaStyle,
    /// What is asked.
    pub endpoint: Endpoint,
    /// Tokens that an answer may have; if left out, what the desk's longest answer could take.
    pub tokens: Option<usize>,
    /// Whether probabilities of tokens are asked for.
    pub logprobs: bool,
    /// Sent as a bearer token.
    pub(super) key: Option<String>,
}

impl Options {
    /// Reads what stands after `remote=`; `key` is sent as a bearer token.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str, key: Option<String>) -> Result<Self, String> {
        let mut parts = text.split(',');
        let url = parts.next().unwrap_or_default().trim_end_matches('/');
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        if !["http", "https"].contains(&scheme) || rest.is_empty() {
            return Err(format!("`{url}` is no http(s) address"));
        }
        let base = if url.ends_with("/v1") { url.to_owned() } else { format!("{url}/v1") };
        let mut options = Self {
            base,
            model: String::new(),
            concurrency: 8,
            rate: None,
            retries: 4,
            timeout: Duration::from_secs(60),
            schema: SchemaStyle::ResponseFormat,
            endpoint: Endpoint::Chat,
            tokens: None,
            logprobs: false,
            key: key.filter(|key| !key.is_empty()),
        };
        for part in parts {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("`{part}` is not KEY=VALUE"))?;
            options.set(name, value).ok_or_else(|| format!("{name}: `{value}` is not {}", expected(name)))?;
        }
        if options.model.is_empty() {
            return Err("model=NAME is missing".to_owned());
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "model" => self.model = value.to_owned(),
            "concurrency" => self.concurrency = value.parse().ok().filter(|count| (1..=1024).contains(count))?,
            "rate" => {
                let rate: f64 = value.trim_end_matches("/s").parse().ok()?;
                self.rate = Some(rate).filter(|rate| rate.is_finite() && *rate > 0.0);
                self.rate?;
            }
            "retries" => self.retries = value.parse().ok().filter(|count| *count <= 100)?,
            "timeout" => {
                let seconds = value.trim_end_matches('s').parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
                self.timeout = Duration::from_secs(seconds?);
            }
            "tokens" => self.tokens = Some(value.parse().ok().filter(|tokens| *tokens > 0)?),
            "schema" => {
                self.schema = match value {
                    "response_format" => SchemaStyle::ResponseFormat,
                    "structured_outputs" => SchemaStyle::StructuredOutputs,
                    "none" => SchemaStyle::None,
                    _ => return None,
                }
            }
            "prompt" => {
                self.endpoint = match value {
                    "json" => Endpoint::Chat,
                    "compact" => Endpoint::Completions,
                    _ => return None,
                }
            }
            "logprobs" => {
                self.logprobs = match value {
                    "yes" => true,
                    "no" => false,
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// The endpoint's host and port.
    pub(super) fn host(&self) -> &str {
        let rest = self.base.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        // What stands before an @ is a name and a password.
        authority.rsplit('@').next().unwrap_or_default()
    }

    /// What decides what comes back, and no secret: neither a name and a password before the host nor the key.
    pub(super) fn fingerprint(&self) -> String {
        let address = self.address();
        let (scheme, rest) = address.split_once("://").unwrap_or_default();
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        let Self { model, schema, tokens, logprobs, .. } = self;
        format!("{scheme}://{}/{path} {model} {schema:?} {tokens:?} {logprobs}", self.host())
    }

    /// Where requests go.
    pub(super) fn address(&self) -> String {
        let path = match self.endpoint {
            Endpoint::Chat => "chat/completions",
            Endpoint::Completions => "completions",
        };
        format!("{}/{path}", self.base)
    }
}

fn expected(name: &str) -> &'static str {
    match name {
        "concurrency" => "a number from 1 to 1024",
        "rate" => "a number of requests a second, such as 20/s",
        "retries" => "a number up to 100",
        "timeout" => "a number of seconds",
        "tokens" => "a number above 0",
        "schema" => "response_format, structured_outputs or none",
        "prompt" => "json or compact",
        "logprobs" => "yes or no",
        _ => "known; known are model, concurrency, rate, retries, timeout, tokens, schema, prompt and logprobs",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_and_settings() {
        let text = "https://name:word@host:8443/llm/,model=m,concurrency=3,rate=2.5/s,retries=0,timeout=9s,schema=none,\
            prompt=compact,logprobs=yes,tokens=128";
        let options = Options::read(text, Some(String::new())).expect("options");
        assert_eq!(options.address(), "https://name:word@host:8443/llm/v1/completions");
        assert_eq!((options.host(), options.model.as_str(), options.concurrency), ("host:8443", "m", 3));
        assert_eq!((options.rate, options.retries, options.timeout), (Some(2.5), 0, Duration::from_secs(9)));
        assert!(options.schema == SchemaStyle::None && options.logprobs && options.key.is_none());
        assert_eq!(options.tokens, Some(128));
        let options = Options::read("http://host/v1,model=a", None).expect("options");
        assert_eq!(options.address(), "http://host/v1/chat/completions");
    }

    #[test]
    fn a_fingerprint_tells_what_decides_and_no_secret() {
        let of = |text: &str| Options::read(text, Some("key".to_owned())).expect("options").fingerprint();
        let plain = of("https://host/llm,model=m");
        assert_eq!(plain, "https://host/llm/v1/chat/completions m ResponseFormat None false");
        assert_eq!(of("https://name:word@host/llm,model=m,concurrency=3,rate=1/s,retries=0,timeout=9"), plain);
        for other in [
            "http://host/llm,model=m",
            "https://host:1/llm,model=m",
            "https://host/other,model=m",
            "https://host/llm,model=n",
            "https://host/llm,model=m,prompt=compact",
            "https://host/llm,model=m,schema=none",
            "https://host/llm,model=m,tokens=9",
            "https://host/llm,model=m,logprobs=yes",
        ] {
            assert_ne!(of(other), plain, "{other}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        for (text, part) in [
            ("host,model=m", "no http(s) address"),
            ("http://,model=m", "no http(s) address"),
            ("http://host", "model=NAME"),
            ("http://host,model=m,fast", "KEY=VALUE"),
            ("http://host,model=m,speed=1", "known are"),
            ("http://host,model=m,concurrency=0", "1 to 1024"),
            ("http://host,model=m,rate=-1/s", "requests a second"),
            ("http://host,model=m,timeout=0", "seconds"),
        ] {
            let problem = Options::read(text, None).err().expect(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }
}
