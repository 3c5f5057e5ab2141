//! Files and batches, over real connections, with an answerer whose pace the test sets.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::{Answerer, Settings, State};
use support::{Answer, Running, folder};
use tokio::sync::watch;

const ENDPOINT: &str = "/v1/chat/completions";

fn settings(name: &str) -> Settings {
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    Settings { data: Some(folder(name).join("data")), listen, ..Settings::default() }
}

/// Starts a server.
fn start(settings: &Settings, answerer: Answerer) -> Running {
    let running = Running::start_with(settings, support::state(settings).with_answerer(answerer));
    running.wait_until_ready();
    running
}

/// Echoes the prompt; refuses the prompt `bad`, panics at `fault`.
fn echo() -> Answerer {
    Arc::new(|url, body| {
        Box::pin(async move {
            assert_eq!(url, ENDPOINT);
            match body["prompt"].as_str() {
                Some("bad") => (400, json!({"error": {"message": "it is bad"}})),
                Some("fault") => panic!("a fault"),
                _ => (200, json!({"text": body["prompt"]})),
            }
        })
    })
}

/// Answers the prompts `p0`, `p1` and so on up to a limit, and those behind it when the limit is raised; notes what it
/// was asked.
fn limited(limit: &watch::Sender<usize>, asked: &Arc<Mutex<Vec<String>>>) -> Answerer {
    let (limit, asked) = (limit.subscribe(), Arc::clone(asked));
    Arc::new(move |_, body| {
        let (mut limit, asked) = (limit.clone(), Arc::clone(&asked));
        Box::pin(async move {
            let prompt = body["prompt"].as_str().expect("a prompt");
            asked.lock().expect("no panic").push(prompt.to_owned());
            let number: usize = prompt[1..].parse().expect("a number");
            limit.wait_for(|limit| number < *limit).await.expect("it stays open");
            (200, json!({"text": prompt}))
        })
    })
}

fn request(id: &str, prompt: &str) -> String {
    json!({"custom_id": id, "method": "POST", "url": ENDPOINT, "body": {"prompt": prompt}}).to_string()
}

fn requests(count: usize) -> String {
    (0..count).map(|number| request(&format!("r{number}"), &format!("p{number}")) + "\n").collect()
}

fn upload(running: &Running, name: &str, purpose: &str, content: &str) -> Answer {
    let body = format!(
        "--cut\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n--cut\r\nContent-Disposition: \
         form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n{content}\r\n\
         --cut--\r\n"
    );
    running.connect().ask("POST", "/v1/files", &[("Content-Type", "multipart/form-data; boundary=cut")], &body)
}

fn uploaded(running: &Running, content: &str) -> String {
    let answer = upload(running, "in.jsonl", "batch", content);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["id"].as_str().expect("an id").to_owned()
}

fn begin(running: &Running, file: &str) -> String {
    let body = json!({"input_file_id": file, "endpoint": ENDPOINT, "completion_window": "24h", "metadata": {"a": "b"}});
    let answer = running.post("/v1/batches", &body.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["id"].as_str().expect("an id").to_owned()
}

fn batch(running: &Running, id: &str) -> Value {
    running.get(&format!("/v1/batches/{id}")).json()
}

fn wait_for(running: &Running, id: &str, reached: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let batch = batch(running, id);
        if reached(&batch) {
            return batch;
        }
        assert!(Instant::now() < end, "it does not get there: {batch}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn status<'s>(status: &'s str) -> impl Fn(&Value) -> bool + 's {
    move |batch| batch["status"] == status
}

fn lines(running: &Running, file: &Value) -> Vec<Value> {
    let Some(file) = file.as_str() else { return Vec::new() };
    let content = running.get(&format!("/v1/files/{file}/content"));
    assert_eq!(content.status, 200, "{content:?}");
    content.body.lines().map(|line| serde_json::from_str(line).expect("one JSON value a line")).collect()
}

fn field(lines: &[Value], name: &str) -> Vec<String> {
    lines.iter().map(|line| line[name].as_str().unwrap_or("-").to_owned()).collect()
}

#[test]
fn a_file_is_uploaded_listed_read_and_deleted() {
    let running = start(&settings("files"), echo());
    let content = "{\"a\": \"\u{e4}\"}\r\n--cu\r\n".repeat(100_000);
    let answer = upload(&running, "../../etc/passwd", "batch", &content);
    let file = answer.json();
    assert_eq!((&file["object"], &file["filename"]), (&json!("file"), &json!("../../etc/passwd")), "{answer:?}");
    assert_eq!((&file["bytes"], &file["status"]), (&json!(content.len()), &json!("processed")));
    let path = format!("/v1/files/{}", file["id"].as_str().expect("an id"));
    assert_eq!(running.get(&path).json(), file);
    assert!(running.get(&format!("{path}/content")).body == content, "the content is another");
    let other = upload(&running, "b", "fine-tune", "").json();
    assert_eq!(running.get("/v1/files").json()["data"], json!([other, file]));
    assert_eq!(running.get("/v1/files?purpose=batch&order=asc").json()["data"], json!([file]));
    let first = running.get("/v1/files?limit=1").json();
    assert_eq!((&first["data"], &first["has_more"]), (&json!([other]), &json!(true)));
    let next = format!("/v1/files?limit=1&after={}", other["id"].as_str().expect("an id"));
    assert_eq!(running.get(&next).json()["data"], json!([file]));
    let deleted = running.connect().ask("DELETE", &path, &[], "").json();
    assert_eq!(deleted, json!({"id": file["id"], "object": "file", "deleted": true}));
    running.get(&path).refuses(404, "not_found");
    running.connect().ask("DELETE", &path, &[], "").refuses(404, "not_found");
    running.get("/v1/files/..%2f..%2fx/content").refuses(404, "not_found");
}

#[test]
fn uploads_that_cannot_be_leave_nothing() {
    let settings = Settings { max_file_bytes: 1000, ..settings("uploads") };
    let running = start(&settings, echo());
    let data = settings.data.clone().expect("a folder");
    upload(&running, "a", "batch", &"x".repeat(1001)).refuses(413, "body_too_large");
    assert_eq!(upload(&running, "a", "assistants", "x").refuses(400, "invalid_field")["param"], "purpose");
    let ask = |kind: &str, body: &str| running.connect().ask("POST", "/v1/files", &[("Content-Type", kind)], body);
    ask("application/json", "{}").refuses(400, "invalid_field");
    ask("multipart/form-data; boundary=cut", "--cut\r\nnonsense").refuses(400, "invalid_field");
    let no_file = "--cut\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--cut--\r\n";
    assert_eq!(ask("multipart/form-data; boundary=cut", no_file).refuses(400, "invalid_field")["param"], "file");
    let part = |name: &str, content: &str| {
        format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a\"\r\n\r\n{content}\r\n")
    };
    let kind = "multipart/form-data; boundary=cut";
    let twice = part("file", "x") + &part("file", "y") + &part("purpose", "batch") + "--cut--\r\n";
    assert_eq!(ask(kind, &twice).refuses(400, "invalid_field")["param"], "file");
    let long = part("other", &"x".repeat(2000)) + "--cut--\r\n";
    assert_eq!(ask(kind, &long).refuses(400, "invalid_field")["param"], "other");
    let many = part("other", "x").repeat(17) + "--cut--\r\n";
    assert_eq!(ask(kind, &many).refuses(400, "invalid_field")["param"], "body");
    // One that says beforehand that it is much too large is not read.
    let mut client = running.connect();
    client.send(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=cut\r\n");
    client.send(b"Content-Length: 2000000\r\n\r\n--cut\r\n");
    client.answer().expect("an answer").refuses(413, "body_too_large");
    // A caller that goes away in the middle.
    let mut client = running.connect();
    client.send(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=cut\r\n");
    client.send(b"Content-Length: 500\r\n\r\n--cut\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc");
    drop(client);
    assert_eq!(upload(&running, "a", "batch", &"x".repeat(1000)).status, 200);
    let end = Instant::now() + Duration::from_secs(20);
    while std::fs::read_dir(data.join("files")).expect("a folder").count() != 1 {
        assert!(Instant::now() < end, "something is left of refused uploads");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn few_files_are_uploaded_at_once() {
    let running = start(&settings("places"), echo());
    let under_way: Vec<_> = (0..4)
        .map(|_| {
            let mut client = running.connect();
            client.send(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=cut\r\n");
            client.send(b"Content-Length: 500\r\n\r\n--cut\r\n");
            client
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(20);
    let reach = |status: u16| {
        while upload(&running, "a", "batch", "x").status != status {
            assert!(Instant::now() < end, "never {status}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    // An upload of ours that came between them would take one's place.
    while !running.get("/metrics").body.contains("probity_http_requests_in_flight{path=\"/v1/files\"} 4") {
        assert!(Instant::now() < end, "never under way");
        std::thread::sleep(Duration::from_millis(5));
    }
    reach(503);
    drop(under_way);
    reach(200);
}

#[test]
fn every_line_of_a_batch_has_its_answer_in_order() {
    let running = start(&settings("lines"), echo());
    let vllm = request("b", "second").replace('{', "{ ").replace(':', ": ");
    let content = [
        request("a", "first"),
        vllm,
        "{\"custom_id\": \"torn".to_owned(),
        String::new(),
        request("a", "again"),
        request("c", "bad"),
        request("d", "fault"),
        request("e", "x").replace("chat/completions", "embeddings"),
        request("f", "last"),
    ];
    let file = uploaded(&running, &content.join("\n"));
    let id = begin(&running, &file);
    let done = wait_for(&running, &id, status("completed"));
    assert_eq!(done["request_counts"], json!({"total": 8, "completed": 3, "failed": 5}));
    assert_eq!(
        (&done["object"], &done["metadata"], &done["errors"]),
        (&json!("batch"), &json!({"a": "b"}), &Value::Null)
    );
    for time in ["created_at", "in_progress_at", "finalizing_at", "completed_at", "expires_at"] {
        assert!(done[time].is_i64(), "{time}: {done}");
    }
    let output = lines(&running, &done["output_file_id"]);
    assert_eq!(field(&output, "custom_id"), ["a", "b", "f"]);
    assert_eq!(output[1]["response"]["body"], json!({"text": "second"}));
    assert_eq!((&output[1]["response"]["status_code"], &output[1]["error"]), (&json!(200), &Value::Null));
    assert_eq!(output[1]["response"]["request_id"], output[1]["id"]);
    let errors = lines(&running, &done["error_file_id"]);
    assert_eq!(field(&errors, "custom_id"), ["-", "a", "c", "d", "e"]);
    let codes: Vec<Value> = errors.iter().map(|line| line["error"]["code"].clone()).collect();
    let expected = ["invalid_json_line", "duplicate_custom_id", "", "internal", "mismatched_endpoint"];
    assert_eq!(codes, expected.map(|code| if code.is_empty() { Value::Null } else { json!(code) }));
    assert_eq!((&errors[0]["error"]["line"], &errors[1]["error"]["line"]), (&json!(3), &json!(5)));
    assert_eq!((&errors[2]["response"]["status_code"], &errors[0]["response"]), (&json!(400), &Value::Null));
    let ids: BTreeSet<String> = output.iter().chain(&errors).map(|line| line["id"].to_string()).collect();
    assert_eq!(ids.len(), 8);
    // The answers are files like others.
    let listed = running.get("/v1/files?purpose=batch_output").json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(running.get("/v1/batches").json()["data"], json!([done]));
    running.post(&format!("/v1/batches/{id}/cancel"), "").refuses(409, "conflict");
}

#[test]
fn batches_that_cannot_be_are_refused_by_field() {
    let running = start(&settings("refused"), echo());
    let file = uploaded(&running, &requests(1));
    let other = upload(&running, "a", "fine-tune", "x").json()["id"].clone();
    let none = format!("file-{}", "0".repeat(32));
    for (field, value) in [
        ("input_file_id", json!(none)),
        ("input_file_id", json!("../x")),
        ("input_file_id", other),
        ("endpoint", json!("/v1/embeddings")),
        ("completion_window", json!("soon")),
        ("metadata", json!(7)),
    ] {
        let mut body = json!({"input_file_id": file, "endpoint": ENDPOINT, "completion_window": "24h"});
        body[field] = value;
        let error = running.post("/v1/batches", &body.to_string()).refuses(400, "invalid_field");
        assert_eq!(error["param"], field);
    }
    running.get("/v1/batches/batch_1").refuses(404, "not_found");
    let empty = begin(&running, &uploaded(&running, "\n \n"));
    let failed = wait_for(&running, &empty, status("failed"));
    assert_eq!(failed["errors"]["data"][0]["code"], "invalid_file");
}

#[test]
fn a_cancelled_batch_keeps_what_was_answered() {
    let limit = watch::Sender::new(3);
    let running = start(&Settings { batch_requests: Some(2), ..settings("cancel") }, limited(&limit, &Arc::default()));
    let file = uploaded(&running, &requests(10));
    let (first, waiting) = (begin(&running, &file), begin(&running, &file));
    // The file may go: what was begun with it goes on.
    assert_eq!(running.connect().ask("DELETE", &format!("/v1/files/{file}"), &[], "").status, 200);
    wait_for(&running, &first, |batch| batch["request_counts"]["completed"] == 3);
    assert_eq!(batch(&running, &waiting)["status"], "validating");
    // One that has not begun has ended at once.
    for (id, status) in [(&waiting, "cancelled"), (&first, "cancelling")] {
        let answer = running.post(&format!("/v1/batches/{id}/cancel"), "");
        assert_eq!(answer.json()["status"], status, "{answer:?}");
    }
    running.post(&format!("/v1/batches/{waiting}/cancel"), "").refuses(409, "conflict");
    let done = wait_for(&running, &first, status("cancelled"));
    assert_eq!(field(&lines(&running, &done["output_file_id"]), "custom_id"), ["r0", "r1", "r2"]);
    assert_eq!(done["request_counts"], json!({"total": 10, "completed": 3, "failed": 0}));
    let done = batch(&running, &waiting);
    assert!(done["cancelling_at"].is_i64() && done["cancelled_at"].is_i64(), "{done}");
    assert_eq!((&done["output_file_id"], &done["error_file_id"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_batch_goes_on_where_a_server_stopped_and_asks_nothing_twice() {
    let settings = Settings { batch_requests: Some(4), ..settings("resume") };
    let (limit, asked) = (watch::Sender::new(7), Arc::new(Mutex::new(Vec::new())));
    let running = start(&settings, limited(&limit, &asked));
    let file = uploaded(&running, &(requests(30) + "{\n" + &request("r3", "again")));
    let id = begin(&running, &file);
    wait_for(&running, &id, |batch| batch["request_counts"]["completed"] == 7);
    drop(running);
    // What a kill in the middle of a line leaves.
    let output = settings.data.as_deref().expect("a folder").join("batches").join(&id).join("output/content");
    let content = std::fs::read(&output).expect("answers");
    std::fs::write(&output, &content[..content.len() - 9]).expect("torn");
    asked.lock().expect("no panic").clear();
    limit.send_replace(100);
    let running = start(&settings, limited(&limit, &asked));
    let done = wait_for(&running, &id, status("completed"));
    assert_eq!(done["request_counts"], json!({"total": 32, "completed": 30, "failed": 2}));
    let expected: Vec<String> = (0..30).map(|number| format!("r{number}")).collect();
    assert_eq!(field(&lines(&running, &done["output_file_id"]), "custom_id"), expected);
    // Six lines were whole; what they answer was not asked again.
    let asked: BTreeSet<String> = asked.lock().expect("no panic").drain(..).collect();
    assert_eq!(asked, (6..30).map(|number| format!("p{number}")).collect());
    let errors = lines(&running, &done["error_file_id"]);
    assert_eq!(errors[1]["error"]["code"], "duplicate_custom_id", "ids are remembered over the restart");
}

#[test]
fn the_files_of_a_batch_appear_whole_wherever_a_kill_falls() {
    let settings = settings("whole");
    let running = start(&settings, echo());
    let id = begin(&running, &uploaded(&running, &(requests(3) + "x")));
    let done = wait_for(&running, &id, status("completed"));
    let output = lines(&running, &done["output_file_id"]);
    drop(running);
    // As a kill leaves it between the first file and the second: put back step by step what finalizing has done.
    let data = settings.data.clone().expect("a folder");
    let place = data.join("batches").join(&id);
    let record = std::fs::read_to_string(place.join("batch.json")).expect("a record");
    let mut record: Value = serde_json::from_str(&record).expect("JSON");
    for name in ["output_file_id", "error_file_id", "completed_at"] {
        record["batch"][name] = Value::Null;
    }
    record["batch"]["status"] = json!("finalizing");
    let file = |name: &str| data.join("files").join(done[name].as_str().expect("an id"));
    let rename = |from: &Path, to: &Path| std::fs::rename(from, to).expect("renamed");
    for step in ["none", "first", "both"] {
        std::fs::write(place.join("batch.json"), record.to_string()).expect("written");
        if step != "both" {
            rename(&file("error_file_id"), &place.join("errors"));
        }
        if step == "none" {
            rename(&file("output_file_id"), &place.join("output"));
        }
        let running = start(&settings, echo());
        let again = wait_for(&running, &id, status("completed"));
        assert_eq!(again["output_file_id"], done["output_file_id"], "{step}");
        assert_eq!(lines(&running, &again["output_file_id"]), output, "{step}");
        assert_eq!(lines(&running, &again["error_file_id"]).len(), 1, "{step}");
    }
}

/// Changes what is kept of a batch while no server runs.
fn rewrite(settings: &Settings, id: &str, change: impl FnOnce(&mut Value)) {
    let path = settings.data.as_deref().expect("a folder").join("batches").join(id).join("batch.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).expect("a record")).expect("JSON");
    change(&mut record["batch"]);
    std::fs::write(&path, record.to_string()).expect("written");
}

#[test]
fn a_batch_that_waits_expires_when_its_time_is_over() {
    let settings = settings("waiting");
    let limit = watch::Sender::new(1);
    let running = start(&settings, limited(&limit, &Arc::default()));
    let file = uploaded(&running, &requests(3));
    let (first, second, third) = (begin(&running, &file), begin(&running, &file), begin(&running, &file));
    wait_for(&running, &first, |batch| batch["request_counts"]["completed"] == 1);
    drop(running);
    let now = jiff::Timestamp::now().as_second();
    rewrite(&settings, &second, |batch| batch["expires_at"] = json!(now - 1));
    rewrite(&settings, &third, |batch| batch["expires_at"] = json!(now + 2));
    let running = start(&settings, limited(&limit, &Arc::default()));
    for id in [&second, &third] {
        let done = wait_for(&running, id, status("expired"));
        assert_eq!(done["request_counts"], json!({"total": 3, "completed": 0, "failed": 3}));
        assert_eq!(lines(&running, &done["error_file_id"]).len(), 3);
    }
    assert_eq!(batch(&running, &first)["status"], "in_progress");
}

#[test]
fn a_batch_that_is_broken_keeps_no_other_waiting() {
    let settings = settings("broken");
    let limit = watch::Sender::new(1);
    let running = start(&settings, limited(&limit, &Arc::default()));
    let file = uploaded(&running, &requests(2));
    let [unreadable, stuck, last] = [(); 3].map(|()| begin(&running, &file));
    wait_for(&running, &unreadable, |batch| batch["request_counts"]["completed"] == 1);
    drop(running);
    let place = settings.data.as_deref().expect("a folder").join("batches");
    std::fs::write(place.join(&unreadable).join("batch.json"), "{").expect("written");
    // A file in the place of the folder for answers.
    std::fs::write(place.join(&stuck).join("output"), "").expect("written");
    limit.send_replace(100);
    let running = start(&settings, limited(&limit, &Arc::default()));
    wait_for(&running, &last, status("completed"));
    running.get(&format!("/v1/batches/{unreadable}")).refuses(500, "internal");
    assert_eq!(batch(&running, &stuck)["status"], "validating");
}

#[test]
fn what_is_not_answered_in_time_is_named_and_what_was_stays() {
    let settings = settings("expired");
    let limit = watch::Sender::new(2);
    let running = start(&settings, limited(&limit, &Arc::default()));
    let id = begin(&running, &uploaded(&running, &requests(5)));
    wait_for(&running, &id, |batch| batch["request_counts"]["completed"] == 2);
    drop(running);
    rewrite(&settings, &id, |batch| batch["expires_at"] = batch["created_at"].clone());
    let running = start(&settings, limited(&limit, &Arc::default()));
    let done = wait_for(&running, &id, status("expired"));
    assert_eq!(done["request_counts"], json!({"total": 5, "completed": 2, "failed": 3}));
    let errors = lines(&running, &done["error_file_id"]);
    assert_eq!(field(&errors, "custom_id"), ["r2", "r3", "r4"]);
    assert!(errors.iter().all(|line| line["error"]["code"] == "batch_expired"));
}

#[test]
fn a_batch_waits_for_room_and_keeps_many_requests_under_way() {
    let (under_way, most, refusals) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let (shared, seen) = (Arc::new((under_way, refusals)), Arc::clone(&most));
    let answerer: Answerer = Arc::new(move |_, body| {
        let (shared, seen) = (Arc::clone(&shared), Arc::clone(&seen));
        Box::pin(async move {
            if shared.1.fetch_add(1, Ordering::SeqCst) < 3 {
                return (503, json!({"error": {"code": "busy"}}));
            }
            seen.fetch_max(shared.0.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            shared.0.fetch_sub(1, Ordering::SeqCst);
            (200, body)
        })
    });
    let running = start(&Settings { batch_requests: Some(8), ..settings("room") }, answerer);
    let id = begin(&running, &uploaded(&running, &requests(40)));
    let done = wait_for(&running, &id, status("completed"));
    assert_eq!(done["request_counts"], json!({"total": 40, "completed": 40, "failed": 0}));
    assert_eq!(most.load(Ordering::SeqCst), 8);
}

#[test]
fn what_a_server_was_not_started_with_is_not_served() {
    let running = Running::start(&support::settings("nothing"));
    for path in ["/v1/files", "/v1/batches", "/jobs"] {
        running.get(path).refuses(404, "not_served");
    }
    let settings = settings("no-answerer");
    let running = Running::start(&settings);
    assert_eq!(running.get("/v1/files").status, 200);
    running.get("/v1/batches").refuses(404, "not_served");
    running.post("/train", "{}").refuses(404, "not_served");
    let second = State::new(&settings).err().expect("one server at a time holds the folder");
    assert!(std::error::Error::source(&second).is_some_and(|cause| cause.to_string().contains("another server")));
}
