//! Conversations: messages as clients send them, and the prompt that a model's template makes of them.

use lm::inference::Host;
use lm::text;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::fields::invalid;
use crate::ApiError;

/// A turn of a conversation.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Message {
    /// `system`, `user` or `assistant`; `developer` is read as `system`.
    #[schema(example = "user")]
    role: String,
    /// What is said.
    content: Option<Content>,
    /// Refused unless empty.
    #[schema(value_type = Option<Vec<Object>>)]
    tool_calls: Option<Value>,
    /// Refused.
    #[schema(value_type = Option<Object>)]
    function_call: Option<Value>,
}

/// What is said, in one piece or in parts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of what is said.
#[derive(Debug, Deserialize, ToSchema)]
struct Part {
    /// `text`; others are refused.
    #[schema(example = "text")]
    r#type: String,
    text: Option<String>,
}

/// The tokens of a conversation, up to where the assistant's next turn begins.
///
/// # Errors
/// When the model has no template, the template refuses the conversation, or a message would be read as something else
/// than it is.
pub(crate) fn render(host: &Host, messages: &[Message]) -> Result<Vec<u32>, ApiError> {
    let template = host.chat().ok_or_else(|| {
        invalid(
            "messages",
            "this model has no chat template: send a prompt to /v1/completions, or add one to its folder",
        )
    })?;
    if messages.is_empty() {
        return Err(invalid("messages", "there is none"));
    }
    let turns: Vec<text::Message> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| {
            let turn = message.turn(index)?;
            match host.tokenizer().special_in(&turn.content) {
                None => Ok(turn),
                // It would be read as the end of the turn, or as the beginning of another.
                Some(token) => Err(invalid(place(index, "content"), format!("it has the special token `{token}`"))),
            }
        })
        .collect::<Result<_, _>>()?;
    let failed = |error: lm::Error| invalid("messages", error.to_string());
    let text = template.render(&turns, true).map_err(failed)?;
    host.tokenizer().encode(&text, false).map_err(failed)
}

fn place(index: usize, field: &str) -> String {
    format!("messages[{index}].{field}")
}

impl Message {
    fn turn(&self, index: usize) -> Result<text::Message, ApiError> {
        let role = match self.role.as_str() {
            "developer" => "system",
            role @ ("system" | "user" | "assistant") => role,
            other => return Err(invalid(place(index, "role"), format!("`{other}` is not system, user or assistant"))),
        };
        let asks = |value: &Option<Value>| value.as_ref().is_some_and(|value| *value != Value::Array(Vec::new()));
        for (field, value) in [("tool_calls", &self.tool_calls), ("function_call", &self.function_call)] {
            if asks(value) {
                return Err(ApiError::Unsupported(place(index, field)));
            }
        }
        Ok(text::Message::new(role, self.text(index)?))
    }

    fn text(&self, index: usize) -> Result<String, ApiError> {
        let parts = match &self.content {
            None if self.role == text::ASSISTANT => return Ok(String::new()),
            None => return Err(invalid(place(index, "content"), "it is missing")),
            Some(Content::Text(text)) => return Ok(text.clone()),
            Some(Content::Parts(parts)) => parts,
        };
        let mut whole = String::new();
        for (number, part) in parts.iter().enumerate() {
            match (part.r#type.as_str(), &part.text) {
                ("text", Some(text)) => whole += text,
                ("text", None) => {
                    return Err(invalid(place(index, &format!("content[{number}].text")), "it is missing"));
                }
                _ => return Err(ApiError::Unsupported(place(index, &format!("content[{number}].type")))),
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn turn(message: Value) -> Result<text::Message, ApiError> {
        serde_json::from_value::<Message>(message).expect("readable").turn(2)
    }

    #[test]
    fn contents_come_as_text_and_in_parts() {
        let parts = json!([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]);
        assert_eq!(turn(json!({"role": "user", "content": parts})), Ok(text::Message::new("user", "one two")));
        assert_eq!(turn(json!({"role": "developer", "content": "x"})), Ok(text::Message::new("system", "x")));
        let empty = json!({"role": "assistant", "content": null, "tool_calls": []});
        assert_eq!(turn(empty), Ok(text::Message::new("assistant", "")));
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        let field = |message| turn(message).expect_err("a refusal").field().map(str::to_owned);
        let image = json!([{"type": "image_url", "image_url": {"url": "u"}}]);
        let image = json!({"role": "user", "content": image});
        assert_eq!(field(image).as_deref(), Some("messages[2].content[0].type"));
        assert_eq!(field(json!({"role": "tool", "content": "x"})).as_deref(), Some("messages[2].role"));
        let call = json!({"role": "assistant", "tool_calls": [{"id": "c"}]});
        assert_eq!(field(call).as_deref(), Some("messages[2].tool_calls"));
        assert_eq!(field(json!({"role": "user"})).as_deref(), Some("messages[2].content"));
    }
}
