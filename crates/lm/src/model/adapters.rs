//! Adapters that are loaded beside a model that answers, several at a time.

use super::advance::Piece;
use super::build::{Builder, Source};
use super::linear::{Adapters, Linear, Lowered};
use super::network::block;
use super::stack::Block;
use crate::kernel::Element;
use crate::{Adapter, Config, Parameters, Result, TensorInfo};
use std::ops::Range;
use std::path::Path;

/// The adapters of one folder, for every linear layer of a model.
#[derive(Debug)]
pub(crate) struct AdapterSet {
    values: Vec<f32>,
    blocks: Vec<[Option<Adapters>; 4]>,
}

impl AdapterSet {
    /// Reads an adapter folder of `peft` for a model.
    pub(crate) fn open(folder: &Path, config: &Config) -> Result<Self> {
        let files = Adapter::open(folder, config)?;
        let (parameters, source) = (Parameters::default(), Source::Elsewhere);
        let mut builder = Builder { parameters, source, frozen: None, lora: Some(files.config()), seed: 0 };
        let adapters = |made: Block| made.linears().map(|linear| linear.adapters.clone());
        let blocks = (0..config.layers).map(|layer| Ok(adapters(block(&mut builder, config, layer)?)));
        let mut blocks = blocks.collect::<Result<Vec<[Option<Adapters>; 4]>>>()?;
        let Parameters { spans, mut values, .. } = builder.parameters;
        for span in &spans {
            files.read(&TensorInfo::from(span), &mut values[span.range()])?;
        }
        blocks.iter_mut().flatten().flatten().for_each(|adapters| adapters.settle(&mut values));
        Ok(Self { values, blocks })
    }
}

/// Which rows of a pass have which adapters, in one block.
#[derive(Default)]
pub(super) struct Spans<'a> {
    layer: usize,
    spans: Vec<(Range<usize>, &'a AdapterSet)>,
}

impl<'a> Spans<'a> {
    /// For pieces of which so many rows each are there.
    pub(super) fn new<E>(layer: usize, pieces: &[Piece<'a, E>], rows: impl Fn(&Piece<'a, E>) -> usize) -> Self {
        let mut spans: Vec<(Range<usize>, &AdapterSet)> = Vec::new();
        let mut end = 0;
        for piece in pieces {
            let rows = end..end + rows(piece);
            end = rows.end;
            let Some(set) = piece.adapters else { continue };
            match spans.last_mut() {
                Some((before, same)) if before.end == rows.start && std::ptr::eq(*same, set) => before.end = end,
                _ => spans.push((rows, set)),
            }
        }
        Self { layer, spans }
    }

    /// Whether no row has any.
    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The same for some of the rows, counted from the first of these.
    pub(super) fn within(&self, rows: &Range<usize>) -> Self {
        let inside = self.spans.iter().filter_map(|(span, set)| {
            let span = span.start.max(rows.start)..span.end.min(rows.end);
            (!span.is_empty()).then(|| (span.start - rows.start..span.end - rows.start, *set))
        });
        Self { layer: self.layer, spans: inside.collect() }
    }

    /// Adds what the adapters of one of the block's linear layers make of their rows.
    pub(super) fn add<E: Element, T: Element>(
        &self,
        number: usize,
        linear: &Linear,
        input: &[E],
        out: &mut [T],
        lowered: &mut Lowered<E>,
    ) {
        let (rows, columns) = (linear.matrix.rows, linear.matrix.columns);
        for (span, set) in &self.spans {
            let Some(adapters) = &set.blocks[self.layer][number] else { continue };
            let input = &input[span.start * columns..span.end * columns];
            let out = &mut out[span.start * rows..span.end * rows];
            adapters.forward(&set.values, input, [span.len(), rows, columns], out, lowered, None);
        }
    }
}
