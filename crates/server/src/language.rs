//! Learned models: whoever starts the server says how a folder is opened; the server keeps what was opened, loads it
//! again, and knows which adapters stand beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use decision::{Decider, Identity};
use lm::WeightStorage;
use lm::inference::{Host, HostOptions, ServiceOptions};
use sha2::{Digest, Sha256};

use crate::settings::named;
use crate::writer_metrics::WriterMetrics;
use crate::{ApiError, Error, LoadError, Settings, Slot, state};

/// A model of a folder, ready to answer.
#[derive(Clone)]
pub struct Opened {
    /// What callers name it by.
    pub name: String,
    /// It writes text, if it does.
    pub host: Option<Arc<Host>>,
    /// Whose cases it decides, if it decides.
    pub desk: Option<&'static str>,
    /// It decides cases, if it does.
    pub decider: Option<Arc<dyn Decider>>,
    /// What it is, by version and content hash.
    pub identity: Identity,
}

/// Opens the model of a folder.
pub type Opener = Arc<dyn Fn(&Path, &HostOptions) -> Result<Opened, LoadError> + Send + Sync>;

/// Files of which one changes when a model does: the manifest of an artifact, or what a checkpoint consists of.
const FILES: [&str; 5] =
    ["manifest.json", "config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"];

impl Opened {
    /// A checkpoint in Hugging Face layout: it writes text and decides nothing.
    ///
    /// # Errors
    /// When a file cannot be read, or the model is not one that we run.
    pub fn checkpoint(folder: &Path, options: &HostOptions) -> Result<Self, LoadError> {
        let host = Host::open(folder, options)?;
        let hash = digest(folder)?;
        let identity = Identity { name: "checkpoint".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), hash };
        Ok(Self { name: name(folder), host: Some(Arc::new(host)), desk: None, decider: None, identity })
    }

    /// The place of the model at a path.
    pub(crate) fn slot(path: &Path, options: HostOptions, opener: Opener, adapters: &Arc<Adapters>) -> Slot<Self> {
        let files: Vec<PathBuf> = FILES.iter().map(|file| path.join(file)).collect();
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        let (path, adapters) = (path.to_owned(), Arc::clone(adapters));
        Slot::new(name(&path), &files, move || {
            let opened = opener(&path, &options)?;
            adapters.put_beside(&opened)?;
            let identity = opened.identity.clone();
            Ok((opened, identity))
        })
    }
}

/// The name of a model is that of its folder.
pub fn name(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// SHA-256 over the names and contents of a folder's files, in the order of their names.
fn digest(folder: &Path) -> Result<String, LoadError> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.extend(Some(entry?.path()).filter(|path| path.is_file()));
    }
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let mut one = Sha256::new();
        std::io::copy(&mut File::open(&path)?, &mut one)?;
        all.extend(one.finalize());
        all.extend(path.file_name().unwrap_or_default().as_encoded_bytes());
    }
    Ok(deciders::sha256(&all))
}

/// How the settings want models to be opened.
pub(crate) fn options(settings: &Settings) -> HostOptions {
    HostOptions {
        precision: settings.dtype.into(),
        storage: settings.weights.into(),
        service: ServiceOptions {
            threads: state::threads(settings),
            cache_bytes: settings.cache_megabytes.saturating_mul(1 << 20),
            sequences: settings.sequences,
            ..ServiceOptions::default()
        },
    }
}

/// A model that writes text, as a request names it.
pub(crate) struct Writer {
    /// As the request names it.
    pub(crate) name: String,
    pub(crate) host: Arc<Host>,
    /// The adapter that the request asks for.
    pub(crate) adapter: Option<String>,
    /// The beginning of the model's content hash, as OpenAI names what answers.
    pub(crate) fingerprint: String,
    pub(crate) metrics: Arc<WriterMetrics>,
}

/// A place for a model, and what is counted of it over all reloads.
pub(crate) struct Learned {
    pub(crate) slot: Slot<Opened>,
    pub(crate) metrics: Arc<WriterMetrics>,
    pub(crate) adapters: Arc<Adapters>,
}

/// What is told of a model that writes text, or of an adapter.
pub(crate) struct Card {
    pub(crate) id: String,
    /// Of an adapter its folder, of a model its name.
    pub(crate) root: String,
    /// Of an adapter, its model.
    pub(crate) parent: Option<String>,
    /// Tokens of a prompt and its answer at most.
    pub(crate) positions: usize,
}

impl Learned {
    /// The model and its adapters, if it is loaded and writes text.
    pub(crate) fn cards(&self) -> Vec<Card> {
        let Ok(opened) = self.slot.get() else { return Vec::new() };
        let Some(host) = &opened.host else { return Vec::new() };
        let positions = host.service().config().positions;
        let name = || opened.name.clone();
        let mut cards = vec![Card { id: name(), root: name(), parent: None, positions }];
        cards.extend(self.adapters.list().into_iter().map(|(id, folder)| Card {
            id,
            root: folder.display().to_string(),
            parent: Some(name()),
            positions,
        }));
        cards
    }

    /// The writer of this name: the model itself or one of its adapters. Without a name, the model.
    ///
    /// # Errors
    /// When the model has this name and writes no text.
    pub(crate) fn writer(&self, opened: &Opened, name: Option<&str>) -> Result<Option<Writer>, ApiError> {
        let own = name.is_none_or(|name| name == opened.name);
        let Some(host) = &opened.host else {
            let message = format!("`{}` decides cases and writes no text: see /v1/desks", opened.name);
            return if own && name.is_some() { Err(ApiError::invalid("model", message)) } else { Ok(None) };
        };
        let adapter = name.filter(|name| !own && host.service().adapters().iter().any(|known| known == name));
        if !own && adapter.is_none() {
            return Ok(None);
        }
        Ok(Some(Writer {
            name: name.unwrap_or(&opened.name).to_owned(),
            host: Arc::clone(host),
            adapter: adapter.map(str::to_owned),
            fingerprint: format!("fp_{}", opened.identity.hash.get(..12).unwrap_or(&opened.identity.hash)),
            metrics: Arc::clone(&self.metrics),
        }))
    }
}

/// In what matrix products run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Products {
    /// Single precision.
    F32,
    /// Operands rounded to bf16, sums in single precision.
    Bf16,
}

impl From<Products> for lm::Precision {
    fn from(products: Products) -> Self {
        match products {
            Products::F32 => Self::F32,
            Products::Bf16 => Self::Bf16,
        }
    }
}

/// In what weights are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Weights {
    /// As products take them.
    Plain,
    /// A byte a number.
    Int8,
    /// Half a byte a number.
    Nf4,
}

impl From<Weights> for WeightStorage {
    fn from(weights: Weights) -> Self {
        match weights {
            Weights::Plain => Self::Plain,
            Weights::Int8 => Self::Int8,
            Weights::Nf4 => Self::Nf4,
        }
    }
}

/// An adapter as an option names it: `NAME=DIR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFolder {
    /// What callers name it by.
    pub name: String,
    /// A folder in the layout of `peft`.
    pub folder: PathBuf,
}

impl FromStr for NamedFolder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, folder) = named(text).ok_or("write NAME=DIR")?;
        Ok(Self { name: name.to_owned(), folder: folder.into() })
    }
}

/// The adapters of a model, by name, with their folders: those of the options and those that were loaded since. They
/// outlive a reload of the model.
#[derive(Debug, Default)]
pub(crate) struct Adapters {
    folders: Mutex<BTreeMap<String, PathBuf>>,
}

impl Adapters {
    /// # Errors
    /// When two have one name.
    pub(crate) fn new(named: &[NamedFolder]) -> Result<Self, Error> {
        let mut folders = BTreeMap::new();
        for NamedFolder { name, folder } in named {
            if folders.insert(name.clone(), folder.clone()).is_some() {
                return Err(Error::TwoModels(name.clone()));
            }
        }
        Ok(Self { folders: Mutex::new(folders) })
    }

    /// The names, in order, with their folders.
    fn list(&self) -> Vec<(String, PathBuf)> {
        self.lock().iter().map(|(name, folder)| (name.clone(), folder.clone())).collect()
    }

    /// Loads one beside a model.
    ///
    /// # Errors
    /// When it is none that fits the model.
    pub(crate) fn load(&self, host: &Host, name: &str, folder: &Path) -> lm::Result<()> {
        host.service().load_adapter(name, folder)?;
        self.lock().insert(name.to_owned(), folder.to_owned());
        Ok(())
    }

    /// Forgets one; says whether there was one.
    pub(crate) fn unload(&self, host: &Host, name: &str) -> bool {
        self.lock().remove(name);
        host.service().unload_adapter(name)
    }

    /// Loads all of them beside a model.
    fn put_beside(&self, opened: &Opened) -> Result<(), LoadError> {
        // Loaded without the lock: whoever lists models need not wait for it.
        let folders = self.list();
        if folders.is_empty() {
            return Ok(());
        }
        let host = opened.host.as_ref().ok_or("adapters stand beside a model that writes text, which this is not")?;
        for (name, folder) in folders {
            host.service().load_adapter(&name, &folder)?;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, PathBuf>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
