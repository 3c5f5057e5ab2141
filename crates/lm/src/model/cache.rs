//! Keys and values of one sequence, kept from step to step.

use crate::kernel::{Attention, Element, Kept, Part};

/// The keys and values of a sequence in every layer, in one buffer for as many tokens as the sequence may reach.
#[derive(Clone)]
pub(crate) struct Cache<E> {
    kept: Kept<E>,
    length: usize,
    long: bool,
    words: Vec<u32>,
}

impl<E: Element> Cache<E> {
    /// An empty cache for up to so many tokens in so many layers.
    pub(crate) fn new(shape: &Attention, layers: usize, capacity: usize) -> Self {
        let kept = Kept::new(shape, capacity);
        // The system gives memory that is zero only when it is first touched.
        Self { kept, length: 0, long: false, words: vec![0; kept.words() * layers] }
    }

    /// Bytes that such a cache reserves.
    pub(crate) fn bytes(shape: &Attention, layers: usize, capacity: usize) -> usize {
        Kept::<E>::new(shape, capacity).words() * layers * size_of::<u32>()
    }

    /// Tokens whose keys and values are here.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Whether keys are turned by the table for long sequences.
    pub(crate) fn is_long(&self) -> bool {
        self.long
    }

    /// Says how long the sequence now is and up to which length it counts as short. Keys were turned by the table
    /// of their length; when the sequence outgrows it they are forgotten, to be computed again, as `transformers`
    /// does it.
    pub(crate) fn reach(&mut self, length: usize, short: usize) {
        let long = length > short;
        if self.long != long {
            self.length = 0;
            self.long = long;
        }
    }

    /// What attention in a layer needs for so many new tokens.
    pub(crate) fn part(&mut self, layer: usize, count: usize) -> Part<'_, E> {
        assert!(self.length + count <= self.kept.capacity(), "a sequence has outgrown its cache");
        let size = self.kept.words();
        Part { kept: self.kept, words: &mut self.words[layer * size..(layer + 1) * size], length: self.length, count }
    }

    /// Counts tokens that have been written in every layer.
    pub(crate) fn grow(&mut self, count: usize) {
        self.length += count;
    }
}
