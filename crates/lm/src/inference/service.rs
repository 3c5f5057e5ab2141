//! A thread that owns a model and answers requests as they come.

use super::engine::{Engine, Limits};
use super::request::{Event, Reply, Request, Token};
use super::sequence::{Loaded, Question, Sink};
use super::statistics::{Counters, Statistics};
use crate::kernel::Element;
use crate::model::{AdapterSet, Kind, Network};
use crate::{Config, Decoder, Error, Result};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

/// What a service may take.
#[derive(Clone, Copy, Debug)]
pub struct ServiceOptions {
    /// Threads that compute; none counts as one.
    pub threads: usize,
    /// Bytes of keys and values, those of prefixes that are kept for later included.
    pub cache_bytes: usize,
    /// Sequences that advance together.
    pub sequences: usize,
    /// Tokens that are read at a time: more give throughput, fewer let answers go on while long prompts are read.
    pub step_tokens: usize,
    /// Requests that may wait to begin; more are refused. Those that have begun may wait for room as well, but are never
    /// more than `sequences`.
    pub queue: usize,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self { threads: 1, cache_bytes: 1 << 30, sequences: 64, step_tokens: 2048, queue: 4096 }
    }
}

/// A model that answers on a thread of its own. Dropping it ends the thread; what is not answered by then fails.
pub struct Service {
    config: Config,
    questions: Option<Sender<Question>>,
    thread: Option<JoinHandle<()>>,
    adapters: RwLock<BTreeMap<String, Arc<Loaded>>>,
    numbers: AtomicU64,
    counters: Arc<Counters>,
    shared: Arc<Shared>,
    queue: usize,
}

/// What the thread and its callers know of each other.
#[derive(Default)]
struct Shared {
    /// Nothing more is to be answered.
    stop: AtomicBool,
    /// Requests that were taken and have not reached the engine.
    pending: AtomicUsize,
}

/// A request that was taken. Dropping it does not end the request.
#[derive(Clone, Debug)]
pub struct Ticket(Arc<AtomicBool>);

impl Ticket {
    /// Ends the request; nothing more is heard of it.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Service {
    /// Starts to answer with a model.
    ///
    /// # Errors
    /// [`Error::Threads`] when the system gives no threads.
    pub fn start(model: Decoder, options: &ServiceOptions) -> Result<Self> {
        let config = model.config().clone();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.threads.max(1))
            .thread_name(|number| format!("model-{number}"))
            .build()
            .map_err(|error| Error::Threads(error.to_string()))?;
        let limits =
            Limits { sequences: options.sequences.max(1), tokens: options.step_tokens, bytes: options.cache_bytes };
        let (questions, asked) = mpsc::channel();
        let (counters, shared) = (Arc::<Counters>::default(), Arc::<Shared>::default());
        let thread = std::thread::Builder::new().name("model".to_owned()).spawn({
            let (counters, shared) = (Arc::clone(&counters), Arc::clone(&shared));
            move || {
                pool.install(move || match model.into_kind() {
                    Kind::Full(network) => run(&network, limits, &counters, &shared, &asked),
                    Kind::Half(network) => run(&network, limits, &counters, &shared, &asked),
                });
            }
        });
        let thread = thread.map_err(|error| Error::Threads(error.to_string()))?;
        Ok(Self {
            config,
            questions: Some(questions),
            thread: Some(thread),
            adapters: RwLock::default(),
            numbers: AtomicU64::new(0),
            counters,
            shared,
            queue: options.queue,
        })
    }

    /// The model's shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes a request. `sink` is called on the model's threads for everything that happens to it, and returns whether
    /// somebody still wants the answer. It must not wait for anything, nor be what keeps the service alive: the thread
    /// cannot wait for its own end.
    ///
    /// # Errors
    /// [`Error::Request`] if the request cannot be answered, [`Error::Busy`] if too many wait.
    pub fn submit(&self, request: Request, sink: impl FnMut(Event) -> bool + Send + 'static) -> Result<Ticket> {
        let limit = check(&self.config, &request).map_err(Error::Request)?;
        let adapter = match &request.adapter {
            None => None,
            Some(name) => Some(self.adapter(name)?),
        };
        if self.shared.pending.load(Ordering::Relaxed) + self.counters.asked.get() >= self.queue {
            return Err(Error::Busy);
        }
        let cancelled = Arc::<AtomicBool>::default();
        let question = Question { request, limit, adapter, sink: Sink::new(sink, Arc::clone(&cancelled)) };
        self.shared.pending.fetch_add(1, Ordering::Relaxed);
        if self.questions.as_ref().is_some_and(|questions| questions.send(question).is_ok()) {
            return Ok(Ticket(cancelled));
        }
        self.shared.pending.fetch_sub(1, Ordering::Relaxed);
        Err(Error::Request("the model has stopped after a fault; start the program again".to_owned()))
    }

    /// Answers requests, all at once, and waits for the answers.
    pub fn answer(&self, requests: Vec<Request>) -> Vec<Result<Reply>> {
        let waiting: Vec<Result<Receiver<Event>>> = requests
            .into_iter()
            .map(|request| {
                let (tell, told) = mpsc::channel();
                self.submit(request, move |event| tell.send(event).is_ok())?;
                Ok(told)
            })
            .collect();
        waiting.into_iter().map(|told| collect(told?)).collect()
    }

    /// Loads an adapter folder of `peft` under a name, in the place of one that has it. Requests under way keep theirs.
    ///
    /// # Errors
    /// As [`crate::Adapter::open`].
    pub fn load_adapter(&self, name: &str, folder: &Path) -> Result<()> {
        let set = AdapterSet::open(folder, &self.config)?;
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let mut adapters = self.adapters.write().unwrap_or_else(PoisonError::into_inner);
        adapters.insert(name.to_owned(), Arc::new(Loaded { number, set }));
        Ok(())
    }

    /// Forgets an adapter. Requests under way keep it. Returns whether there was one.
    pub fn unload_adapter(&self, name: &str) -> bool {
        self.adapters.write().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }

    /// Names of the adapters that are loaded.
    pub fn adapters(&self) -> Vec<String> {
        self.adapters.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Statistics {
        let statistics = self.counters.snapshot();
        Statistics { waiting: statistics.waiting + self.shared.pending.load(Ordering::Relaxed), ..statistics }
    }

    fn adapter(&self, name: &str) -> Result<Arc<Loaded>> {
        let adapters = self.adapters.read().unwrap_or_else(PoisonError::into_inner);
        adapters.get(name).cloned().ok_or_else(|| Error::Request(format!("no adapter `{name}` is loaded")))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.questions = None;
        if let Some(thread) = self.thread.take() {
            // Its faults were told to those who waited.
            let _ = thread.join();
        }
    }
}

/// Tokens that a request may reach, or why it cannot be answered.
pub(crate) fn check(config: &Config, request: &Request) -> std::result::Result<usize, String> {
    let Config { positions, vocabulary, .. } = config;
    let prompt = &request.prompt;
    let sampling = &request.sampling;
    if prompt.is_empty() {
        return Err("it is empty; begin it with a token, such as the model's own".to_owned());
    }
    if prompt.len() > *positions {
        return Err(format!("its {} tokens are more than the model's {positions} positions; shorten it", prompt.len()));
    }
    if request.begun >= prompt.len() {
        return Err("it is nothing but the beginning of its answer".to_owned());
    }
    if let Some(token) = prompt.iter().find(|token| **token as usize >= *vocabulary) {
        return Err(format!("token {token} is beyond the vocabulary of {vocabulary}; is the tokenizer this model's?"));
    }
    if !(sampling.temperature >= 0.0 && sampling.temperature.is_finite()) {
        return Err("the temperature must be a number from 0 on".to_owned());
    }
    if !(sampling.top_p > 0.0 && sampling.top_p <= 1.0) {
        return Err("top_p must be above 0 and at most 1".to_owned());
    }
    if request.grammar.as_ref().is_some_and(|grammar| grammar.tokens() != *vocabulary) {
        return Err("its grammar was compiled for another model".to_owned());
    }
    Ok(prompt.len().saturating_add(request.most).min(*positions))
}

/// A whole answer of its events.
fn collect(told: Receiver<Event>) -> Result<Reply> {
    let mut tokens: Vec<Token> = Vec::new();
    for event in told {
        match event {
            Event::Tokens(more) => tokens.extend(more),
            Event::Done(done) => return Ok(Reply { tokens, done }),
            Event::Failed(problem) => return Err(Error::Request(problem)),
        }
    }
    Err(Error::Request("the model has stopped before the answer was complete".to_owned()))
}

/// The thread: takes what was asked, and goes on by a step as long as there is something to do. A fault costs what is
/// under way, which fails as its sinks are dropped, and nothing else.
fn run<E: Element>(
    network: &Network<E>,
    limits: Limits,
    counters: &Arc<Counters>,
    shared: &Shared,
    asked: &Receiver<Question>,
) {
    while !shared.stop.load(Ordering::Relaxed) {
        let mut engine = Engine::new(network, limits, Arc::clone(counters));
        if let Ok(()) = catch_unwind(AssertUnwindSafe(|| work(&mut engine, shared, asked))) {
            return;
        }
        counters.forget();
    }
}

/// Answers until nothing more can come.
fn work<E: Element>(engine: &mut Engine<'_, E>, shared: &Shared, asked: &Receiver<Question>) {
    while !shared.stop.load(Ordering::Relaxed) {
        let question = match engine.is_idle() {
            true => asked.recv().map_err(|_| TryRecvError::Disconnected),
            false => asked.try_recv(),
        };
        match question {
            Ok(question) => {
                engine.submit(question);
                shared.pending.fetch_sub(1, Ordering::Relaxed);
            }
            Err(TryRecvError::Empty) => engine.step(),
            Err(TryRecvError::Disconnected) => return,
        }
    }
}
