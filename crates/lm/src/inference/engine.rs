//! Sequences on their way, many at a time: which of them a step reads, and how much of each.
//!
//! Sequences enter as others end (continuous batching). A step reads so many tokens at most; what is left of a long
//! prompt is read by the next (chunked prefill). Pages of keys and values that another sequence has read before are
//! taken over, and what another is about to read in the same step is waited for, so that a prefix that many prompts
//! share is read once. None of this changes a bit of an answer: every number depends on its own sequence alone.

use super::choosing::choose;
use super::prefixes::{Family, Node, Prefixes};
use super::request::Request;
use super::sequence::{Question, Sequence};
use super::statistics::Counters;
use crate::kernel::{Element, PAGE};
use crate::model::{Cache, HELD, Network, Piece, Pool, Reader};
use rayon::prelude::*;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// What an engine may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Sequences that advance together.
    pub(crate) sequences: usize,
    /// Tokens of prompts that a step reads, about: a page at least, and what sequences have less than a page of beyond.
    pub(crate) tokens: usize,
    /// Bytes of keys and values, what is kept of sequences that ended included. One sequence may always go on.
    pub(crate) bytes: usize,
}

/// See the module.
pub(crate) struct Engine<'a, E> {
    reader: Reader<'a, E>,
    pool: Pool<E>,
    prefixes: Prefixes,
    limits: Limits,
    pages: usize,
    live: Vec<Sequence<E>>,
    /// Begun, and waiting for room; those that gave up theirs first.
    waiting: VecDeque<Sequence<E>>,
    /// Not begun.
    asked: VecDeque<Question>,
    counters: Arc<Counters>,
}

impl<'a, E: Element> Engine<'a, E> {
    /// An engine without sequences. Packs the model's weights, on all threads of the current pool.
    pub(crate) fn new(network: &'a Network<E>, limits: Limits, counters: Arc<Counters>) -> Self {
        let pool = Pool::new(&network.stack.attention, network.config.layers);
        let pages = limits.bytes / pool.page_bytes().max(1);
        counters.pages.set(pages);
        Self {
            reader: Reader::new(network, HELD),
            pool,
            prefixes: Prefixes::default(),
            limits,
            pages,
            live: Vec::new(),
            waiting: VecDeque::new(),
            asked: VecDeque::new(),
            counters,
        }
    }

    /// Adds a request behind those that wait.
    pub(crate) fn submit(&mut self, question: Question) {
        self.asked.push_back(question);
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.live.is_empty() && self.waiting.is_empty() && self.asked.is_empty()
    }

    /// Reads some tokens, and adds one or more to every sequence that is read to its end.
    pub(crate) fn step(&mut self) {
        self.admit();
        self.schedule();
        let mut turn: Vec<&mut Sequence<E>> = self.live.iter_mut().filter(|sequence| sequence.next > 0).collect();
        turn.sort_by_key(|sequence| sequence.adapter_number());
        let tokens: usize = turn.iter().map(|sequence| sequence.next).sum();
        self.counters.read.add(tokens as u64);
        let masks: Vec<_> = turn.par_iter_mut().map(|sequence| sequence.mask()).collect();
        let asking: Vec<usize> = (0..turn.len()).filter(|place| turn[*place].asks()).collect();
        let (requests, places): (Vec<Arc<Request>>, Vec<usize>) =
            turn.iter().map(|sequence| (Arc::clone(&sequence.request), sequence.place())).unzip();
        let mut pieces: Vec<Piece<'_, E>> = turn.iter_mut().map(|sequence| sequence.piece()).collect();
        let tokens = self.reader.advance(&mut pieces, |place, logits| {
            let place = asking[place];
            masks[place]
                .as_ref()
                .map_err(Clone::clone)
                .map(|mask| choose(&requests[place], mask.as_ref(), places[place], logits))
        });
        drop(pieces);
        for sequence in &mut turn {
            keep(&mut self.prefixes, sequence);
        }
        let mut answers: Vec<_> = turn.iter().map(|_| None).collect();
        for (place, token) in asking.into_iter().zip(tokens) {
            answers[place] = Some(token);
        }
        // What a grammar says to a token takes a while, and concerns no other sequence.
        turn.par_iter_mut()
            .zip(answers)
            .for_each(|(sequence, token)| token.into_iter().for_each(|token| sequence.take(token)));
        self.live.retain_mut(|sequence| !sequence.is_over());
        self.room(0);
        // Sequences that wait find their place anew.
        self.prefixes.prune(|adapter| self.live.iter().any(|sequence| sequence.adapter_number() == adapter));
        self.counters.running.set(self.live.len());
        self.counters.waiting.set(self.waiting.len());
        self.counters.used.set(self.pool.count());
    }

    /// Lets sequences in while there is room for what they are about to read.
    fn admit(&mut self) {
        self.waiting.retain_mut(|sequence| !sequence.is_over());
        let before = self.asked.len();
        self.asked.retain(|question| !question.sink.is_cancelled());
        self.counters.cancelled.add((before - self.asked.len()) as u64);
        self.begin();
        let mut planned = 0;
        while self.live.len() < self.limits.sequences {
            let Some(mut sequence) = self.waiting.pop_front() else { break };
            self.find(&mut sequence);
            let wanted = sequence.cache.wants(sequence.unread().min(self.limits.tokens));
            if !self.live.is_empty() && !self.room(planned + wanted) {
                // Others may need the pages that it has found more than it does now.
                sequence.cache.forget();
                self.waiting.push_front(sequence);
                break;
            }
            planned += wanted;
            self.live.push(sequence);
        }
        self.counters.asked.set(self.asked.len());
    }

    /// Begins what was asked, as far as there may be room. What a grammar forces at the beginning takes a while to find, so
    /// that sequences begin side by side.
    fn begin(&mut self) {
        while self.live.len() + self.waiting.len() < self.limits.sequences && !self.asked.is_empty() {
            let room = self.limits.sequences - self.live.len() - self.waiting.len();
            let asked: Vec<Question> = self.asked.drain(..room.min(self.asked.len())).collect();
            let (pool, counters) = (&self.pool, &self.counters);
            let begin = |question| Sequence::start(question, Cache::new(pool), counters);
            let begun: Vec<Option<Sequence<E>>> = asked.into_par_iter().map(begin).collect();
            self.waiting.extend(begun.into_iter().flatten());
        }
    }

    /// Whether so many more pages may be made, once what is kept without need is forgotten.
    fn room(&mut self, wanted: usize) -> bool {
        let over = (self.pool.count() + wanted).saturating_sub(self.pages);
        if over > 0 && wanted > 0 && over > self.prefixes.unused() {
            return false;
        }
        while self.pool.count() + wanted > self.pages {
            if !self.prefixes.evict() {
                return false;
            }
        }
        true
    }

    /// Says of every sequence how much the step reads of it. Answers go on first, prompts share what is left.
    fn schedule(&mut self) {
        let mut live = std::mem::take(&mut self.live);
        live.iter_mut().for_each(|sequence| self.find(sequence));
        self.live = live;
        let short = |sequence: &&Sequence<E>| sequence.unread() < PAGE;
        let answers: usize = self.live.iter().filter(short).map(Sequence::unread).sum();
        let mut room = self.limits.tokens.saturating_sub(answers).max(PAGE);
        let mut begun: HashSet<(Node, Box<[u32]>)> = HashSet::new();
        let mut place = 0;
        while place < self.live.len() {
            let sequence = &mut self.live[place];
            let unread = sequence.unread();
            let next = if unread < PAGE { unread } else { whole_pages(sequence.cache.length(), unread, room) };
            let alone = sequence.next_page().is_none_or(|page| begun.insert((sequence.node, page.into())));
            let wanted = sequence.cache.wants(next);
            sequence.next = 0;
            if next > 0 && alone && self.make_room(place, wanted) {
                let sequence = &mut self.live[place];
                sequence.cache.reserve(next);
                sequence.next = next;
                if unread >= PAGE {
                    room -= next;
                }
            }
            place += 1;
        }
    }

    /// Takes over pages that were read before.
    fn find(&mut self, sequence: &mut Sequence<E>) {
        let long = self.reader.is_long(sequence.tokens.len());
        if sequence.cache.reach(long) || sequence.cache.length() == 0 {
            sequence.node = self.prefixes.root(Family { adapter: sequence.adapter_number(), long });
            sequence.kept = 0;
        }
        while let Some(tokens) = sequence.next_page() {
            let Some((node, page)) = self.prefixes.find(sequence.node, tokens) else { return };
            sequence.cache.adopt(page);
            (sequence.node, sequence.kept) = (node, sequence.kept + 1);
            sequence.cached = sequence.cached.max(sequence.cache.length().min(sequence.prompt));
        }
    }

    /// Room for pages of a sequence: what is kept without need is forgotten, then the sequences that came last give
    /// up theirs and wait. The first of all goes on in any case.
    fn make_room(&mut self, place: usize, wanted: usize) -> bool {
        while !self.room(wanted) {
            if self.live.len() == place + 1 {
                return place == 0;
            }
            if let Some(mut last) = self.live.pop() {
                last.cache.forget();
                self.counters.preempted.add(1);
                self.waiting.push_front(last);
            }
        }
        true
    }
}

/// How much of a prompt is read that has so many tokens to go: all, or as many whole pages as there is room for, so that
/// they can be shared.
fn whole_pages(length: usize, unread: usize, room: usize) -> usize {
    match unread <= room {
        true => unread,
        false => ((length + room) / PAGE * PAGE).saturating_sub(length),
    }
}

/// Keeps the pages that a sequence has filled.
fn keep<E: Element>(prefixes: &mut Prefixes, sequence: &mut Sequence<E>) {
    while (sequence.kept + 1) * PAGE <= sequence.cache.length() {
        let tokens = &sequence.tokens[sequence.kept * PAGE..(sequence.kept + 1) * PAGE];
        let (node, page) = prefixes.keep(sequence.node, tokens, sequence.cache.page(sequence.kept));
        sequence.cache.replace(sequence.kept, page);
        (sequence.node, sequence.kept) = (node, sequence.kept + 1);
    }
}
