//! Weights in files: what is written is read, and what is wrong is said.

use lm::{Checkpoint, Dtype, Error, TensorInfo, Writer};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Numbers that bf16 and fp16 hold exactly.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|at| (at % 251) as f32 / 4.0 - 31.0).collect()
}

fn tensors() -> Vec<TensorInfo> {
    vec![
        TensorInfo::new("model.embed_tokens.weight", [16, 8]),
        TensorInfo::new("model.layers.0.self_attn.q_proj.weight", [8, 8]),
        TensorInfo::new("model.norm.weight", [8]),
        TensorInfo::new("empty", [0, 8]),
    ]
}

fn write(folder: &Path, dtype: Dtype, shard_bytes: u64) -> lm::Result<()> {
    let tensors = tensors();
    Writer::new(folder, dtype)
        .shard_bytes(shard_bytes)
        .write(&tensors, |at, sink| sink.push(&numbers(tensors[at].len())))
}

fn files(folder: &Path) -> Vec<String> {
    let mut names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names = names.by_ref().collect::<Vec<_>>();
    names.sort();
    names
}

fn problem(result: lm::Result<Checkpoint>) -> String {
    result.err().expect("should be refused").to_string()
}

#[test]
fn every_format_in_one_file_or_in_shards_is_read_as_written() {
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
        for shard_bytes in [u64::MAX, 200] {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), dtype, shard_bytes).unwrap();
            let checkpoint = Checkpoint::open(folder.path()).unwrap();
            assert_eq!(checkpoint.names().count(), 4);
            for tensor in tensors() {
                let expected = numbers(tensor.len());
                let mut values = vec![f32::NAN; tensor.len()];
                checkpoint.read_f32(&tensor.name, &tensor.shape, &mut values).unwrap();
                assert_eq!(values, expected);
                assert_eq!(checkpoint.dtype(&tensor.name), Some(dtype));
                let mut bits = vec![0; tensor.len()];
                checkpoint.read_bf16(&tensor.name, &tensor.shape, &mut bits).unwrap();
                assert!(bits.iter().zip(&expected).all(|(bits, value)| u32::from(*bits) << 16 == value.to_bits()));
            }
        }
    }
}

/// Shards, bf16 and fp16 as `save_pretrained` writes them; the weights are those of the fp32 checkpoint, rounded.
#[test]
fn recorded_checkpoints_are_read() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let exact = Checkpoint::open(&fixtures.join("llama")).unwrap();
    for (name, dtype, precision) in [("llama_bf16", Dtype::Bf16, 8), ("llama_fp16", Dtype::F16, 11)] {
        let checkpoint = Checkpoint::open(&fixtures.join(name)).unwrap();
        assert!(checkpoint.names().eq(exact.names()));
        for name in checkpoint.names() {
            let shape = checkpoint.shape(name).unwrap();
            let mut rounded = vec![0.0; shape.iter().product()];
            let mut values = rounded.clone();
            checkpoint.read_f32(name, shape, &mut rounded).unwrap();
            exact.read_f32(name, shape, &mut values).unwrap();
            assert_eq!(checkpoint.dtype(name), Some(dtype));
            let half_a_step = 0.5f32.powi(precision);
            let near = |(rounded, value): (&f32, &f32)| (rounded - value).abs() <= half_a_step * value.abs().max(1e-4);
            assert!(rounded.iter().zip(&values).all(near), "{name}");
        }
    }
}

#[test]
fn rows_are_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), Dtype::Bf16, u64::MAX).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let mut values = vec![0.0; 24];
    checkpoint.read_rows_f32("model.embed_tokens.weight", &[16, 8], 5..8, &mut values).unwrap();
    assert_eq!(values, &numbers(128)[40..64]);
    let mut bits = vec![0; 8];
    checkpoint.read_rows_bf16("model.embed_tokens.weight", &[16, 8], 15..16, &mut bits).unwrap();
    assert_eq!(u32::from(bits[7]) << 16, numbers(128)[127].to_bits());
}

/// More than one piece, and more than one task in a piece.
#[test]
fn large_tensors_are_read_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let shape = [9_001, 1_024];
    let tensors = [TensorInfo::new("small", [3]), TensorInfo::new("large", shape)];
    let row = |row: usize| (0..shape[1]).map(|column| ((row * 31 + column) % 509) as f32 - 250.0).collect::<Vec<_>>();
    Writer::new(folder.path(), Dtype::F16)
        .write(&tensors, |at, sink| match at {
            0 => sink.push(&[1.0, 2.0, 3.0]),
            _ => (0..shape[0]).try_for_each(|at| sink.push(&row(at))),
        })
        .unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let mut values = vec![0.0; shape[0] * shape[1]];
    checkpoint.read_f32("large", &shape, &mut values).unwrap();
    assert!(values.chunks(shape[1]).enumerate().all(|(at, values)| values == row(at)));
    let mut small = [0.0; 3];
    checkpoint.read_f32("small", &[3], &mut small).unwrap();
    assert_eq!(small, [1.0, 2.0, 3.0], "pages that were let go come back");
}

#[test]
fn bf16_is_rounded_to_the_nearest_and_to_even() {
    let folder = tempfile::tempdir().unwrap();
    let values = [1.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -1.004, f32::INFINITY, f32::NAN, 0.0, -0.0];
    let expected = [0x3f80, 0x3f80, 0x3f82, 0xbf81, 0x7f80, 0x7fc0, 0, 0x8000];
    let tensors = [TensorInfo::new("a", [8])];
    for dtype in [Dtype::F32, Dtype::Bf16] {
        Writer::new(folder.path(), dtype).write(&tensors, |_, sink| sink.push(&values)).unwrap();
        let mut bits = [0; 8];
        Checkpoint::open(folder.path()).unwrap().read_bf16("a", &[8], &mut bits).unwrap();
        assert_eq!(bits, expected, "{dtype:?}");
    }
}

#[test]
fn shards_are_named_and_indexed_as_transformers_does() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), Dtype::F32, 600).unwrap();
    let names =
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"];
    assert_eq!(files(folder.path()), names);
    let index = fs::read_to_string(folder.path().join(names[2])).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    assert_eq!(index["metadata"]["total_size"], 4 * (128 + 64 + 8));
    assert_eq!(index["weight_map"]["model.embed_tokens.weight"], names[0]);
    assert_eq!(index["weight_map"]["model.norm.weight"], names[1]);
    let shard = fs::read(folder.path().join(names[0])).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&shard).unwrap();
    assert_eq!(metadata.metadata(), &Some(HashMap::from([("format".into(), "pt".into())])));

    write(folder.path(), Dtype::F32, u64::MAX).unwrap();
    assert_eq!(files(folder.path()), ["model.safetensors"], "shards of before are gone");
    write(folder.path(), Dtype::F32, 600).unwrap();
    assert_eq!(files(folder.path()), names, "and so is the single file");
}

#[test]
fn an_open_checkpoint_outlives_its_replacement() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), Dtype::F32, u64::MAX).unwrap();
    let before = Checkpoint::open(folder.path()).unwrap();
    let info = [TensorInfo::new("model.norm.weight", [8])];
    let mut values = vec![0.0; 8];
    Writer::new(folder.path(), Dtype::F32)
        .write(&info, |_, sink| {
            before.read_f32("model.norm.weight", &[8], &mut values)?;
            sink.push(&values.iter().map(|value| value * 2.0).collect::<Vec<_>>())
        })
        .unwrap();
    let mut doubled = vec![0.0; 8];
    Checkpoint::open(folder.path()).unwrap().read_f32("model.norm.weight", &[8], &mut doubled).unwrap();
    before.read_f32("model.norm.weight", &[8], &mut values).unwrap();
    assert!(values.iter().zip(&doubled).all(|(value, doubled)| value * 2.0 == *doubled));
    assert_eq!(values, numbers(8));
}

#[test]
fn a_failure_leaves_the_old_weights() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), Dtype::F32, 600).unwrap();
    let old = files(folder.path()).into_iter().map(|name| fs::read(folder.path().join(name)).unwrap());
    let old = old.collect::<Vec<_>>();
    let tensors = tensors();
    let writer = Writer::new(folder.path(), Dtype::F16).shard_bytes(300);
    let fill = |failure: usize, at: usize, sink: &mut lm::Sink| match failure {
        0 if at == 2 => Err(Error::Tokenizer("stop".into())),
        0 => sink.push(&numbers(tensors[at].len())),
        1 => sink.push(&[1.0]),
        2 => sink.push(&numbers(1_000)),
        _ => sink.push(&vec![70_000.0; tensors[at].len()]),
    };
    for (failure, said) in ["stop", "lacks 127", "more numbers", "bfloat16"].into_iter().enumerate() {
        let error = writer.write(&tensors, |at, sink| fill(failure, at, sink)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        let left = files(folder.path()).into_iter().map(|name| fs::read(folder.path().join(name)).unwrap());
        assert_eq!(left.collect::<Vec<_>>(), old);
    }
}

/// What is written to `/dev/full` meets a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_weights() {
    let folder = tempfile::tempdir().unwrap();
    for (shard_bytes, full) in [(u64::MAX, "model.safetensors.part"), (600, "model-00002-of-00002.safetensors.part")] {
        write(folder.path(), Dtype::F32, shard_bytes).unwrap();
        let names = files(folder.path());
        let old = names.iter().map(|name| fs::read(folder.path().join(name)).unwrap()).collect::<Vec<_>>();
        std::os::unix::fs::symlink("/dev/full", folder.path().join(full)).unwrap();
        let error = write(folder.path(), Dtype::Bf16, shard_bytes / 2).unwrap_err().to_string();
        assert!(error.contains("space"), "{error}");
        assert_eq!(files(folder.path()), names, "no half files are left");
        let left = names.iter().map(|name| fs::read(folder.path().join(name)).unwrap()).collect::<Vec<_>>();
        assert_eq!(left, old);
    }
}

#[test]
fn wrong_names_and_shapes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), Dtype::F32, u64::MAX).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let error = checkpoint.read_f32("lm_head.weight", &[1], &mut [0.0]).unwrap_err().to_string();
    assert!(error.contains("no tensor `lm_head.weight`"), "{error}");
    let error = checkpoint.read_f32("model.norm.weight", &[2, 4], &mut [0.0; 8]).unwrap_err().to_string();
    assert!(error.contains("[8]") && error.contains("[2, 4]") && error.contains("model.norm.weight"), "{error}");
    let twice = [TensorInfo::new("a", [1]), TensorInfo::new("a", [1])];
    assert!(Writer::new(folder.path(), Dtype::F32).write(&twice, |_, sink| sink.push(&[1.0])).is_err());
}

fn safetensors_file(header: &str, data: &[u8]) -> Vec<u8> {
    [(header.len() as u64).to_le_bytes().as_slice(), header.as_bytes(), data].concat()
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let good = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let cases = [
        (vec![], "no file with weights"),
        (vec![1, 2, 3], "damaged"),
        (u64::MAX.to_le_bytes().to_vec(), "damaged"),
        (safetensors_file(good, &[0; 7]), "damaged"),
        (safetensors_file(good, &[0; 9]), "damaged"),
        (safetensors_file(r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, &[0; 8]), "damaged"),
        (safetensors_file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, &[0; 8]), "damaged"),
        (
            safetensors_file(r#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}}"#, &[0; 8]),
            "damaged",
        ),
        (
            safetensors_file(
                r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#,
                &[0; 2],
            ),
            "`a` twice",
        ),
    ];
    for (bytes, said) in cases {
        fs::write(&path, bytes).unwrap();
        let error = problem(Checkpoint::open(folder.path()));
        assert!(error.contains(said), "{error}");
    }
    fs::write(&path, safetensors_file(r#"{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#, &[0; 8])).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap().read_f32("a", &[1], &mut [0.0]).unwrap_err().to_string();
    assert!(error.contains("I64") && error.contains("float32"), "{error}");
    let shape = [0, 1 << 40, 1 << 40];
    let header = r#"{"a":{"dtype":"F32","shape":[0,1099511627776,1099511627776],"data_offsets":[0,0]}}"#;
    fs::write(&path, safetensors_file(header, &[])).unwrap();
    Checkpoint::open(folder.path()).unwrap().read_f32("a", &shape, &mut []).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(problem(Checkpoint::open(folder.path())).contains("safe_serialization"));
}

#[test]
fn an_index_that_does_not_fit_its_shards_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), Dtype::F32, 600).unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    let good = fs::read_to_string(&index).unwrap();
    let first = "model-00001-of-00002.safetensors";
    let second = "model-00002-of-00002.safetensors";
    let cases = [
        (good.replace(first, "../secret.safetensors"), "no file of the folder"),
        (good.replace(first, "/etc/passwd"), "no file of the folder"),
        (good.replace(first, ".."), "no file of the folder"),
        (good.replace(first, "model-00003-of-00002.safetensors"), "missing"),
        (good.replace("model.norm.weight", "model.other.weight"), "model.other.weight"),
        (good.replace(r#""empty""#, r#""nothing""#), "`nothing`"),
        ("{}".into(), "weight_map"),
        ("{\"weight_map\": {\"a\": 7}}".into(), "no file of the folder"),
        ("not json".into(), "not a JSON object"),
    ];
    for (text, said) in cases {
        fs::write(&index, text).unwrap();
        let error = problem(Checkpoint::open(folder.path()));
        assert!(error.contains(said), "{said}: {error}");
    }
    fs::write(&index, &good).unwrap();
    fs::copy(folder.path().join(first), folder.path().join(second)).unwrap();
    assert!(problem(Checkpoint::open(folder.path())).contains("so has"));
    fs::remove_file(folder.path().join(second)).unwrap();
    assert!(problem(Checkpoint::open(folder.path())).contains("missing"));
}
