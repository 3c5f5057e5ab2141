//! What a caller may ask for: a recipe, values in it, data, a name. Nothing of it becomes a word of a shell, an option or
//! a place outside the data folder.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use desks::transactions::MODEL_RECIPES;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::record::Kind;
use crate::ApiError;

/// What is to be trained.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainRequest {
    pub(crate) kind: Kind,
    /// A shipped recipe of the transactions desk (`multihead`, `decoder`), the id of an uploaded recipe, or a recipe
    /// itself, in TOML. Paths in it are relative to the server's data folder and stay in it.
    #[schema(example = "multihead")]
    pub(crate) recipe: String,
    /// Values that replace those of the recipe.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"steps": 50, "optimizer.rate": 1e-3}))]
    pub(crate) set: BTreeMap<String, Value>,
    /// Uploaded files to learn from; without them, what the recipe says.
    pub(crate) data: Option<TrainData>,
    /// What the artifact will be called; the job's id if left out.
    #[schema(example = "nightly")]
    pub(crate) name: Option<String>,
}

/// Files to learn from.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainData {
    /// Id of the file with the training lines.
    pub(crate) train: String,
    /// Id of the file with the validation lines. A model of the transactions desk needs one.
    pub(crate) validation: Option<String>,
}

/// A recipe that was found, and is harmless.
#[derive(Debug, PartialEq)]
pub(super) enum Recipe {
    /// The shipped one of this name.
    Shipped(&'static str),
    /// One to be written into a file.
    Own(String),
}

impl TrainRequest {
    /// The recipe. `uploaded` reads the file of an id.
    pub(super) fn recipe(
        &self,
        uploaded: impl Fn(&str) -> Result<Option<String>, ApiError>,
    ) -> Result<Recipe, ApiError> {
        let shipped = MODEL_RECIPES.iter().find(|(name, _)| *name == self.recipe);
        if let (Kind::Transactions, Some((name, _))) = (self.kind, shipped) {
            return Ok(Recipe::Shipped(name));
        }
        let text = match uploaded(&self.recipe)? {
            Some(text) => text,
            None if self.recipe.contains('=') => self.recipe.clone(),
            None => return Err(ApiError::invalid("recipe", "it is no shipped recipe, no uploaded file and no TOML")),
        };
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| ApiError::invalid("recipe", error.message()))?;
        harmless_toml(&toml::Value::Table(table)).map_err(|problem| ApiError::invalid("recipe", problem))?;
        Ok(Recipe::Own(text))
    }

    /// The values to set, as `KEY.PATH=VALUE`.
    pub(super) fn overrides(&self) -> Result<Vec<String>, ApiError> {
        let write = |(key, value): (&String, &Value)| {
            let field = format!("set.{key}");
            let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte);
            if key.is_empty() || !key.bytes().all(letter) {
                return Err(ApiError::invalid(field, "keys are made of a-z, 0-9, _ and ."));
            }
            let value = literal(value).map_err(|problem| ApiError::invalid(field, problem))?;
            Ok(format!("{key}={value}"))
        };
        self.set.iter().map(write).collect()
    }

    /// The name, if it is one that can be a folder's.
    pub(super) fn checked_name(&self) -> Result<Option<String>, ApiError> {
        let Some(name) = &self.name else { return Ok(None) };
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        let good = (1..=64).contains(&name.len()) && name.bytes().all(letter) && !name.starts_with(['-', '_']);
        if good {
            Ok(Some(name.clone()))
        } else {
            Err(ApiError::invalid("name", "write up to 64 of a-z, 0-9, - and _"))
        }
    }
}

/// A value as TOML has it. Texts are always quoted: one that looks like a table stays a text.
fn literal(value: &Value) -> Result<String, String> {
    match value {
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::String(text) => harmless(text).map(|()| Value::from(text.as_str()).to_string()),
        Value::Array(list) => Ok(format!("[{}]", list.iter().map(literal).collect::<Result<Vec<_>, _>>()?.join(", "))),
        Value::Null | Value::Object(_) => Err("write a number, a text, true, false or a list of such".to_owned()),
    }
}

/// Every text of a recipe may be a path, whatever its key: so none may lead out of the data folder.
fn harmless_toml(value: &toml::Value) -> Result<(), String> {
    match value {
        toml::Value::String(text) => harmless(text),
        toml::Value::Array(list) => list.iter().try_for_each(harmless_toml),
        toml::Value::Table(table) => table.values().try_for_each(harmless_toml),
        _ => Ok(()),
    }
}

fn harmless(text: &str) -> Result<(), String> {
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(text).components().all(inside) {
        return Err(format!("{text:?} leads out of the data folder"));
    }
    if text.chars().any(char::is_control) {
        return Err("texts have no line breaks or other control characters".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> TrainRequest {
        serde_json::from_str(text).expect("a request")
    }

    fn recipe(kind: &str, recipe: &str) -> Result<Recipe, ApiError> {
        let request = request(&serde_json::json!({"kind": kind, "recipe": recipe}).to_string());
        request.recipe(|id| Ok((id == "file-1").then(|| "steps = 3".to_owned())))
    }

    #[test]
    fn recipes_are_shipped_uploaded_or_written() {
        assert_eq!(recipe("transactions", "decoder"), Ok(Recipe::Shipped("decoder")));
        assert_eq!(recipe("lm", "file-1"), Ok(Recipe::Own("steps = 3".to_owned())));
        assert_eq!(recipe("lm", "seed = 1"), Ok(Recipe::Own("seed = 1".to_owned())));
        for (kind, wrong) in
            [("lm", "decoder"), ("transactions", "../recipe.toml"), ("lm", "/etc/passwd"), ("lm", "= 1")]
        {
            assert!(recipe(kind, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_text_leads_out_of_the_data_folder() {
        for wrong in [
            "[data]\ntrain = \"/etc/passwd\"",
            "[model]\ncheckpoint = \"models/../../x\"",
            "[[phase]]\ntrain = \"..\"",
            "any = [[\"a\", \"/\"]]",
            "x = \"a\\nb\"",
        ] {
            assert!(recipe("lm", wrong).is_err(), "{wrong}");
        }
        assert!(recipe("lm", "[model]\ncheckpoint = \"models/base\"\n[data]\ntrain = \"./a b.jsonl\"").is_ok());
    }

    #[test]
    fn values_stay_what_they_are() {
        let set = r#"{"steps": 50, "optimizer.rate": 1e-4, "x": true, "dtype": "bf16", "phase.0.difficulty": ["a", "b"],
            "model": "{checkpoint=\"x\"}"}"#;
        let request = request(&format!(r#"{{"kind":"lm","recipe":"a=1","set":{set}}}"#));
        let overrides = request.overrides().expect("good values");
        let expected = [
            "dtype=\"bf16\"",
            r#"model="{checkpoint=\"x\"}""#,
            "optimizer.rate=0.0001",
            r#"phase.0.difficulty=["a", "b"]"#,
            "steps=50",
            "x=true",
        ];
        assert_eq!(overrides, expected);
        for wrong in [r#"{"A":1}"#, r#"{"a b":1}"#, r#"{"a=b":1}"#, r#"{"":1}"#, r#"{"a":{"b":1}}"#, r#"{"a":null}"#] {
            let request = super::tests::request(&format!(r#"{{"kind":"lm","recipe":"a=1","set":{wrong}}}"#));
            assert!(request.overrides().is_err(), "{wrong}");
        }
        let out = super::tests::request(r#"{"kind":"lm","recipe":"a=1","set":{"data.train":["../x"]}}"#);
        assert!(out.overrides().is_err());
    }

    #[test]
    fn names_are_plain() {
        for (name, good) in
            [("nightly-2", true), ("a_b", true), ("", false), ("..", false), ("a/b", false), ("-x", false)]
        {
            let request = request(&serde_json::json!({"kind": "lm", "recipe": "a=1", "name": name}).to_string());
            assert_eq!(request.checked_name().is_ok(), good, "{name}");
        }
    }
}
