//! Whatever bytes are in the files, the answer is a value or an error.

use lm::{Adapter, Checkpoint, Config, Nf4};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fs;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A folder with copies of some files.
fn copied(from: &Path, names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::copy(from.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

/// Changes a few bytes near the beginning, where headers are, cuts off the end, repeats a part, or puts in numbers that
/// are special in JSON and in sizes.
fn mutated(original: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    const PIECES: [&[u8]; 12] = [
        b"0",
        b"-1",
        b"1e308",
        b"18446744073709551615",
        b"null",
        b"[]",
        b"{}",
        b"\"",
        b"\xff",
        b"\0",
        b"[[[[[[[[",
        b"true",
    ];
    let mut bytes = original.to_vec();
    for _ in 0..random.random_range(1..4) {
        let end = if random.random_bool(0.8) { bytes.len().min(2_000) } else { bytes.len() };
        if end == 0 {
            break;
        }
        let at = random.random_range(0..end);
        match random.random_range(0..5) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => bytes.truncate(at),
            3 => {
                let piece = PIECES[random.random_range(0..PIECES.len())];
                let until = (at + random.random_range(0..8)).min(bytes.len());
                bytes.splice(at..until, piece.iter().copied());
            }
            _ => {
                let part = bytes[at..(at + 40).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// Puts mutations of a file in its place and returns how many of them `read` took.
fn taken(path: &Path, rounds: u64, mut read: impl FnMut() -> bool) -> u64 {
    let original = fs::read(path).unwrap();
    let taken = (0..rounds).filter(|round| {
        let bytes = mutated(&original, &mut ChaCha8Rng::seed_from_u64(*round));
        // A new file: the old one may still be mapped.
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
        read()
    });
    let taken = taken.count() as u64;
    fs::write(path, original).unwrap();
    assert!(read(), "the file as it was is fine");
    taken
}

/// Opens a checkpoint and reads all of it.
fn read_all(folder: &Path) -> bool {
    let Ok(checkpoint) = Checkpoint::open(folder) else { return false };
    checkpoint.names().all(|name| {
        let shape = checkpoint.shape(name).unwrap();
        let mut values = vec![0.0; shape.iter().product()];
        let read = checkpoint.read_f32(name, shape, &mut values).is_ok();
        if let [rows, columns] = *shape {
            Nf4::quantize(&values, rows, columns);
        }
        read
    })
}

#[test]
fn damaged_weights_never_panic() {
    let folder = copied(&fixture("llama"), &["model.safetensors"]);
    let taken = taken(&folder.path().join("model.safetensors"), 1_500, || read_all(folder.path()));
    assert!((1..1_200).contains(&taken), "some changes hit only numbers, most do not: {taken}");
}

#[test]
fn damaged_indexes_never_panic() {
    let from = fixture("llama_bf16");
    let names = fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name.starts_with("model")).collect::<Vec<_>>();
    let folder = copied(&from, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let taken = taken(&folder.path().join("model.safetensors.index.json"), 1_500, || read_all(folder.path()));
    assert!((1..1_200).contains(&taken), "{taken}");
}

#[test]
fn damaged_configurations_never_panic() {
    for name in ["llama", "qwen3", "phi3", "mistral"] {
        let folder = copied(&fixture(name), &["config.json"]);
        let path = folder.path().join("config.json");
        let taken = taken(&path, 1_500, || Config::read(folder.path()).is_ok_and(|config| config.check().is_ok()));
        assert!((1..1_200).contains(&taken), "{taken}");
    }
}

#[test]
fn damaged_adapters_never_panic() {
    let model = Config::read(&fixture("llama")).unwrap();
    let folder = copied(&fixture("llama/adapter"), &["adapter_config.json", "adapter_model.safetensors"]);
    let read = || {
        let Ok(adapter) = Adapter::open(folder.path(), &model) else { return false };
        adapter.config().factors(&model).iter().all(|factors| {
            [&factors.a, &factors.b].iter().all(|tensor| adapter.read(tensor, &mut vec![0.0; tensor.len()]).is_ok())
        })
    };
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let taken = taken(&folder.path().join(name), 1_000, read);
        assert!((1..800).contains(&taken), "{taken}");
    }
}
