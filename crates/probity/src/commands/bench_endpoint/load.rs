//! Requests in flight, so many at a time, until there are no more, the time is up or the endpoint is gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use decision::Truth;
use evaluate::endpoint::{Answer, Sample, Tokens};
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::answer::{self, Pieces, Written};
use super::question::{Style, ruled, stated};
use crate::commands::bench_http::{Address, Connection, Failure};

/// A caller whose requests fail so many times in a row, without any status, takes the endpoint for gone.
const GIVE_UP: usize = 8;

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// A request as the bytes that are sent, and what is right.
pub(super) struct Asked {
    /// None if the case cannot be put as a prompt.
    pub(super) request: Option<Vec<u8>>,
    pub(super) truth: Truth,
}

/// How long it goes on at each number of requests in flight.
#[derive(Clone, Copy, Debug)]
pub(super) enum Amount {
    Requests(usize),
    Seconds(Duration),
}

/// What is sent, to whom, and how long it may take.
pub(super) struct Load {
    pub(super) address: Address,
    pub(super) style: Style,
    pub(super) stream: bool,
    pub(super) amount: Amount,
    pub(super) timeout: Duration,
    pub(super) list: Vec<Asked>,
}

/// What was seen at one number of requests in flight.
pub(super) struct Seen {
    samples: Mutex<Vec<Sample>>,
    next: AtomicUsize,
    /// The place of the first case.
    first: usize,
    /// When the first request was sent.
    begin: Mutex<Option<Instant>>,
    bar: ProgressBar,
}

impl Seen {
    pub(super) fn new(first: usize, bar: ProgressBar) -> Arc<Self> {
        Arc::new(Self { samples: Mutex::default(), next: AtomicUsize::new(0), first, begin: Mutex::default(), bar })
    }

    fn push(&self, sample: Sample) {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        self.bar.inc(1);
    }

    /// All samples, and the seconds since the first request.
    pub(super) fn end(&self) -> (Vec<Sample>, f64) {
        let begin = *self.begin.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = begin.map_or(0.0, |begin| begin.elapsed().as_secs_f64());
        (std::mem::take(&mut self.samples.lock().unwrap_or_else(PoisonError::into_inner)), seconds)
    }
}

impl Load {
    /// How many requests there will be, if that is known.
    pub(super) const fn requests(&self) -> Option<usize> {
        match self.amount {
            Amount::Requests(count) => Some(count),
            Amount::Seconds(_) => None,
        }
    }

    /// The first case of a level: others than before it, as far as there are any, because an endpoint may remember what
    /// it has read.
    pub(super) fn first(&self, level: usize) -> usize {
        self.requests().map_or(0, |count| count.saturating_mul(level) % self.list.len())
    }

    /// Keeps so many requests in flight. What was seen stays if this is dropped; requests in flight are then given up.
    pub(super) async fn run(self: &Arc<Self>, concurrency: usize, seen: &Arc<Seen>) {
        // One request of each caller does not count: the first ones find threads asleep and nothing compiled. They put
        // the cases that come last.
        let mut callers = JoinSet::new();
        for number in 0..concurrency {
            let load = Arc::clone(self);
            let place = seen.first + load.list.len() - 1 - number % load.list.len();
            callers.spawn(async move { load.sample(&mut Connection::new(&load.address), place).await.1 });
        }
        let lost = callers.join_all().await;
        let begin = Instant::now();
        *seen.begin.lock().unwrap_or_else(PoisonError::into_inner) = Some(begin);
        let mut callers = JoinSet::new();
        for lost in lost {
            let caller = Caller { load: Arc::clone(self), seen: Arc::clone(seen), begin, failures: usize::from(lost) };
            callers.spawn(caller.run());
        }
        callers.join_all().await;
    }

    /// Puts one case, and says whether the endpoint could not be reached.
    async fn sample(&self, connection: &mut Connection, number: usize) -> (Sample, bool) {
        let asked = &self.list[number % self.list.len()];
        let mut reply = Reply { pieces: self.stream.then(Pieces::default), body: Vec::new() };
        let begin = Instant::now();
        let status = match &asked.request {
            None => Err(Lost::Unasked),
            Some(request) => {
                let asking = connection.ask(request, |bytes| reply.take(bytes));
                match tokio::time::timeout(self.timeout, asking).await {
                    Ok(status) => status.map_err(Lost::Failure),
                    Err(_) => Err(Lost::Timeout),
                }
            }
        };
        let time = begin.elapsed();
        let mut sample = Sample {
            truth: asked.truth.clone(),
            answer: Answer::Invalid,
            time,
            first_token: reply.first().map(|first| first - begin),
            tokens: Tokens::default(),
        };
        let lost = matches!(status, Err(Lost::Failure(_) | Lost::Timeout));
        if matches!(status, Err(Lost::Failure(Failure::Connect(_)))) {
            tokio::time::sleep(PAUSE).await;
        }
        sample.answer = match status {
            Ok(status @ 200..300) => self
                .read(reply, &mut sample.tokens)
                .unwrap_or_else(|| Answer::Failed(format!("status {status} without an answer"))),
            Ok(status) => Answer::Failed(format!("status {status}")),
            Err(lost) => Answer::Failed(lost.to_string()),
        };
        (sample, lost)
    }

    /// What a reply says; nothing if it has not the interface's form.
    fn read(&self, reply: Reply, tokens: &mut Tokens) -> Option<Answer> {
        let decision = match self.style {
            Style::Rules => {
                serde_json::from_slice::<serde::de::IgnoredAny>(&reply.body).ok()?;
                ruled(&reply.body)
            }
            Style::Chat | Style::Completions => {
                let written = reply.written()?;
                *tokens = written.tokens;
                stated(&written.text)
            }
        };
        Some(decision.map_or(Answer::Invalid, Answer::Decision))
    }
}

/// Why there is not even a status.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("no prompt")]
    Unasked,
    #[error("{0}")]
    Failure(Failure),
    #[error("timeout")]
    Timeout,
}

/// A body on its way.
struct Reply {
    pieces: Option<Pieces>,
    body: Vec<u8>,
}

impl Reply {
    fn take(&mut self, bytes: &[u8]) {
        match &mut self.pieces {
            Some(pieces) => pieces.take(bytes),
            None => self.body.extend_from_slice(bytes),
        }
    }

    fn first(&self) -> Option<Instant> {
        self.pieces.as_ref().and_then(|pieces| pieces.first)
    }

    fn written(self) -> Option<Written> {
        match self.pieces {
            Some(pieces) => pieces.end(),
            None => answer::whole(&self.body),
        }
    }
}

/// One of those that wait for answers.
struct Caller {
    load: Arc<Load>,
    seen: Arc<Seen>,
    begin: Instant,
    /// Failures in a row.
    failures: usize,
}

impl Caller {
    async fn run(mut self) {
        let mut connection = Connection::new(&self.load.address);
        while self.failures < GIVE_UP {
            if matches!(self.load.amount, Amount::Seconds(time) if self.begin.elapsed() >= time) {
                return;
            }
            let number = self.seen.next.fetch_add(1, Ordering::Relaxed);
            if self.load.requests().is_some_and(|count| number >= count) {
                return;
            }
            let (sample, lost) = self.load.sample(&mut connection, self.seen.first + number).await;
            self.failures = if lost { self.failures + 1 } else { 0 };
            self.seen.push(sample);
        }
    }
}
