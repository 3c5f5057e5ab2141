//! The decider against endpoints on the loopback that answer as a script says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;

/// Bodies that were received, with their paths and keys.
type Received = Arc<Mutex<Vec<(String, Value)>>>;

/// Answers requests one after another as `answer` says: status, more headers, body. Each connection is closed.
fn endpoint(answer: impl Fn(usize, &Value) -> (u16, &'static str, Value) + Send + 'static) -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let received = Received::default();
    let taken = Arc::clone(&received);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { break };
            let (head, body) = request(&stream);
            let number = {
                let mut taken = taken.lock().expect("the lock");
                taken.push((head, body.clone()));
                taken.len() - 1
            };
            let (status, headers, body) = answer(number, &body);
            let body = body.to_string();
            let length = body.len();
            let _ = write!(
                &stream,
                "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
            );
        }
    });
    (address, received)
}

fn request(stream: &TcpStream) -> (String, Value) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    (head, serde_json::from_slice(&body).expect("JSON"))
}

fn reading() -> Reading {
    Reading {
        input: "test",
        prompt: |facts| facts["n"].as_u64().map(|n| format!("case {n}")).ok_or_else(|| "no number".to_owned()),
        answer: |text| {
            let value: Value = serde_json::from_str(text).map_err(|_| "not of the form".to_owned())?;
            let outcome = value["d"].as_str().ok_or("no outcome")?;
            Ok(Decision { outcome: outcome.to_owned(), ..Decision::default() })
        },
        form: || AnswerForm { schema: json!({"type": "object"}), longest: 40 },
        narrower: Vec::new,
        key: "d",
        outcomes: &["NO", "YES"],
        positive: &["YES"],
    }
}

fn chat(content: &str) -> Value {
    let choice = json!({"finish_reason": "stop", "message": {"content": content}});
    json!({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
}

fn remote(address: &str, more: &str) -> Remote {
    let options = Options::read(&format!("{address},model=m{more}"), Some("secret".to_owned())).expect("options");
    Remote::new(options, reading())
}

fn decide(remote: &Remote, facts: &[&str]) -> Vec<Result<Decision, DecideError>> {
    let cases: Vec<Case<'_>> = facts.iter().map(|facts| Case { case_id: "c".into(), facts }).collect();
    remote.worker().decide(&cases)
}

fn problem(result: &Result<Decision, DecideError>) -> String {
    result.as_ref().expect_err("an error").to_string()
}

#[test]
fn cases_are_asked_about_and_answers_come_back_in_order() {
    let (address, received) = endpoint(|_, body| {
        let odd = body["messages"][0]["content"].as_str().is_some_and(|text| text.ends_with(['1', '3']));
        (200, "", chat(if odd { r#"{"d":"YES"}"# } else { r#"{"d":"NO"}"# }))
    });
    let remote = remote(&address, ",concurrency=3");
    let results = decide(&remote, &[r#"{"n":0}"#, r#"{"n":1}"#, r#"{"x":1}"#, r#"{"n":2}"#, r#"{"n":3}"#]);
    let outcomes: Vec<Option<&str>> = results.iter().map(|r| r.as_ref().ok().map(|d| d.outcome.as_str())).collect();
    assert_eq!(outcomes, [Some("NO"), Some("YES"), None, Some("NO"), Some("YES")]);
    assert_eq!(problem(&results[2]), "facts do not fit: no number");
    let figures = remote.account().expect("an account").figures;
    assert_eq!(figures, json!({"requests": 4, "prompt_tokens": 28, "completion_tokens": 12}));
    let (head, body) = received.lock().expect("the lock")[0].clone();
    assert!(
        head.starts_with("POST /v1/chat/completions") && head.to_lowercase().contains("authorization: bearer secret")
    );
    assert_eq!(
        (&body["temperature"], &body["seed"], &body["max_completion_tokens"]),
        (&json!(0), &json!(0), &json!(40))
    );
    assert!(body["max_tokens"].is_null(), "newer models refuse the older name");
    assert_eq!(body["response_format"]["json_schema"]["strict"], true);
    assert!(remote.identity().name.starts_with("remote:127.0.0.1:") && remote.identity().name.ends_with(":m"));
}

#[test]
fn what_fails_for_a_while_is_asked_again() {
    let (address, received) = endpoint(|number, _| match number {
        0 => (429, "Retry-After: 1\r\n", json!({"error": {"message": "slow down"}})),
        1 => (503, "", json!(null)),
        _ => (200, "", chat(r#"{"d":"YES"}"#)),
    });
    let start = Instant::now();
    let results = decide(&remote(&address, ""), &[r#"{"n":0}"#]);
    assert_eq!(results[0].as_ref().map(|d| d.outcome.as_str()), Ok("YES"));
    assert_eq!(received.lock().expect("the lock").len(), 3);
    // The endpoint asked for a second, and doubling gives another half at least.
    assert!(start.elapsed() >= Duration::from_millis(1500));
}

#[test]
fn what_will_not_get_better_is_said_at_once() {
    let cut = json!({"choices": [{"finish_reason": "length", "message": {"content": "{\"d\":"}}]});
    let refused = json!({"choices": [{"finish_reason": "stop", "message": {"content": null, "refusal": "no"}}]});
    let cases = [
        (400, json!({"error": {"message": "bad model"}}), "status 400: bad model"),
        (401, json!({"error": "no key"}), "status 401: no key"),
        (500, json!({}), "status 500"),
        (200, json!("odd"), "no choices"),
        (200, cut, "was cut"),
        (200, refused, "refuses to answer"),
        (200, chat("I think YES"), "not of the form"),
    ];
    for (status, body, part) in cases {
        let (address, received) = endpoint(move |_, _| (status, "", body.clone()));
        let results = decide(&remote(&address, ",retries=0"), &[r#"{"n":0}"#]);
        assert!(problem(&results[0]).contains(part), "{}", problem(&results[0]));
        assert_eq!(received.lock().expect("the lock").len(), 1);
    }
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let results = decide(&remote(&format!("http://{closed}"), ",retries=0"), &[r#"{"n":0}"#]);
    assert!(problem(&results[0]).contains("cannot be asked"));
}

#[test]
fn a_rate_keeps_requests_apart() {
    let (address, _) = endpoint(|_, _| (200, "", chat(r#"{"d":"NO"}"#)));
    let start = Instant::now();
    assert!(decide(&remote(&address, ",rate=20/s"), &[r#"{"n":0}"#; 5]).iter().all(Result::is_ok));
    assert!(start.elapsed() >= Duration::from_millis(195));
}

#[test]
fn probabilities_come_from_the_tokens_that_are_told() {
    let told = |token: &str, share: f64| json!({"token": token, "logprob": share.ln()});
    let (address, received) = endpoint(move |_, body| {
        if body["prompt"].is_string() {
            let likeliest = json!([{"{\"d\":\"": 0.0}, {"NO\"}": 0.1f64.ln(), "YES\"}": 0.7f64.ln()}]);
            let lists = json!({"tokens": ["{\"d\":\"", "YES\"}"], "token_logprobs": [0.0, 0.7f64.ln()],
                "top_logprobs": likeliest});
            return (
                200,
                "",
                json!({"choices": [{"finish_reason": "stop", "text": "{\"d\":\"YES\"}", "logprobs": lists}]}),
            );
        }
        let mut first = told("{\"d\":\"", 1.0);
        first["top_logprobs"] = json!([told("{\"d\":\"", 1.0)]);
        let mut second = told("YES", 0.6);
        second["top_logprobs"] = json!([told("YES", 0.6), told("NO", 0.2), told("MAYBE", 0.2)]);
        let mut answer = chat(r#"{"d":"YES"}"#);
        answer["choices"][0]["logprobs"] = json!({"content": [first, second, told("\"}", 1.0)]});
        (200, "", answer)
    });
    let results = decide(&remote(&address, ",logprobs=yes"), &[r#"{"n":0}"#]);
    let decision = results[0].as_ref().expect("a decision");
    assert_eq!((decision.score, decision.probabilities.as_ref().and_then(|p| p.of("NO"))), (Some(0.75), Some(0.25)));
    let results = decide(&remote(&address, ",logprobs=yes,prompt=compact,schema=none"), &[r#"{"n":0}"#]);
    assert_eq!(results[0].as_ref().expect("a decision").score, Some(0.875));
    let (head, body) = received.lock().expect("the lock")[1].clone();
    assert!(head.starts_with("POST /v1/completions") && body["logprobs"] == 20 && body["response_format"].is_null());
    assert!(body["max_tokens"] == 40 && body["max_completion_tokens"].is_null());
}
