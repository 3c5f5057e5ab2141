//! Ways to decide and what they say of it, from end to end: probabilities, calibration, cascades, endpoints.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use evaluate::Tolerance;
use serde_json::{Value, json};
use support::{cases, decide, folder, lines, probity, says, text, train};

const POSITIVE: [&str; 2] = ["SAR", "BLOCK"];

fn manifest(artifact: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(artifact.join("manifest.json")).expect("a manifest")).expect("JSON")
}

/// An artifact of a multihead model that has learned a little.
fn multihead(name: &str) -> PathBuf {
    let artifact = folder(name).join("artifact");
    // Five positive cases would be enough to assure half of them, if they had no say in the weights.
    let output = train("multihead", &artifact, &["--set", "cases.validation=200", "--set", "calibration.recall=0.5"]);
    assert!(output.status.success(), "{}", says(&output));
    assert!(says(&output).contains("recall 0.5 is NOT assured: the validation cases"), "{}", says(&output));
    artifact
}

/// That probabilities are of all outcomes, add up to 1, and make the score.
fn check_probabilities(decision: &Value) {
    let all = decision["probabilities"].as_object().unwrap_or_else(|| panic!("no probabilities: {decision}"));
    assert_eq!(all.keys().collect::<Vec<_>>(), ["CLEAR", "REVIEW", "SAR", "BLOCK"]);
    let sum: f64 = all.values().filter_map(Value::as_f64).sum();
    assert!((sum - 1.0).abs() < 4e-6, "{decision}");
    let positive: f64 = POSITIVE.iter().filter_map(|outcome| all[*outcome].as_f64()).sum();
    assert!((positive - decision["score"].as_f64().expect("a score")).abs() < 4e-6, "{decision}");
}

#[test]
fn a_decoder_that_knows_nothing_gives_valid_answers_with_their_probabilities() {
    let set = cases("deciding-valid", "120");
    let mut input = std::fs::read(set.join("cases.jsonl")).expect("cases");
    let odd = ["\"\\\u{0}{[", "\u{1F600}", &"x".repeat(10_000)].map(|word| {
        let facts = json!({"person": {"segment": word}, "recent_tx": [{"channel": word, "amount": 1e300}]});
        format!("{}\n", json!({"case_id": "odd", "facts": facts}))
    });
    input.extend_from_slice(odd.concat().as_bytes());
    let artifact = folder("deciding-valid-model").join("artifact");
    let output = train("decoder", &artifact, &["--set", "steps=2", "--set", "calibration.method=temperature"]);
    assert!(output.status.success(), "{}", says(&output));
    let decided = decide(&artifact, "2", &input);
    assert!(decided.status.success(), "{}", says(&decided));
    let answers = lines(&decided.stdout);
    assert_eq!(answers.len(), 123);
    for answer in &answers {
        check_probabilities(&answer["decision"]);
        // The outcome was the likeliest beginning, if not the likeliest outcome.
        let outcome = answer["decision"]["outcome"].as_str().expect("an outcome");
        assert!(answer["decision"]["probabilities"][outcome].as_f64() > Some(0.0), "{answer}");
    }
}

/// Whether a calibration has a recall, a share of false positives and an error of cases that were left out.
fn says_what_to_expect(calibration: &Value) -> bool {
    ["reached", "false_positive_rate", "error_after"].iter().all(|name| calibration[*name].is_number())
}

#[test]
fn an_artifact_is_calibrated_and_says_so() {
    let artifact = multihead("deciding-calibrated");
    let set = cases("deciding-calibrated-cases", "400");
    let labelled = set.join("cases.jsonl");
    let input = std::fs::read(&labelled).expect("cases");
    let trained = manifest(&artifact);
    assert_eq!(
        (&trained["calibration"]["method"], &trained["calibration"]["cases"]),
        (&json!("isotonic"), &json!(200))
    );
    assert!(trained["calibration"]["positives"].as_u64() >= Some(5), "{trained}");
    let assured = ["confidence", "misses"].map(|name| &trained["calibration"][name]);
    assert_eq!(assured, [&json!(0.0), &Value::Null]);
    // What it comes to on cases that it was fitted to is nowhere told.
    assert_eq!(trained["scorecards"][0]["calibration_error"], trained["calibration"]["error_after"]);
    assert_eq!(trained["scorecards"][0]["at_threshold"][1], trained["calibration"]["reached"]);
    // As an older program wrote it.
    let mut old = trained.clone();
    old.as_object_mut().expect("an object").remove("calibration");
    std::fs::write(artifact.join("manifest.json"), old.to_string()).expect("written");
    let plain = lines(&decide(&artifact, "1", &input).stdout);
    check_probabilities(&plain[0]["decision"]);
    std::fs::write(artifact.join("manifest.json"), trained.to_string()).expect("written");
    let calibrate = |more: &[&str]| {
        let arguments = ["calibrate", "transactions", "--with", text(&artifact), "--cases", text(&labelled)];
        probity(&[&arguments[..], more].concat(), b"")
    };
    let output = calibrate(&["--method", "temperature", "--recall", "0.9"]);
    assert!(output.status.success(), "{}", says(&output));
    let calibration = manifest(&artifact)["calibration"].clone();
    assert_eq!((&calibration["method"], &calibration["cases"]), (&json!("temperature"), &json!(400)));
    assert!(calibration["cases_sha256"].as_str().is_some_and(|digest| digest.len() == 64));
    assert!(says_what_to_expect(&calibration), "{calibration}");
    let positives = calibration["positives"].as_u64().expect("a count") as usize;
    let misses = Tolerance { recall: 0.9, confidence: 0.95 }.misses(positives).expect("enough positive cases");
    assert_eq!((&calibration["misses"], &calibration["unscored"]), (&json!(misses), &json!(0)));
    let standing = format!(
        "\nrecall 0.9 is assured with confidence 0.95: the threshold misses {misses} at most of {positives} positive cases\n"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains(&standing), "{}", says(&output));
    // What was measured is what decides now, and not what it was before.
    let measured: Value =
        serde_json::from_slice(&std::fs::read(artifact.join("scorecard.json")).expect("a scorecard")).expect("JSON");
    assert_eq!((&measured["set"], &measured["cases"]), (&json!(text(&labelled)), &json!(400)));
    assert_eq!(measured["ranking"]["calibration_error"], calibration["error_after"]);
    let card = manifest(&artifact)["scorecards"][0].clone();
    assert!(
        card["accuracy"].is_number() && card.get("calibration_error").is_none() && card.get("at_threshold").is_none()
    );
    let decided = decide(&artifact, "1", &input);
    let calibrated = lines(&decided.stdout);
    assert_ne!(calibrated[0]["decided_by"]["hash"], plain[0]["decided_by"]["hash"]);
    assert_eq!(measured["decided_by"]["hash"], calibrated[0]["decided_by"]["hash"]);
    calibrated.iter().for_each(|line| check_probabilities(&line["decision"]));
    let score = |line: &Value| line["decision"]["score"].as_f64().expect("a score");
    let mut pairs: Vec<(f64, f64)> = plain.iter().zip(&calibrated).map(|(a, b)| (score(a), score(b))).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(pairs.windows(2).all(|pair| pair[0].1 <= pair[1].1), "a calibration keeps the order");
    assert!(pairs.iter().any(|(before, after)| before != after));
    let arguments = ["evaluate", "transactions", "--truth", text(&labelled), "--artifact", text(&artifact)];
    let figures = String::from_utf8_lossy(&probity(&arguments, &decided.stdout).stdout).into_owned();
    assert!(figures.contains("at the threshold"), "{figures}");
    let reached = figures.split("recall ").nth(1).and_then(|rest| rest.split(',').next()?.parse::<f64>().ok());
    assert!(reached >= Some(0.9), "{figures}");
    assert_eq!(calibrate(&["--recall", "1.5"]).status.code(), Some(2));
    std::fs::write(&labelled, input.split_inclusive(|b| *b == b'\n').take(1).collect::<Vec<_>>().concat())
        .expect("a file");
    let output = calibrate(&[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(says(&output).contains("both kinds are needed"), "{}", says(&output));
    assert_eq!(manifest(&artifact)["calibration"], calibration, "a failure leaves what was there");
    let mut broken = manifest(&artifact);
    broken["calibration"]["parameters"] = json!(-1.0);
    std::fs::write(artifact.join("manifest.json"), broken.to_string()).expect("written");
    assert!(says(&decide(&artifact, "1", b"{}\n")).contains("no rising curve"));
}

#[test]
fn a_cascade_leaves_what_is_unsure_to_the_rules() {
    let artifact = multihead("deciding-cascade");
    let set = cases("deciding-cascade-cases", "400");
    let labelled = set.join("cases.jsonl");
    let input = std::fs::read(&labelled).expect("cases");
    let file = set.join("cascade.toml");
    let stages = format!(
        "# ours\n[[stage]]\nwith = {:?}\ncost = 1\n\n[[stage]]\nwith = \"rules\"\ncost = 20\n",
        text(&artifact)
    );
    std::fs::write(&file, &stages).expect("a file");
    let with = format!("cascade={}", text(&file));
    let report = set.join("report.json");
    let decide = || probity(&["decide", "transactions", "--with", &with, "--report", text(&report)], &input);
    let output = decide();
    assert_eq!(output.status.code(), Some(2));
    assert!(says(&output).contains("cascade fit"), "{}", says(&output));
    let arguments = ["cascade", "fit", text(&file), "--cases", text(&labelled), "--recall", "0.99"];
    // So few cases cannot assure so much; the bands miss none of them.
    let unsure = probity(&arguments, b"");
    assert_eq!(unsure.status.code(), Some(1), "{}", says(&unsure));
    let told = String::from_utf8_lossy(&unsure.stdout).into_owned();
    assert!(told.contains("recall 0.99 is NOT assured") && told.contains("299 are needed"), "{told}");
    let fitted = |name: &str| {
        let text = std::fs::read_to_string(&file).expect("the file");
        assert!(text.starts_with("# ours\n[[stage]]"), "{text}");
        text.parse::<toml::Table>().expect("TOML")["fitted"].get(name).cloned()
    };
    assert_eq!((fitted("assured"), fitted("misses")), (Some(false.into()), None));
    let output = probity(&[&arguments[..6], &["0.9", "--confidence", "0.8"]].concat(), b"");
    assert!(output.status.success(), "{}", says(&output));
    assert_eq!((fitted("assured"), fitted("confidence")), (Some(true.into()), Some(0.8.into())));
    let [positives, misses] = ["positives", "misses"].map(|name| fitted(name).and_then(|count| count.as_integer()));
    let positives = positives.expect("a count") as usize;
    let allowed = Tolerance { recall: 0.9, confidence: 0.8 }.misses(positives).expect("enough positive cases");
    assert_eq!(misses, Some(allowed as i64));
    let standing = format!(
        "\nrecall 0.9 is assured with confidence 0.8: {allowed} misses at most of {positives} positive cases that the bands \
         were not drawn up on\n"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains(&standing), "{}", says(&output));
    let decided = decide();
    assert!(decided.status.success(), "{}", says(&decided));
    let answers = lines(&decided.stdout);
    let by = |name: &str| answers.iter().filter(|line| line["decided_by"]["name"] == name).count();
    let (first, rules) = (by("multihead:transactions"), by("rules"));
    assert!(first > 0 && rules > 0 && first + rules == 400, "{first} and {rules}");
    assert!(answers.iter().all(|line| line["cascade"]["name"] == "cascade:transactions"));
    let report: Value = serde_json::from_slice(&std::fs::read(&report).expect("a report")).expect("JSON");
    let account = &report["account"];
    assert_eq!(account["stages"][1]["asked"], rules);
    assert_eq!((&account["cost"], &account["last_alone"]), (&json!((400 + 20 * rules) as f64), &json!(8000.0)));
    assert!(says(&decided).contains("on to rules"), "{}", says(&decided));
    let card = set.join("card.json");
    let arguments = ["evaluate", "transactions", "--truth", text(&labelled), "--json", text(&card)];
    assert!(probity(&arguments, &decided.stdout).status.success());
    let card: Value = serde_json::from_slice(&std::fs::read(card).expect("a scorecard")).expect("JSON");
    assert_eq!(card["decided_by"]["name"], "cascade:transactions");
    let found = |outcome: usize| card["confusion"][outcome][2].as_u64().zip(card["confusion"][outcome][3].as_u64());
    let found: u64 = [2, 3].iter().filter_map(|outcome| found(*outcome)).map(|(sar, block)| sar + block).sum();
    let positive = card["classes"][2]["support"].as_u64().zip(card["classes"][3]["support"].as_u64());
    let positive = positive.map_or(0, |(sar, block)| sar + block);
    assert!(found as f64 >= 0.9 * positive as f64, "{found} of {positive}");
    std::fs::write(&file, format!("{stages}\n[[stage]]\nwith = {with:?}\ncost = 1\n")).expect("a file");
    assert_eq!(decide().status.code(), Some(2), "a cascade in a cascade could be its own");
}

#[test]
fn an_endpoint_decides() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut length = 0;
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                let value = line.to_lowercase().strip_prefix("content-length:").map(|value| value.trim().to_owned());
                length = value.map_or(length, |value| value.parse().expect("a length"));
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            let bad = body["messages"][0]["content"].as_str().is_some_and(|text| text.contains("\"pep\":true"));
            let text = match bad {
                true => r#"{"reasons":["PEP"],"aml_decision":"REVIEW","escalation_level":1}"#,
                false => r#"{"reasons":[],"aml_decision":"CLEAR","escalation_level":3}"#,
            };
            let answer = json!({"choices": [{"finish_reason": "stop", "message": {"content": text}}]}).to_string();
            let length = answer.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = (&stream).write_all((head + &answer).as_bytes());
        }
    });
    let with = format!("remote=http://{address},model=m,retries=0");
    let input = b"{\"person\":{\"pep\":true}}\n{\"person\":{\"pep\":false}}\n";
    let output = probity(&["decide", "transactions", "--with", &with], input);
    let answers = lines(&output.stdout);
    assert_eq!(answers[0]["decision"]["outcome"], "REVIEW");
    assert_eq!(answers[0]["decided_by"]["name"], format!("remote:{address}:m"));
    let error = answers[1]["error"].as_str().unwrap_or_default();
    assert!(error.contains("CLEAR and level 3, which contradict each other"), "{}", answers[1]);
    assert!(says(&output).contains("2 requests"), "{}", says(&output));
    let wrong = probity(&["decide", "transactions", "--with", "remote=nowhere"], b"");
    assert_eq!(wrong.status.code(), Some(2));
}
