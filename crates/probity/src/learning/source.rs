//! Labelled cases on their way to a trainer.

use decision::mixing::{drawn, mix};
use lm::Trainee;
use rayon::prelude::*;

use super::labels::{Labelled, Labeller};
use super::material::{Material, Training, read};
use crate::streams;

/// How a kind of model sees labelled cases.
pub(crate) trait Encoding: Sync {
    /// What learns.
    type Trainee: Trainee;
    /// A case as it learns it.
    type Item: Clone + Send;

    /// The item of a case, or why models do not take it.
    fn item(&self, case: &Labelled) -> Result<Self::Item, String>;

    /// The micro-batch of some items.
    fn batch(&self, items: Vec<Self::Item>) -> <Self::Trainee as Trainee>::Batch;

    /// Share of items that the trainee answers rightly.
    fn accuracy(&self, trainee: &mut Self::Trainee, items: &[Self::Item]) -> lm::Result<f64>;
}

/// Batches of a fixed number of cases: drawn as they are asked for, or those that are kept, in another order in each
/// epoch.
pub(crate) struct Source<'m, E: Encoding> {
    encoding: &'m E,
    training: Items<'m, E::Item>,
    validation: Vec<E::Item>,
    /// Share of the validation cases that the model takes.
    taken: f64,
    /// Cases of a batch.
    size: usize,
    seed: u64,
    /// The order of an epoch.
    order: Option<(u64, Vec<usize>)>,
}

enum Items<'m, I> {
    Endless(&'m Labeller),
    Kept(Vec<I>),
}

impl<'m, E: Encoding> Source<'m, E> {
    /// A source of batches of `size` cases.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn new(encoding: &'m E, material: &'m Material, size: usize, seed: u64) -> anyhow::Result<Self> {
        let training = match &material.training {
            Training::Endless(labeller) => Items::Endless(labeller),
            Training::Kept(path) => {
                let mut kept = Vec::new();
                let mut seen = 0;
                read(path, |cases| {
                    seen += cases.len();
                    kept.extend(items(encoding, &cases));
                })?;
                if kept.len() < seen {
                    let out = seen - kept.len();
                    streams::note(&format!("{out} of {seen} cases are too long for the model and are left out"));
                }
                Items::Kept(kept)
            }
        };
        let validation: Vec<E::Item> = material.validation.iter().flat_map(|set| items(encoding, &set.cases)).collect();
        let cases: usize = material.validation.iter().map(|set| set.cases.len()).sum();
        let taken = validation.len() as f64 / cases.max(1) as f64;
        Ok(Self { encoding, training, validation, taken, size: size.max(1), seed, order: None })
    }
}

/// The items of cases, in order, without those that models do not take.
fn items<E: Encoding>(encoding: &E, cases: &[Labelled]) -> Vec<E::Item> {
    cases.par_iter().filter_map(|case| encoding.item(case).ok()).collect()
}

impl<E: Encoding> lm::train::Source<E::Trainee> for Source<'_, E> {
    fn batches(&mut self, _phase: usize, _epoch: u64) -> lm::Result<Option<u64>> {
        Ok(match &self.training {
            Items::Endless(_) => None,
            Items::Kept(items) => Some(items.len().div_ceil(self.size) as u64),
        })
    }

    fn batch(&mut self, phase: usize, epoch: u64, index: u64) -> lm::Result<Option<<E::Trainee as Trainee>::Batch>> {
        let start = index * self.size as u64;
        let batch = match &self.training {
            Items::Endless(labeller) => {
                // Phases do not learn each other's cases.
                let start = start + ((phase as u64) << 40);
                let cases = labeller.draw(start..start + self.size as u64)?;
                items(self.encoding, &cases)
            }
            Items::Kept(kept) => {
                let seed = self.seed;
                let order = match self.order.take() {
                    Some((of, order)) if of == epoch => order,
                    _ => order(kept.len(), seed, epoch),
                };
                let places = order.iter().skip(start as usize).take(self.size);
                let batch: Vec<E::Item> = places.map(|place| kept[*place].clone()).collect();
                self.order = Some((epoch, order));
                if batch.is_empty() {
                    return Ok(None);
                }
                batch
            }
        };
        Ok(Some(self.encoding.batch(batch)))
    }

    fn validation(&mut self, _phase: usize, index: u64) -> lm::Result<Option<<E::Trainee as Trainee>::Batch>> {
        let chunk = self.validation.chunks(self.size).nth(index as usize);
        Ok(chunk.map(|items| self.encoding.batch(items.to_vec())))
    }

    fn accuracy(&mut self, trainee: &mut E::Trainee, _phase: usize) -> lm::Result<Option<f64>> {
        // A case that the model does not take is one that it does not decide rightly.
        Ok(Some(self.taken * self.encoding.accuracy(trainee, &self.validation)?))
    }
}

/// An order of so many things, drawn by seed and epoch.
fn order(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let start = mix(mix(seed).wrapping_add(epoch));
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_cached_key(|place| (drawn(start, *place as u64 + 1), *place));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_epoch_has_everything_once_in_an_order_of_its_own() {
        let orders = [(1, 0), (1, 1), (2, 0)].map(|(seed, epoch)| order(1000, seed, epoch));
        assert_eq!(orders[0], order(1000, 1, 0));
        for (at, one) in orders.iter().enumerate() {
            let mut sorted = one.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
            let other = &orders[(at + 1) % 3];
            assert!(one.iter().zip(other).filter(|(a, b)| a == b).count() < 20, "{at}");
        }
    }
}
