//! Reading of checkpoints.

use super::mapped::{Mapped, Place};
use super::{Dtype, INDEX, SINGLE};
use crate::json::{self, shortened};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

/// The weights of a folder or a file, mapped into memory. Numbers are converted straight into the reader's buffers;
/// there is no second copy, and pages that were read do not stay resident.
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<Mapped>,
    tensors: BTreeMap<String, (usize, Place)>,
}

impl Checkpoint {
    /// Opens a checkpoint folder: `model.safetensors` or, if there is none, the shards that
    /// `model.safetensors.index.json` names. Only headers are read.
    ///
    /// # Errors
    /// [`Error::Weights`] if there is neither, a file is damaged or cut off, a shard is missing or names what another
    /// has too, or the index does not agree with the shards; [`Error::Io`] if a file cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        if folder.join(SINGLE).exists() {
            return Self::of(folder, vec![Mapped::open(&folder.join(SINGLE))?]);
        }
        let index = folder.join(INDEX);
        if !index.exists() {
            return Err(Error::Weights {
                path: folder.to_owned(),
                problem: format!(
                    "has neither {SINGLE} nor {INDEX}; save the model with `save_pretrained(…, \
                     safe_serialization=True)`"
                ),
            });
        }
        let places = read_index(&index)?;
        let names = places.values().collect::<BTreeSet<_>>();
        let missing = |problem| Error::Weights { path: index.clone(), problem };
        if let Some(name) = names.iter().find(|name| !folder.join(name).exists()) {
            return Err(missing(format!("names the shard {name}, which is missing; copy it into the folder")));
        }
        let shards = names.iter().map(|name| Mapped::open(&folder.join(name))).collect::<Result<Vec<_>>>()?;
        let checkpoint = Self::of(folder, shards)?;
        let astray = places.iter().find(|(name, file)| {
            checkpoint.tensors.get(*name).is_none_or(|(at, _)| !checkpoint.files[*at].path.ends_with(file))
        });
        match astray {
            Some((name, file)) => {
                Err(missing(format!("says that `{name}` is in {file}, where it is not; copy the checkpoint again")))
            }
            None => Ok(checkpoint),
        }
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_file(path: &Path) -> Result<Self> {
        Self::of(path, vec![Mapped::open(path)?])
    }

    fn of(path: &Path, files: Vec<Mapped>) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for (at, file) in files.iter().enumerate() {
            for (name, place) in file.tensors() {
                if let Some((name, (other, _))) = tensors.remove_entry(&name) {
                    let other: &Mapped = &files[other];
                    let problem = format!("has `{name}`, and so has {}; remove one", other.path.display());
                    return Err(Error::Weights { path: file.path.clone(), problem });
                }
                tensors.insert(name, (at, place));
            }
        }
        Ok(Self { path: path.to_owned(), files, tensors })
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor, outermost first.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, place)| place.shape.as_slice())
    }

    /// How a tensor is stored; none if there is no such tensor or its numbers are of a kind that cannot be read.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).and_then(|(_, place)| Dtype::of(place.stored))
    }

    /// Reads a tensor. The buffer has as many numbers as the shape says.
    ///
    /// # Errors
    /// [`Error::Weights`] if there is no such tensor, it has another shape, or it is not in fp32, bf16 or fp16.
    ///
    /// # Panics
    /// If the buffer is of another length than the shape.
    pub fn read_f32(&self, name: &str, shape: &[usize], into: &mut [f32]) -> Result<()> {
        self.read(name, shape, None, into, Dtype::decode_f32)
    }

    /// Reads rows of a tensor, which are what its first dimension counts.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`].
    ///
    /// # Panics
    /// If the shape does not have the rows, or the buffer is of another length than the rows together.
    pub fn read_rows_f32(&self, name: &str, shape: &[usize], rows: Range<usize>, into: &mut [f32]) -> Result<()> {
        self.read(name, shape, Some(rows), into, Dtype::decode_f32)
    }

    /// Reads a tensor as the bits of bf16, rounded to the nearest, to even between two.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`].
    ///
    /// # Panics
    /// If the buffer is of another length than the shape.
    pub fn read_bf16(&self, name: &str, shape: &[usize], into: &mut [u16]) -> Result<()> {
        self.read(name, shape, None, into, Dtype::decode_bf16)
    }

    /// Reads rows of a tensor as the bits of bf16.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`].
    ///
    /// # Panics
    /// If the shape does not have the rows, or the buffer is of another length than the rows together.
    pub fn read_rows_bf16(&self, name: &str, shape: &[usize], rows: Range<usize>, into: &mut [u16]) -> Result<()> {
        self.read(name, shape, Some(rows), into, Dtype::decode_bf16)
    }

    /// Whether there is a tensor of this name and shape that can be read.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`].
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<()> {
        self.place(name, shape).map(|_| ())
    }

    fn read<T: Send>(
        &self,
        name: &str,
        shape: &[usize],
        rows: Option<Range<usize>>,
        into: &mut [T],
        decode: impl Fn(Dtype, &[u8], &mut [T]),
    ) -> Result<()> {
        let (file, place, dtype) = self.place(name, shape)?;
        let count = shape.first().copied().unwrap_or(1);
        // Not the product of the other dimensions, which may overflow where the first is 0.
        let width = (place.bytes.len() / dtype.bytes()).checked_div(count).unwrap_or(0);
        let rows = rows.unwrap_or(0..count);
        assert!(rows.start <= rows.end && rows.end <= count, "{name} has {count} rows, not {rows:?}");
        assert_eq!(into.len(), rows.len() * width, "buffer for {name}");
        let start = place.bytes.start + rows.start * width * dtype.bytes();
        file.decode(dtype, start..place.bytes.end, into, decode);
        Ok(())
    }

    fn place(&self, name: &str, shape: &[usize]) -> Result<(&Mapped, &Place, Dtype)> {
        let Some((at, place)) = self.tensors.get(name) else {
            let problem = format!("has no tensor `{name}`; the weights are not those of the configuration beside them");
            return Err(Error::Weights { path: self.path.clone(), problem });
        };
        let file = &self.files[*at];
        let problem = |problem| Error::Weights { path: file.path.clone(), problem };
        if place.shape != shape {
            return Err(problem(format!(
                "`{name}` has the shape {:?}, but the configuration asks for {shape:?}; use the one that belongs to \
                 the weights",
                place.shape
            )));
        }
        let dtype = Dtype::of(place.stored).ok_or_else(|| {
            problem(format!("`{name}` is stored as {}; save the model in float32, bfloat16 or float16", place.stored))
        })?;
        Ok((file, place, dtype))
    }
}

/// `weight_map`: the shard of each tensor. Shards are files of the folder itself.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    let problem = |problem| Error::Weights { path: path.to_owned(), problem };
    let object = json::read_object(path)?;
    let Some(map) = object.get("weight_map").and_then(|map| map.as_object()).filter(|map| !map.is_empty()) else {
        return Err(problem("has no `weight_map`; copy the checkpoint again".into()));
    };
    let place = |(name, file): (&String, &serde_json::Value)| {
        let inside = file
            .as_str()
            .filter(|file| is_file_name(file))
            .ok_or_else(|| problem(format!("names {} as a shard, which is no file of the folder", shortened(file))))?;
        Ok((name.clone(), inside.to_owned()))
    };
    map.iter().map(place).collect()
}

fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(only)), None) if only == name)
        && !name.contains(['\\', '\0'])
}
