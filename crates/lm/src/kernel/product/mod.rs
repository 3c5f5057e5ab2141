//! Matrix product: blocked and packed as Goto and van de Geijn describe (2008), in fp32 or in bf16 with fp32
//! sums.
//!
//! The order of additions of one element of the result depends on the length of the sum alone: not on the
//! number of rows beside it, nor on threads, nor on the processor. Sums are cut into blocks of [`BLOCK`] words;
//! each block is added up from zero and then to the result.

mod growing;
mod held;
mod lanes;
mod operand;
mod tile;

pub(crate) use growing::Growing;
pub(crate) use held::Held;
pub(crate) use operand::{Lines, Output, Right, View};

use super::element::Element;
use operand::Begin;
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;
use tile::{Kernel, Rows};

/// Words of a packed operand that are added up before the result is touched.
const BLOCK: usize = 256;
/// Rows of the left operand that one task takes at most.
pub(crate) const TASK_ROWS: usize = 96;
/// Panels that one task packs.
const PANELS: usize = 4;

thread_local! {
    static RIGHT: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    static LEFT: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// `out (+)= left (rows x depth) * right (depth x columns)`, on all threads of the current pool.
pub(crate) fn product<E: Element>(shape: [usize; 3], left: View<'_, E>, right: Right<'_>, out: Output<'_>) {
    run(shape, left, right, out, is_worth_threads(shape));
}

/// The same on the calling thread.
pub(crate) fn product_serial<E: Element>(shape: [usize; 3], left: View<'_, E>, right: Right<'_>, out: Output<'_>) {
    run(shape, left, right, out, false);
}

/// Whether a product is large enough to be divided among threads.
fn is_worth_threads(shape: [usize; 3]) -> bool {
    shape.iter().product::<usize>() > 1 << 18 && rayon::current_num_threads() > 1
}

/// Numbers that are added up before the result is touched. A narrow result cannot hold partial sums, so that its sums
/// are not cut.
fn block<E: Element>(depth: usize, out: &Output<'_>) -> usize {
    if out.is_narrow() { depth.max(1) } else { BLOCK * E::PER_WORD }
}

/// Blocks of a sum are added up from zero and then to those before.
fn begin(start: usize) -> Begin {
    if start == 0 { Begin::New } else { Begin::Add }
}

fn run<E: Element>(shape: [usize; 3], left: View<'_, E>, right: Right<'_>, mut out: Output<'_>, parallel: bool) {
    let [rows, columns, depth] = shape;
    left.check(rows, depth);
    right.check(depth, columns);
    out.check(rows, columns);
    if rows == 0 || columns == 0 {
        return;
    }
    let block = block::<E>(depth, &out);
    let mut words = RIGHT.take();
    let mut start = 0;
    loop {
        let length = block.min(depth - start);
        let layout = Layout::new::<E>(columns, length);
        layout.pack::<E>(&right, start, &mut words, parallel);
        let work = Work { layout, words: &words, left, start, skip: 0, begin: begin(start) };
        work.run(rows, &mut out, parallel);
        start += length;
        if start >= depth {
            break;
        }
    }
    RIGHT.replace(words);
}

/// How a right operand lies packed: panels of some columns, in each the words of one step after another.
#[derive(Clone, Copy, Debug)]
struct Layout {
    kernel: Kernel,
    columns: usize,
    depth: usize,
    width: usize,
    steps: usize,
}

impl Layout {
    fn new<E: Element>(columns: usize, depth: usize) -> Self {
        let kernel = Kernel::current();
        Self { kernel, columns, depth, width: kernel.panel_width(columns), steps: depth.div_ceil(E::PER_WORD) }
    }

    fn pack<E: Element>(&self, right: &Right<'_>, start: usize, words: &mut Vec<u32>, parallel: bool) {
        let panel = self.steps * self.width;
        let needed = panel * self.columns.div_ceil(self.width);
        if words.len() < needed {
            words.resize(needed, 0);
        }
        if panel == 0 {
            return;
        }
        let columns = PANELS * self.width;
        let pack = |(number, into): (usize, &mut [u32])| {
            let free = number * columns..self.columns.min((number + 1) * columns);
            right.pack::<E>(start..start + self.depth, free, self.width, into);
        };
        match parallel {
            true => words[..needed].par_chunks_mut(PANELS * panel).enumerate().for_each(pack),
            false => words[..needed].chunks_mut(PANELS * panel).enumerate().for_each(pack),
        }
    }
}

impl Layout {
    /// `out (+)= left (rows x depth) * operand` on the calling thread, over the first columns and the first part of the
    /// depth of an operand that lies so in `words`. The sums are not cut.
    fn multiply<E: Element>(
        &self,
        words: &[u32],
        shape: [usize; 3],
        left: View<'_, E>,
        mut out: Output<'_>,
        begin: Begin,
    ) {
        let [rows, columns, depth] = shape;
        assert!(columns <= self.columns && depth.div_ceil(E::PER_WORD) <= self.steps);
        left.check(rows, depth);
        out.check(rows, columns);
        if rows > 0 && columns > 0 {
            let layout = Self { columns, depth, ..*self };
            Work { layout, words, left, start: 0, skip: 0, begin }.run(rows, &mut out, false);
        }
    }
}

/// A right operand packed once and multiplied from the left many times, on the calling thread. Its sums are not
/// cut, so that a sum over the first part of the depth gives the same bytes as one over more followed by zeros.
pub(crate) struct Packed<E> {
    layout: Layout,
    words: Vec<u32>,
    element: std::marker::PhantomData<E>,
}

impl<E: Element> Packed<E> {
    /// An empty operand, to be filled.
    pub(crate) fn new() -> Self {
        Self { layout: Layout::new::<E>(0, 0), words: Vec::new(), element: std::marker::PhantomData }
    }

    /// Packs an operand of this shape.
    pub(crate) fn fill(&mut self, right: Right<'_>, depth: usize, columns: usize) {
        right.check(depth, columns);
        self.layout = Layout::new::<E>(columns, depth);
        self.layout.pack::<E>(&right, 0, &mut self.words, false);
    }

    /// `out (+)= left (rows x depth) * right`, over the first columns and the first part of the depth.
    pub(crate) fn multiply(&self, shape: [usize; 3], left: View<'_, E>, out: Output<'_>) {
        self.layout.multiply(&self.words, shape, left, out, Begin::New);
    }
}

/// One block of the sums.
struct Work<'a, E> {
    layout: Layout,
    words: &'a [u32],
    left: View<'a, E>,
    start: usize,
    /// Steps of each panel before the block.
    skip: usize,
    begin: Begin,
}

impl<E: Element> Work<'_, E> {
    fn run(&self, rows: usize, out: &mut Output<'_>, parallel: bool) {
        if !parallel {
            return self.task(0, rows, out);
        }
        if rows == 1 {
            return self.row(out);
        }
        let tall = self.layout.kernel.rows();
        let share = rows.div_ceil(rayon::current_num_threads() * 4).next_multiple_of(tall).min(TASK_ROWS);
        let tasks = out.split(share);
        let each =
            |(task, mut out): (usize, Output<'_>)| self.task(task * share, share.min(rows - task * share), &mut out);
        tasks.into_par_iter().enumerate().for_each(each);
    }

    /// A single row, whose panels are divided among threads.
    fn row(&self, out: &mut Output<'_>) {
        let Layout { columns, width, steps, .. } = self.layout;
        let panels = columns.div_ceil(width).div_ceil(rayon::current_num_threads() * 2);
        let tasks = out.split_row(columns, panels * width);
        tasks.into_par_iter().enumerate().for_each(|(task, mut out)| {
            let first = task * panels * width;
            let layout = Layout { columns: (columns - first).min(panels * width), ..self.layout };
            Work { layout, words: &self.words[first * steps..], ..*self }.task(0, 1, &mut out);
        });
    }

    /// Some rows: strips of them as tall as a tile, [`TASK_ROWS`] at a time so that they stay in the cache, against
    /// all panels of the right operand.
    fn task(&self, from: usize, rows: usize, out: &mut Output<'_>) {
        let mut room = LEFT.take();
        for first in (0..rows).step_by(TASK_ROWS) {
            self.group(from, first..rows.min(first + TASK_ROWS), out, &mut room);
        }
        LEFT.replace(room);
    }

    fn group(&self, from: usize, rows: Range<usize>, out: &mut Output<'_>, room: &mut Vec<u32>) {
        let Layout { kernel, columns, depth, width, .. } = self.layout;
        let steps = depth.div_ceil(E::PER_WORD);
        let tall = kernel.rows();
        let direct = self.left.direct(depth);
        if !direct && steps > 0 {
            room.resize((rows.len().next_multiple_of(tall) * steps).max(room.len()), 0);
            let lines = from + rows.start..from + rows.end;
            self.left.pack::<E>(self.start..self.start + depth, lines, tall, room);
        }
        for panel in 0..columns.div_ceil(width) {
            let column = panel * width;
            let right = &self.words[(panel * self.layout.steps + self.skip) * width..][..steps * width];
            for (strip, first) in rows.clone().step_by(tall).enumerate() {
                let height = tall.min(rows.end - first);
                let left = if direct {
                    let (part, stride) = self.left.part(from + first, height, self.start, depth);
                    Rows::direct(part, stride, height, steps)
                } else {
                    Rows::packed(&room[strip * tall * steps..][..tall * steps], tall, height, steps)
                };
                let tile = out.at(first, column, height, width.min(columns - column));
                kernel.tile::<E>(steps, &left, right, width, tile, self.begin);
            }
        }
    }
}

#[cfg(test)]
mod tests;
