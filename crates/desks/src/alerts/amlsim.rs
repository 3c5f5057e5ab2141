//! Batches from the output of AMLSim (Suzumura and Kanezashi, IBM, 2018): `nodes.csv` and
//! `transactions.csv`, plain or gzipped.
//!
//! AMLSim raises no alerts. Every account that both received and sent money in a window is one here, right
//! where the simulator marks the account as fraudulent: a harder question than a monitoring system's alerts,
//! and one whose answer no threshold of ours has touched.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use jiff::ToSpan;
use jiff::civil::Date;

use super::facts::Flow;
use super::files::{self, Column};
use super::window::Window;

/// What to import.
#[derive(Clone, Debug)]
pub struct Import {
    /// `nodeid,isFraud,...`
    pub nodes: PathBuf,
    /// `sourceNodeId,targetNodeId,value,time`, the time in days.
    pub transactions: PathBuf,
    /// Days of a window.
    pub window_days: i64,
    /// The day that AMLSim calls 0.
    pub first_day: Date,
}

/// What cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be opened, or is cut short.
    #[error("failed to read {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The header is another.
    #[error("{} has no column `{column}`", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// What is needed.
        column: &'static str,
    },
    /// A line that does not fit.
    #[error("{}, line {line}: `{column}` holds no number that fits", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1 on.
        line: u64,
        /// The column.
        column: &'static str,
    },
    /// A batch cannot be written.
    #[error(transparent)]
    Write(#[from] files::Error),
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Imported {
    /// Windows with alerts.
    pub batches: usize,
    /// Transactions.
    pub flows: usize,
    /// Alerts.
    pub alerts: usize,
    /// Alerts on fraudulent accounts.
    pub right: usize,
}

impl Import {
    /// Reads both files and writes a batch for every window.
    ///
    /// # Errors
    /// When a file cannot be read or written, or a line does not fit.
    pub fn run(&self, out: &Path) -> Result<Imported, ImportError> {
        let mut fraudulent = HashSet::new();
        read(&self.nodes, ["nodeid", "isFraud"], |[node, fraud]| {
            if fraud != 0.0 {
                fraudulent.insert(node as i64);
            }
        })?;
        let mut windows: BTreeMap<i64, Vec<Flow>> = BTreeMap::new();
        read(&self.transactions, ["sourceNodeId", "targetNodeId", "value", "time"], |[from, to, value, time]| {
            let day = self.first_day.duration_since(jiff::civil::date(1970, 1, 1)).as_hours() as f64 * 3600.0;
            windows.entry((time as i64).div_euclid(self.window_days)).or_default().push(Flow {
                from_address: name(from),
                to_address: name(to),
                amount_usd: value,
                timestamp: day + time * 86_400.0,
                tx_count: 1.0,
                ..Flow::default()
            });
        })?;
        let mut imported = Imported::default();
        for (index, flows) in windows {
            let date = self.first_day.saturating_add(((index + 1) * self.window_days - 1).days()).to_string();
            let counts = self.write(out, &date, &flows, &fraudulent)?;
            imported.batches += usize::from(counts.alerts > 0);
            imported.flows += counts.flows;
            imported.alerts += counts.alerts;
            imported.right += counts.right;
        }
        Ok(imported)
    }

    fn write(
        &self,
        out: &Path,
        date: &str,
        flows: &[Flow],
        fraudulent: &HashSet<i64>,
    ) -> Result<Imported, files::Error> {
        let window = Window::new(&flows.iter().collect::<Vec<_>>());
        let mut names: Vec<&str> = flows.iter().map(|flow| flow.from_address.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let alerts: Vec<(&str, f64, bool)> = names
            .into_iter()
            .filter_map(|name| {
                let flows = window.address(name).filter(|flows| flows.in_degree > 0.0)?;
                let node = name.trim_start_matches('N').parse().unwrap_or(-1);
                Some((name, flows.in_volume + flows.out_volume, fraudulent.contains(&node)))
            })
            .collect();
        let right = alerts.iter().filter(|alert| alert.2).count();
        let counts = Imported { batches: 1, flows: flows.len(), alerts: alerts.len(), right };
        if alerts.is_empty() {
            return Ok(counts);
        }
        let same = |text: &str, count: usize| Column::Text(vec![text.to_owned(); count]);
        let days = |count: usize| Column::Whole(vec![self.window_days; count]);
        let text = |value: &dyn Fn(&str) -> String| Column::Text(alerts.iter().map(|alert| value(alert.0)).collect());
        let tables = [
            (
                "alerts",
                vec![
                    ("processing_date", same(date, alerts.len())),
                    ("window_days", days(alerts.len())),
                    ("alert_id", text(&|name| format!("{date}-{name}"))),
                    ("address", text(&str::to_owned)),
                    ("volume_usd", Column::Number(alerts.iter().map(|alert| alert.1).collect())),
                    ("ground_truth", Column::Truth(alerts.iter().map(|alert| alert.2).collect())),
                ],
            ),
            (
                "money_flows",
                vec![
                    ("from_address", Column::Text(flows.iter().map(|flow| flow.from_address.clone()).collect())),
                    ("to_address", Column::Text(flows.iter().map(|flow| flow.to_address.clone()).collect())),
                    ("amount_usd", Column::Number(flows.iter().map(|flow| flow.amount_usd).collect())),
                    ("timestamp", Column::Whole(flows.iter().map(|flow| flow.timestamp as i64).collect())),
                    ("processing_date", same(date, flows.len())),
                    ("window_days", days(flows.len())),
                ],
            ),
        ];
        let folder = out.join("snapshots/amlsim").join(date).join(self.window_days.to_string());
        files::write(&folder, &tables)?;
        Ok(counts)
    }
}

fn name(node: f64) -> String {
    format!("N{node:05}")
}

/// Hands the numbers of some columns of every line to `each`.
fn read<const N: usize>(
    path: &Path,
    columns: [&'static str; N],
    mut each: impl FnMut([f64; N]),
) -> Result<(), ImportError> {
    let open = |source| ImportError::Open { path: path.to_owned(), source };
    let file = File::open(path).map_err(open)?;
    let zipped = path.extension().is_some_and(|ending| ending == "gz");
    let input: Box<dyn Read> = if zipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut reader = csv::Reader::from_reader(input);
    let csv = |error: csv::Error| open(std::io::Error::other(error));
    let header = reader.headers().map_err(csv)?;
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        let found = header.iter().position(|name| name == column);
        *place = found.ok_or_else(|| ImportError::Column { path: path.to_owned(), column })?;
    }
    for record in reader.into_records() {
        let record = record.map_err(csv)?;
        let mut values = [0.0; N];
        for (index, value) in values.iter_mut().enumerate() {
            let line = record.position().map_or(0, csv::Position::line);
            let number = record[places[index]].trim().parse().ok();
            // Days of a few centuries, and identifiers that a double holds exactly.
            let most = if columns[index] == "time" { 100_000.0 } else { 9e15 };
            let number = number.filter(|number: &f64| number.abs() <= most);
            *value = number.ok_or_else(|| ImportError::Line { path: path.to_owned(), line, column: columns[index] })?;
        }
        each(values);
    }
    Ok(())
}
