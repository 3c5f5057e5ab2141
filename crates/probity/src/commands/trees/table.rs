//! CSV tables of numbers: a header line, an empty cell for what is missing.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use anyhow::Context;

use crate::exit::InputError;

/// A CSV file, read row by row.
pub(crate) struct Table {
    reader: csv::Reader<Box<dyn Read + Send>>,
    header: Vec<String>,
    record: csv::ByteRecord,
    name: String,
}

/// A row that cannot be used.
#[derive(Debug)]
pub(crate) struct BadRow {
    /// One-based line in the file.
    pub(crate) line: u64,
    pub(crate) problem: String,
}

impl Table {
    /// Opens a file and reads its header; `-` is standard input.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let input: Box<dyn Read + Send> = Box::new(crate::streams::input(Some(path))?);
        let name = path.display().to_string();
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
        let header = reader.headers().with_context(|| format!("failed to read the header of {name}"))?;
        let header: Vec<String> = header.iter().map(|cell| cell.trim().to_owned()).collect();
        if header.is_empty() {
            return Err(InputError(format!("{name} is empty: a header line is needed")).into());
        }
        let mut seen = HashSet::new();
        for (index, column) in header.iter().enumerate() {
            if column.is_empty() {
                return Err(InputError(format!("column {} of {name} has no name", index + 1)).into());
            }
            if !seen.insert(trees::Model::feature_name(column)) {
                return Err(InputError(format!("{name} has two columns `{column}`")).into());
            }
        }
        Ok(Self { reader, header, record: csv::ByteRecord::new(), name })
    }

    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// The place of a column.
    pub(crate) fn column(&self, name: &str) -> anyhow::Result<usize> {
        self.header.iter().position(|column| column == name).ok_or_else(|| {
            InputError(format!("{} has no column `{name}`; it has {}", self.name, self.header.join(", "))).into()
        })
    }

    /// Where a model's features lie: by name where all names are there, else by place where the number of
    /// columns is the same.
    pub(crate) fn features(&self, names: &[String]) -> anyhow::Result<Vec<usize>> {
        let known: HashMap<String, usize> =
            self.header.iter().enumerate().map(|(place, column)| (trees::Model::feature_name(column), place)).collect();
        let places: Vec<Option<usize>> = names.iter().map(|name| known.get(name).copied()).collect();
        if let Some(places) = places.iter().copied().collect::<Option<Vec<usize>>>() {
            return Ok(places);
        }
        if names.len() == self.header.len() && places.iter().all(Option::is_none) {
            return Ok((0..names.len()).collect());
        }
        let absent: Vec<&str> =
            names.iter().zip(&places).filter(|(_, place)| place.is_none()).map(|(name, _)| name.as_str()).collect();
        Err(InputError(format!(
            "{} lacks {} of the model's {} features: {}",
            self.name,
            absent.len(),
            names.len(),
            absent[..absent.len().min(5)].join(", ")
        ))
        .into())
    }

    /// The text of a cell of the row read last.
    pub(crate) fn text(&self, column: usize) -> &[u8] {
        self.record.get(column).unwrap_or_default()
    }

    /// Reads the next row and adds the cells of those columns to `out`. On an error nothing is added, and
    /// the next call goes on with the next row. Nothing at the end of the file.
    pub(crate) fn next(&mut self, columns: &[usize], out: &mut Vec<f64>) -> Option<Result<u64, BadRow>> {
        let start = out.len();
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => return None,
            Ok(true) => {}
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                return Some(Err(BadRow { line, problem: error.to_string() }));
            }
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        if self.record.len() != self.header.len() {
            let problem = format!("{} cells where the header has {}", self.record.len(), self.header.len());
            return Some(Err(BadRow { line, problem }));
        }
        for &column in columns {
            match number(&self.record[column]) {
                Some(value) => out.push(value),
                None => {
                    out.truncate(start);
                    let problem = format!("column `{}` holds no number", self.header[column]);
                    return Some(Err(BadRow { line, problem }));
                }
            }
        }
        Some(Ok(line))
    }
}

/// A cell's number; not-a-number where nothing is known.
fn number(cell: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(cell).ok()?.trim();
    match text {
        "" | "NA" | "na" | "N/A" | "null" | "NULL" | "None" | "nan" | "NaN" => Some(f64::NAN),
        text => text.parse().ok(),
    }
}
