//! What an answer must be: OpenAI's `response_format` and vLLM's `structured_outputs`.

use lm::constraint::Form;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::fields::{Common, invalid};
use crate::ApiError;

/// What an answer must be, as OpenAI has it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct ResponseFormat {
    r#type: Kind,
    /// With `json_schema` alone.
    json_schema: Option<NamedSchema>,
}

/// Kinds of answers.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ResponseFormatType)]
enum Kind {
    /// Any text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// A JSON value of a schema, kept strictly whether or not `strict` says so.
    JsonSchema,
}

/// A schema with its name.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct NamedSchema {
    /// For the client alone.
    #[serde(rename = "name")]
    #[expect(dead_code, reason = "clients must send it; it changes nothing")]
    name: Option<String>,
    /// The JSON Schema.
    #[schema(value_type = Object)]
    schema: Value,
}

/// What an answer must be, as vLLM has it: one of these.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub(crate) struct StructuredOutputs {
    /// A JSON Schema, or one as text.
    json: Option<Value>,
    /// A regular expression for the whole answer.
    regex: Option<String>,
    /// The answer is one of these.
    choice: Option<Vec<String>>,
    /// Any JSON object.
    json_object: Option<bool>,
    /// Refused.
    grammar: Option<Value>,
    /// Refused.
    structural_tag: Option<Value>,
}

/// The field that says what an answer must be, with what it says.
///
/// # Errors
/// When there are several, or one that cannot be used.
pub(crate) fn form(common: &Common) -> Result<Option<(&'static str, Form)>, ApiError> {
    let mut forms = structured(common.structured_outputs.as_ref())?;
    forms.extend(common.response_format.as_ref().map(response_format).transpose()?.flatten());
    let guided = StructuredOutputs {
        json: common.guided_json.clone(),
        regex: common.guided_regex.clone(),
        choice: common.guided_choice.clone(),
        ..StructuredOutputs::default()
    };
    let name = |field| match field {
        "structured_outputs.json" => "guided_json",
        "structured_outputs.regex" => "guided_regex",
        "structured_outputs.choice" => "guided_choice",
        other => other,
    };
    forms.extend(structured(Some(&guided))?.into_iter().map(|(field, form)| (name(field), form)));
    if let [(first, _), (second, _), ..] = forms.as_slice() {
        return Err(invalid(*second, format!("`{first}` already says what the answer must be")));
    }
    match forms.pop() {
        Some((field, Form::Choice(choices))) if choices.is_empty() => {
            Err(invalid(field, "there is nothing to choose from"))
        }
        form => Ok(form),
    }
}

/// Fields that may say what an answer must be.
const FIELDS: [&str; 5] = ["response_format", "structured_outputs", "guided_json", "guided_choice", "guided_regex"];

/// Whether a body may say what the answer must be.
pub(crate) fn is_asked(body: &Value) -> bool {
    FIELDS.iter().any(|field| body.get(field).is_some_and(|value| !value.is_null()))
}

fn response_format(format: &ResponseFormat) -> Result<Option<(&'static str, Form)>, ApiError> {
    Ok(match (format.r#type, &format.json_schema) {
        (Kind::Text, _) => None,
        (Kind::JsonObject, _) => Some(("response_format", Form::Object)),
        (Kind::JsonSchema, Some(named)) => {
            Some(("response_format.json_schema.schema", Form::Schema(named.schema.clone())))
        }
        (Kind::JsonSchema, None) => return Err(invalid("response_format.json_schema", "it is missing")),
    })
}

fn structured(outputs: Option<&StructuredOutputs>) -> Result<Vec<(&'static str, Form)>, ApiError> {
    let Some(outputs) = outputs else { return Ok(Vec::new()) };
    for (field, value) in [("grammar", &outputs.grammar), ("structural_tag", &outputs.structural_tag)] {
        if value.is_some() {
            return Err(ApiError::Unsupported(format!("structured_outputs.{field}")));
        }
    }
    let mut forms = Vec::new();
    if let Some(json) = &outputs.json {
        forms.push(("structured_outputs.json", Form::Schema(schema(json)?)));
    }
    if let Some(regex) = &outputs.regex {
        forms.push(("structured_outputs.regex", Form::Regex(regex.clone())));
    }
    if let Some(choice) = &outputs.choice {
        forms.push(("structured_outputs.choice", Form::Choice(choice.clone())));
    }
    if outputs.json_object == Some(true) {
        forms.push(("structured_outputs.json_object", Form::Object));
    }
    Ok(forms)
}

/// A schema, which vLLM's clients may send as text.
fn schema(json: &Value) -> Result<Value, ApiError> {
    match json {
        Value::String(text) => serde_json::from_str(text)
            .map_err(|error| invalid("structured_outputs.json", format!("the schema is not JSON: {error}"))),
        json => Ok(json.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fields;
    use super::*;

    fn form_of(body: Value) -> Result<Option<(&'static str, Form)>, ApiError> {
        form(&fields::read(&body)?)
    }

    #[test]
    fn every_way_to_say_what_an_answer_must_be_is_read() {
        let schema = json!({"type": "object", "properties": {"b": {"type": "null"}, "a": {"type": "null"}}});
        let named = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}});
        let wanted = Form::Schema(schema.clone());
        for body in [
            json!({"response_format": named}),
            json!({"structured_outputs": {"json": schema}}),
            json!({"structured_outputs": {"json": schema.to_string()}, "response_format": {"type": "text"}}),
            json!({"guided_json": schema}),
        ] {
            assert!(is_asked(&body));
            let (_, form) = form_of(body).expect("readable").expect("a form");
            // As text: the order of keys is the answer's.
            assert_eq!(format!("{form:?}"), format!("{wanted:?}"));
        }
        let one = |body| form_of(body).expect("readable").map(|(_, form)| form);
        assert_eq!(one(json!({"response_format": {"type": "json_object"}})), Some(Form::Object));
        assert_eq!(one(json!({"guided_regex": "a+"})), Some(Form::Regex("a+".to_owned())));
        let choice = Form::Choice(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(one(json!({"structured_outputs": {"choice": ["a", "b"]}})), Some(choice));
        assert_eq!(one(json!({"response_format": null})), None);
        assert!(!is_asked(&json!({"response_format": null, "messages": []})));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        let field = |body| form_of(body).expect_err("a refusal").field().map(str::to_owned);
        assert_eq!(
            field(json!({"structured_outputs": {"grammar": "root ::= a"}})).as_deref(),
            Some("structured_outputs.grammar")
        );
        let two = json!({"guided_regex": "a", "response_format": {"type": "json_object"}});
        assert_eq!(field(two).as_deref(), Some("guided_regex"));
        assert_eq!(field(json!({"structured_outputs": {"json": "{"}})).as_deref(), Some("structured_outputs.json"));
        assert_eq!(field(json!({"guided_choice": []})).as_deref(), Some("guided_choice"));
        let none = json!({"structured_outputs": {"choice": []}});
        assert_eq!(field(none).as_deref(), Some("structured_outputs.choice"));
        assert_eq!(field(json!({"response_format": {"type": "xml"}})).as_deref(), Some("response_format.type"));
        assert_eq!(
            field(json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}})).as_deref(),
            Some("response_format.json_schema.schema")
        );
    }
}
