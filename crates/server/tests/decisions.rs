//! Cases decided over HTTP by rules and by models: one line for each case, whoever is asked.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use decision::{Case, DecideError, Decider, Decision, Identity, Probabilities, Worker};
use server::{Opened, Opener, Settings, State};
use support::{Running, folder};

/// Decides by the number in the facts: panics at 3, is unsure at 2. One whose name is `alone` computes where it is asked, as
/// rules do.
struct Numbers(Identity);

impl Decider for Numbers {
    fn identity(&self) -> &Identity {
        &self.0
    }

    fn worker(&self) -> Box<dyn Worker + '_> {
        struct One;
        impl Worker for One {
            fn decide(&mut self, cases: &[Case<'_>]) -> Vec<Result<Decision, DecideError>> {
                cases.iter().map(|case| one(case.facts)).collect()
            }
        }
        Box::new(One)
    }

    fn prefers_batches(&self) -> bool {
        self.0.name != "alone"
    }
}

fn one(facts: &str) -> Result<Decision, DecideError> {
    match facts {
        "1" => Ok(Decision {
            outcome: "SAR".to_owned(),
            score: Some(0.75),
            probabilities: Some(Probabilities(vec![("CLEAR".to_owned(), 0.25), ("SAR".to_owned(), 0.75)])),
            ..Decision::default()
        }),
        "2" => Err(DecideError::Failed("cannot tell".to_owned())),
        "4" => Err(DecideError::Failed(lm::Error::Busy.to_string())),
        "3" => panic!("a fault made for this test"),
        _ => Err(DecideError::Unfit("no number".to_owned())),
    }
}

/// A server with the shipped rules, if wanted, and models of numbers.
fn running(name: &str, rules: bool, models: &[&str]) -> Running {
    let place = folder(name);
    let file = place.join("case.drl");
    std::fs::write(&file, desks::transactions::RULES).expect("a rule file");
    let model = models.iter().map(|model| place.join(model)).collect::<Vec<_>>();
    model.iter().for_each(|folder| std::fs::create_dir(folder).expect("a folder"));
    let settings = Settings {
        rules: rules.then_some(file),
        model,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..Settings::default()
    };
    let opener: Opener = Arc::new(|folder: &Path, _: &_| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let identity = Identity { name: name.clone(), version: "1".to_owned(), hash: "0".to_owned() };
        let decider: Arc<dyn Decider> = Arc::new(Numbers(identity.clone()));
        Ok(Opened { name, host: None, desk: Some("transactions"), decider: Some(decider), identity })
    });
    let running = Running::start_with(&settings, State::with_opener(&settings, opener, Vec::new()).expect("a state"));
    running.wait_until_ready();
    running
}

const DECISIONS: &str = "/v1/desks/transactions/decisions";
const PEP: &str = r#"{"person":{"pep":true,"kyc_verified":true,"avg_tx_amount_90d":100.0},"recent_tx":[]}"#;

#[test]
fn every_case_has_its_line() {
    let running = running("decisions-lines", true, &[]);
    let body = format!(r#"{{"cases":[{{"case_id":"a","facts":{PEP}}},[],{{"facts":{{}}}},{PEP}]}}"#);
    let answer = running.post(DECISIONS, &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = answer.json();
    assert_eq!(lines.as_array().map(Vec::len), Some(4));
    assert_eq!((&lines[0]["case_id"], &lines[0]["decision"]["outcome"]), (&"a".into(), &"REVIEW".into()));
    assert_eq!((&lines[0]["decided_by"]["name"], &lines[3]["case_id"]), (&"rules".into(), &"4".into()));
    assert_eq!((&lines[1]["line"], &lines[1]["decision"]), (&2.into(), &serde_json::Value::Null));
    assert!(lines[1]["error"].as_str().is_some_and(|error| error.contains("not a JSON object")), "{lines}");
    let alone = running.post(DECISIONS, &format!(r#"{{"case_id":"a","facts":{PEP}}}"#)).json();
    assert_eq!(alone, serde_json::json!([lines[0]]));
    assert_eq!(running.post(DECISIONS, r#"{"cases":[]}"#).json(), serde_json::json!([]));
}

#[test]
fn who_decides_is_named_or_the_only_one() {
    let running = running("decisions-with", true, &["one", "two"]);
    let cases = r#"{"cases":[{"facts":1},{"facts":2}]"#;
    let error = running.post(DECISIONS, &format!("{cases}}}")).refuses(400, "invalid_field");
    assert_eq!(error["field"], "with");
    assert!(error["message"].as_str().is_some_and(|message| message.contains("rules, one, two")), "{error}");
    for (path, body) in [
        (format!("{DECISIONS}?with=two"), format!("{cases}}}")),
        (DECISIONS.to_owned(), format!(r#"{cases},"with":"two"}}"#)),
    ] {
        let lines = running.post(&path, &body).json();
        assert_eq!((&lines[0]["decided_by"]["name"], &lines[0]["decision"]["score"]), (&"two".into(), &0.75.into()));
        assert_eq!((&lines[1]["error"], &lines[1]["line"]), (&"cannot tell".into(), &2.into()));
    }
    let error = running.post(&format!("{DECISIONS}?with=three"), r#"{"facts":1}"#).refuses(400, "invalid_field");
    assert!(error["message"].as_str().is_some_and(|message| message.contains("`three` is not served")), "{error}");
    running.post("/v1/desks/nothing/decisions", r#"{"facts":1}"#).refuses(404, "not_found");
    running.post(DECISIONS, "[1]").refuses(400, "not_json");
    running.post(DECISIONS, "{").refuses(400, "not_json");
    running.post(&format!("{DECISIONS}?with=one"), r#"{"facts":3}"#).refuses(500, "internal");
    assert_eq!(running.post(&format!("{DECISIONS}?with=one"), r#"{"facts":1}"#).status, 200);
}

#[test]
fn a_request_has_its_bounds_and_a_model_without_room_is_busy() {
    let running = running("decisions-bounds", false, &["one"]);
    let cases = |count: usize| format!(r#"{{"cases":[{}]}}"#, vec![r#"{"facts":1}"#; count].join(","));
    let error = running.post(DECISIONS, &cases(1001)).refuses(400, "invalid_field");
    assert!(
        error["field"] == "cases" && error["message"].as_str().is_some_and(|text| text.contains("1000")),
        "{error}"
    );
    let lines = running.post(DECISIONS, &cases(1000)).json();
    let lines = lines.as_array().expect("lines");
    assert!(lines.len() == 1000 && lines.iter().all(|line| line["decision"]["outcome"] == "SAR"));
    assert_eq!(lines[999]["case_id"], "1000");
    running.post(DECISIONS, r#"{"cases":[{"facts":4},{"facts":2}]}"#).refuses(503, "busy");
    let lines = running.post(DECISIONS, r#"{"cases":[{"facts":4},{"facts":1}]}"#).json();
    assert!(lines[0]["error"].as_str().is_some_and(|error| error.contains("too many requests")), "{lines}");
    assert_eq!(lines[1]["decision"]["outcome"], "SAR");
    for path in [format!("{DECISIONS}?with=one&with=two"), "/predict?with=one&with=two".to_owned()] {
        assert_eq!(running.post(&path, r#"{"facts":1}"#).refuses(400, "invalid_field")["field"], "query");
    }
}

#[test]
fn what_computes_where_it_is_asked_takes_any_number_of_cases_as_rules_do() {
    let running = running("decisions-alone", false, &["alone"]);
    let body = format!(r#"{{"cases":[{}]}}"#, vec![r#"{"facts":1}"#; 1001].join(","));
    let lines = running.post(DECISIONS, &body).json();
    let lines = lines.as_array().expect("lines");
    assert!(lines.len() == 1001 && lines.iter().all(|line| line["decision"]["outcome"] == "SAR"));
    running.post(DECISIONS, r#"{"facts":3}"#).refuses(500, "internal");
}

#[test]
fn who_decides_is_not_guessed_while_a_model_is_loading() {
    let place = folder("decisions-loading");
    let file = place.join("case.drl");
    std::fs::write(&file, desks::transactions::RULES).expect("a rule file");
    let settings = Settings {
        rules: Some(file),
        model: vec![place.join("one")],
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..Settings::default()
    };
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let opener: Opener = Arc::new(move |_: &Path, _: &_| {
        let _ = wait.lock().expect("no panic").recv();
        Err("enough was seen".into())
    });
    let running = Running::start_with(&settings, State::with_opener(&settings, opener, Vec::new()).expect("a state"));
    let named = format!("{DECISIONS}?with=rules");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while running.post(&named, PEP).status != 200 {
        assert!(std::time::Instant::now() < end, "the rules are not loaded");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    running.post(DECISIONS, PEP).refuses(503, "loading");
    drop(go);
}

#[test]
fn a_prediction_is_one_decision_in_few_words() {
    let running = running("decisions-predict", false, &["one"]);
    let answer = running.post("/predict", r#"{"facts":1}"#);
    let expected =
        r#"{"decision":"SAR","escalation":2,"reasons":[],"score":0.75,"probabilities":{"CLEAR":0.25,"SAR":0.75}}"#;
    assert_eq!((answer.status, answer.body.as_str()), (200, expected));
    running.post("/predict", r#"{"facts":2}"#).refuses(422, "undecidable");
    running.post("/predict", r#"{"cases":[{"facts":1},{"facts":1}]}"#).refuses(400, "invalid_field");
    let rules = support::Running::start(&support::settings("decisions-none"));
    rules.post("/predict?with=one", r#"{"facts":1}"#).refuses(400, "invalid_field");
}
