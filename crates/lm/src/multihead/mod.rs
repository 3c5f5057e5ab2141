//! A transformer over structured cases: one global token and a token for each item, each made of numbers and
//! categories; an answer from the global token for each of several heads. It runs on the same kernels and blocks as
//! the decoder, without a mask and without positions: items are a set.

mod config;
mod encoding;
mod network;

pub use config::{Head, HeadKind, MultiheadConfig};

use crate::kernel::{Bf16, Precision};
use crate::model::{Builder, Source};
use crate::{Checkpoint, Dtype, Error, Loss, Parameters, Result, TensorInfo, Trainee, Writer};
use encoding::Edges;
use network::Network;
use std::path::Path;

/// A case as the model sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Numbers of the global token.
    pub global_numbers: Vec<f32>,
    /// Categories of the global token.
    pub global_categories: Vec<u32>,
    /// Numbers of the items, one item behind another.
    pub item_numbers: Vec<f32>,
    /// Categories of the items, one item behind another.
    pub item_categories: Vec<u32>,
}

/// A case and its answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labelled {
    /// The case.
    pub record: Record,
    /// For each head the classes that hold: exactly one where one is asked for.
    pub targets: Vec<Vec<u32>>,
}

impl Record {
    /// Number of items.
    fn items(&self, config: &MultiheadConfig) -> usize {
        match config.item_numbers {
            0 => self.item_categories.len() / config.item_categories.len().max(1),
            numbers => self.item_numbers.len() / numbers,
        }
    }

    fn fits(&self, config: &MultiheadConfig) -> bool {
        let items = self.items(config);
        self.global_numbers.len() == config.global_numbers
            && self.global_categories.len() == config.global_categories.len()
            && self.item_numbers.len() == items * config.item_numbers
            && self.item_categories.len() == items * config.item_categories.len()
    }
}

/// Tokens that are answered at a time.
const TOKENS: usize = 8192;

/// A structured transformer that answers and learns.
#[derive(Clone, Debug)]
pub struct Multihead(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Full(Box<Network<f32>>),
    Half(Box<Network<Bf16>>),
}

/// Does the same in either precision.
macro_rules! either {
    ($multihead:expr, $network:ident => $do:expr) => {
        match $multihead {
            Kind::Full($network) => $do,
            Kind::Half($network) => $do,
        }
    };
}

impl Multihead {
    /// A new model. The ranges of numbers are cut at the quantiles of the sample.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the shape makes no sense or the sample is of another one.
    pub fn new(config: MultiheadConfig, sample: &[Record], precision: Precision, seed: u64) -> Result<Self> {
        let problem = |problem: String| Error::Configuration { path: "multihead".into(), problem };
        config.check().map_err(problem)?;
        if let Some(place) = sample.iter().position(|record| !record.fits(&config)) {
            return Err(problem(format!("record {place} of the sample has another shape")));
        }
        let items = sample.iter().flat_map(|record| record.item_numbers.chunks(config.item_numbers.max(1)));
        let edges = [
            Edges::fit(sample.iter().map(|record| &record.global_numbers[..]), config.global_numbers, config.bins),
            Edges::fit(items, config.item_numbers, config.bins),
        ];
        Self::build(config, edges, Source::random(seed), precision)
    }

    /// Reads a folder that [`Trainee::export`] wrote.
    ///
    /// # Errors
    /// [`Error::Configuration`] and [`Error::Weights`] if its files are damaged or do not fit each other.
    pub fn open(folder: &Path, precision: Precision) -> Result<Self> {
        let config = MultiheadConfig::read(folder)?;
        let checkpoint = Checkpoint::open(folder)?;
        let edges = |name: &str, numbers: usize| -> Result<Edges> {
            let mut values = vec![0.0; numbers * (config.bins + 1)];
            if numbers > 0 {
                checkpoint.read_f32(name, &[numbers, config.bins + 1], &mut values)?;
            }
            Ok(Edges { numbers, bins: config.bins, values })
        };
        let edges = [edges("global.edges", config.global_numbers)?, edges("items.edges", config.item_numbers)?];
        Self::build(config, edges, Source::Checkpoint(&checkpoint), precision)
    }

    fn build(config: MultiheadConfig, edges: [Edges; 2], source: Source<'_>, precision: Precision) -> Result<Self> {
        let builder = Builder { parameters: Parameters::default(), source, frozen: None, lora: None, seed: 0 };
        Ok(Self(match precision {
            Precision::F32 => Kind::Full(Box::new(Network::build(config, edges, builder)?)),
            Precision::Bf16 => Kind::Half(Box::new(Network::build(config, edges, builder)?)),
        }))
    }

    /// The model's shape.
    pub fn config(&self) -> &MultiheadConfig {
        either!(&self.0, network => &network.config)
    }

    /// Whether activations are computed again in the backward pass instead of kept.
    pub fn recompute(&mut self, recompute: bool) {
        either!(&mut self.0, network => network.recompute(recompute));
    }

    /// For each record and each head the probabilities of its classes. A record's answer does not depend on the
    /// others.
    ///
    /// # Errors
    /// [`Error::Configuration`] if a record is of another shape than the model.
    pub fn answer(&mut self, records: &[Record]) -> Result<Vec<Vec<Vec<f32>>>> {
        let config = self.config().clone();
        for record in records {
            check(record, &config)?;
        }
        let mut answers = Vec::with_capacity(records.len());
        let mut rest = records;
        while !rest.is_empty() {
            let mut tokens = 0;
            let fits = rest.iter().take_while(|record| {
                tokens += 1 + record.items(&config);
                tokens <= TOKENS
            });
            let (group, behind) = rest.split_at(fits.count().max(1));
            rest = behind;
            let group: Vec<&Record> = group.iter().collect();
            let probabilities = either!(&mut self.0, network => network.answer(&group));
            answers.extend(probabilities.chunks(config.classes()).map(|row| split(row, &config)));
        }
        Ok(answers)
    }
}

fn split(row: &[f32], config: &MultiheadConfig) -> Vec<Vec<f32>> {
    let mut rest = row;
    let heads = config.outputs.iter().map(|head| {
        let (part, behind) = rest.split_at(head.classes.len());
        rest = behind;
        part.to_vec()
    });
    heads.collect()
}

fn check(record: &Record, config: &MultiheadConfig) -> Result<()> {
    if record.fits(config) {
        return Ok(());
    }
    let problem = "a record has another shape than the model; were its features built by another version?";
    Err(Error::Configuration { path: "multihead".into(), problem: problem.into() })
}

fn check_labelled(batch: &[Labelled], config: &MultiheadConfig) -> Result<()> {
    for Labelled { record, targets } in batch {
        check(record, config)?;
        let fits = targets.len() == config.outputs.len()
            && targets.iter().zip(&config.outputs).all(|(targets, head)| {
                let known = targets.iter().all(|target| (*target as usize) < head.classes.len());
                known && (head.kind == HeadKind::AnyOf || targets.len() == 1)
            });
        if !fits {
            let problem = "a record's answers do not fit the heads".into();
            return Err(Error::Configuration { path: "multihead".into(), problem });
        }
    }
    Ok(())
}

impl Trainee for Multihead {
    type Batch = Vec<Labelled>;

    fn counted(&self, batch: &Vec<Labelled>) -> u64 {
        batch.len() as u64
    }

    fn accumulate(&mut self, batch: &Vec<Labelled>, scale: f32, _draw: u64) -> Result<Loss> {
        check_labelled(batch, self.config())?;
        Ok(either!(&mut self.0, network => network.learn(batch, Some(scale))))
    }

    fn evaluate(&mut self, batch: &Vec<Labelled>) -> Result<Loss> {
        check_labelled(batch, self.config())?;
        Ok(either!(&mut self.0, network => network.learn(batch, None)))
    }

    fn parameters(&self) -> &Parameters {
        either!(&self.0, network => &network.parameters)
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        either!(&mut self.0, network => &mut network.parameters)
    }

    /// `config.json` and `model.safetensors`, the latter with the edges of numbers.
    fn export(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let parameters = self.parameters();
        let mut tensors: Vec<(TensorInfo, &[f32])> =
            parameters.spans.iter().map(|span| (TensorInfo::from(span), &parameters.values[span.range()])).collect();
        let edges = either!(&self.0, network => network.edges());
        for (name, edges) in ["global.edges", "items.edges"].into_iter().zip(edges) {
            if edges.numbers > 0 {
                tensors.push((TensorInfo::new(name, [edges.numbers, edges.bins + 1]), &edges.values));
            }
        }
        let infos: Vec<TensorInfo> = tensors.iter().map(|(info, _)| info.clone()).collect();
        Writer::new(folder, Dtype::F32).write(&infos, |at, sink| sink.push(tensors[at].1))?;
        self.config().write(folder)
    }
}
