//! From a form to a grammar.

use super::{Form, Grammar, Vocabulary};
use crate::{Error, Result};
use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

/// Compiles a form for a vocabulary.
pub(super) fn grammar(vocabulary: &Vocabulary, form: &Form) -> Result<Grammar> {
    let source = match form {
        Form::Schema(schema) => TopLevelGrammar::from_json_schema(compact(schema)?),
        Form::Object => TopLevelGrammar::from_json_schema(compact(&json!({"type": "object"}))?),
        Form::Regex(expression) => TopLevelGrammar::from_regex(expression),
        Form::Choice(texts) => {
            let texts: Vec<_> = texts.iter().map(|text| regex_syntax::escape(text)).collect();
            TopLevelGrammar::from_regex(&texts.join("|"))
        }
    };
    let parser = vocabulary.factory.create_parser(source);
    let start = llguidance::Matcher::new(parser);
    match start.get_error() {
        Some(error) => Err(Error::Grammar(reason(&error))),
        None => Ok(Grammar::new(vocabulary, start, None)),
    }
}

/// The schema with the settings under which it is compiled.
fn compact(schema: &Value) -> Result<Value> {
    let mut schema = match schema {
        Value::Object(_) => schema.clone(),
        Value::Bool(true) => json!({}),
        _ => return Err(Error::Grammar("the schema is neither an object nor true".to_owned())),
    };
    schema["x-guidance"] = json!({"whitespace_flexible": false, "json_allowed_escapes": "nrbtf\\\""});
    Ok(schema)
}

/// The part of the library's message that is for people: what follows are its own states.
pub(super) fn reason(message: &str) -> String {
    message.split("\n<").next().unwrap_or_default().to_owned()
}
