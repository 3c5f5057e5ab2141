//! The numbers that training changes: one arena, so that optimisers, norms and checkpoints need no knowledge of
//! models.

use std::ops::Range;

/// Where a named tensor lies in the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Name, as it is stored in checkpoints.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// First element.
    pub start: usize,
    /// Whether weight decay applies (matrices; not norms and biases).
    pub decays: bool,
}

impl Span {
    /// The elements.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.shape.iter().product::<usize>()
    }
}

/// Trained values and their gradients, of equal length and described by spans in order and without gaps.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// Which tensor lies where.
    pub spans: Vec<Span>,
    /// The values.
    pub values: Vec<f32>,
    /// The gradient of the loss summed over the step.
    pub gradients: Vec<f32>,
}

impl Parameters {
    /// Adds a tensor of zeros and says where it lies.
    pub fn add(&mut self, name: impl Into<String>, shape: &[usize], decays: bool) -> Range<usize> {
        let span = Span { name: name.into(), shape: shape.to_vec(), start: self.values.len(), decays };
        let range = span.range();
        self.spans.push(span);
        self.values.resize(range.end, 0.0);
        self.gradients.resize(range.end, 0.0);
        range
    }

    /// The span of a name.
    pub fn span(&self, name: &str) -> Option<&Span> {
        self.spans.iter().find(|span| span.name == name)
    }
}
