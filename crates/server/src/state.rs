//! What all requests share: models, limits, counters, the key.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use desks::alerts::AlertModel;
use lm::inference::Host;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use crate::batches::{Batches, Runner};
use crate::data::{self, Data};
use crate::deciding::RULES;
use crate::jobs::{Jobs, Supervisor};
use crate::language::{self, Adapters, Card, Learned, Writer};
use crate::work::{Pace, Work};
use crate::{
    AlertsEngine, Answerer, ApiError, Error, Metrics, Model, NamedDecider, Opened, Opener, RulesEngine, Settings, Slot,
    openai,
};

/// See the module.
pub struct State {
    rules: Option<Slot<RulesEngine>>,
    alerts: Vec<(AlertModel, Slot<AlertsEngine>)>,
    pub(crate) learned: Vec<Learned>,
    /// Where adapters may be loaded from, if they may.
    pub(crate) adapter_root: Option<PathBuf>,
    pub(crate) vllm_metrics: bool,
    /// Held while models are loaded again or adapters come and go: one would not see the other.
    pub(crate) changes: Mutex<()>,
    /// Seconds since 1970.
    pub(crate) started: i64,
    pub(crate) alerts_pace: Arc<Pace>,
    pub(crate) rules_pace: Arc<Pace>,
    /// Of reading requests for text.
    pub(crate) plans_pace: Arc<Pace>,
    pub(crate) work: Work,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) key: Key,
    pub(crate) admin_reload: bool,
    data: Option<Data>,
    /// What answers the requests of batches, in place of the learned models.
    answerer: Option<Answerer>,
}

/// What a request may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) body_bytes: usize,
    pub(crate) requests: i64,
    pub(crate) request_timeout: Duration,
}

impl State {
    /// Places for the models that the settings name; nothing is loaded yet.
    ///
    /// # Errors
    /// When no model is named, or the file with the key cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Self::with_opener(settings, Arc::new(Opened::checkpoint), Vec::new())
    }

    /// The same, with a function of the caller's that opens learned models, and a place for each decider that the settings
    /// name; otherwise checkpoints alone are known.
    ///
    /// # Errors
    /// As [`State::new`], and when a decider has no place.
    pub fn with_opener(settings: &Settings, opener: Opener, deciders: Vec<Slot<Opened>>) -> Result<Self, Error> {
        let rules = settings.rules.as_deref().map(|path| RulesEngine::slot(path, settings.max_firings));
        Self::with(settings, rules, learned(settings, &opener, deciders)?)
    }

    /// The same, with a place of the caller's for the rules.
    ///
    /// # Errors
    /// As [`State::new`].
    pub fn with_rules(settings: &Settings, rules: Option<Slot<RulesEngine>>) -> Result<Self, Error> {
        let opener: Opener = Arc::new(Opened::checkpoint);
        Self::with(settings, rules, learned(settings, &opener, Vec::new())?)
    }

    fn with(settings: &Settings, rules: Option<Slot<RulesEngine>>, learned: Vec<Learned>) -> Result<Self, Error> {
        if rules.is_some() && learned.iter().any(|learned| learned.slot.name() == RULES) {
            return Err(Error::TwoModels(RULES.to_owned()));
        }
        let mut alerts: Vec<(AlertModel, Slot<AlertsEngine>)> = Vec::new();
        for text in &settings.alerts {
            let (model, slot) = AlertsEngine::slot(text)?;
            if alerts.iter().any(|(known, _)| *known == model) {
                return Err(Error::TwoModels(slot.name().to_owned()));
            }
            alerts.push((model, slot));
        }
        let state = Self {
            rules,
            alerts,
            learned,
            adapter_root: settings.adapter_root.clone().filter(|_| settings.allow_adapter_loading),
            vllm_metrics: settings.vllm_metrics,
            changes: Mutex::default(),
            started: data::now(),
            alerts_pace: Arc::default(),
            rules_pace: Arc::default(),
            plans_pace: Arc::default(),
            work: Work::new(threads(settings), settings.request_timeout),
            metrics: Metrics::default(),
            limits: Limits {
                body_bytes: settings.max_body_bytes,
                requests: i64::from(settings.max_requests),
                request_timeout: settings.request_timeout,
            },
            key: Key::new(settings)?,
            admin_reload: settings.admin_reload,
            data: Data::open(settings)?,
            answerer: None,
        };
        match state.data {
            None if settings.allow_training => Err(Error::TrainingWithoutData),
            None if state.models().is_empty() => Err(Error::NothingToServe),
            _ => Ok(state),
        }
    }

    /// The same, with something of the caller's that answers the requests of batches.
    #[must_use]
    pub fn with_answerer(self, answerer: Answerer) -> Self {
        Self { answerer: Some(answerer), ..self }
    }

    /// The data folder.
    pub(crate) fn data(&self) -> Result<&Data, ApiError> {
        self.data.as_ref().ok_or(ApiError::NotServed("a data folder (--data)"))
    }

    /// Batches, where something answers their requests.
    pub(crate) fn batches(&self) -> Result<&Arc<Batches>, ApiError> {
        let batches = &self.data()?.batches;
        let answered = self.answerer.is_some() || !self.learned.is_empty();
        if answered { Ok(batches) } else { Err(ApiError::NotServed("a language model (--model)")) }
    }

    /// Begins to answer batches, if something can; from within a runtime.
    pub(crate) fn answer_batches(self: &Arc<Self>, requests: usize) -> Result<Option<Runner>, Error> {
        let Ok(batches) = self.batches() else { return Ok(None) };
        let answerer = self.answerer.clone().unwrap_or_else(|| {
            let state = Arc::clone(self);
            Arc::new(move |url, body| {
                let state = Arc::clone(&state);
                Box::pin(async move { openai::respond(&state, &url, body).await })
            })
        });
        let runner = Runner::start(Arc::clone(batches), answerer, requests, Handle::current());
        runner.map(Some).map_err(Error::Start)
    }

    /// Begins to run training jobs, if they are allowed.
    pub(crate) fn run_jobs(&self, patience: Duration) -> Result<Option<Supervisor>, Error> {
        let jobs = self.data.as_ref().and_then(|data| data.jobs.as_ref());
        let start = |jobs: &Arc<Jobs>| Supervisor::start(Arc::clone(jobs), patience).map_err(Error::Start);
        jobs.map(start).transpose()
    }

    /// Training jobs.
    pub(crate) fn jobs(&self) -> Result<&Arc<Jobs>, ApiError> {
        self.data()?.jobs.as_ref().ok_or(ApiError::NotServed("training being allowed (--allow-training)"))
    }

    /// The rules.
    ///
    /// # Errors
    /// While they are being loaded, and when the server was started without any.
    pub fn rules(&self) -> Result<Arc<RulesEngine>, ApiError> {
        self.rules.as_ref().ok_or(ApiError::NotServed("a rule file (--rules)"))?.get()
    }

    /// A model of alerts.
    ///
    /// # Errors
    /// While it is being loaded, and when the server was started without it.
    pub fn alerts(&self, model: AlertModel) -> Result<Arc<AlertsEngine>, ApiError> {
        let slot = self.alerts.iter().find(|(known, _)| *known == model);
        slot.ok_or(ApiError::NotServed("an alert model of this kind (--alerts)"))?.1.get()
    }

    /// The learned models, in the order of the options: those that are loaded.
    pub fn learned(&self) -> impl Iterator<Item = Arc<Opened>> {
        self.learned.iter().filter_map(|learned| learned.slot.get().ok())
    }

    /// The model or adapter of a name; the first model that writes text if there is none.
    ///
    /// # Errors
    /// When there is none, or it is still being loaded.
    pub(crate) fn writer(&self, name: Option<&str>) -> Result<Writer, ApiError> {
        let mut loading = None;
        for learned in &self.learned {
            match learned.slot.get() {
                Ok(opened) => match learned.writer(&opened, name)? {
                    Some(writer) => return Ok(writer),
                    None => continue,
                },
                Err(error) => loading = Some(error),
            }
        }
        Err(loading.unwrap_or_else(|| match name {
            Some(name) if !self.learned.is_empty() => ApiError::UnknownModel(name.to_owned()),
            _ => ApiError::NotServed("a language model (--model)"),
        }))
    }

    /// What is told of the models that write text, and of their adapters: of those that are loaded.
    ///
    /// # Errors
    /// While none is, and one is being loaded.
    pub(crate) fn cards(&self) -> Result<Vec<Card>, ApiError> {
        let cards: Vec<Card> = self.learned.iter().flat_map(Learned::cards).collect();
        match self.learned_loading() {
            Some(loading) if cards.is_empty() => Err(loading),
            _ => Ok(cards),
        }
    }

    /// What is told of the model or adapter of a name.
    ///
    /// # Errors
    /// When there is none, or it may be one that is still being loaded.
    pub(crate) fn card(&self, name: &str) -> Result<Card, ApiError> {
        let card = self.cards()?.into_iter().find(|card| card.id == name);
        card.ok_or_else(|| self.learned_loading().unwrap_or_else(|| ApiError::UnknownModel(name.to_owned())))
    }

    /// The refusal of a learned model that is still being loaded, if there is one.
    fn learned_loading(&self) -> Option<ApiError> {
        self.learned.iter().find_map(|learned| learned.slot.get().err())
    }

    /// Loads an adapter beside the first model. Takes time.
    ///
    /// # Errors
    /// When its folder is none that adapters may be loaded from, or it does not fit the model.
    pub(crate) fn load_adapter(&self, name: &str, path: &Path) -> Result<(), ApiError> {
        let _alone = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let (adapters, host) = self.first_writer()?;
        if name.is_empty() || self.learned().any(|opened| opened.name == name) {
            return Err(ApiError::invalid("lora_name", "it is empty or the name of a model"));
        }
        let root = self.adapter_root.as_deref().and_then(|root| root.canonicalize().ok());
        let folder = root.as_ref().and_then(|root| root.join(path).canonicalize().ok());
        // One answer for all: it is nobody's business what else there is.
        let allowed = folder.filter(|folder| root.is_some_and(|root| folder.starts_with(root)) && folder.is_dir());
        let folder = allowed.ok_or_else(|| {
            ApiError::Forbidden("`lora_path` is no folder under the one that adapters may be loaded from".to_owned())
        })?;
        adapters.load(&host, name, &folder).map_err(|error| ApiError::invalid("lora_path", error.to_string()))
    }

    /// Forgets an adapter of the first model.
    ///
    /// # Errors
    /// When there is none of this name.
    pub(crate) fn unload_adapter(&self, name: &str) -> Result<(), ApiError> {
        let _alone = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let (adapters, host) = self.first_writer()?;
        if adapters.unload(&host, name) { Ok(()) } else { Err(ApiError::UnknownModel(name.to_owned())) }
    }

    /// The adapters of the first model, and what they stand beside.
    fn first_writer(&self) -> Result<(&Adapters, Arc<Host>), ApiError> {
        let none = ApiError::NotServed("a language model (--model)");
        let Some(learned) = self.learned.first() else { return Err(none) };
        let host = learned.slot.get()?.host.clone().ok_or(none)?;
        Ok((&learned.adapters, host))
    }

    /// Every model that this server was started with.
    pub fn models(&self) -> Vec<&dyn Model> {
        let mut models: Vec<&dyn Model> = Vec::new();
        models.extend(self.rules.as_ref().map(|slot| slot as &dyn Model));
        models.extend(self.alerts.iter().map(|(_, slot)| slot as &dyn Model));
        models.extend(self.learned.iter().map(|learned| &learned.slot as &dyn Model));
        models
    }
}

/// Places for the learned models, the adapters beside the first; behind them the other deciders.
fn learned(settings: &Settings, opener: &Opener, deciders: Vec<Slot<Opened>>) -> Result<Vec<Learned>, Error> {
    let unknown = |named: &&NamedDecider| !deciders.iter().any(|slot| slot.name() == named.name);
    if let Some(named) = settings.decider.iter().find(unknown) {
        return Err(Error::NoWayToOpen(named.name.clone()));
    }
    if settings.allow_adapter_loading && settings.adapter_root.is_none() {
        return Err(Error::AdapterRoot);
    }
    if settings.model.is_empty() && !settings.adapter.is_empty() {
        return Err(Error::AdapterAlone);
    }
    let first = Arc::new(Adapters::new(&settings.adapter)?);
    let mut all: Vec<Learned> = Vec::new();
    let models = settings.model.iter().enumerate().map(|(number, path)| {
        let adapters = if number == 0 { Arc::clone(&first) } else { Arc::default() };
        (Opened::slot(path, language::options(settings), Arc::clone(opener), &adapters), adapters)
    });
    for (slot, adapters) in models.chain(deciders.into_iter().map(|slot| (slot, Arc::default()))) {
        if all.iter().any(|known| known.slot.name() == slot.name()) {
            return Err(Error::TwoModels(slot.name().to_owned()));
        }
        all.push(Learned { slot, metrics: Arc::default(), adapters });
    }
    // A request names either by its name alone.
    match settings.adapter.iter().find(|adapter| all.iter().any(|known| known.slot.name() == adapter.name)) {
        Some(adapter) => Err(Error::TwoModels(adapter.name.clone())),
        None => Ok(all),
    }
}

/// The threads that the settings ask for.
pub(crate) fn threads(settings: &Settings) -> usize {
    match settings.serve_threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    }
}

/// The key that callers must send, if there is one. Only its hash is kept.
pub(crate) struct Key(Option<[u8; 32]>);

impl Key {
    fn new(settings: &Settings) -> Result<Self, Error> {
        let key = match (&settings.api_key, &settings.api_key_file) {
            (Some(key), _) => key.reveal().to_owned(),
            (None, Some(path)) => {
                let failed = |source| Error::Key { path: path.clone(), source };
                let text = std::fs::read_to_string(path).map_err(failed)?;
                let line = text.lines().next().unwrap_or_default().trim().to_owned();
                if line.is_empty() {
                    return Err(failed(std::io::Error::other("its first line is empty")));
                }
                line
            }
            (None, None) => return Ok(Self(None)),
        };
        Ok(Self(Some(Sha256::digest(key).into())))
    }

    /// Whether there is none: everybody is let in.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Compares hashes, all bytes of them: the time taken says nothing of the key.
    pub(crate) fn admits(&self, presented: Option<&[u8]>) -> bool {
        let Some(expected) = &self.0 else { return true };
        let Some(presented) = presented else { return false };
        let difference = Sha256::digest(presented).iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}
