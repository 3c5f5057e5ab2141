//! Checkpoints: `checkpoints/step-N/` with values and optimiser state, the cursor, and the digests of both.
//!
//! A checkpoint is written beside its place and moved there when all of it is on the disk, so a folder of that name
//! is whole whatever happens. What a failing disk does to it later shows in the digests.

use super::cursor::Cursor;
use super::optimizer::Optimizer;
use crate::{Error, Parameters, Result};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, View};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const STATE: &str = "state.safetensors";
const CURSOR: &str = "cursor.json";
const DIGESTS: &str = "SHA256SUMS";

/// The folder of a run's checkpoints.
#[derive(Clone, Debug)]
pub(super) struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn place(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step}"))
    }

    /// Steps that there are checkpoints of, lowest first.
    pub(super) fn steps(&self) -> Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::io(&self.folder))?,
        };
        let mut steps = Vec::new();
        for entry in entries {
            let name = entry.map_err(Error::io(&self.folder))?.file_name();
            steps.extend(name.to_str().and_then(|name| name.strip_prefix("step-")?.parse::<u64>().ok()));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// Writes a checkpoint and removes those that are no longer to be kept. When this fails, the others are as they
    /// were.
    pub(super) fn save(
        &self,
        cursor: &Cursor,
        parameters: &Parameters,
        optimizer: &Optimizer,
        keep: usize,
    ) -> Result<()> {
        let place = self.place(cursor.step);
        let part = place.with_extension("part");
        let written = write(&part, cursor, parameters, optimizer).and_then(|()| {
            remove(&place)?;
            fs::rename(&part, &place).map_err(Error::io(&place))?;
            sync(&self.folder)
        });
        if written.is_err() {
            // The disk may be full, and what is incomplete is of no use.
            let _ = fs::remove_dir_all(&part);
        }
        written?;
        self.retain(cursor, keep)
    }

    fn retain(&self, cursor: &Cursor, keep: usize) -> Result<()> {
        let steps = self.steps()?;
        let best = cursor.best.map(|best| best.step);
        // The checkpoints that are kept from before a phase ended need its best to end it again.
        let last = cursor.ended.last().map(|phase| phase.weights_of_step);
        let old = steps.len().saturating_sub(keep);
        steps[..old]
            .iter()
            .filter(|step| Some(**step) != best && Some(**step) != last)
            .try_for_each(|step| remove(&self.place(*step)))
    }

    /// Loads the newest checkpoint that is whole. Damaged ones behind it are set aside under another name, and `note` is
    /// told. None when there is no checkpoint at all.
    ///
    /// When none can be loaded, all of them are as they were: a run that could not go on must not begin anew the next
    /// time. When a damaged one cannot be set aside, newer ones may have been.
    pub(super) fn resume(
        &self,
        parameters: &mut Parameters,
        optimizer: &mut Optimizer,
        mut note: impl FnMut(&str),
    ) -> Result<Option<Cursor>> {
        let steps = self.steps()?;
        let mut damaged = Vec::new();
        for step in steps.iter().rev() {
            let place = self.place(*step);
            if let Some(problem) = damage(&place)? {
                damaged.push((place, problem));
                continue;
            }
            let cursor = load(&place, parameters, Some(&mut *optimizer))?;
            for (place, problem) in damaged {
                let aside = place.with_extension("damaged");
                note(&format!("checkpoint set aside as {}: {problem}", aside.display()));
                remove(&aside)?;
                fs::rename(&place, &aside).map_err(Error::io(&aside))?;
            }
            return Ok(Some(cursor));
        }
        match damaged.pop() {
            None => Ok(None),
            Some((place, problem)) => {
                let problem = format!("no checkpoint is whole, this one neither: {problem}; train into another folder");
                Err(Error::Weights { path: place, problem })
            }
        }
    }

    /// Loads the values alone of a checkpoint.
    pub(super) fn restore(&self, step: u64, parameters: &mut Parameters) -> Result<()> {
        let place = self.place(step);
        match damage(&place)? {
            Some(problem) => Err(Error::Weights { path: place, problem }),
            None => load(&place, parameters, None).map(|_| ()),
        }
    }
}

fn write(part: &Path, cursor: &Cursor, parameters: &Parameters, optimizer: &Optimizer) -> Result<()> {
    remove(part)?;
    fs::create_dir_all(part).map_err(Error::io(part))?;
    let state = part.join(STATE);
    safetensors::serialize_to_file(tensors(parameters, optimizer), None, &state).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => Error::Io { path: state.clone(), source },
        error => unfit(&state)(error.to_string()),
    })?;
    let place = part.join(CURSOR);
    let text = serde_json::to_vec_pretty(cursor).map_err(|error| unfit(&place)(error.to_string()))?;
    fs::write(&place, text).map_err(Error::io(&place))?;
    let digests = digests(part)?;
    let place = part.join(DIGESTS);
    fs::write(&place, digests).map_err(Error::io(&place))?;
    [STATE, CURSOR, DIGESTS, "."].iter().try_for_each(|name| sync(&part.join(name)))
}

/// What is wrong with the files of a checkpoint, if they are not those that were written. That they cannot be read is no
/// damage: another time they may be.
fn damage(place: &Path) -> Result<Option<String>> {
    for name in [STATE, CURSOR, DIGESTS] {
        let path = place.join(name);
        if !path.try_exists().map_err(Error::io(&path))? {
            return Ok(Some(format!("{name} is missing")));
        }
    }
    let path = place.join(DIGESTS);
    let same = fs::read(&path).map_err(Error::io(&path))? == digests(place)?.as_bytes();
    Ok((!same).then(|| format!("the files are not those that were written (see {DIGESTS})")))
}

/// Loads a checkpoint whose files are those that were written. What it lacks then, another recipe or program left out.
fn load(place: &Path, parameters: &mut Parameters, optimizer: Option<&mut Optimizer>) -> Result<Cursor> {
    let path = place.join(CURSOR);
    let text = fs::read(&path).map_err(Error::io(&path))?;
    let cursor: Cursor = serde_json::from_slice(&text)
        .map_err(|error| unfit(&path)(format!("another version of this program wrote it: {error}")))?;
    let path = place.join(STATE);
    let map = map(&path)?;
    let tensors = SafeTensors::deserialize(&map).map_err(|error| unfit(&path)(error.to_string()))?;
    let read = |kind: &str, into: &mut [f32]| {
        let spans = &parameters.spans;
        spans.iter().try_for_each(|span| {
            let name = format!("{kind}.{}", span.name);
            let tensor = tensors.tensor(&name).map_err(|error| unfit(&path)(format!("{name}: {error}")))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != span.shape {
                return Err(unfit(&path)(format!("{name} has shape {:?}, not {:?}", tensor.shape(), span.shape)));
            }
            for (value, bytes) in into[span.range()].iter_mut().zip(tensor.data().as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*bytes);
            }
            Ok(())
        })
    };
    if let Some(optimizer) = optimizer {
        read("first", &mut optimizer.first)?;
        if !optimizer.second.is_empty() {
            read("second", &mut optimizer.second)?;
        }
        optimizer.steps = cursor.phase_step;
    }
    let mut values = std::mem::take(&mut parameters.values);
    let outcome = read("value", &mut values);
    parameters.values = values;
    outcome.map(|()| cursor)
}

#[expect(unsafe_code, reason = "a checkpoint can be larger than what memory is left beside the model")]
fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path).map_err(Error::io(path))?;
    // SAFETY: nobody but a run writes into its checkpoints, and it never changes a file after it has its name.
    unsafe { Mmap::map(&file) }.map_err(Error::io(path))
}

/// One tensor of an arena, turned into bytes only while it is written.
struct Tensor<'a> {
    shape: &'a [usize],
    values: &'a [f32],
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; self.data_len()];
        for (bytes, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(self.values) {
            *bytes = value.to_le_bytes();
        }
        bytes.into()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}

fn tensors<'a>(
    parameters: &'a Parameters,
    optimizer: &'a Optimizer,
) -> impl Iterator<Item = (String, Tensor<'a>)> + use<'a> {
    let arenas = [("value", &parameters.values), ("first", &optimizer.first), ("second", &optimizer.second)];
    arenas.into_iter().filter(|(_, arena)| !arena.is_empty()).flat_map(|(kind, arena)| {
        parameters.spans.iter().map(move |span| {
            (format!("{kind}.{}", span.name), Tensor { shape: &span.shape, values: &arena[span.range()] })
        })
    })
}

/// Digests of the two files, in the form of `sha256sum`.
fn digests(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for name in [STATE, CURSOR] {
        let path = folder.join(name);
        let mut hasher = Sha256::new();
        let mut file = File::open(&path).map_err(Error::io(&path))?;
        io::copy(&mut file, &mut hasher).map_err(Error::io(&path))?;
        text += &format!("{:x}  {name}\n", hasher.finalize());
    }
    Ok(text)
}

/// Waits until a file or folder is on the disk.
pub(super) fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path))
}

/// Removes a folder, if it is there.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(Error::io(folder)),
    }
}

fn unfit(path: &Path) -> impl FnOnce(String) -> Error {
    let path = path.to_path_buf();
    move |problem| Error::Weights { path, problem }
}
