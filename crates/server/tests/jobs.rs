//! Training jobs over real connections. What trains here is a script that does what a training does to its folder; the
//! program itself trains in `probity/tests/jobs.rs`.
#![cfg(unix)]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::Settings;
use support::{Running, folder};

/// Run by the shell as `train` or `lm` in the data folder. Mode 1 succeeds, 2 fails, 3 waits until it is told, or there
/// is a file `go`; 4 has a gate that is not passed.
const SCRIPT: &str = r#"
for word; do
    case $word in
        --out=*) out=${word#--out=} ;;
        --set=mode=*) mode=${word#--set=mode=} ;;
    esac
done
echo "called with: $0 $*"
mkdir -p "$out/model/part"
echo started >> "$out/starts"
step() {
    echo '{"step":'$1',"phase":0,"epoch":0,"loss":0.'$1',"rate":0.1,"gradient_norm":1.0,"items":8,"items_per_second":4.0,"seconds":'$1'.0,"total":4}' >> "$out/log.jsonl"
}
step 1
step 2
case $mode in
    2) echo "error: there is no such thing"; exit 3 ;;
    3)
        trap 'echo saved; exit 130' TERM
        while [ ! -e go ]; do sleep 0.01; done
        ;;
esac
echo '{"step":2,"phase":0,"epoch":1,"loss":0.25,"accuracy":0.5,"best":true}' > "$out/validation.jsonl"
step 3
printf '{"step":4,"torn' >> "$out/log.jsonl"
echo weights > "$out/model/model.safetensors"
echo deep > "$out/model/part/x"
echo '{}' > "$out/summary.json"
echo '{}' > "$out/scorecard.json"
echo '{}' > "$out/manifest.json"
[ "$mode" = 4 ] && { echo "the gate was not passed"; exit 1; }
exit 0
"#;

fn settings(name: &str) -> Settings {
    let data = folder(name).join("data");
    std::fs::create_dir_all(&data).expect("a folder");
    for command in ["train", "lm"] {
        std::fs::write(data.join(command), SCRIPT).expect("a script");
    }
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let program = Some(PathBuf::from("/bin/sh"));
    Settings { data: Some(data), allow_training: true, training_program: program, listen, ..Settings::default() }
}

fn start(settings: &Settings) -> Running {
    let running = Running::start_with(settings, support::state(settings));
    running.wait_until_ready();
    running
}

fn train(running: &Running, body: &Value) -> Value {
    let answer = running.post("/train", &body.to_string());
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["job"].clone()
}

/// A job of this mode, by its id.
fn begin(running: &Running, mode: u8, name: &str) -> String {
    let body = json!({"kind": "transactions", "recipe": "multihead", "set": {"mode": mode}, "name": name});
    train(running, &body)["id"].as_str().expect("an id").to_owned()
}

fn job(running: &Running, id: &str) -> Value {
    running.get(&format!("/jobs/{id}")).json()
}

fn wait_for(running: &Running, id: &str, reached: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let job = job(running, id);
        if reached(&job) {
            return job;
        }
        assert!(Instant::now() < end, "it does not get there: {job}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn status<'s>(status: &'s str) -> impl Fn(&Value) -> bool + 's {
    move |job| job["status"] == status
}

/// Runs, and has taken its first steps.
fn under_way(job: &Value) -> bool {
    job["status"] == "running" && job["progress"]["step"] == 2
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_job_trains_and_its_artifact_appears() {
    let settings = settings("job");
    let data = settings.data.clone().expect("a folder");
    let running = start(&settings);
    let body = json!({
        "kind": "transactions", "recipe": "multihead", "name": "nightly",
        "set": {"mode": 1, "optimizer.rate": 1e-3, "dtype": "bf16; rm -rf $HOME"},
    });
    let begun = train(&running, &body);
    assert_eq!((&begun["status"], &begun["progress"]["step"]), (&json!("queued"), &json!(0)));
    let id = begun["id"].as_str().expect("an id");
    let done = wait_for(&running, id, status("succeeded"));
    assert_eq!(
        (&done["artifact"], &done["exit_code"], &done["error"]),
        (&json!("models/nightly"), &json!(0), &Value::Null)
    );
    let expected = json!({
        "step": 3, "steps": 4, "loss": 0.3, "validation_loss": 0.25, "validation_accuracy": 0.5, "seconds": 3.0,
        "seconds_left": 1.0,
    });
    assert_eq!(done["progress"], expected, "the torn line does not count");
    assert_eq!(names(&data.join("models/nightly")), ["manifest.json", "model", "scorecard.json"]);
    assert_eq!(names(&data.join("models/nightly/model")), ["model.safetensors", "part"]);
    let log = running.get(&format!("/jobs/{id}/log"));
    let words = format!(
        "called with: train transactions --recipe multihead --set=dtype=\"bf16; rm -rf $HOME\" --set=mode=1 \
         --set=optimizer.rate=0.001 --out=jobs/{id}/run --resume\n"
    );
    assert_eq!(log.body, words);
    assert!(log.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    let again = running.post("/train", &body.to_string());
    again.refuses(409, "conflict");
    running.post(&format!("/jobs/{id}/cancel"), "").refuses(409, "conflict");
    let listed = running.get("/jobs").json();
    assert_eq!((&listed["data"][0]["id"], listed["data"].as_array().map(Vec::len)), (&json!(id), Some(1)));
    // A later server knows it as it was.
    drop(running);
    assert_eq!(job(&start(&settings), id), done);
}

#[test]
fn a_language_model_learns_from_uploaded_files() {
    let settings = settings("lm-job");
    let data = settings.data.clone().expect("a folder");
    let running = start(&settings);
    let upload = |content: &str| {
        let body = format!(
            "--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n{content}\r\n--cut\r\n\
             Content-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--cut--\r\n"
        );
        let headers = [("Content-Type", "multipart/form-data; boundary=cut")];
        let answer = running.connect().ask("POST", "/v1/files", &headers, &body);
        answer.json()["id"].as_str().expect("an id").to_owned()
    };
    let (recipe, lines) = (upload("steps = 4"), upload("{\"text\":\"a\"}"));
    let body =
        json!({"kind": "lm", "recipe": recipe, "set": {"mode": 1}, "data": {"train": lines, "validation": lines}});
    let begun = train(&running, &body);
    let id = begun["id"].as_str().expect("an id");
    assert_eq!(begun["name"], id);
    let done = wait_for(&running, id, status("succeeded"));
    assert_eq!(names(&data.join(done["artifact"].as_str().expect("a place"))), ["model.safetensors", "part"]);
    let place = data.join("jobs").join(id);
    assert_eq!(std::fs::read_to_string(place.join("recipe.toml")).expect("a recipe"), "steps = 4");
    assert_eq!(std::fs::read_to_string(place.join("data/train.jsonl")).expect("data"), "{\"text\":\"a\"}");
    let log = running.get(&format!("/jobs/{id}/log?tail=1")).body;
    let place = format!("jobs/{id}");
    for word in [
        format!("called with: lm train {place}/recipe.toml --set=mode=1"),
        format!(
            "--set=data.train=\"{place}/data/train.jsonl\" --set=data.validation=\"{place}/data/validation.jsonl\""
        ),
    ] {
        assert!(log.contains(&word), "{word} is not in {log}");
    }
    assert_eq!(running.get(&format!("/jobs/{id}/log?tail=0")).body, "");
}

#[test]
fn a_job_that_fails_says_why_and_leaves_no_artifact() {
    let settings = settings("failing-job");
    let running = start(&settings);
    let failed = wait_for(&running, &begin(&running, 2, "a"), status("failed"));
    assert_eq!((&failed["error"], &failed["exit_code"]), (&json!("there is no such thing"), &json!(3)));
    let failed = wait_for(&running, &begin(&running, 4, "b"), status("failed"));
    assert_eq!((&failed["error"], &failed["exit_code"]), (&json!("the gate was not passed"), &json!(1)));
    assert_eq!(names(&settings.data.expect("a folder").join("models")), [""; 0]);
}

#[test]
fn jobs_wait_for_their_turn_and_end_when_told() {
    let running = start(&settings("cancel-job"));
    let (first, second) = (begin(&running, 3, "a"), begin(&running, 1, "b"));
    wait_for(&running, &first, under_way);
    assert_eq!(job(&running, &second)["status"], "queued");
    let taken = json!({"kind": "transactions", "recipe": "decoder", "name": "b"}).to_string();
    running.post("/train", &taken).refuses(409, "conflict");
    let cancelled = running.post(&format!("/jobs/{second}/cancel"), "").json();
    assert_eq!((&cancelled["status"], &cancelled["exit_code"]), (&json!("cancelled"), &Value::Null));
    assert_eq!(running.post(&format!("/jobs/{first}/cancel"), "").status, 200);
    let cancelled = wait_for(&running, &first, status("cancelled"));
    assert_eq!(cancelled["artifact"], Value::Null);
    assert!(running.get(&format!("/jobs/{first}/log")).body.ends_with("saved\n"), "it was told politely");
    assert_eq!(running.get("/jobs").json()["data"][0]["id"], second.as_str());
    running.get("/jobs/job-1").refuses(404, "not_found");
    running.get(&format!("/jobs/job-{}/log", "0".repeat(32))).refuses(404, "not_found");
}

#[test]
fn a_job_is_interrupted_when_the_server_stops_and_goes_on_with_the_next() {
    let settings = settings("interrupted-job");
    let data = settings.data.clone().expect("a folder");
    let running = start(&settings);
    let (first, second) = (begin(&running, 3, "a"), begin(&running, 1, "b"));
    wait_for(&running, &first, under_way);
    drop(running);
    let record = |id: &str| {
        let text = std::fs::read(data.join("jobs").join(id).join("job.json")).expect("a record");
        serde_json::from_slice::<Value>(&text).expect("JSON")["status"].clone()
    };
    assert_eq!((record(&first), record(&second)), (json!("interrupted"), json!("queued")));
    std::fs::write(data.join("go"), "").expect("a file");
    let running = start(&settings);
    for id in [&first, &second] {
        wait_for(&running, id, status("succeeded"));
    }
    let starts = std::fs::read_to_string(data.join("jobs").join(&first).join("run/starts")).expect("a file");
    assert_eq!(starts.lines().count(), 2);
}

#[test]
fn a_training_that_still_runs_is_found_and_not_started_twice() {
    let settings = settings("found-job");
    let data = settings.data.clone().expect("a folder");
    let running = start(&settings);
    let id = begin(&running, 1, "a");
    wait_for(&running, &id, status("succeeded"));
    drop(running);
    // As a killed server leaves it: noted as running, and a process with the lock.
    let place = data.join("jobs").join(&id);
    let text = std::fs::read(place.join("job.json")).expect("a record");
    let mut record: Value = serde_json::from_slice(&text).expect("JSON");
    for known in [true, true, false] {
        std::fs::remove_dir_all(data.join("models/a")).expect("an artifact");
        let lock = std::fs::File::options().write(true).open(place.join("lock")).expect("a lock");
        lock.lock().expect("it is free");
        // Made and dropped in one go: what starts the process has the lock, too.
        let started = std::process::Command::new("/bin/sh").args(["-c", "exec sleep 60"]).stdin(lock).spawn();
        let mut trainer = started.expect("a process");
        (record["status"], record["process"]) = (json!("running"), known.then(|| trainer.id()).into());
        std::fs::write(place.join("job.json"), record.to_string()).expect("written");
        let running = start(&settings);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(job(&running, &id)["status"], "running");
        if !known {
            // A process without a number cannot be told.
            running.post(&format!("/jobs/{id}/cancel"), "").refuses(409, "conflict");
        }
        trainer.kill().expect("it runs");
        trainer.wait().expect("it ends");
        // How it ended, nobody was told: it is started again, to go on or to say so.
        wait_for(&running, &id, status("succeeded"));
        assert_eq!(names(&data.join("models")), ["a"]);
    }
    let starts = std::fs::read_to_string(place.join("run/starts")).expect("a file");
    assert_eq!(starts.lines().count(), 4);
}

#[test]
fn a_job_that_cannot_be_read_keeps_no_other_from_running() {
    let settings = settings("damaged-job");
    let running = start(&settings);
    let damaged = begin(&running, 1, "a");
    wait_for(&running, &damaged, status("succeeded"));
    drop(running);
    let place = settings.data.as_deref().expect("a folder").join("jobs").join(&damaged);
    std::fs::write(place.join("job.json"), "{").expect("written");
    let running = start(&settings);
    wait_for(&running, &begin(&running, 1, "b"), status("succeeded"));
    running.get(&format!("/jobs/{damaged}")).refuses(500, "internal");
}

#[test]
fn what_leads_out_of_the_data_folder_is_refused_by_field() {
    let running = start(&settings("refused-job"));
    let none = format!("file-{}", "0".repeat(32));
    for (body, field) in [
        (json!({"kind": "lm", "recipe": "[data]\ntrain = \"/etc/passwd\""}), "recipe"),
        (json!({"kind": "lm", "recipe": "decoder"}), "recipe"),
        (json!({"kind": "lm", "recipe": none}), "recipe"),
        (json!({"kind": "transactions", "recipe": "../Cargo.toml"}), "recipe"),
        (json!({"kind": "lm", "recipe": "a=1", "set": {"model.checkpoint": "../x"}}), "set.model.checkpoint"),
        (json!({"kind": "lm", "recipe": "a=1", "set": {"--out": 1}}), "set.--out"),
        (json!({"kind": "lm", "recipe": "a=1", "name": "../x"}), "name"),
        (json!({"kind": "lm", "recipe": "a=1", "data": {"train": "/etc/passwd"}}), "data.train"),
        (json!({"kind": "shell", "recipe": "a=1"}), "kind"),
        (json!({"kind": "lm", "recipe": "a=1", "out": "x"}), "out"),
        (json!({"kind": "lm"}), "recipe"),
    ] {
        let error = running.post("/train", &body.to_string()).refuses(400, "invalid_field");
        assert_eq!(error["field"], field, "{body}");
    }
    assert_eq!(running.get("/jobs").json()["data"], json!([]));
}
