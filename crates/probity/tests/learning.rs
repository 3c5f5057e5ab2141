//! Models of the transactions desk from end to end: trained, opened, decided with, measured, resumed, refused.

mod support;

use std::path::Path;

use serde_json::Value;
use support::{cases, decide, folder, lines, probity, says, text, train};

#[test]
fn a_model_of_each_kind_learns_decides_and_is_measured() {
    let set = cases("learning-cases", "300");
    let test = set.join("cases.jsonl");
    let input = std::fs::read(&test).expect("cases");
    let rules = set.join("rules.json");
    let decided = probity(&["decide", "transactions", "--with", "rules"], &input);
    let evaluate = |card: &Path, decisions: &[u8]| {
        probity(&["evaluate", "transactions", "--truth", text(&test), "--json", text(card)], decisions)
    };
    assert!(evaluate(&rules, &decided.stdout).status.success());
    for kind in ["multihead", "decoder"] {
        let artifact = folder(&format!("learning-{kind}")).join("artifact");
        let more: &[&str] = match kind {
            "multihead" => &[],
            // A decoder has to learn to write first.
            _ => &["--set", "steps=120", "--set", "batch.tokens=3000", "--set", "model.layers=2"],
        };
        let output = train(kind, &artifact, more);
        assert!(output.status.success(), "{kind}: {}", says(&output));
        let decided = decide(&artifact, "1", &input);
        let answers = lines(&decided.stdout);
        assert_eq!(answers.len(), 300, "{}", says(&decided));
        assert_eq!(answers[7]["case_id"], lines(&input)[7]["case_id"]);
        let good = answers.iter().find(|answer| answer["decision"].is_object()).expect("a decision");
        assert_eq!(good["decided_by"]["name"], format!("{kind}:transactions"));
        let card = artifact.join("mine.json");
        assert!(evaluate(&card, &decided.stdout).status.success());
        let figures: Value = serde_json::from_slice(&std::fs::read(&card).expect("a scorecard")).expect("JSON");
        // Whoever always says CLEAR gives no reasons, and has nothing here.
        assert!(figures["reasons_f1"]["value"].as_f64() > Some(0.2), "{kind}: {}", figures["reasons_f1"]);
        assert!(figures["accuracy"]["value"].as_f64() > Some(0.5), "{kind}: {}", figures["accuracy"]);
        let compared = probity(&["compare", text(&rules), text(&card), "--fail-on-regression"], b"");
        assert_eq!(compared.status.code(), Some(1), "no such model is as good as the rules");
        let manifest = std::fs::read(artifact.join("manifest.json")).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        assert_eq!((&manifest["desk"], &manifest["kind"]), (&"transactions".into(), &kind.into()));
        assert_eq!(manifest["scorecards"][0]["cases"], 48);
    }
}

#[test]
fn answers_are_the_same_bytes_whatever_the_company_and_the_threads() {
    let set = cases("learning-company", "200");
    let mut input = std::fs::read(set.join("cases.jsonl")).expect("cases");
    let long = serde_json::json!({"recent_tx": vec![serde_json::json!({"amount": 1.0}); 257]});
    input.extend_from_slice(format!("{{\"facts\":[1]}}\nnonsense\n{{\"facts\":{long}}}\n{{}}\n").as_bytes());
    for kind in ["multihead", "decoder"] {
        let artifact = folder(&format!("learning-company-{kind}")).join("artifact");
        assert!(train(kind, &artifact, &["--set", "steps=8"]).status.success());
        let whole = decide(&artifact, "1", &input);
        assert_eq!(whole.status.code(), Some(3));
        assert!(decide(&artifact, "2", &input).stdout == whole.stdout, "{kind}: threads show");
        let answers = lines(&whole.stdout);
        for (place, problem) in [(200, "not a JSON object"), (201, "not a JSON object"), (202, "257 transactions")] {
            let error = answers[place]["error"].as_str().unwrap_or_default();
            assert!(error.contains(problem), "{kind}: {}", answers[place]);
        }
        let own: Vec<&[u8]> = whole.stdout.split_inclusive(|byte| *byte == b'\n').collect();
        let one_by_one = input.split_inclusive(|byte| *byte == b'\n').zip(&own).step_by(23);
        for (line, expected) in one_by_one.filter(|(_, answer)| !answer.starts_with(b"{\"case_id\":\"line")) {
            let alone = decide(&artifact, "1", line);
            // Lines without a name are named by their number.
            if lines(line)[0]["case_id"].is_string() {
                assert_eq!(
                    lines(&alone.stdout)[0]["decision"],
                    lines(expected)[0]["decision"],
                    "{kind}: company shows"
                );
            }
        }
    }
}

#[test]
fn a_run_that_was_cut_short_is_no_artifact_and_ends_as_if_it_had_not_been() {
    for kind in ["multihead", "decoder"] {
        let place = folder(&format!("learning-resume-{kind}"));
        let (whole, cut) = (place.join("whole"), place.join("cut"));
        assert!(train(kind, &whole, &["--set", "threads=1"]).status.success());
        // What a killed run leaves: checkpoints up to a step, and neither model nor manifest.
        assert!(train(kind, &cut, &["--set", "threads=2"]).status.success());
        for name in ["manifest.json", "summary.json", "scorecard.json"] {
            std::fs::remove_file(cut.join(name)).expect(name);
        }
        std::fs::remove_dir_all(cut.join("model")).expect("a model");
        std::fs::remove_dir_all(cut.join("checkpoints/step-40")).expect("a checkpoint");
        let refused = decide(&cut, "1", b"{}\n");
        assert_eq!(refused.status.code(), Some(3));
        assert!(says(&refused).contains("--resume"), "{}", says(&refused));
        let again = train(kind, &cut, &[]);
        assert!(says(&again).contains("resume the run"), "{}", says(&again));
        let other = train(kind, &cut, &["--resume", "--set", "optimizer.rate=0.02"]);
        assert!(says(&other).contains("optimizer.rate"), "{}", says(&other));
        assert!(train(kind, &cut, &["--resume"]).status.success());
        let model = |folder: &Path| std::fs::read(folder.join("model/model.safetensors")).expect("weights");
        assert!(model(&whole) == model(&cut), "{kind}: the weights differ");
        let hash =
            |folder: &Path| lines(&decide(folder, "1", b"{\"case_id\":\"a\"}\n").stdout)[0]["decided_by"].clone();
        assert_eq!(hash(&whole), hash(&cut));
    }
}

#[test]
fn a_model_that_does_not_pass_its_gate_is_no_artifact() {
    let out = folder("learning-gate").join("run");
    let gate = "phase=[{ name = \"only\", gate = { accuracy = 1.5 } }]";
    for resume in [&["--set", gate][..], &["--set", gate, "--resume"]] {
        let output = train("multihead", &out, resume);
        assert_eq!(output.status.code(), Some(1), "{}", says(&output));
        assert!(says(&output).contains("\"only\" did not pass its gate"), "{}", says(&output));
        assert!(out.join("model/model.safetensors").exists() && out.join("summary.json").exists());
        assert!(!out.join("manifest.json").exists() && !out.join("scorecard.json").exists());
    }
    let refused = decide(&out, "1", b"{}\n");
    assert_eq!(refused.status.code(), Some(3));
    assert!(says(&refused).contains("has not passed a gate"), "{}", says(&refused));
}

#[test]
fn what_is_no_artifact_is_refused_by_name() {
    let place = folder("learning-refused");
    let artifact = place.join("artifact");
    assert!(train("multihead", &artifact, &["--set", "steps=4"]).status.success());
    let weights = std::fs::read(artifact.join("model/model.safetensors")).expect("weights");
    let manifest = std::fs::read_to_string(artifact.join("manifest.json")).expect("a manifest");
    let write = |name: &str, content: &[u8]| std::fs::write(artifact.join(name), content).expect(name);
    let refused = |part: &str| {
        let output = decide(&artifact, "1", b"{}\n");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{part}: {}", says(&output));
        assert!(says(&output).contains(part), "{}", says(&output));
    };
    write("model/model.safetensors", &weights[..weights.len() / 2]);
    refused("model.safetensors: it is not what the manifest names");
    write("model/model.safetensors", &weights);
    write("model/extra.json", b"{}");
    refused("extra.json: it is not what the manifest names");
    std::fs::remove_file(artifact.join("model/extra.json")).expect("a file");
    for (from, to, part) in [
        ("\"desk\": \"transactions\"", "\"desk\": \"alerts\"", "of the desk `alerts`, not of `transactions`"),
        ("\"desk\": \"transactions\",", "", "a model of `multihead`, not one of the desk"),
        ("\"format\": 1", "\"format\": 9", "format 9 is not known, only 1: train again"),
        ("features 1", "features 0", "it reads `features 0`"),
        ("\"files\"", "\"file\"", "missing field `files`"),
    ] {
        assert!(manifest.contains(from), "{from}");
        write("manifest.json", manifest.replacen(from, to, 1).as_bytes());
        refused(part);
    }
    write("manifest.json", &manifest.as_bytes()[..100]);
    refused("manifest.json");
    write("manifest.json", manifest.as_bytes());
    assert!(decide(&artifact, "1", b"{}\n").status.success(), "it is whole again");
    assert_eq!(decide(&place.join("nothing"), "1", b"").status.code(), Some(2));
    assert!(says(&decide(&place, "1", b"")).contains("no artifact"));
}

#[test]
fn files_are_learned_from_and_useless_ones_are_named() {
    let set = cases("learning-files", "400");
    assert!(probity(&["split", text(&set)], b"").status.success());
    let out = folder("learning-files-out");
    let with = |data: &Path, name: &str| {
        train("multihead", &out.join(name), &["--data", text(data), "--set", "epochs=2", "--set", "steps=30"])
    };
    let output = with(&set, "good");
    assert!(output.status.success(), "{}", says(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("validation.jsonl: accuracy"));
    let empty = folder("learning-files-empty");
    let refused = |part: &str| {
        let output = with(&empty, "bad");
        assert_eq!(output.status.code(), Some(3), "{part}: {}", says(&output));
        assert!(says(&output).contains(part), "{part}: {}", says(&output));
    };
    refused("`probity split` makes it");
    std::fs::write(empty.join("train.jsonl"), "\n").expect("a file");
    std::fs::copy(set.join("validation.jsonl"), empty.join("validation.jsonl")).expect("a file");
    refused("train.jsonl has no cases");
    let all = std::fs::read_to_string(set.join("train.jsonl")).expect("cases");
    let clear: String = all.lines().filter(|line| line.contains("\"CLEAR\"")).map(|line| format!("{line}\n")).collect();
    std::fs::write(empty.join("train.jsonl"), &clear).expect("a file");
    refused("have the outcome `CLEAR`: there is nothing to learn");
    std::fs::write(empty.join("train.jsonl"), all.replacen("CLEAR", "FINE", 1)).expect("a file");
    refused("unknown outcome `FINE`");
    std::fs::write(empty.join("train.jsonl"), "{\"facts\":{}}\n").expect("a file");
    refused("train.jsonl:1: the line has no label");
}

#[test]
fn recipes_that_cannot_be_are_usage_errors() {
    let out = folder("learning-recipes").join("artifact");
    for (recipe, change, part) in [
        ("multihead", "model.hiden=3", "hiden"),
        ("multihead", "kind=decoder", "the recipe is one of `multihead`"),
        ("multihead", "weights.decision=0", "weights must be"),
        ("decoder", "answer.tokens=1024", "answer.tokens"),
        ("decoder", "model={checkpoint=\"x\"}", "made from scratch"),
        ("decoder", "optimizer.rate=-1", "rate must be greater than 0"),
    ] {
        let arguments = ["train", "transactions", "--recipe", recipe, "--set", change, "--out", text(&out)];
        let output = probity(&arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{change}: {}", says(&output));
        assert!(says(&output).contains(part), "{change}: {}", says(&output));
    }
    let arguments = ["train", "transactions", "--recipe", "nothing", "--out", text(&out)];
    let output = probity(&arguments, b"");
    assert!(says(&output).contains("shipped ones: multihead, decoder"), "{}", says(&output));
    assert!(!out.exists());
}

#[test]
fn the_demo_shows_rules_and_a_model_side_by_side() {
    let out = folder("learning-demo");
    let output = probity(&["demo", "--out", text(&out), "--cases", "600", "--steps", "4"], b"");
    assert!(output.status.success(), "{}", says(&output));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("reasons F1") && shown.contains("throughput cases/s"), "{shown}");
    for name in ["comparison.html", "model-scorecard.json", "demo-model/manifest.json", "report.html"] {
        assert!(out.join(name).exists(), "{name}");
    }
}
