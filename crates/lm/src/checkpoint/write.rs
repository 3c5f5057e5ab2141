//! Writing of checkpoints.

use super::{Dtype, INDEX, SINGLE};
use crate::replacement::{Replacement, replace};
use crate::{Error, Result, Span};
use safetensors::tensor::{Metadata, TensorInfo as Header};
use serde_json::json;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A tensor that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name under which others find it.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// A name and a shape.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self { name: name.into(), shape: shape.into() }
    }

    /// Numbers of the tensor.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no numbers in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<&Span> for TensorInfo {
    fn from(span: &Span) -> Self {
        Self::new(&span.name, span.shape.as_slice())
    }
}

/// Writes weights as `transformers` does. Numbers go to the disk as they come; nothing is held but a buffer.
///
/// Old weights stay as they are until all new ones are on the disk. A checkpoint of one file is then replaced at
/// once. Shards are renamed one after the other, so that a checkpoint in shards that must survive a power cut at that
/// moment belongs in a new folder.
pub struct Writer<'folder> {
    folder: &'folder Path,
    dtype: Dtype,
    shard_bytes: u64,
}

impl<'folder> Writer<'folder> {
    /// A writer into a folder, which is made if there is none. Shards hold up to 5 GB.
    pub fn new(folder: &'folder Path, dtype: Dtype) -> Self {
        Self { folder, dtype, shard_bytes: 5_000_000_000 }
    }

    /// Sets how much a shard holds. A tensor that is larger has a shard of its own.
    #[must_use]
    pub fn shard_bytes(mut self, bytes: u64) -> Self {
        self.shard_bytes = bytes;
        self
    }

    /// Writes the tensors in their order and removes weights that were in the folder before. `fill` is called for
    /// each tensor with its place in the list and pushes all its numbers.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk is full or refuses otherwise; [`Error::Weights`] if two tensors have one name, `fill`
    /// pushed too few or too many numbers, or one that the format cannot hold; whatever `fill` returns. The old
    /// weights are then intact.
    pub fn write(&self, tensors: &[TensorInfo], mut fill: impl FnMut(usize, &mut Sink) -> Result<()>) -> Result<()> {
        fs::create_dir_all(self.folder).map_err(Error::io(self.folder))?;
        let shards = self.shards(tensors);
        let names = match shards.len() {
            1 => vec![SINGLE.to_owned()],
            count => (1..=count).map(|number| format!("model-{number:05}-of-{count:05}.safetensors")).collect(),
        };
        let mut files = Vec::new();
        for (name, shard) in names.iter().zip(&shards) {
            let start = shard.start;
            let path = self.folder.join(name);
            files.push(write_file(&path, self.dtype, &tensors[shard.clone()], |at, sink| fill(start + at, sink))?);
        }
        for file in files {
            file.commit()?;
        }
        if names.len() > 1 {
            self.write_index(tensors, &shards, &names)?;
        }
        self.remove_others(&names)
    }

    /// Tensors of each shard, filled one after the other.
    fn shards(&self, tensors: &[TensorInfo]) -> Vec<Range<usize>> {
        let mut shards = Vec::new();
        let mut shard = 0..0;
        let mut held = 0;
        for (at, tensor) in tensors.iter().enumerate() {
            let bytes = self.bytes(tensor);
            if held > 0 && held + bytes > self.shard_bytes {
                shards.push(shard);
                shard = at..at;
                held = 0;
            }
            held += bytes;
            shard.end = at + 1;
        }
        shards.push(shard);
        shards
    }

    fn bytes(&self, tensor: &TensorInfo) -> u64 {
        (tensor.len() * self.dtype.bytes()) as u64
    }

    fn write_index(&self, tensors: &[TensorInfo], shards: &[Range<usize>], names: &[String]) -> Result<()> {
        let total = tensors.iter().map(|tensor| self.bytes(tensor)).sum::<u64>();
        let mut places = BTreeMap::new();
        for (shard, file) in shards.iter().zip(names) {
            places.extend(tensors[shard.clone()].iter().map(|tensor| (&tensor.name, file)));
        }
        let index = json!({ "metadata": { "total_size": total }, "weight_map": places });
        replace(&self.folder.join(INDEX), format!("{index:#}\n").as_bytes())
    }

    /// Removes what would be taken for weights of this checkpoint. The single file goes last, because it counts
    /// before shards.
    fn remove_others(&self, names: &[String]) -> Result<()> {
        let mut others = Vec::new();
        for entry in fs::read_dir(self.folder).map_err(Error::io(self.folder))? {
            let name = entry.map_err(Error::io(self.folder))?.file_name();
            let Some(name) = name.to_str().map(str::to_owned) else { continue };
            let stale = name == SINGLE || is_shard(&name) || (name == INDEX && names.len() == 1);
            if stale && !names.contains(&name) {
                others.push(name);
            }
        }
        others.sort_by_key(|name| name == SINGLE);
        others.iter().try_for_each(|name| {
            let path = self.folder.join(name);
            fs::remove_file(&path).map_err(Error::io(path))
        })
    }
}

/// Whether a file is named as `transformers` names shards.
fn is_shard(name: &str) -> bool {
    let number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_prefix("model-")
        .and_then(|name| name.strip_suffix(".safetensors"))
        .and_then(|numbers| numbers.split_once("-of-"))
        .is_some_and(|(at, count)| number(at) && number(count))
}

/// Writes one safetensors file beside the place where it belongs; it is there once it is committed.
pub(crate) fn write_file(
    path: &Path,
    dtype: Dtype,
    tensors: &[TensorInfo],
    mut fill: impl FnMut(usize, &mut Sink) -> Result<()>,
) -> Result<Replacement> {
    let mut file = Replacement::create(path)?;
    file.write(&header(path, dtype, tensors)?)?;
    let mut sink = Sink { path: path.to_owned(), file, dtype, name: String::new(), missing: 0, buffer: Vec::new() };
    for (at, tensor) in tensors.iter().enumerate() {
        sink.name.clone_from(&tensor.name);
        sink.missing = tensor.len();
        fill(at, &mut sink)?;
        if sink.missing > 0 {
            return Err(sink.problem(format!("lacks {} numbers", sink.missing)));
        }
    }
    sink.file.sync()?;
    Ok(sink.file)
}

/// Length, JSON and spaces up to a multiple of 8, so that numbers are aligned.
fn header(path: &Path, dtype: Dtype, tensors: &[TensorInfo]) -> Result<Vec<u8>> {
    let problem = |problem: String| Error::Weights { path: path.to_owned(), problem };
    let mut end = 0;
    let mut names = HashSet::new();
    let mut headers = Vec::new();
    for tensor in tensors {
        if !names.insert(&tensor.name) || tensor.name == "__metadata__" {
            return Err(problem(format!("cannot have `{}` twice", tensor.name)));
        }
        let start = end;
        end += tensor.len() * dtype.bytes();
        let header = Header { dtype: dtype.stored(), shape: tensor.shape.clone(), data_offsets: (start, end) };
        headers.push((tensor.name.clone(), header));
    }
    // Without it `transformers` takes the file for another framework's.
    let about = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(about), headers).map_err(|error| problem(error.to_string()))?;
    let mut json = serde_json::to_vec(&metadata).map_err(|error| problem(error.to_string()))?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok([(json.len() as u64).to_le_bytes().as_slice(), &json].concat())
}

/// Takes the numbers of one tensor after the other.
pub struct Sink {
    path: PathBuf,
    file: Replacement,
    dtype: Dtype,
    name: String,
    missing: usize,
    buffer: Vec<u8>,
}

impl Sink {
    /// Appends numbers of the tensor, in row-major order, rounded to the format of the file.
    ///
    /// # Errors
    /// [`Error::Weights`] if there are more than the tensor has, or one is finite and beyond what the format holds;
    /// [`Error::Io`] if they cannot be written.
    pub fn push(&mut self, values: &[f32]) -> Result<()> {
        const PIECE: usize = 1 << 20;
        let Some(missing) = self.missing.checked_sub(values.len()) else {
            return Err(self.problem("has more numbers than its shape says".into()));
        };
        if let Some(value) = values.iter().find(|value| self.overflows(**value)) {
            return Err(self.problem(format!("has the number {value}, which float16 cannot hold; save in bfloat16")));
        }
        for values in values.chunks(PIECE) {
            self.buffer.resize(values.len() * self.dtype.bytes(), 0);
            self.dtype.encode(values, &mut self.buffer);
            self.file.write(&self.buffer)?;
        }
        self.missing = missing;
        Ok(())
    }

    /// From 65520 on, the nearest number of fp16 would be infinity.
    fn overflows(&self, value: f32) -> bool {
        self.dtype == Dtype::F16 && value.is_finite() && value.abs() >= 65_520.0
    }

    fn problem(&self, problem: String) -> Error {
        Error::Weights { path: self.path.clone(), problem: format!("`{}` {problem}", self.name) }
    }
}
