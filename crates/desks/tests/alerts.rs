//! The alerts desk on its own batches: what is written reads back, and what is broken is named.

use std::fs;
use std::path::{Path, PathBuf};

use desks::alerts::files::{self, Column, Error};
use desks::alerts::generate::{Generator, Settings};
use desks::alerts::{Context, Kind, Plan, Snapshot};

/// A folder that is removed when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("probity-alerts-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn settings() -> Settings {
    Settings { accounts: 400, weeks: 2, seed: 3, first_day: jiff::civil::date(2025, 1, 5) }
}

fn write(out: &Path) -> Vec<PathBuf> {
    let mut generator = Generator::new(settings());
    (0..2).map(|week| generator.write_week(week, out).expect("a batch").0).collect()
}

#[test]
fn batches_read_back_and_are_the_same_each_time() {
    let (one, two) = (Folder::new("one"), Folder::new("two"));
    let (first, second) = (write(&one.0), write(&two.0));
    for (a, b) in first.iter().zip(&second) {
        for name in ["alerts", "features", "money_flows"] {
            let read = |folder: &Path| fs::read(folder.join(format!("{name}.parquet"))).expect("a table");
            assert!(read(a) == read(b), "{name}");
        }
    }
    assert_eq!(files::find(&one.0).expect("batches"), first);
    let snapshot = Snapshot::read(&first[1]).expect("a batch");
    assert_eq!((snapshot.date.as_str(), snapshot.window_days), ("2025-01-12", 7));
    let batch = &snapshot.batch;
    assert!(batch.alerts.len() > 20 && batch.money_flows.len() > 500, "{}", batch.alerts.len());
    assert!(batch.alerts.iter().all(|alert| alert.ground_truth.is_some() && alert.volume_usd > 0.0));
    assert!(batch.alerts.iter().any(|alert| !alert.risk_indicators.is_empty()));
    let plan = Plan::all(Kind::Alert, &[batch]);
    let rows = plan.rows(&Context::new(batch));
    let known = |name: &str| {
        let column = plan.names().iter().position(|known| known == name).unwrap_or_else(|| panic!("{name}"));
        rows.iter().skip(column).step_by(plan.names().len()).filter(|value| value.is_finite()).count()
    };
    for name in ["severity", "in_degree", "page_rank", "hours_held", "address.degree_in", "address.is_mixer_like"] {
        assert!(known(name) * 10 > batch.alerts.len() * 7, "{name}: {}", known(name));
    }
    assert!(!plan.names().iter().any(|name| name.contains("truth") || name.contains("risk_level")));
}

#[test]
fn what_is_broken_is_named() {
    let folder = Folder::new("broken");
    let batch = write(&folder.0).remove(0);
    let (alerts, meta) = (batch.join("alerts.parquet"), batch.join("META.json"));
    let whole = fs::read(&alerts).expect("a table");
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    fs::write(&alerts, &changed).expect("written");
    assert!(matches!(Snapshot::read(&batch), Err(Error::Sum { .. })));
    fs::remove_file(&meta).expect("removed");
    fs::write(&alerts, &whole[..whole.len() / 2]).expect("written");
    assert!(matches!(Snapshot::read(&batch), Err(Error::Parquet { .. })));
    let ids = |list: &[&str]| Column::Text(list.iter().map(|item| (*item).to_owned()).collect());
    files::write(&batch, &[("alerts", vec![("alert_id", ids(&["a"]))])]).expect("written");
    fs::remove_file(&meta).expect("removed");
    assert!(matches!(Snapshot::read(&batch), Err(Error::Column { column: "address", .. })));
    let columns = |ids_of: &[&str], days: Column| {
        vec![
            ("alert_id", ids(ids_of)),
            ("address", ids(&["x", "y"])),
            ("processing_date", ids(&["2025-01-05", "2025-01-05"])),
            ("window_days", days),
        ]
    };
    files::write(&batch, &[("alerts", columns(&["a", "a"], Column::Whole(vec![7, 7])))]).expect("written");
    fs::remove_file(&meta).expect("removed");
    assert!(matches!(Snapshot::read(&batch), Err(Error::Batch { .. })));
    files::write(&batch, &[("alerts", columns(&["a", "b"], ids(&["7", "many"])))]).expect("written");
    fs::remove_file(&meta).expect("removed");
    match Snapshot::read(&batch) {
        Err(Error::Row { row: 2, column, .. }) => assert_eq!(column, "window_days"),
        other => panic!("{other:?}"),
    }
    fs::remove_file(&alerts).expect("removed");
    assert!(matches!(files::find(&batch), Err(Error::Nothing { .. })));
}

/// Damaged files are errors or batches, never a panic. `ROBUSTNESS_SECONDS` sets how long to try.
#[test]
fn damaged_tables_do_not_panic() {
    use rand::{Rng, SeedableRng};
    let seconds = std::env::var("ROBUSTNESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let folder = Folder::new("damaged");
    let batch = write(&folder.0).remove(0);
    fs::remove_file(batch.join("META.json")).expect("removed");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let names = ["alerts", "features", "clusters"];
    let tables: Vec<Vec<u8>> =
        names.iter().map(|name| fs::read(batch.join(format!("{name}.parquet"))).unwrap_or_default()).collect();
    fs::remove_file(batch.join("money_flows.parquet")).expect("removed");
    while std::time::Instant::now() < end {
        for (name, table) in names.iter().zip(&tables).filter(|(_, table)| !table.is_empty()) {
            let mut bytes = table.clone();
            for _ in 0..random.random_range(1..6) {
                // The footer is where a reader can be led astray.
                let from = if random.random_bool(0.7) { bytes.len().saturating_sub(1500) } else { 0 };
                let place = random.random_range(from..bytes.len());
                bytes[place] = random.random();
            }
            fs::write(batch.join(format!("{name}.parquet")), &bytes).expect("written");
            if let Ok(snapshot) = Snapshot::read(&batch) {
                let plan = Plan::all(Kind::Alert, &[&snapshot.batch]);
                plan.rows(&Context::new(&snapshot.batch));
            }
            fs::write(batch.join(format!("{name}.parquet")), table).expect("written");
        }
    }
}
