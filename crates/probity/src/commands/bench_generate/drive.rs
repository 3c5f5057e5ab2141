//! Requests to a model of this process, so many in flight, with the time at which things happened to them.

use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use lm::inference::{Done, Event, Request, Service};

/// A request that was answered.
pub(super) struct Timed {
    pub(super) tokens: Vec<u32>,
    pub(super) done: Done,
    pub(super) begin: Instant,
    /// When the first token was there that the model has chosen; those that a grammar forces come before.
    pub(super) first: Instant,
    pub(super) end: Instant,
}

impl Timed {
    pub(super) fn time(&self) -> Duration {
        self.end - self.begin
    }

    pub(super) fn until_first(&self) -> Duration {
        self.first - self.begin
    }
}

/// A request under way.
struct Open {
    tokens: Vec<u32>,
    begin: Instant,
    first: Option<Instant>,
    end: Option<(Instant, Done)>,
}

/// What a sink tells: something that happened, or that nothing more will.
type Told = (usize, Instant, Option<Event>);

/// Tells when it is dropped, so that a model that stops is not waited for.
struct Teller {
    number: usize,
    told: Sender<Told>,
}

impl Teller {
    fn tell(&self, event: Option<Event>) -> bool {
        self.told.send((self.number, Instant::now(), event)).is_ok()
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tell(None);
    }
}

/// Keeps so many requests in flight until all are answered; in the order in which they were given.
///
/// # Errors
/// When the model refuses a request or fails on it.
pub(super) fn drive(
    service: &Service,
    requests: impl IntoIterator<Item = Request>,
    concurrency: usize,
) -> anyhow::Result<Vec<Timed>> {
    let mut requests = requests.into_iter();
    let (tell, told) = mpsc::channel();
    let mut open: Vec<Open> = Vec::new();
    let mut submit = |open: &mut Vec<Open>| -> anyhow::Result<usize> {
        let Some(request) = requests.next() else { return Ok(0) };
        let teller = Teller { number: open.len(), told: tell.clone() };
        open.push(Open { tokens: Vec::new(), begin: Instant::now(), first: None, end: None });
        service.submit(request, move |event| teller.tell(Some(event)))?;
        Ok(1)
    };
    let mut flying = 0;
    for _ in 0..concurrency.max(1) {
        flying += submit(&mut open)?;
    }
    while flying > 0 {
        let (number, when, event) = told.recv()?;
        let request = &mut open[number];
        match event {
            Some(Event::Tokens(tokens)) => {
                if tokens.iter().any(|token| !token.forced) {
                    request.first.get_or_insert(when);
                }
                request.tokens.extend(tokens.iter().map(|token| token.token));
            }
            Some(Event::Done(done)) => {
                request.end = Some((when, done));
                flying = flying - 1 + submit(&mut open)?;
            }
            Some(Event::Failed(problem)) => anyhow::bail!("a request failed: {problem}"),
            None if request.end.is_none() => anyhow::bail!("the model has stopped"),
            None => {}
        }
    }
    let timed = |request: Open| {
        let (end, done) = request.end?;
        let Open { tokens, begin, first, .. } = request;
        Some(Timed { tokens, done, begin, first: first.unwrap_or(end), end })
    };
    Ok(open.into_iter().filter_map(timed).collect())
}
