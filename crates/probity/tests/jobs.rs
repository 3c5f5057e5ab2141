//! Training jobs of a real server with real trainings: killed, stopped, started again.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{folder, text};

/// A server that may train, on a data folder.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_probity"))
            .args(["serve", "--listen", "127.0.0.1:0", "--allow-training", "--data", text(data)])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).expect("text") > 0, "it does not listen");
            if let Some((_, rest)) = line.split_once("listening address=\"") {
                break rest.split('"').next().expect("an address").to_owned();
            }
        };
        // The log must not fill its pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, url: format!("http://{address}") }
    }

    fn get(&self, path: &str) -> Value {
        let text = ureq::get(format!("{}{path}", self.url)).call().expect("an answer").body_mut().read_to_string();
        serde_json::from_str(&text.expect("text")).expect("JSON")
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let text = ureq::post(format!("{}{path}", self.url))
            .send(body.to_string())
            .expect("an answer")
            .body_mut()
            .read_to_string();
        serde_json::from_str(&text.expect("text")).expect("JSON")
    }

    fn wait_for(&self, job: &str, reached: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let job = self.get(job);
            if reached(&job) {
                return job;
            }
            assert!(Instant::now() < end && job["status"] != "failed", "it does not get there: {job}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(mut self, name: &str) {
        signal(self.child.id(), name);
        self.child.wait().expect("it ends");
    }
}

fn signal(process: u32, name: &str) {
    let done = Command::new("kill").args([name, &process.to_string()]).status().expect("kill runs");
    assert!(done.success());
}

/// A small model that takes some seconds, so that there is time to disturb it.
fn order(name: &str, steps: u64) -> Value {
    json!({
        "kind": "transactions", "recipe": "multihead", "name": name,
        "set": {
            "steps": steps, "cases.validation": 48, "schedule.warmup": 4, "checkpoint.every": 40, "model.hidden": 32,
            "model.layers": 1, "model.heads": 2, "model.intermediate": 32, "model.bins": 8, "batch.tokens": 48,
        },
    })
}

fn steps(job: &Value) -> u64 {
    job["progress"]["step"].as_u64().unwrap_or_default()
}

#[test]
fn a_training_survives_whatever_happens_to_its_server() {
    let place = folder("jobs");
    let (data, model) = (place.join("data"), |name: &str| place.join("data/models").join(name));
    let mut server = Server::start(&data);
    let begin = |server: &Server, name: &str| {
        let begun = server.post("/train", &order(name, 600));
        format!("/jobs/{}", begun["job"]["id"].as_str().expect("an id"))
    };
    let done = |server: &Server, job: &str| server.wait_for(job, |job| job["status"] == "succeeded");
    let under_way = |job: &Value| steps(job) > 60;
    let process = |job: &str| {
        let record = std::fs::read(data.join(&job[1..]).join("job.json")).expect("a record");
        let record: Value = serde_json::from_slice(&record).expect("JSON");
        u32::try_from(record["process"].as_u64().expect("a process")).expect("a number")
    };

    let undisturbed = begin(&server, "undisturbed");
    let progress = done(&server, &undisturbed)["progress"].clone();
    assert_eq!((&progress["step"], &progress["steps"]), (&json!(600), &json!(600)));

    // The server is killed and the training is not: it is found.
    let orphaned = begin(&server, "orphaned");
    server.wait_for(&orphaned, under_way);
    let before = process(&orphaned);
    server.end("-KILL");
    server = Server::start(&data);
    let found = server.get(&orphaned);
    assert!(found["status"] == "succeeded" || process(&orphaned) == before, "{found}");
    done(&server, &orphaned);

    // Both are killed: it is resumed.
    let killed = begin(&server, "killed");
    server.wait_for(&killed, under_way);
    let trainer = process(&killed);
    server.end("-KILL");
    signal(trainer, "-KILL");
    assert!(!model("killed").exists());
    server = Server::start(&data);
    done(&server, &killed);

    // The server is told to stop: the training saves and ends, and goes on later.
    let stopped = begin(&server, "stopped");
    server.wait_for(&stopped, under_way);
    server.end("-TERM");
    let record = std::fs::read(data.join(&stopped[1..]).join("job.json")).expect("a record");
    let record: Value = serde_json::from_slice(&record).expect("JSON");
    assert_eq!((&record["status"], &record["exit_code"]), (&json!("interrupted"), &json!(130)));
    server = Server::start(&data);
    done(&server, &stopped);

    // Cancelled, it is no artifact.
    let cancelled = begin(&server, "cancelled");
    server.wait_for(&cancelled, under_way);
    server.post(&format!("{cancelled}/cancel"), &json!({}));
    let ended = server.wait_for(&cancelled, |job| job["status"] == "cancelled");
    assert_eq!(ended["exit_code"], 130, "it was told, not killed");
    assert!(!model("cancelled").exists());
    server.end("-TERM");

    let weights = |name: &str| std::fs::read(model(name).join("model/model.safetensors")).expect("weights");
    for name in ["orphaned", "killed", "stopped"] {
        assert!(weights(name) == weights("undisturbed"), "{name}: the weights are others");
    }
    let decide = Command::new(env!("CARGO_BIN_EXE_probity"))
        .args(["decide", "transactions", "--with", text(&model("stopped"))])
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    assert!(decide.status.success(), "{}", String::from_utf8_lossy(&decide.stderr));
}

#[test]
fn a_language_model_is_trained_from_uploaded_lines() {
    let data = folder("jobs-lm").join("data");
    let server = Server::start(&data);
    let lines: String =
        (0..200).map(|n| format!("{{\"prompt\":\"{n} and one\",\"completion\":\"{}\"}}\n", n + 1)).collect();
    let body = format!(
        "--cut\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--cut\r\nContent-Disposition: \
         form-data; name=\"file\"; filename=\"train.jsonl\"\r\n\r\n{lines}\r\n--cut--\r\n"
    );
    let mut answer = ureq::post(format!("{}/v1/files", server.url))
        .header("Content-Type", "multipart/form-data; boundary=cut")
        .send(body)
        .expect("an answer");
    let file: Value = serde_json::from_str(&answer.body_mut().read_to_string().expect("text")).expect("JSON");
    let recipe = "steps = 20\n[model]\nhidden = 32\nlayers = 1\nheads = 2\npositions = 64\nvocabulary = 300\n\
                  [batch]\ntokens = 256\n[checkpoint]\nevery = 10\n";
    let order = json!({"kind": "lm", "recipe": recipe, "data": {"train": file["id"]}, "set": {"data.validation": 0.1}});
    let begun = server.post("/train", &order);
    let job = format!("/jobs/{}", begun["job"]["id"].as_str().expect("an id"));
    let done = server.wait_for(&job, |job| job["status"] == "succeeded");
    assert_eq!((&done["progress"]["step"], &done["progress"]["seconds_left"]), (&json!(20), &json!(0.0)));
    assert!(done["progress"]["validation_loss"].is_f64(), "{done}");
    let model = data.join(done["artifact"].as_str().expect("a place"));
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert!(model.join(name).is_file(), "{name}");
    }
    server.end("-TERM");
}
