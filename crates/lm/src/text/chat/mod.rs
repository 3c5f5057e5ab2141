//! Conversations as text, by the template of a checkpoint.

mod jinja;

use super::Tokenizer;
use crate::{Error, Result};
use jiff::civil::Date;
use minijinja::{Environment, Value, context};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// The template of tokenizers that are trained here: ChatML.
pub const CHATML: &str = "{%- for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + \
message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}\
{% endif %}";

/// The role whose turns are learned.
pub const ASSISTANT: &str = "assistant";

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// Which of the assistant's turns are completions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Turns {
    /// All of them.
    #[default]
    All,
    /// The last one. Templates that write earlier turns otherwise than the last one need this.
    Last,
}

/// A conversation as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text, special tokens spelled out.
    pub text: String,
    /// The bytes that the assistant says, each with what ends the turn.
    pub completions: Vec<Range<usize>>,
}

/// A compiled chat template.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// `bos_token`, `eos_token` and others, spelled out.
    special: BTreeMap<String, String>,
    /// All special tokens, spelled out.
    ends: Vec<String>,
}

impl ChatTemplate {
    /// The template of a tokenizer. `date` is what `strftime_now` formats: templates never see the clock, so
    /// that a conversation is the same text on any day. Without a date there is no such function, and templates
    /// that ask whether there is one, as Llama 3.2's does, take the date that they have built in.
    ///
    /// # Errors
    /// When the tokenizer has no template or it cannot be parsed.
    pub fn new(tokenizer: &Tokenizer, date: Option<Date>) -> Result<Self> {
        let source = tokenizer.template().ok_or_else(|| {
            Error::Tokenizer("there is no chat template; put one into chat_template.jinja of the folder".to_owned())
        })?;
        let special = tokenizer.special_names().map(|(name, token)| (name.to_owned(), token.to_owned())).collect();
        let environment =
            jinja::environment(source, date).map_err(|error| Error::Tokenizer(format!("chat template: {error}")))?;
        Ok(Self { environment, special, ends: tokenizer.special.clone() })
    }

    /// The text of a conversation; with `prompt` it ends where the assistant's next turn begins.
    ///
    /// # Errors
    /// When the template refuses the conversation or cannot be run.
    pub fn render(&self, messages: &[Message], prompt: bool) -> Result<String> {
        let turn = |message: &Message| Value::from_pairs([("role", &*message.role), ("content", &*message.content)]);
        let messages: Vec<Value> = messages.iter().map(turn).collect();
        let special = Value::from_pairs(self.special.iter().map(|(name, token)| (name.as_str(), token.as_str())));
        // Templates ask for tools and documents; `transformers` says that there are none in this way too.
        let (tools, documents) = (Value::from(()), Value::from(()));
        let names = context! { messages, tools, documents, add_generation_prompt => prompt, ..special };
        let template = self.environment.get_template(jinja::NAME);
        template.and_then(|template| template.render(names)).map_err(|error| {
            // What a template says on its own account is in the detail; the rest names its line.
            let detail = error.detail().unwrap_or("it cannot be run");
            let line = error.line().map_or_else(String::new, |line| format!(" in line {line}"));
            Error::Tokenizer(format!("chat template: {detail}{line} ({})", error.kind()))
        })
    }

    /// The text of a conversation up to the assistant's last turn, and which of it are completions: what the
    /// text with a turn has more than the prompt for it.
    ///
    /// # Errors
    /// When there is no such turn, or when the template writes what comes before a turn otherwise than a prompt.
    pub fn completions(&self, messages: &[Message], turns: Turns) -> Result<Rendered> {
        let assistant = |message: &Message| message.role == ASSISTANT;
        let last = messages.iter().rposition(assistant).ok_or_else(|| {
            Error::Tokenizer("the conversation has no turn of the role `assistant`, so nothing to learn".to_owned())
        })?;
        let messages = &messages[..=last];
        let first = if turns == Turns::Last { last } else { 0 };
        let text = self.render(messages, false)?;
        let mut completions = Vec::new();
        for turn in (first..=last).filter(|turn| assistant(&messages[*turn])) {
            let before = self.render(&messages[..turn], true)?;
            let through = if turn == last { text.clone() } else { self.render(&messages[..=turn], false)? };
            let alike = text.chars().zip(through.chars()).take_while(|(one, other)| one == other);
            let shared = alike.map(|(character, _)| character.len_utf8()).sum();
            let end =
                if shared == through.len() { Some(shared) } else { self.last_special(&text, before.len(), shared) };
            let Some(end) = end.filter(|_| shared >= before.len() && text.starts_with(&before)) else {
                let hint = if turn == last { "" } else { "; count the last turn alone" };
                let problem = format!("the chat template writes turn {} otherwise than its prompt{hint}", turn + 1);
                return Err(Error::Tokenizer(problem));
            };
            completions.push(before.len()..end);
        }
        Ok(Rendered { text, completions })
    }

    /// The end of the last special token between two places of a text: where a turn ends if the template writes
    /// something behind the whole conversation, as Phi-4's does.
    fn last_special(&self, text: &str, start: usize, end: usize) -> Option<usize> {
        let between = text.get(start..end)?;
        let ends = self.ends.iter().filter_map(|token| Some(between.rfind(token)? + token.len()));
        ends.max().map(|length| start + length)
    }
}

#[cfg(test)]
mod tests;
