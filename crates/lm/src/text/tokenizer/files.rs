//! The folder of a tokenizer, as `transformers` reads and writes it.

use super::{Tokenizer, guarded, outline};
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest file that is read; the largest vocabularies in use take about 35 MB.
const LARGEST: u64 = 256 << 20;

/// Names of special tokens in `tokenizer_config.json` and `special_tokens_map.json`.
const NAMES: [&str; 4] = ["bos_token", "eos_token", "pad_token", "unk_token"];

impl Tokenizer {
    /// Reads `tokenizer.json` of a folder, and of `tokenizer_config.json`, `special_tokens_map.json` and
    /// `chat_template.jinja` what is there. Truncation and padding that the file asks for are left out: whoever
    /// calls decides about lengths.
    ///
    /// # Errors
    /// When a file cannot be read, hangs together badly, names a token that is not there, or when the model is
    /// not byte-pair encoding.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let json = read(&path)?.ok_or_else(|| Error::Configuration {
            path: path.clone(),
            problem: "there is no such file; tokenizers of other formats must be converted first".to_owned(),
        })?;
        let mut settings = object(&folder.join("tokenizer_config.json"))?;
        for (name, value) in object(&folder.join("special_tokens_map.json"))? {
            if NAMES.contains(&name.as_str()) && settings.get(&name).is_none_or(Value::is_null) {
                settings.insert(name, value);
            }
        }
        let mut tokenizer =
            Self::assemble(&json, settings).map_err(|problem| Error::Configuration { path, problem })?;
        let path = folder.join("chat_template.jinja");
        if let Some(template) = read(&path)? {
            let template = String::from_utf8(template)
                .map_err(|_| Error::Configuration { path, problem: "the file is not UTF-8 text".to_owned() })?;
            tokenizer.template = Some(template);
        }
        Ok(tokenizer)
    }

    /// A tokenizer from the content of its files.
    pub(super) fn assemble(json: &[u8], settings: Map<String, Value>) -> std::result::Result<Self, String> {
        let vocabulary = outline::check(json)?;
        let mut inner = guarded(|| tokenizers::Tokenizer::from_bytes(json))?;
        inner.with_truncation(None).map_err(|error| error.to_string())?;
        inner.with_padding(None);
        let around = guarded(|| inner.encode_fast("", true))?;
        if let Some(number) = around.get_ids().iter().find(|number| **number as usize >= vocabulary) {
            return Err(format!("texts get the token {number}, which is not in the vocabulary"));
        }
        let token = |name: &str| match settings.get(name).and_then(spelling) {
            Some(spelling) => match inner.token_to_id(spelling) {
                Some(number) => Ok(Some(number)),
                None => Err(format!("the {name} `{spelling}` is not in the vocabulary")),
            },
            None => Ok(None),
        };
        let (beginning, end, padding) = (token("bos_token")?, token("eos_token")?, token("pad_token")?);
        let mut special: Vec<_> =
            inner.get_added_tokens_decoder().into_iter().filter(|(_, token)| token.special).collect();
        special.sort_by_key(|(number, _)| *number);
        let special = special.into_iter().map(|(_, token)| token.content).collect();
        let template = named_template(&settings).map(str::to_owned);
        Ok(Self { inner, settings, template, beginning, end, padding, special, vocabulary })
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`, which
    /// `AutoTokenizer.from_pretrained` of `transformers` reads. The folder is made if it is not there.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let json = self.inner.to_string(true).map_err(|error| Error::Tokenizer(error.to_string()))?;
        let mut settings = self.settings.clone();
        settings.entry("tokenizer_class").or_insert_with(|| json!("PreTrainedTokenizerFast"));
        // A list of templates stays one; a file of its own does not.
        if let Some(template) = self.template().filter(|template| named_template(&settings) != Some(*template)) {
            settings.insert("chat_template".to_owned(), json!(template));
        }
        let named = NAMES.iter().filter_map(|name| Some(((*name).to_owned(), settings.get(*name)?.clone())));
        let named: Map<_, _> = named.filter(|(_, value)| !value.is_null()).collect();
        for (name, content) in [
            ("tokenizer.json", json),
            ("tokenizer_config.json", format!("{:#}", Value::Object(settings.clone()))),
            ("special_tokens_map.json", format!("{:#}", Value::Object(named))),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, content + "\n").map_err(Error::io(&path))?;
        }
        Ok(())
    }
}

/// How a special token is spelled: a string, or an object with its content.
pub(super) fn spelling(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// The template in the settings: a string, or the default one of a list.
fn named_template(settings: &Map<String, Value>) -> Option<&str> {
    match settings.get("chat_template")? {
        Value::Array(list) => list.iter().find(|entry| entry["name"] == "default")?["template"].as_str(),
        other => other.as_str(),
    }
}

/// The content of a file, if there is one.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path)(error)),
    };
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content).map_err(Error::io(path))?;
    if content.len() as u64 > LARGEST {
        let problem = format!("the file is larger than {} MiB", LARGEST >> 20);
        return Err(Error::Configuration { path: path.to_owned(), problem });
    }
    Ok(Some(content))
}

/// The JSON object of a file; empty without the file.
fn object(path: &Path) -> Result<Map<String, Value>> {
    let Some(content) = read(path)? else { return Ok(Map::new()) };
    serde_json::from_slice(&content)
        .map_err(|error| Error::Configuration { path: path.to_owned(), problem: error.to_string() })
}
