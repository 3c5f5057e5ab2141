//! One request on its way to an answer.

use super::request::{Done, Event, Finish, Request, Token, Usage};
use super::statistics::Counters;
use crate::constraint::{Allowed, Matcher};
use crate::kernel::{Element, PAGE};
use crate::model::{AdapterSet, Cache, Piece};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An adapter that was loaded, and a number that no other ever had.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) number: u64,
    pub(crate) set: AdapterSet,
}

/// Who is told what happens to a request: in any case how it ends, unless it was cancelled.
pub(crate) struct Sink {
    tell: Box<dyn FnMut(Event) -> bool + Send>,
    cancelled: Arc<AtomicBool>,
    over: bool,
}

impl Sink {
    /// `tell` returns false when nobody wants to know any more; so does the flag.
    pub(crate) fn new(tell: impl FnMut(Event) -> bool + Send + 'static, cancelled: Arc<AtomicBool>) -> Self {
        Self { tell: Box::new(tell), cancelled, over: false }
    }

    /// Whether nobody wants to know any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn tell(&mut self, event: Event) -> bool {
        self.over |= !matches!(event, Event::Tokens(_));
        let wanted = (self.tell)(event);
        self.over |= !wanted;
        wanted
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.over && !self.is_cancelled() {
            let problem = "the model has stopped before the answer was complete".to_owned();
            // The thread may be unwinding; another panic would end the process.
            let _ = catch_unwind(AssertUnwindSafe(|| self.tell(Event::Failed(problem))));
        }
    }
}

/// A request that was checked, and where its answer goes.
pub(crate) struct Question {
    pub(crate) request: Request,
    /// Tokens that prompt and answer may reach.
    pub(crate) limit: usize,
    pub(crate) adapter: Option<Arc<Loaded>>,
    pub(crate) sink: Sink,
}

/// See the module.
pub(crate) struct Sequence<E> {
    pub(crate) request: Arc<Request>,
    pub(crate) adapter: Option<Arc<Loaded>>,
    /// The prompt and what was answered.
    pub(crate) tokens: Vec<u32>,
    pub(crate) cache: Cache<E>,
    /// Tokens of the prompt.
    pub(crate) prompt: usize,
    /// Of these, tokens that were read before.
    pub(crate) cached: usize,
    /// Where its last full page is kept.
    pub(crate) node: super::prefixes::Node,
    /// Its full pages that are kept.
    pub(crate) kept: usize,
    /// Tokens that the step reads.
    pub(crate) next: usize,
    limit: usize,
    matcher: Option<Matcher>,
    log_probability: f64,
    sink: Sink,
    over: bool,
    counters: Arc<Counters>,
}

impl<E: Element> Sequence<E> {
    /// Begins an answer: with what the grammar forces, if there is one. None if that is all of it.
    pub(crate) fn start(question: Question, cache: Cache<E>, counters: &Arc<Counters>) -> Option<Self> {
        let Question { request, limit, adapter, sink } = question;
        let mut sequence = Self {
            tokens: request.prompt.clone(),
            prompt: request.prompt.len(),
            matcher: request.grammar.as_ref().map(crate::constraint::Grammar::matcher),
            request: Arc::new(request),
            adapter,
            cache,
            cached: 0,
            node: 0,
            kept: 0,
            next: 0,
            limit,
            log_probability: 0.0,
            sink,
            over: false,
            counters: Arc::clone(counters),
        };
        sequence.resume();
        (!sequence.over).then_some(sequence)
    }

    /// Tells the grammar what the answer begins with.
    fn resume(&mut self) {
        let begun = &self.request.prompt[self.prompt - self.request.begun..];
        if let Some(matcher) = &mut self.matcher {
            if let Err(error) = begun.iter().try_for_each(|token| matcher.accept(*token)) {
                return self.fail(error.to_string());
            }
        }
        self.proceed(Vec::new());
    }

    /// The number of its adapter; 0 for none.
    pub(crate) fn adapter_number(&self) -> u64 {
        self.adapter.as_ref().map_or(0, |adapter| adapter.number)
    }

    /// Tokens that are still to be read.
    pub(crate) fn unread(&self) -> usize {
        self.tokens.len() - self.cache.length()
    }

    /// Tokens of the answer so far.
    pub(crate) fn answered(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// The next token's place in the answer, what it was begun with included.
    pub(crate) fn place(&self) -> usize {
        self.answered() + self.request.begun
    }

    /// The tokens of the page that comes next, if it begins where reading stands. The last token is always read, since
    /// what comes next is asked of it.
    pub(crate) fn next_page(&self) -> Option<&[u32]> {
        let from = self.cache.length();
        let whole = from.is_multiple_of(PAGE) && from + PAGE < self.tokens.len();
        whole.then(|| &self.tokens[from..from + PAGE])
    }

    /// Whether the step reads it to its end.
    pub(crate) fn asks(&self) -> bool {
        self.next > 0 && self.cache.length() + self.next == self.tokens.len()
    }

    /// What may come next, if the step asks for it and the grammar says.
    pub(crate) fn mask(&mut self) -> Result<Option<Allowed>, String> {
        let asks = self.asks();
        let matcher = self.matcher.as_mut().filter(|_| asks);
        matcher.map(Matcher::allowed).transpose().map_err(|error| error.to_string())
    }

    /// What the step reads.
    pub(crate) fn piece(&mut self) -> Piece<'_, E> {
        let (read, asks) = (self.cache.length(), self.asks());
        let tokens = &self.tokens[read..read + self.next];
        let adapters = self.adapter.as_deref().map(|adapter| &adapter.set);
        Piece { cache: &mut self.cache, tokens, adapters, asks }
    }

    /// Goes on by a token that was chosen.
    pub(crate) fn take(&mut self, token: Result<Token, String>) {
        let token = match token {
            Ok(token) if token.log_probability.is_finite() => token,
            Ok(_) => return self.fail("the model's answer is not a number; its weights may be damaged".to_owned()),
            Err(problem) => return self.fail(problem),
        };
        self.log_probability += f64::from(token.log_probability);
        if self.ends(token.token) {
            return self.finish(Finish::End);
        }
        self.tokens.push(token.token);
        if let Some(Err(error)) = self.matcher.as_mut().map(|matcher| matcher.accept(token.token)) {
            return self.fail(error.to_string());
        }
        self.proceed(vec![token]);
    }

    /// Whether a token ends the answer. A grammar knows which do, and where they may.
    fn ends(&self, token: u32) -> bool {
        match &self.request.grammar {
            Some(grammar) => grammar.is_end(token),
            None => self.request.end.contains(&token),
        }
    }

    /// Tells what was added, with what the grammar forces behind it, and ends the answer if it is complete.
    fn proceed(&mut self, mut tokens: Vec<Token>) {
        let mut complete = false;
        if let Some(matcher) = &mut self.matcher {
            let forced = match matcher.forced(self.limit - self.tokens.len().min(self.limit)) {
                Ok(forced) => forced,
                Err(error) => return self.fail(error.to_string()),
            };
            complete = matcher.is_done();
            for token in forced {
                self.tokens.push(token);
                tokens.push(Token { token, log_probability: 0.0, forced: true, alternatives: Vec::new() });
            }
        }
        self.counters.generated.add(tokens.len() as u64);
        self.counters.forced.add(tokens.iter().filter(|token| token.forced).count() as u64);
        if !tokens.is_empty() && !self.sink.tell(Event::Tokens(tokens)) {
            self.counters.cancelled.add(1);
            self.over = true;
        } else if complete {
            self.finish(Finish::End);
        } else if self.tokens.len() >= self.limit {
            self.finish(Finish::Length);
        }
    }

    fn finish(&mut self, finish: Finish) {
        let usage = Usage { prompt: self.prompt, cached: self.cached, completion: self.answered() };
        match finish {
            Finish::End => self.counters.ended.add(1),
            Finish::Length => self.counters.cut.add(1),
        }
        self.counters.prompt.add(usage.prompt as u64);
        self.counters.cached.add(usage.cached as u64);
        self.sink.tell(Event::Done(Done { finish, usage, log_probability: self.log_probability }));
        self.over = true;
    }

    /// Ends it without an answer.
    pub(crate) fn fail(&mut self, problem: String) {
        self.counters.failed.add(1);
        self.sink.tell(Event::Failed(problem));
        self.over = true;
    }

    /// Whether nothing more is to come, because it is complete or nobody waits for it.
    pub(crate) fn is_over(&mut self) -> bool {
        if !self.over && self.sink.is_cancelled() {
            self.counters.cancelled.add(1);
            self.over = true;
        }
        self.over
    }
}
