//! The decoder as the rest of the world sees it, in either precision.

use super::build::{Frozen, Source};
use super::generate::{Answer, Generation};
use super::network::Network;
use crate::kernel::{Bf16, Precision};
use crate::{
    Adapter, AdapterConfig, Checkpoint, Config, Dtype, Error, Loss, Parameters, Result, TensorInfo, Tokens, Trainee,
    Writer,
};
use std::path::Path;

/// What learns.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Method {
    /// Nothing: the model answers only.
    #[default]
    None,
    /// Every weight.
    Full,
    /// Adapters beside frozen weights.
    Lora(AdapterConfig),
    /// Adapters beside weights frozen in NF4 with double quantisation (Dettmers et al. 2023).
    Qlora(AdapterConfig),
}

/// A decoder that answers and learns.
#[derive(Clone, Debug)]
pub struct Decoder {
    kind: Kind,
    adapter: Option<AdapterConfig>,
}

/// The network in either precision.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Full(Box<Network<f32>>),
    Half(Box<Network<Bf16>>),
}

/// How a model that only answers holds the matrices of its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightStorage {
    /// In the precision in which it computes.
    #[default]
    Plain,
    /// In 8 bits, blocks of a row scaled by their largest number.
    Int8,
    /// In 4 bits: NF4 with double quantisation (Dettmers et al. 2023).
    Nf4,
}

/// Does the same in either precision.
macro_rules! either {
    ($decoder:expr, $network:ident => $do:expr) => {
        match $decoder {
            Kind::Full($network) => $do,
            Kind::Half($network) => $do,
        }
    };
}

impl Kind {
    fn build(
        config: Config,
        source: Source<'_>,
        precision: Precision,
        frozen: Option<Frozen>,
        lora: Option<&AdapterConfig>,
        seed: u64,
    ) -> Result<Self> {
        Ok(match precision {
            Precision::F32 => Self::Full(Box::new(Network::build(config, source, frozen, lora, seed)?)),
            Precision::Bf16 => Self::Half(Box::new(Network::build(config, source, frozen, lora, seed)?)),
        })
    }
}

impl Decoder {
    /// Reads a checkpoint folder of `transformers`.
    ///
    /// # Errors
    /// [`Error::Configuration`] if its architecture or an option is not ours, [`Error::Weights`] if its files are
    /// damaged or do not fit the configuration.
    pub fn open(folder: &Path, precision: Precision, method: &Method, seed: u64) -> Result<Self> {
        let config = Config::read(folder)?;
        let checkpoint = Checkpoint::open(folder)?;
        Self::build(config, Source::Checkpoint(&checkpoint), precision, method, seed)
    }

    /// Reads a checkpoint folder of `transformers`, to answer only.
    ///
    /// # Errors
    /// As [`Decoder::open`].
    pub fn open_stored(folder: &Path, precision: Precision, storage: WeightStorage) -> Result<Self> {
        let config = Config::read(folder)?;
        let checkpoint = Checkpoint::open(folder)?;
        let frozen = Some(Frozen { precision, storage });
        let kind = Kind::build(config, Source::Checkpoint(&checkpoint), precision, frozen, None, 0)?;
        Ok(Self { kind, adapter: None })
    }

    /// Draws the weights of a new model.
    ///
    /// # Errors
    /// None that a valid configuration can cause.
    pub fn random(config: Config, precision: Precision, method: &Method, seed: u64) -> Result<Self> {
        Self::build(config, Source::random(seed), precision, method, seed)
    }

    fn build(config: Config, source: Source<'_>, precision: Precision, method: &Method, seed: u64) -> Result<Self> {
        let plain = Frozen { precision, storage: WeightStorage::Plain };
        let (frozen, lora) = match method {
            Method::None => (Some(plain), None),
            Method::Full => (None, None),
            Method::Lora(lora) => (Some(plain), Some(lora)),
            Method::Qlora(lora) => (Some(Frozen { storage: WeightStorage::Nf4, ..plain }), Some(lora)),
        };
        if let Some(adapter) = lora {
            let problem = |problem| Error::Configuration { path: "method".into(), problem };
            adapter.check(&config).map_err(problem)?;
        }
        let kind = Kind::build(config, source, precision, frozen, lora, seed)?;
        Ok(Self { kind, adapter: lora.cloned() })
    }

    /// The network alone.
    pub(crate) fn into_kind(self) -> Kind {
        self.kind
    }

    /// Reads a checkpoint folder and an adapter folder of `peft` beside it. The adapter learns if it trains on.
    ///
    /// # Errors
    /// As [`Decoder::open`] and [`Adapter::open`].
    pub fn open_adapted(folder: &Path, adapter: &Path, precision: Precision) -> Result<Self> {
        let config = Config::read(folder)?;
        let files = Adapter::open(adapter, &config)?;
        let mut decoder = Self::open(folder, precision, &Method::Lora(files.config().clone()), 0)?;
        let parameters = decoder.parameters_mut();
        for span in &parameters.spans {
            let tensor = TensorInfo::from(span);
            files.read(&tensor, &mut parameters.values[span.range()])?;
        }
        Ok(decoder)
    }

    /// The adapter beside the weights, if there is one.
    pub fn adapter(&self) -> Option<&AdapterConfig> {
        self.adapter.as_ref()
    }

    /// The model's shape.
    pub fn config(&self) -> &Config {
        either!(&self.kind, network => &network.config)
    }

    /// Whether activations are computed again in the backward pass instead of kept.
    pub fn recompute(&mut self, recompute: bool) {
        either!(&mut self.kind, network => network.recompute(recompute));
    }

    /// Bytes of weights that do not learn.
    pub fn frozen_bytes(&self) -> usize {
        either!(&self.kind, network => network.frozen_bytes())
    }

    /// Logits of every token in fp32, [`Config::vocabulary`] numbers each.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if a token is not of the vocabulary.
    ///
    /// # Panics
    /// If the batch's sequences do not follow each other without gaps, or its targets are not as many as its tokens.
    pub fn logits(&mut self, batch: &Tokens) -> Result<Vec<f32>> {
        self.check(batch)?;
        Ok(either!(&mut self.kind, network => network.logits(batch)))
    }

    /// Answers to prompts, greedily: the likeliest token, of equals the first, again and again. An answer depends on
    /// its prompt alone, to the bit: not on the others, their order or the number of threads.
    ///
    /// # Errors
    /// [`Error::Prompt`] if a prompt is empty, longer than [`Config::positions`] or has a token that is not of the
    /// vocabulary, or if the model answers with what is not a number.
    pub fn generate(&self, prompts: &[Vec<u32>], options: &Generation) -> Result<Vec<Answer>> {
        either!(&self.kind, network => network.generate(prompts, options))
    }

    fn check(&self, batch: &Tokens) -> Result<()> {
        let (count, starts) = (batch.tokens.len(), &batch.starts);
        let ascending = starts.first() == Some(&0) && starts.windows(2).all(|pair| pair[0] < pair[1]);
        let empty = count == 0 && matches!(starts[..], [] | [0] | [0, 0]);
        let whole = empty || (ascending && starts.last() == Some(&count));
        assert!(whole, "sequences must follow each other without gaps, and none may be empty");
        assert!(batch.targets.is_empty() || batch.targets.len() == count, "there must be a target for every token");
        let vocabulary = self.config().vocabulary;
        let targets = batch.targets.iter().filter(|target| **target != Tokens::IGNORED);
        match batch.tokens.iter().chain(targets).find(|token| **token as usize >= vocabulary) {
            Some(token) => Err(Error::Tokenizer(format!(
                "token {token} is beyond the model's vocabulary of {vocabulary}; is the tokenizer this model's?"
            ))),
            None => Ok(()),
        }
    }
}

impl Trainee for Decoder {
    type Batch = Tokens;

    fn counted(&self, batch: &Tokens) -> u64 {
        batch.targets.iter().filter(|target| **target != Tokens::IGNORED).count() as u64
    }

    fn items(&self, batch: &Tokens) -> u64 {
        batch.tokens.len() as u64
    }

    fn accumulate(&mut self, batch: &Tokens, scale: f32, draw: u64) -> Result<Loss> {
        self.check(batch)?;
        Ok(either!(&mut self.kind, network => network.accumulate(batch, scale, draw)))
    }

    fn evaluate(&mut self, batch: &Tokens) -> Result<Loss> {
        self.check(batch)?;
        Ok(either!(&mut self.kind, network => network.evaluate(batch)))
    }

    fn parameters(&self) -> &Parameters {
        either!(&self.kind, network => &network.parameters)
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        either!(&mut self.kind, network => &mut network.parameters)
    }

    /// An adapter folder of `peft` if adapters learn, else a checkpoint folder of `transformers`, in fp32.
    fn export(&self, folder: &Path) -> Result<()> {
        let parameters = self.parameters();
        let values = |name: &str| match parameters.span(name) {
            Some(span) => Ok(&parameters.values[span.range()]),
            None => {
                Err(Error::Weights { path: folder.to_owned(), problem: format!("`{name}` is not among what learns") })
            }
        };
        if let Some(adapter) = &self.adapter {
            return Adapter::write(folder, adapter, self.config(), Dtype::F32, |tensor, sink| {
                sink.push(values(&tensor.name)?)
            });
        }
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let tensors: Vec<TensorInfo> = parameters.spans.iter().map(TensorInfo::from).collect();
        Writer::new(folder, Dtype::F32).write(&tensors, |at, sink| sink.push(values(&tensors[at].name)?))?;
        self.config().write(folder, Dtype::F32)
    }
}
