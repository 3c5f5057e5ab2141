//! Batches as folders of Parquet files: `snapshots/<network>/<date>/<window_days>/` with `alerts`,
//! `features`, `clusters`, `money_flows`, `address_labels` and `META.json` with their MD5 sums.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md5::{Digest, Md5};
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::record::{Field, Row};
use parquet::schema::parser::parse_message_type;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::facts::{AddressLabel, Batch};

/// A folder with its batch.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Where it was read from.
    pub folder: PathBuf,
    /// Last day of the window, `YYYY-MM-DD`.
    pub date: String,
    /// Days that the window spans.
    pub window_days: i64,
    /// Its tables.
    pub batch: Batch,
    /// What is known of addresses from outside.
    pub labels: Vec<AddressLabel>,
}

/// A batch that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or written.
    #[error("failed to open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not Parquet, or broken.
    #[error("failed to read {}: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
    /// The file is damaged in a way that the Parquet reader does not survive.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A table without a column that every batch has.
    #[error("{} has no column `{column}`; it has {found}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// What is needed.
        column: &'static str,
        /// What is there.
        found: String,
    },
    /// A table without rows.
    #[error("{} has no rows", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A row that does not fit.
    #[error("{}, row {row} (counted from 1), column `{column}`: {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// From 1 on.
        row: usize,
        /// The column.
        column: String,
        /// What is wrong.
        problem: String,
    },
    /// A file that is not the one that `META.json` lists.
    #[error("{} differs from what META.json says: MD5 {found}, not {expected}", path.display())]
    Sum {
        /// The file.
        path: PathBuf,
        /// Of the file.
        found: String,
        /// Of `META.json`.
        expected: String,
    },
    /// `META.json` is not what it should be.
    #[error("{} is no list of files with their MD5 sums", path.display())]
    Meta {
        /// The file.
        path: PathBuf,
    },
    /// No batch anywhere.
    #[error("no alerts.parquet in or below {}", path.display())]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
    /// An identifier that is empty or occurs twice.
    #[error("{}: {source}", path.display())]
    Batch {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        source: super::facts::BatchError,
    },
}

/// Folders with a batch in or below a folder, in the order of their dates.
///
/// # Errors
/// When a folder cannot be listed, or there is no batch.
pub fn find(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        if folder.join("alerts.parquet").is_file() {
            found.push(folder);
            continue;
        }
        let list = std::fs::read_dir(&folder).map_err(|source| Error::Open { path: folder.clone(), source })?;
        // Links are not followed: one that leads back would never end.
        let folders = list.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        open.extend(folders.map(|entry| entry.path()));
    }
    if found.is_empty() {
        return Err(Error::Nothing { path: folder.to_owned() });
    }
    found.sort_by_key(|path| (date_of(path), path.clone()));
    Ok(found)
}

/// The date in a folder's path, if there is one.
fn date_of(path: &Path) -> String {
    let is_date = |name: &str| name.len() == 10 && name.parse::<jiff::civil::Date>().is_ok();
    let mut names = path.iter().filter_map(|name| name.to_str());
    names.rfind(|name| is_date(name)).unwrap_or_default().to_owned()
}

impl Snapshot {
    /// Reads and checks a folder.
    ///
    /// # Errors
    /// When a file is missing, broken, not the one that `META.json` lists, or lacks a column.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        check_sums(folder)?;
        let path = |name: &str| folder.join(format!("{name}.parquet"));
        let window = ["processing_date", "window_days"];
        let batch = Batch {
            alerts: read_table(&path("alerts"), &["alert_id", "address", window[0], window[1]])?,
            features: optional(&path("features"), &["address", window[0], window[1]])?,
            clusters: optional(&path("clusters"), &["cluster_id", window[0], window[1]])?,
            money_flows: optional(&path("money_flows"), &[])?,
        };
        batch.check().map_err(|source| Error::Batch { path: folder.to_owned(), source })?;
        let labels = optional(&path("address_labels"), &["address"])?;
        let first = batch.alerts.first();
        Ok(Self {
            folder: folder.to_owned(),
            date: first.map(|alert| alert.processing_date.clone()).unwrap_or_default(),
            window_days: first.map_or(0, |alert| alert.window_days),
            batch,
            labels,
        })
    }
}

fn optional<T: DeserializeOwned>(path: &Path, columns: &[&'static str]) -> Result<Vec<T>, Error> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    // A quiet week has no clusters; only alerts there must be.
    match read_table(path, columns) {
        Err(Error::Empty { .. }) => Ok(Vec::new()),
        read => read,
    }
}

/// Reads a table whose rows are `T`s.
fn read_table<T: DeserializeOwned>(path: &Path, columns: &[&'static str]) -> Result<Vec<T>, Error> {
    // The reader checks some of what a footer says with assertions.
    std::panic::catch_unwind(|| read_rows(path, columns))
        .unwrap_or_else(|_| Err(Error::Damaged { path: path.to_owned() }))
}

fn read_rows<T: DeserializeOwned>(path: &Path, columns: &[&'static str]) -> Result<Vec<T>, Error> {
    let file = File::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
    let broken = |source| Error::Parquet { path: path.to_owned(), source };
    let reader = SerializedFileReader::new(file).map_err(broken)?;
    let schema = reader.metadata().file_metadata().schema();
    let found: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
    if let Some(column) = columns.iter().find(|column| !found.contains(*column)) {
        return Err(Error::Column { path: path.to_owned(), column, found: found.join(", ") });
    }
    let mut list = Vec::new();
    for (index, row) in reader.get_row_iter(None).map_err(broken)?.enumerate() {
        let row = row.map_err(broken)?;
        let value = serde_path_to_error::deserialize(RowValue(row)).map_err(|error| Error::Row {
            path: path.to_owned(),
            row: index + 1,
            column: error.path().to_string(),
            problem: error.inner().to_string(),
        })?;
        list.push(value);
    }
    if list.is_empty() { Err(Error::Empty { path: path.to_owned() }) } else { Ok(list) }
}

/// Compares the files with the sums of `META.json`, where there is one.
fn check_sums(folder: &Path) -> Result<(), Error> {
    let path = folder.join("META.json");
    let Ok(text) = std::fs::read(&path) else { return Ok(()) };
    let meta = || Error::Meta { path: path.clone() };
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|_| meta())?;
    for (name, entry) in value["files"].as_object().ok_or_else(meta)? {
        let expected = entry["md5"].as_str().ok_or_else(meta)?.to_lowercase();
        // A name that points out of the folder is none of ours.
        if name.contains(['/', '\\']) {
            return Err(meta());
        }
        let path = folder.join(name);
        let bytes = std::fs::read(&path).map_err(|source| Error::Open { path: path.clone(), source })?;
        let found = sum(&bytes);
        if found != expected {
            return Err(Error::Sum { path, found, expected });
        }
    }
    Ok(())
}

fn sum(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A Parquet row as serde reads it.
struct RowValue(Row);

/// A Parquet value as serde reads it.
struct FieldValue(Field);

type DeError = de::value::Error;

impl<'de> Deserializer<'de> for RowValue {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        let entries = self.0.into_columns().into_iter().map(|(name, field)| (name, FieldValue(field)));
        visitor.visit_map(MapDeserializer::new(entries))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, DeError> for FieldValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Days since 1970 as a date.
fn date(days: i64) -> Option<String> {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.checked_add(jiff::Span::new().try_days(days).ok()?).ok().map(|date| date.to_string())
}

impl FieldValue {
    fn text(&self) -> Option<String> {
        const DAY: i64 = 86_400;
        match &self.0 {
            Field::Str(text) => Some(text.clone()),
            Field::Bytes(bytes) => String::from_utf8(bytes.data().to_vec()).ok(),
            Field::Date(days) => date(i64::from(*days)),
            Field::TimestampMillis(time) => date(time.div_euclid(1000 * DAY)),
            Field::TimestampMicros(time) => date(time.div_euclid(1_000_000 * DAY)),
            Field::Int(value) => Some(value.to_string()),
            Field::Long(value) => Some(value.to_string()),
            _ => None,
        }
    }
}

impl<'de> Deserializer<'de> for FieldValue {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match self.0 {
            Field::Null => visitor.visit_unit(),
            Field::Bool(value) => visitor.visit_bool(value),
            Field::Byte(value) => visitor.visit_i8(value),
            Field::Short(value) => visitor.visit_i16(value),
            Field::Int(value) => visitor.visit_i32(value),
            Field::Long(value) => visitor.visit_i64(value),
            Field::UByte(value) => visitor.visit_u8(value),
            Field::UShort(value) => visitor.visit_u16(value),
            Field::UInt(value) => visitor.visit_u32(value),
            Field::ULong(value) => visitor.visit_u64(value),
            Field::Float(value) => visitor.visit_f32(value),
            Field::Double(value) => visitor.visit_f64(value),
            Field::Decimal(ref value) => {
                // Big-endian two's complement of up to 16 bytes.
                let start = if value.data().first().is_some_and(|byte| *byte >= 0x80) { -1i128 } else { 0 };
                let whole = value.data().iter().fold(start, |whole, byte| whole << 8 | i128::from(*byte));
                visitor.visit_f64(whole as f64 / 10f64.powi(value.scale()))
            }
            Field::TimestampMillis(time) => visitor.visit_f64(time as f64 / 1e3),
            Field::TimestampMicros(time) => visitor.visit_f64(time as f64 / 1e6),
            Field::Group(row) => RowValue(row).deserialize_any(visitor),
            Field::ListInternal(list) => {
                let items = list.elements().iter().cloned().map(FieldValue).collect::<Vec<_>>();
                visitor.visit_seq(SeqDeserializer::new(items.into_iter()))
            }
            Field::MapInternal(_) | Field::Float16(_) | Field::TimeMillis(_) | Field::TimeMicros(_) => {
                visitor.visit_unit()
            }
            _ => match self.text() {
                Some(text) => visitor.visit_string(text),
                None => visitor.visit_unit(),
            },
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match self.text() {
            Some(text) => visitor.visit_string(text),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        if matches!(self.0, Field::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A column to write.
#[derive(Clone, Debug)]
pub enum Column {
    /// Text.
    Text(Vec<String>),
    /// Numbers; what is not finite is written as null.
    Number(Vec<f64>),
    /// Whole numbers.
    Whole(Vec<i64>),
    /// Truths.
    Truth(Vec<bool>),
    /// Lists of text.
    List(Vec<Vec<String>>),
}

/// Writes tables into a folder, and `META.json` beside them.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, tables: &[(&str, Vec<(&str, Column)>)]) -> Result<(), Error> {
    let open = |path: &Path, source| Error::Open { path: path.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(|source| open(folder, source))?;
    let mut sums = serde_json::Map::new();
    for (name, columns) in tables {
        let path = folder.join(format!("{name}.parquet"));
        let bytes = encode(columns).map_err(|source| Error::Parquet { path: path.clone(), source })?;
        std::fs::write(&path, &bytes).map_err(|source| open(&path, source))?;
        sums.insert(format!("{name}.parquet"), serde_json::json!({ "md5": sum(&bytes) }));
    }
    let path = folder.join("META.json");
    let meta = serde_json::json!({ "files": sums }).to_string() + "\n";
    std::fs::write(&path, meta).map_err(|source| open(&path, source))
}

fn encode(columns: &[(&str, Column)]) -> Result<Vec<u8>, ParquetError> {
    let fields: String = columns
        .iter()
        .map(|(name, column)| match column {
            Column::Text(_) => format!("required binary {name} (UTF8);\n"),
            Column::Number(_) => format!("optional double {name};\n"),
            Column::Whole(_) => format!("required int64 {name};\n"),
            Column::Truth(_) => format!("required boolean {name};\n"),
            Column::List(_) => {
                format!(
                    "required group {name} (LIST) {{ repeated group list {{ required binary element (UTF8); }} }}\n"
                )
            }
        })
        .collect();
    let schema = Arc::new(parse_message_type(&format!("message table {{ {fields} }}"))?);
    let properties =
        WriterProperties::builder().set_compression(Compression::SNAPPY).set_created_by("probity".to_owned()).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (_, column) in columns {
        let mut out = group.next_column()?.expect("a column for every field of the schema");
        encode_column(&mut out, column)?;
        out.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

fn encode_column(out: &mut SerializedColumnWriter<'_>, column: &Column) -> Result<(), ParquetError> {
    let text = |item: &String| ByteArray::from(item.as_bytes().to_vec());
    match column {
        Column::Text(list) => {
            let list: Vec<ByteArray> = list.iter().map(text).collect();
            out.typed::<ByteArrayType>().write_batch(&list, None, None)?;
        }
        Column::Number(list) => {
            let known: Vec<f64> = list.iter().copied().filter(|value| value.is_finite()).collect();
            let levels: Vec<i16> = list.iter().map(|value| i16::from(value.is_finite())).collect();
            out.typed::<DoubleType>().write_batch(&known, Some(&levels), None)?;
        }
        Column::Whole(list) => {
            out.typed::<Int64Type>().write_batch(list, None, None)?;
        }
        Column::Truth(list) => {
            out.typed::<BoolType>().write_batch(list, None, None)?;
        }
        Column::List(lists) => {
            // An empty list is defined down to level 0 only; items after the first repeat at level 1.
            let items: Vec<ByteArray> = lists.iter().flatten().map(text).collect();
            let (mut defined, mut repeated) = (Vec::new(), Vec::new());
            for list in lists {
                defined.extend(if list.is_empty() { vec![0] } else { vec![1; list.len()] });
                repeated.extend((0..list.len().max(1)).map(|place| i16::from(place > 0)));
            }
            out.typed::<ByteArrayType>().write_batch(&items, Some(&defined), Some(&repeated))?;
        }
    }
    Ok(())
}
