//! The passes of the structured transformer, its activations stored as `E`.

use super::config::{HeadKind, MultiheadConfig};
use super::encoding::Edges;
use super::{Labelled, Record};
use crate::kernel::{
    Attention, Element, Normed, Sight, View, cross_entropy, product, rms_norm, rms_norm_backward, sigmoid, softmax,
};
use crate::model::{Builder, Matrix, Norm, Places, Stack, block};
use crate::{Loss, Parameters, Result};
use std::ops::Range;

/// A token's way into the stream: encoded numbers through a matrix, and a row for each category.
#[derive(Clone, Debug)]
struct Entry {
    edges: Edges,
    numbers: Option<Matrix>,
    /// First row of each category in the table.
    offsets: Vec<usize>,
    sizes: Vec<usize>,
    table: Matrix,
}

/// The model.
#[derive(Clone, Debug)]
pub(super) struct Network<E> {
    pub(super) config: MultiheadConfig,
    pub(super) parameters: Parameters,
    entries: [Entry; 2],
    stack: Stack<E>,
    norm: Norm,
    head: Matrix,
    bias: Range<usize>,
}

/// A batch of records laid one behind another: a global token, then its items.
#[derive(Default)]
struct Laid<E> {
    starts: Vec<usize>,
    encoded: [Vec<E>; 2],
    /// Row of the stream and row of the table, for every category of every token.
    chosen: [Vec<(usize, usize)>; 2],
    /// Rows of the stream of each kind of token.
    rows: [Vec<usize>; 2],
}

impl<E: Element> Network<E> {
    pub(super) fn build(config: MultiheadConfig, edges: [Edges; 2], mut builder: Builder<'_>) -> Result<Self> {
        let shape = config.blocks();
        let [global, item] = edges;
        let entries = [
            entry(&mut builder, "global", global, &config.global_categories, config.hidden)?,
            entry(&mut builder, "items", item, &config.item_categories, config.hidden)?,
        ];
        let blocks = (0..config.layers).map(|layer| block(&mut builder, &shape, layer)).collect::<Result<_>>()?;
        let norm = builder.norm("norm.weight", config.hidden)?;
        let head = builder.matrix(&[("heads.weight".into(), config.classes())], config.hidden, 1.0, false)?;
        let bias = builder.bias("heads.bias", config.classes())?;
        let attention =
            Attention { heads: shape.heads, key_value_heads: shape.heads, size: shape.head_size, view: Sight::Whole };
        let stack = Stack::new(blocks, attention, shape.hidden, shape.intermediate, shape.norm_epsilon);
        Ok(Self { config, parameters: builder.parameters, entries, stack, norm, head, bias })
    }

    pub(super) fn recompute(&mut self, recompute: bool) {
        self.stack.recompute = recompute;
    }

    pub(super) fn edges(&self) -> [&Edges; 2] {
        [&self.entries[0].edges, &self.entries[1].edges]
    }

    /// Probabilities of all classes of all heads, for each record.
    pub(super) fn answer(&mut self, records: &[&Record]) -> Vec<f32> {
        let laid = self.lay(records);
        let (mut logits, ..) = self.forward(&laid);
        for row in logits.chunks_mut(self.config.classes()) {
            let mut rest = row;
            for head in &self.config.outputs {
                let (part, behind) = std::mem::take(&mut rest).split_at_mut(head.classes.len());
                rest = behind;
                match head.kind {
                    HeadKind::OneOf => softmax(part),
                    HeadKind::AnyOf => part.iter_mut().for_each(|value| *value = sigmoid(*value)),
                }
            }
        }
        logits
    }

    /// Losses, and the gradient of their sum times `scale` if there is one.
    pub(super) fn learn(&mut self, batch: &[Labelled], scale: Option<f32>) -> Loss {
        let records: Vec<&Record> = batch.iter().map(|labelled| &labelled.record).collect();
        let laid = self.lay(&records);
        let (mut logits, pooled, normed, factors) = self.forward(&laid);
        let mut sum = 0.0;
        for (row, labelled) in logits.chunks_mut(self.config.classes()).zip(batch) {
            let mut rest = row;
            for (head, targets) in self.config.outputs.iter().zip(&labelled.targets) {
                let (part, behind) = std::mem::take(&mut rest).split_at_mut(head.classes.len());
                rest = behind;
                sum += f64::from(head.weight) * loss(part, head.kind, targets, head.weight * scale.unwrap_or(0.0));
            }
        }
        if scale.is_some() {
            self.backward(&laid, &logits, &pooled, &normed, &factors);
        }
        Loss { sum, count: batch.len() as u64 }
    }

    fn lay(&self, records: &[&Record]) -> Laid<E> {
        let mut laid = Laid { starts: vec![0], ..Laid::default() };
        let mut row = 0;
        for record in records {
            let [global, items] = &self.entries;
            global.lay(&record.global_numbers, &record.global_categories, row, 0, &mut laid);
            row += 1;
            for item in 0..self.items(record) {
                let numbers = &record.item_numbers[item * self.config.item_numbers..][..self.config.item_numbers];
                let count = self.config.item_categories.len();
                let categories = &record.item_categories[item * count..][..count];
                items.lay(numbers, categories, row, 1, &mut laid);
                row += 1;
            }
            laid.starts.push(row);
        }
        laid
    }

    fn items(&self, record: &Record) -> usize {
        record.items(&self.config)
    }

    /// Logits of every record, its global row behind the blocks, the same normalised, and the factors.
    fn forward(&mut self, laid: &Laid<E>) -> (Vec<f32>, Vec<f32>, Vec<E>, Vec<f32>) {
        let width = self.config.hidden;
        let tokens = laid.starts.last().copied().unwrap_or(0);
        let values = &self.parameters.values;
        let stream = self.stack.input(tokens);
        stream.fill(0.0);
        for (kind, entry) in self.entries.iter().enumerate() {
            entry.forward(values, laid, kind, stream, width);
        }
        self.stack.forward(values, &places(&laid.starts));
        let records = laid.starts.len() - 1;
        let mut pooled = Vec::with_capacity(records * width);
        for start in &laid.starts[..records] {
            pooled.extend_from_slice(&self.stack.output()[start * width..(start + 1) * width]);
        }
        let (mut normed, mut factors) = (vec![E::default(); pooled.len()], vec![0.0; records]);
        rms_norm(&mut normed, &mut factors, &pooled, self.norm.weight(values), self.stack.epsilon);
        let classes = self.config.classes();
        let mut logits: Vec<f32> = values[self.bias.clone()].repeat(records);
        let out = f32::output(&mut logits, classes, true);
        product([records, classes, width], View::deep(&normed, width), self.head.applied(values), out);
        (logits, pooled, normed, factors)
    }

    fn backward(&mut self, laid: &Laid<E>, slopes: &[f32], pooled: &[f32], normed: &[E], factors: &[f32]) {
        let (width, classes) = (self.config.hidden, self.config.classes());
        let records = laid.starts.len() - 1;
        let Parameters { values, gradients, .. } = &mut self.parameters;
        for row in slopes.chunks(classes) {
            for (sum, value) in gradients[self.bias.clone()].iter_mut().zip(row) {
                *sum += value;
            }
        }
        let narrow: Vec<E> = slopes.iter().map(|value| E::of(*value)).collect();
        self.head.add_gradient(gradients, &narrow, normed);
        let mut normed_gradient = vec![0.0; records * width];
        let out = f32::output(&mut normed_gradient, width, false);
        product([records, width, classes], View::deep(&narrow, classes), self.head.transposed(values), out);
        let mut pooled_gradient = vec![0.0; records * width];
        let given = Normed { input: pooled, factors, weight: self.norm.weight(values) };
        let mut stored = vec![E::default(); records * width];
        rms_norm_backward(&mut pooled_gradient, &mut stored, self.norm.gradient(gradients), &normed_gradient, given);
        let mut stream = vec![0.0; laid.starts[records] * width];
        for (start, row) in laid.starts.iter().zip(pooled_gradient.chunks(width)) {
            stream[start * width..(start + 1) * width].copy_from_slice(row);
        }
        self.stack.backward(values, gradients, &mut stream, &places(&laid.starts));
        for (kind, entry) in self.entries.iter().enumerate() {
            entry.backward(gradients, laid, kind, &stream, width);
        }
    }
}

fn places(starts: &[usize]) -> Places<'_> {
    Places { starts, positions: &[], turns: None, draw: None }
}

fn entry(builder: &mut Builder<'_>, name: &str, edges: Edges, sizes: &[usize], hidden: usize) -> Result<Entry> {
    let numbers = match edges.width() {
        0 => None,
        width => Some(builder.matrix(&[(format!("{name}.numbers.weight"), hidden)], width, 1.0, false)?),
    };
    let mut offsets = Vec::with_capacity(sizes.len());
    // The first row is every token's.
    let mut rows = 1;
    for size in sizes {
        offsets.push(rows);
        rows += size;
    }
    let table = builder.matrix(&[(format!("{name}.categories.weight"), rows)], hidden, 1.0, false)?;
    Ok(Entry { edges, numbers, offsets, sizes: sizes.to_vec(), table })
}

impl Entry {
    fn lay<E: Element>(&self, numbers: &[f32], categories: &[u32], row: usize, kind: usize, laid: &mut Laid<E>) {
        self.edges.encode(numbers, &mut laid.encoded[kind]);
        laid.rows[kind].push(row);
        laid.chosen[kind].push((row, 0));
        for ((category, offset), size) in categories.iter().zip(&self.offsets).zip(&self.sizes) {
            // What training never saw takes the last value.
            laid.chosen[kind].push((row, offset + (*category as usize).min(size - 1)));
        }
    }

    fn forward<E: Element>(&self, values: &[f32], laid: &Laid<E>, kind: usize, stream: &mut [f32], width: usize) {
        let rows = &laid.rows[kind];
        if let Some(matrix) = &self.numbers {
            let mut out = vec![0.0; rows.len() * width];
            let left = View::deep(&laid.encoded[kind][..], matrix.columns);
            product(
                [rows.len(), width, matrix.columns],
                left,
                matrix.applied(values),
                f32::output(&mut out, width, false),
            );
            for (row, out) in rows.iter().zip(out.chunks(width)) {
                stream[row * width..(row + 1) * width].copy_from_slice(out);
            }
        }
        let mut line = vec![0.0; width];
        for (row, chosen) in &laid.chosen[kind] {
            self.table.row(values, *chosen, &mut line);
            for (sum, value) in stream[row * width..(row + 1) * width].iter_mut().zip(&line) {
                *sum += value;
            }
        }
    }

    fn backward<E: Element>(&self, gradients: &mut [f32], laid: &Laid<E>, kind: usize, stream: &[f32], width: usize) {
        if let Some(matrix) = &self.numbers {
            let mut slopes = Vec::with_capacity(laid.rows[kind].len() * width);
            for row in &laid.rows[kind] {
                slopes.extend(stream[row * width..(row + 1) * width].iter().map(|value| E::of(*value)));
            }
            matrix.add_gradient(gradients, &slopes, &laid.encoded[kind]);
        }
        let Some(table) = self.table.gradient(gradients) else { return };
        for (row, chosen) in &laid.chosen[kind] {
            let sums = &mut table[chosen * width..(chosen + 1) * width];
            for (sum, value) in sums.iter_mut().zip(&stream[row * width..(row + 1) * width]) {
                *sum += value;
            }
        }
    }
}

/// The loss of one head of one record; replaces its logits by their gradient times `scale`.
fn loss(logits: &mut [f32], kind: HeadKind, targets: &[u32], scale: f32) -> f64 {
    let holds = |class: usize| targets.contains(&(class as u32));
    let mut sum = 0.0;
    match kind {
        HeadKind::OneOf => {
            let width = logits.len();
            let mut slopes = vec![0.0; width];
            sum = cross_entropy(&mut slopes, logits, width, &targets[..1], scale);
            logits.copy_from_slice(&slopes);
        }
        HeadKind::AnyOf => {
            for (class, value) in logits.iter_mut().enumerate() {
                let logit = f64::from(*value);
                let signed = if holds(class) { logit } else { -logit };
                // ln(1 + e^-x) without overflow.
                sum += (-signed.abs()).exp().ln_1p() + (-signed).max(0.0);
                *value = (sigmoid(*value) - f32::from(u8::from(holds(class)))) * scale;
            }
        }
    }
    sum
}
