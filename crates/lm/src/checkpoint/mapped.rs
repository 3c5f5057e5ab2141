//! One safetensors file, mapped into memory.

use super::Dtype;
use crate::{Error, Result};
use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype as Stored, Metadata};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file whose header holds what it says.
pub(super) struct Mapped {
    pub(super) path: PathBuf,
    map: Mmap,
    metadata: Metadata,
    /// Where the numbers begin, after the header.
    start: usize,
}

/// A tensor of a file.
pub(super) struct Place {
    pub(super) stored: Stored,
    pub(super) shape: Vec<usize>,
    /// Where its numbers lie in the file.
    pub(super) bytes: Range<usize>,
}

impl Mapped {
    /// Maps a file. The safetensors crate checks that tensors follow each other without gaps, that shapes agree with
    /// sizes and that the file ends with the last of them.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let problem = |problem: String| Error::Weights { path: path.to_owned(), problem };
        let file = File::open(path).map_err(Error::io(path))?;
        let about = file.metadata().map_err(Error::io(path))?;
        if !about.is_file() || about.len() == 0 {
            return Err(problem("is no file with weights; copy the checkpoint again".into()));
        }
        #[expect(unsafe_code, reason = "mapping a file is unsafe because others may change it")]
        // SAFETY: the map is only read, and everything in it is treated as arbitrary bytes. What remains is a process
        // that truncates the file while we read; writers of checkpoints put a new file in the old one's place.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
        let (header, metadata) = SafeTensors::read_metadata(&map)
            .map_err(|error| problem(format!("is damaged or incomplete ({error}); copy the checkpoint again")))?;
        let start = header + size_of::<u64>();
        if let Some(name) = repeated(&map[size_of::<u64>()..start]) {
            return Err(problem(format!("has the tensor `{name}` twice; copy the checkpoint again")));
        }
        Ok(Self { path: path.to_owned(), map, metadata, start })
    }

    /// What the file holds.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (String, Place)> {
        self.metadata.tensors().into_iter().map(|(name, info)| {
            let (from, to) = info.data_offsets;
            let bytes = self.start + from..self.start + to;
            (name, Place { stored: info.dtype, shape: info.shape.clone(), bytes })
        })
    }

    /// Decodes a part of the file piece by piece, and lets go of each piece's pages, so that a file that is read once
    /// is never resident as a whole.
    pub(super) fn decode<T: Send>(
        &self,
        dtype: Dtype,
        bytes: Range<usize>,
        into: &mut [T],
        decode: impl Fn(Dtype, &[u8], &mut [T]),
    ) {
        const PIECE: usize = 1 << 22;
        for (piece, into) in into.chunks_mut(PIECE).enumerate() {
            let start = bytes.start + piece * PIECE * dtype.bytes();
            let range = start..start + into.len() * dtype.bytes();
            decode(dtype, &self.map[range.clone()], into);
            self.release(range);
        }
    }

    #[cfg(unix)]
    fn release(&self, range: Range<usize>) {
        #[expect(unsafe_code, reason = "the advice would discard changes, if there were any")]
        // SAFETY: the map is a file's and never written, so that pages that are dropped come back with the same bytes.
        let advised =
            unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
        // Pages that stay cost memory, not correctness.
        drop(advised);
    }

    #[cfg(not(unix))]
    fn release(&self, _: Range<usize>) {}
}

/// The first name that a header has twice. A map would silently keep one of them.
fn repeated(header: &[u8]) -> Option<String> {
    struct Names;

    impl<'text> Visitor<'text> for Names {
        type Value = Option<String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object of tensors")
        }

        fn visit_map<A: MapAccess<'text>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
            let mut seen = HashSet::new();
            let mut repeated = None;
            while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                if let Some(name) = seen.replace(name) {
                    repeated.get_or_insert(name);
                }
            }
            Ok(repeated)
        }
    }

    serde_json::Deserializer::from_slice(header).deserialize_map(Names).ok().flatten()
}
