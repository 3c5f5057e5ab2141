//! A model's folder, opened to answer: weights, tokenizer, chat template and the grammars that were asked for.

use super::service::{Service, ServiceOptions};
use crate::constraint::{Form, Grammar, Vocabulary};
use crate::text::{ChatTemplate, Tokenizer};
use crate::{Decoder, Precision, Result, WeightStorage};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// How a model is held.
#[derive(Clone, Copy, Debug)]
pub struct HostOptions {
    /// In what products run and activations are kept.
    pub precision: Precision,
    /// How weights are held.
    pub storage: WeightStorage,
    /// What answering may take.
    pub service: ServiceOptions,
}

impl Default for HostOptions {
    /// bf16, weights as they are.
    fn default() -> Self {
        Self { precision: Precision::Bf16, storage: WeightStorage::Plain, service: ServiceOptions::default() }
    }
}

/// Grammars that are kept compiled.
const GRAMMARS: usize = 64;

/// See the module.
pub struct Host {
    service: Service,
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    chat: Option<ChatTemplate>,
    end: Vec<u32>,
    /// By the form as text, in which the order of keys counts; most recently used last.
    grammars: Mutex<Vec<(String, Grammar)>>,
}

impl Host {
    /// Opens a folder in Hugging Face layout.
    ///
    /// # Errors
    /// When model or tokenizer cannot be read, or the system gives no threads.
    pub fn open(folder: &Path, options: &HostOptions) -> Result<Self> {
        let model = Decoder::open_stored(folder, options.precision, options.storage)?;
        let tokenizer = Tokenizer::open(folder)?;
        let mut end = model.config().end.clone();
        end.extend(tokenizer.end().filter(|token| !end.contains(token)));
        let vocabulary = Vocabulary::new(&tokenizer, model.config().vocabulary, &end)?;
        let chat = tokenizer.template().is_some().then(|| ChatTemplate::new(&tokenizer, None)).transpose()?;
        let service = Service::start(model, &options.service)?;
        Ok(Self { service, tokenizer, vocabulary, chat, end, grammars: Mutex::default() })
    }

    /// Where requests go.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Text to tokens and back.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// What tokens are in bytes.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// How conversations are written, if the folder says.
    pub fn chat(&self) -> Option<&ChatTemplate> {
        self.chat.as_ref()
    }

    /// Tokens that end an answer, by the model's configuration and the tokenizer.
    pub fn end(&self) -> &[u32] {
        &self.end
    }

    /// The grammar of a form, compiled when it is first asked for.
    ///
    /// # Errors
    /// As [`Vocabulary::grammar`].
    pub fn grammar(&self, form: &Form) -> Result<Grammar> {
        let key = format!("{form:?}");
        if let Some(grammar) = self.known(&key) {
            return Ok(grammar);
        }
        // Compiled without the lock: others need not wait for a large schema.
        let grammar = self.vocabulary.grammar(form)?;
        if let Some(grammar) = self.known(&key) {
            return Ok(grammar);
        }
        let mut known = self.grammars.lock().unwrap_or_else(PoisonError::into_inner);
        known.push((key, grammar.clone()));
        if known.len() > GRAMMARS {
            known.remove(0);
        }
        Ok(grammar)
    }

    /// A grammar that is kept, which counts as used now.
    fn known(&self, key: &str) -> Option<Grammar> {
        let mut known = self.grammars.lock().unwrap_or_else(PoisonError::into_inner);
        let place = known.iter().position(|(other, _)| other == key)?;
        known[place..].rotate_left(1);
        known.last().map(|(_, grammar)| grammar.clone())
    }
}
