//! Keys and values of sequences, kept from step to step in pages that sequences may share.

use crate::kernel::{Attention, Element, Kept, PAGE, Part};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Keys and values of [`PAGE`] tokens in every layer.
#[derive(Debug)]
pub(crate) struct Page {
    words: Box<[u32]>,
    /// How many pages of its pool there are.
    count: Arc<AtomicUsize>,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where pages come from.
#[derive(Clone, Debug)]
pub(crate) struct Pool<E> {
    kept: Kept<E>,
    layers: usize,
    count: Arc<AtomicUsize>,
}

impl<E: Element> Pool<E> {
    /// Of pages for attention of a shape in so many layers.
    pub(crate) fn new(shape: &Attention, layers: usize) -> Self {
        Self { kept: Kept::new(shape), layers, count: Arc::default() }
    }

    /// Bytes of a page.
    pub(crate) fn page_bytes(&self) -> usize {
        self.kept.words() * self.layers * size_of::<u32>()
    }

    /// Pages that there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn page(&self) -> Arc<Page> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let words = vec![0; self.kept.words() * self.layers].into_boxed_slice();
        Arc::new(Page { words, count: Arc::clone(&self.count) })
    }
}

/// The keys and values of a sequence. Full pages may be shared and never change.
#[derive(Clone, Debug)]
pub(crate) struct Cache<E> {
    pool: Pool<E>,
    pages: Vec<Arc<Page>>,
    length: usize,
    long: bool,
}

impl<E: Element> Cache<E> {
    /// An empty cache.
    pub(crate) fn new(pool: &Pool<E>) -> Self {
        Self { pool: pool.clone(), pages: Vec::new(), length: 0, long: false }
    }

    /// Tokens whose keys and values are here.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Whether keys are turned by the table for long sequences.
    pub(crate) fn is_long(&self) -> bool {
        self.long
    }

    /// Says whether the sequence is long now. Keys were turned by the table of their length; when the sequence
    /// outgrows it they are forgotten, to be computed again, as `transformers` does it. Returns whether they were.
    pub(crate) fn reach(&mut self, long: bool) -> bool {
        let outgrown = self.long != long;
        if outgrown {
            self.forget();
            self.long = long;
        }
        outgrown
    }

    /// Gives the pages back.
    pub(crate) fn forget(&mut self) {
        self.length = 0;
        self.pages.clear();
    }

    /// Takes over a full page as the next.
    pub(crate) fn adopt(&mut self, page: Arc<Page>) {
        assert!(self.length.is_multiple_of(PAGE) && self.pages.len() == self.length / PAGE, "the last page is open");
        self.pages.push(page);
        self.length += PAGE;
    }

    /// A full page.
    pub(crate) fn page(&self, number: usize) -> &Arc<Page> {
        assert!((number + 1) * PAGE <= self.length, "the page is not full yet");
        &self.pages[number]
    }

    /// Puts a page of the same keys and values in the place of a full one.
    pub(crate) fn replace(&mut self, number: usize, page: Arc<Page>) {
        assert!((number + 1) * PAGE <= self.length, "the page is not full yet");
        self.pages[number] = page;
    }

    /// Pages that so many more tokens need.
    pub(crate) fn wants(&self, count: usize) -> usize {
        (self.length + count).div_ceil(PAGE) - self.pages.len()
    }

    /// Makes room for so many more tokens.
    pub(crate) fn reserve(&mut self, count: usize) {
        for _ in 0..self.wants(count) {
            self.pages.push(self.pool.page());
        }
    }

    /// What attention in a layer needs for so many new tokens, for which there must be room; the last of them, so many,
    /// see the others.
    pub(crate) fn part(&mut self, layer: usize, count: usize, answers: usize) -> Part<'_, E> {
        let size = self.pool.kept.words();
        let range = layer * size..(layer + 1) * size;
        let (full, open) = self.pages.split_at_mut(self.length / PAGE);
        let full = full.iter().map(|page| &page.words[range.clone()]).collect();
        let open = open.iter_mut().map(|page| {
            let page = Arc::get_mut(page).expect("a page that is not full is not shared");
            &mut page.words[range.clone()]
        });
        Part { kept: self.pool.kept, full, open: open.collect(), length: self.length, count, answers }
    }

    /// Counts tokens that have been written in every layer.
    pub(crate) fn grow(&mut self, count: usize) {
        self.length += count;
    }
}
