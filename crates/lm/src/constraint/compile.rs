//! From a form to a grammar.

use super::{Form, Grammar, Vocabulary, dates, limits, longest};
use crate::{Error, Result};
use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

/// Room for the recursion over schemas that [`limits`] lets pass.
const STACK: usize = 64 << 20;

/// Longest regular expression that is taken, in bytes.
const EXPRESSION: usize = 64 << 10;

/// Where a schema may say that blanks are allowed.
const SETTINGS: &str = "x-guidance";

/// Compiles a form for a vocabulary.
pub(super) fn grammar(vocabulary: &Vocabulary, form: &Form) -> Result<Grammar> {
    let (source, longest) = match form {
        Form::Schema(schema) => schema_source(schema)?,
        Form::Object => schema_source(&any_object())?,
        Form::Regex(expression) => expression_source(expression)?,
        Form::Choice(texts) => choice_source(texts)?,
    };
    let start = on_large_stack(|| llguidance::Matcher::new(vocabulary.factory.create_parser(source)))?;
    match start.get_error() {
        Some(error) => Err(Error::Grammar(format!("the form cannot be kept: {}", reason(&error)))),
        None => Ok(Grammar::new(vocabulary, start, longest)),
    }
}

fn schema_source(schema: &Value) -> Result<(TopLevelGrammar, Option<usize>)> {
    let mut schema = match schema {
        Value::Object(_) => schema.clone(),
        Value::Bool(true) => json!({}),
        _ => return Err(Error::Grammar("a schema is an object, or true for any JSON".to_owned())),
    };
    let blanks = blanks(&schema)?;
    limits::check(&schema)?;
    let longest = if blanks { None } else { on_large_stack(|| longest::schema(&schema))? };
    dates::sharpen(&mut schema);
    // Without \u a control character cannot be spelled, nor a key that is taken in other words.
    schema[SETTINGS] = json!({"whitespace_flexible": blanks, "json_allowed_escapes": "nrbtf\\\""});
    Ok((TopLevelGrammar::from_json_schema(schema), longest))
}

/// Any object. Numbers have bounds, because without them they may have exponents that no reader has a number for.
fn any_object() -> Value {
    json!({
        "$defs": {"value": {"anyOf": [
            {"type": ["null", "boolean", "string"]},
            {"type": "number", "minimum": -1e15, "maximum": 1e15},
            {"type": "array", "items": {"$ref": "#/$defs/value"}},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/value"}},
        ]}},
        "type": "object", "additionalProperties": {"$ref": "#/$defs/value"},
    })
}

/// Whether the schema asks for blanks between the parts of its JSON. Other settings of the library would make
/// answers that are not valid.
fn blanks(schema: &Value) -> Result<bool> {
    let Some(settings) = schema.get(SETTINGS) else { return Ok(false) };
    let setting = settings.as_object().filter(|settings| settings.keys().all(|key| key == "whitespace_flexible"));
    match setting.and_then(|settings| settings.values().next()) {
        Some(Value::Bool(blanks)) => Ok(*blanks),
        None if setting.is_some() => Ok(false),
        _ => Err(Error::Grammar(format!("{SETTINGS} can only have whitespace_flexible, which is true or false"))),
    }
}

fn expression_source(expression: &str) -> Result<(TopLevelGrammar, Option<usize>)> {
    let refused = |problem: String| Error::Grammar(format!("the regular expression cannot be used: {problem}"));
    if expression.is_empty() || expression.len() > EXPRESSION {
        return Err(refused(format!("it is empty or longer than {EXPRESSION} bytes")));
    }
    let parsed = regex_syntax::parse(expression).map_err(|error| refused(error.to_string()))?;
    Ok((TopLevelGrammar::from_regex(expression), longest::expression(&parsed)))
}

fn choice_source(texts: &[String]) -> Result<(TopLevelGrammar, Option<usize>)> {
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err(Error::Grammar("a choice needs texts to choose from, none of them empty".to_owned()));
    }
    let longest = texts.iter().map(String::len).max();
    let texts: Vec<_> = texts.iter().map(|text| regex_syntax::escape(text)).collect();
    let expression = texts.join("|");
    if expression.len() > limits::BYTES {
        return Err(Error::Grammar(format!("the texts of a choice have more than {} bytes together", limits::BYTES)));
    }
    Ok((TopLevelGrammar::from_regex(&expression), longest))
}

/// Runs what recurses as deeply as a schema is nested.
fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("grammar".to_owned()).stack_size(STACK).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| Error::Grammar(format!("no thread to compile it on: {error}")))?;
        thread.join().map_err(|_| Error::Grammar("it cannot be compiled; simplify it".to_owned()))
    })
}

/// The part of the library's message that is for people; what follows are its own states.
pub(super) fn reason(message: &str) -> String {
    let reason = message.split("\n<").next().unwrap_or_default();
    let advice = [
        ("Unimplemented keys", "; leave them out or say it in other keywords"),
        ("Unknown format", "; leave it out, or say it by a pattern"),
        ("oneOf constraints", "; use anyOf, or give the options a key with different constants"),
        ("Only absolute $ref", "; move what it points to into $defs"),
        ("too big", "; make it smaller"),
        ("too large", "; make it smaller"),
    ];
    let advice = advice.iter().find(|(problem, _)| reason.contains(problem)).map_or("", |(_, advice)| advice);
    format!("{reason}{advice}")
}
