//! The rules decider for requests that come in any order on any thread.
//!
//! A session borrows its rule base and is worth keeping: making one takes time in proportion to the rule file.
//! A future may hold both the base and what borrows from it, so each kept session lives in one. It is polled
//! by hand: a poll answers one case and comes to rest before the next.

use std::convert::Infallible;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use deciders::rules::{Rules, Runner};
use decision::{DecideError, Decider};

use crate::{LoadError, Slot};

/// One rule file and the sessions at rest that belong to it.
pub struct RulesEngine {
    rules: Arc<Rules>,
    resting: Mutex<Vec<Session>>,
}

impl RulesEngine {
    /// An engine for a rule file.
    pub fn new(rules: Rules) -> Self {
        Self { rules: Arc::new(rules), resting: Mutex::default() }
    }

    /// The place for the rule file at a path.
    pub fn slot(path: &Path, firing_limit: usize) -> Slot<Self> {
        let file = path.to_owned();
        Slot::new("rules", &[path], move || -> Result<_, LoadError> {
            let mut rules = Rules::load(&file)?;
            rules.set_firing_limit(firing_limit);
            let identity = rules.identity().clone();
            Ok((Self::new(rules), identity))
        })
    }

    /// The rules as a decider of cases, in the training view.
    pub(crate) fn decider(&self) -> &Rules {
        &self.rules
    }

    /// Appends the raw view of a case to `out` and returns both.
    ///
    /// # Errors
    /// When the facts are not a JSON object, or the rules fail on them.
    pub fn raw_view(&self, facts: &str, out: Vec<u8>) -> Result<Vec<u8>, DecideError> {
        let resting = self.lock().pop();
        let mut session = resting.unwrap_or_else(|| Session::new(Arc::clone(&self.rules)));
        let answer = session.answer(facts, out);
        // A session that panicked does not come here.
        self.lock().push(session);
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What lies between a session and its caller.
#[derive(Default)]
struct Exchange {
    question: Option<(String, Vec<u8>)>,
    answer: Option<Result<Vec<u8>, DecideError>>,
    /// The question's text, kept for the next one.
    spare: String,
}

struct Session {
    exchange: Arc<Mutex<Exchange>>,
    future: Pin<Box<dyn Future<Output = Infallible> + Send>>,
}

impl Session {
    fn new(rules: Arc<Rules>) -> Self {
        let exchange = Arc::<Mutex<Exchange>>::default();
        let theirs = Arc::clone(&exchange);
        let future = Box::pin(async move {
            let mut runner = rules.runner();
            loop {
                let question = lock(&theirs).question.take();
                if let Some((facts, out)) = question {
                    let answer = decide(&mut runner, &facts, out);
                    let mut exchange = lock(&theirs);
                    exchange.answer = Some(answer);
                    exchange.spare = facts;
                }
                rest().await;
            }
        });
        Self { exchange, future }
    }

    fn answer(&mut self, facts: &str, out: Vec<u8>) -> Result<Vec<u8>, DecideError> {
        {
            let mut exchange = lock(&self.exchange);
            let mut text = std::mem::take(&mut exchange.spare);
            text.clear();
            text.push_str(facts);
            exchange.question = Some((text, out));
        }
        let Poll::Pending = self.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let answer = lock(&self.exchange).answer.take();
        answer.unwrap_or_else(|| Err(DecideError::Failed("the session gave no answer".to_owned())))
    }
}

fn lock(exchange: &Mutex<Exchange>) -> std::sync::MutexGuard<'_, Exchange> {
    exchange.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Comes to rest once.
async fn rest() {
    let mut rested = false;
    std::future::poll_fn(|_| if std::mem::replace(&mut rested, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn decide(runner: &mut Runner<'_>, facts: &str, mut out: Vec<u8>) -> Result<Vec<u8>, DecideError> {
    runner.begin();
    let facts = runner.read(facts.as_bytes())?;
    runner.fire(facts)?;
    runner.write_raw(&mut out);
    Ok(out)
}
