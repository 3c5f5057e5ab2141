//! Alerts over HTTP: the contract, the explanations, and that the same alert gives the same bytes.

mod support;

use std::path::{Path, PathBuf};

use deciders::calibration::Logistic;
use deciders::trees::{Artifact, Manifest};
use desks::alerts::{Context, Kind, Plan};
use serde_json::{Value, json};
use server::Settings;
use support::{Running, folder, settings};

/// A model on four features, one of them of the features table, trained on made-up rows.
fn model(names: &[&str]) -> trees::Model {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let width = names.len();
    let value = |index: usize| ((index * 7919 + 13) % 101) as f64 / 10.0;
    let rows: Vec<f64> = (0..400 * width).map(value).collect();
    let labels: Vec<f64> =
        rows.chunks_exact(width).map(|row| f64::from(u8::from(row.iter().sum::<f64>() > 5.0 * width as f64))).collect();
    let table = trees::Table { names: &names, rows: &rows, labels: &labels, weights: None, groups: None };
    let mut parameters = trees::Parameters::default();
    for (name, value) in [("objective", "binary"), ("num_iterations", "20")] {
        parameters.set(name, value).expect("a parameter");
    }
    trees::train(&table, None, &parameters, &mut |_, _| {}).expect("a model").model
}

fn artifact(folder: &Path, kind: &str, names: &[&str]) -> PathBuf {
    let manifest = Manifest {
        kind: kind.to_owned(),
        calibration: Some(Logistic { slope: 0.8, intercept: -0.3 }),
        ..Manifest::default()
    };
    let path = folder.join(kind.replace('/', "-"));
    Artifact::new(model(names), manifest).save(&path).expect("saved");
    path
}

const ALERT: [&str; 4] = ["severity", "alert_confidence", "in_degree", "address.degree_in"];
const CLUSTER: [&str; 3] = ["total_alerts", "density", "mean_in_degree"];

fn serving(name: &str) -> Settings {
    let folder = folder(&format!("alerts-{name}"));
    let paths = [
        artifact(&folder, "alerts/scorer", &ALERT),
        artifact(&folder, "alerts/ranker", &ALERT),
        artifact(&folder, "alerts/cluster", &CLUSTER),
    ];
    Settings { rules: None, alerts: paths.map(|path| path.display().to_string()).to_vec(), ..settings(name) }
}

fn batch(count: usize) -> Value {
    let severities = ["low", "medium", "high", "critical"];
    let alerts: Vec<Value> = (0..count)
        .map(|index| {
            json!({"alert_id": format!("a{index:03}"), "address": format!("x{}", index % 17), "severity": severities[index % 4],
                   "alert_confidence_score": (index * 37 % 100) as f64 / 100.0, "volume_usd": "12.50", "evidence_json": "{}"})
        })
        .collect();
    let features: Vec<Value> =
        (0..17).map(|index| json!({"address": format!("x{index}"), "degree_in": index, "note": "text"})).collect();
    let flows: Vec<Value> = (0..60)
        .map(|index| {
            json!({"source_address": format!("x{}", index * 5 % 17), "dest_address": format!("x{}", index * 3 % 17),
                   "amount_usd": "100", "timestamp": 1000 * index, "asset": "USD", "tx_hash": "h", "network": "n"})
        })
        .collect();
    json!({"alerts": alerts, "features": features, "money_flows": flows,
           "clusters": [{"cluster_id": "c1", "total_alerts": 2, "addresses_involved": ["x1", "x2"], "related_alert_ids": ["a001"]}]})
}

/// Answers by identifier, without the time that they took.
fn answers(running: &Running, path: &str, batch: &Value) -> Vec<(String, Value)> {
    let reply = running.post(path, &batch.to_string());
    assert_eq!(reply.status, 200, "{}", reply.body);
    let list = reply.json().as_array().expect("a bare array").clone();
    list.into_iter()
        .map(|mut item| {
            let fields = item.as_object_mut().expect("an object");
            fields.remove("latency_ms");
            let id =
                fields.get("alert_id").or(fields.get("cluster_id")).and_then(Value::as_str).expect("an identifier");
            (id.to_owned(), item)
        })
        .collect()
}

#[test]
fn scores_are_the_artifacts_and_explained_in_full() {
    let settings = serving("explained");
    let artifact = Artifact::load(Path::new(&settings.alerts[0]), "alerts/scorer").expect("an artifact");
    let running = Running::start(&settings);
    let request = batch(30);
    let read: desks::alerts::Batch = serde_json::from_value(request.clone()).expect("a batch");
    let plan = Plan::named(Kind::Alert, &artifact.model().feature_names).expect("a plan");
    let scored = artifact.score_rows(&plan.rows(&Context::new(&read)), 5);
    for ((id, item), (alert, scored)) in
        answers(&running, "/score/alerts", &request).iter().zip(read.alerts.iter().zip(&scored))
    {
        assert_eq!(*id, alert.alert_id);
        assert_eq!(item["score"], json!(scored.score));
        let explained: Value = serde_json::from_str(item["explain_json"].as_str().expect("text")).expect("JSON");
        let names = explained["top_features"].as_array().expect("names");
        assert!(!names.is_empty() && names.len() <= 5);
        for (name, (column, size)) in names.iter().zip(&scored.top) {
            assert_eq!(name, ALERT[*column]);
            assert_eq!(explained["feature_contributions"][ALERT[*column]], json!(size));
        }
        assert_eq!(explained["sentences"].as_array().map(Vec::len), Some(names.len()));
    }
    let (id, cluster) = answers(&running, "/score/clusters", &request).remove(0);
    assert_eq!(id, "c1");
    assert!(cluster["score"].as_f64().is_some_and(|score| (0.0..=1.0).contains(&score)));
}

#[test]
fn an_alert_is_the_same_whatever_comes_with_it_and_after_a_restart() {
    let settings = serving("same");
    let running = Running::start(&settings);
    let whole = answers(&running, "/score/alerts", &batch(100));
    let mut turned = batch(100);
    for list in ["alerts", "features", "money_flows"] {
        turned[list].as_array_mut().expect("a list").reverse();
    }
    let mut reversed = answers(&running, "/score/alerts", &turned);
    reversed.reverse();
    assert_eq!(whole, reversed);
    for index in [0, 41, 99] {
        let mut alone = batch(100);
        alone["alerts"] = json!([alone["alerts"][index]]);
        assert_eq!(answers(&running, "/score/alerts", &alone), whole[index..=index]);
    }
    let ranks = answers(&running, "/rank/alerts", &batch(100));
    assert_eq!(ranks, answers(&running, "/rank/alerts", &turned));
    let places: Vec<u64> = ranks.iter().filter_map(|(_, item)| item["rank"].as_u64()).collect();
    assert_eq!(places, (1..=100).collect::<Vec<_>>());
    drop(running);
    let again = Running::start(&Settings { serve_threads: 1, ..settings });
    assert_eq!(whole, answers(&again, "/score/alerts", &batch(100)));
}

#[test]
fn a_batch_that_cannot_be_scored_is_refused_by_field() {
    let running = Running::start(&serving("refused"));
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut batch = batch(3);
        change(&mut batch);
        let reply = running.post("/score/alerts", &batch.to_string());
        let field = reply.json()["error"]["field"].as_str().unwrap_or_default().to_owned();
        (reply.status, field)
    };
    let expected = |field: &str| (400, field.to_owned());
    assert_eq!(refused(&|batch| batch["alerts"][1]["alert_id"] = json!(7)), expected("alerts[1].alert_id"));
    assert_eq!(refused(&|batch| batch["alerts"][1]["alert_id"] = json!("a000")), expected("alerts[1].alert_id"));
    assert_eq!(refused(&|batch| batch["alerts"][2]["address"] = json!("")), expected("alerts[2].address"));
    assert_eq!(refused(&|batch| batch["alerts"][0]["volume_usd"] = json!("much")), expected("alerts[0].volume_usd"));
    assert_eq!(refused(&|batch| batch["features"][4] = json!({"degree_in": 1})), expected("features[4].address"));
    assert_eq!(refused(&|batch| batch["money_flows"] = json!({})), expected("money_flows"));
    assert_eq!(refused(&|batch| drop(batch.as_object_mut().map(|fields| fields.remove("alerts")))), expected("alerts"));
    assert_eq!(refused(&|batch| *batch = json!([[["a1", "x"]], [], [], []])), expected(""));
    assert_eq!(running.post("/score/alerts", r#"{"alerts":[],"features":[],"clusters":[]}"#).body, "[]");
}

#[test]
fn a_lightgbm_model_alone_serves_the_columns_of_the_features_table() {
    let mut settings = settings("lightgbm");
    let path = folder("alerts-lightgbm").join("model.txt");
    std::fs::write(&path, model(&["degree_in", "severity"]).to_text()).expect("written");
    settings.alerts = vec![format!("scorer={}", path.display())];
    let running = Running::start(&settings);
    let items = answers(&running, "/score/alerts", &batch(5));
    assert!(items.iter().any(|(_, item)| item["explain_json"].as_str().is_some_and(|text| text.contains("degree_in"))));
    assert_eq!(running.post("/rank/alerts", &batch(5).to_string()).status, 404);
}

/// A hub that every alert is about must not cost its size once per alert.
#[test]
fn a_hub_is_looked_at_once() {
    let running = Running::start(&serving("hub"));
    let alerts: Vec<Value> =
        (0..5000).map(|index| json!({"alert_id": format!("a{index}"), "address": "hub"})).collect();
    let flows: Vec<Value> = (0..20_000)
        .map(|index| json!({"from_address": format!("p{index}"), "to_address": "hub", "amount_usd": 1}))
        .collect();
    let features: Vec<Value> = (0..5000).map(|index| json!({"address": "hub", "degree_in": index})).collect();
    let begin = std::time::Instant::now();
    let batch = json!({"alerts": alerts, "features": features, "money_flows": flows});
    assert_eq!(answers(&running, "/score/alerts", &batch).len(), 5000);
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}

#[test]
fn an_artifact_of_another_kind_is_refused() {
    let mut settings = serving("kind");
    settings.alerts = vec![format!("ranker={}", settings.alerts[2])];
    let state = server::State::new(&settings).expect("a state");
    assert!(state.models()[0].load().is_err_and(|error| error.to_string().contains("alerts/cluster")));
}
