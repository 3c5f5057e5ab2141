//! Recipes: one TOML file says everything about a run, and `KEY.PATH=VALUE` overrides any of it.

use super::training::Training;
use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a recipe says about model, method and data, besides [`Training`]. Unknown keys should be refused
/// (`deny_unknown_fields`).
pub trait Details: Serialize + DeserializeOwned {
    /// Its top-level keys.
    const KEYS: &'static [&'static str];
    /// Whether an accuracy is measured beside the loss, so that a gate may ask for one.
    const MEASURES_ACCURACY: bool;

    /// Fills in what defaults depend on.
    ///
    /// # Errors
    /// What cannot be, naming the key.
    fn resolve(&mut self) -> std::result::Result<(), String>;
}

/// A resolved recipe. Serialised, it is flat: what a run folder keeps as `recipe.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipe<D> {
    /// What all kinds of models share.
    #[serde(flatten)]
    pub training: Training,
    /// What is the kind's own.
    #[serde(flatten)]
    pub details: D,
}

impl<D: Details> Recipe<D> {
    /// Reads a recipe and applies overrides (`optimizer.rate=1e-4`, `phase.0.epochs=3`) in order. A value is written
    /// as in TOML; what is not TOML is a string.
    ///
    /// # Errors
    /// When the file cannot be read, is not TOML, has a key or value that does not belong there, or lacks one; with the
    /// line of the file or the override.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::parse(path, &text, overrides)
    }

    /// [`Recipe::read`] for a text; the path is for messages.
    ///
    /// # Errors
    /// As [`Recipe::read`].
    pub fn parse(path: &Path, text: &str, overrides: &[String]) -> Result<Self> {
        let read = || {
            let script = Script::new(text, overrides)?;
            let (training, details) = script.tables::<D>()?;
            let mut recipe = Self { training: script.take(training)?, details: script.take(details)? };
            recipe.training.resolve(D::MEASURES_ACCURACY)?;
            recipe.details.resolve()?;
            Ok(recipe)
        };
        read().map_err(|problem| Error::Configuration { path: path.to_path_buf(), problem })
    }
}

/// The file and behind it the overrides, one a line, so that every value has a place in one text.
struct Script {
    text: String,
    /// Length of the file.
    file: usize,
    overrides: Vec<Override>,
}

/// One `KEY.PATH=VALUE`.
struct Override {
    path: Vec<String>,
    /// Where the value stands in the script.
    place: Range<usize>,
    /// `x = VALUE`, with so many empty lines before it that the value stands where it stands in the script.
    document: String,
}

/// Refusals, complete with their place.
type Parsed<T> = std::result::Result<T, String>;

impl Script {
    fn new(file: &str, overrides: &[String]) -> Parsed<Self> {
        let mut script = Self { text: format!("{file}\n"), file: file.len(), overrides: Vec::new() };
        for line in overrides {
            let (path, value) = line.split_once('=').ok_or_else(|| format!("{line}: write KEY.PATH=VALUE"))?;
            let start = script.text.len() + MARK.len() + path.len() + 1;
            let before = "x = ";
            script.overrides.push(Override {
                path: path.split('.').map(|key| key.trim().to_owned()).collect(),
                place: start..start + value.len(),
                document: "\n".repeat(start - before.len()) + before + value,
            });
            script.text += &format!("{MARK}{line}\n");
        }
        Ok(script)
    }

    /// The keys of all recipes and those of this kind.
    fn tables<D: Details>(&self) -> Parsed<(DeTable<'_>, DeTable<'_>)> {
        let file = DeTable::parse(&self.text[..self.file]).map_err(|error| self.explain(&error))?;
        let mut root = Spanned::new(self.whole(), DeValue::Table(file.into_inner()));
        for change in &self.overrides {
            let refused = |problem| format!("{}{problem}", self.place(change.place.clone()));
            *child(&mut root, &change.path, &change.place).map_err(refused)? = self.value(change);
        }
        let DeValue::Table(root) = root.into_inner() else { return Err("the recipe is no table".into()) };
        let (mut training, mut details) = (DeTable::new(), DeTable::new());
        for (key, value) in root {
            let name: &str = key.get_ref();
            if Training::KEYS.contains(&name) {
                training.insert(key, value);
            } else if D::KEYS.contains(&name) {
                details.insert(key, value);
            } else {
                let mut known: Vec<&str> = Training::KEYS.iter().chain(D::KEYS).copied().collect();
                known.sort_unstable();
                let (place, known) = (self.place(key.span()), known.join(", "));
                return Err(format!("{place}there is no key {name:?}; there are {known}"));
            }
        }
        Ok((training, details))
    }

    /// The value of an override: as TOML if it is that, else as a string.
    fn value<'a>(&'a self, change: &'a Override) -> Spanned<DeValue<'a>> {
        let parsed = DeTable::parse(&change.document).ok().map(Spanned::into_inner);
        let single = parsed.filter(|table| table.len() == 1).and_then(|table| table.into_iter().next());
        match single {
            Some((_, value)) => value,
            None => Spanned::new(change.place.clone(), DeValue::String(self.text[change.place.clone()].into())),
        }
    }

    fn take<V: DeserializeOwned>(&self, table: DeTable<'_>) -> Parsed<V> {
        let table = Spanned::new(self.whole(), table);
        V::deserialize(toml::Deserializer::from(table)).map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &toml::de::Error) -> String {
        let place = error.span().map(|span| self.place(span)).unwrap_or_default();
        format!("{place}{}", error.message().trim_end().replace('\n', ", "))
    }

    fn whole(&self) -> Range<usize> {
        0..self.text.len()
    }

    /// `line 3: ` or the override, for a message; nothing for the whole.
    fn place(&self, span: Range<usize>) -> String {
        if span == self.whole() {
            return String::new();
        }
        let start = (0..=span.start).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0);
        if start <= self.file {
            return format!("line {}: ", self.text[..start].matches('\n').count() + 1);
        }
        let from = self.text[..start].rfind('\n').map_or(0, |end| end + 1);
        let line = self.text[from..].lines().next().unwrap_or_default();
        format!("{}: ", line.strip_prefix(MARK).unwrap_or(line))
    }
}

/// What stands before an override in the script.
const MARK: &str = "set: ";

/// The value at a path, made (as an empty string) when it is not there yet.
fn child<'t, 'i>(
    value: &'t mut Spanned<DeValue<'i>>,
    path: &'i [String],
    place: &Range<usize>,
) -> Parsed<&'t mut Spanned<DeValue<'i>>> {
    let Some((key, rest)) = path.split_first() else { return Ok(value) };
    let next = match value.get_mut() {
        DeValue::Table(table) => {
            let empty = match rest {
                [] => DeValue::String("".into()),
                _ => DeValue::Table(DeTable::new()),
            };
            table.entry(Spanned::new(place.clone(), key.as_str().into())).or_insert(Spanned::new(place.clone(), empty))
        }
        DeValue::Array(array) => {
            let count = array.len();
            key.parse()
                .ok()
                .and_then(|index: usize| array.get_mut(index))
                .ok_or_else(|| format!("{key:?} is not one of the {count} entries, which are counted from 0"))?
        }
        _ => return Err(format!("there is a plain value where {key:?} should be")),
    };
    child(next, rest, place)
}
