//! Every way to be refused, over a real connection.

mod support;

use std::time::{Duration, Instant};

use server::{Settings, State};
use support::{QUICK, Running, settings, slow};

#[test]
fn bad_bodies_are_refused_by_field_and_place() {
    let running = Running::start(&settings("bodies"));
    let error = running.score(r#"{"fact":{}}"#).refuses(400, "invalid_field");
    assert_eq!(error["field"], "facts");
    let error = running.score(r#"{"facts":[1]}"#).refuses(400, "invalid_field");
    assert_eq!(error["field"], "facts");
    let error = running.score("{\"facts\":\n {\"a\" 1}}").refuses(400, "not_json");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("line 2 column 7")), "{error}");
    running.score("").refuses(400, "not_json");
    running.score("{\"facts\":{\"a\":\"\u{fffd}").refuses(400, "not_json");
    let deep = format!(r#"{{"facts":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(running.score(&deep).status, 400);
    running.score(r#"{"facts":{"text":"x"}}"#).refuses(422, "undecidable");
    // After all this, it still answers.
    assert_eq!(running.score(QUICK).json()["decision"]["aml_decision"], "FIRST");
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    let running = Running::start(&settings("paths"));
    running.get("/v2/score").refuses(404, "not_found");
    running.get("/admin/reload").refuses(404, "not_found");
    let answer = running.connect().ask("DELETE", "/v1/drools/score", &[], "");
    answer.refuses(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("POST"));
}

#[test]
fn the_key_opens_everything_but_health_and_documents() {
    let key = Some("sesame".parse().expect("a key"));
    let running = Running::start(&Settings { api_key: key, ..settings("key") });
    let ask = |headers: &[(&str, &str)]| running.connect().ask("POST", "/v1/drools/score", headers, QUICK);
    let answer = ask(&[]);
    answer.refuses(401, "unauthorized");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    ask(&[("X-API-Key", "sesam")]).refuses(401, "unauthorized");
    ask(&[("Authorization", "Basic sesame")]).refuses(401, "unauthorized");
    ask(&[("Authorization", "Bearer")]).refuses(401, "unauthorized");
    assert_eq!(ask(&[("X-API-Key", "sesame")]).status, 200);
    assert_eq!(ask(&[("Authorization", "Bearer sesame")]).status, 200);
    for path in ["/health", "/openapi.json", "/docs"] {
        assert_eq!(running.get(path).status, 200, "{path}");
    }
    for path in ["/version", "/metrics"] {
        running.get(path).refuses(401, "unauthorized");
    }
}

#[test]
fn bodies_beyond_the_limit_are_refused() {
    let running = Running::start(&Settings { max_body_bytes: 1000, ..settings("large") });
    // Said in advance and not waited for; sent although it is too large; sent without saying how much.
    let mut client = running.connect();
    client.send(b"POST /v1/drools/score HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
    client.answer().expect("an answer").refuses(413, "body_too_large");
    running.score(&" ".repeat(1001)).refuses(413, "body_too_large");
    let mut client = running.connect();
    client.send(b"POST /v1/drools/score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("600\r\n{}\r\n0\r\n\r\n", " ".repeat(0x600)).as_bytes());
    client.answer().expect("an answer").refuses(413, "body_too_large");
    let padded = format!("{QUICK}{}", " ".repeat(1000 - QUICK.len()));
    assert_eq!(running.score(&padded).status, 200);
}

#[test]
fn bodies_in_pieces_are_read_whole() {
    let running = Running::start(&settings("pieces"));
    let mut client = running.connect();
    client.send(b"POST /v1/drools/score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in QUICK.as_bytes().chunks(3) {
        client.send(format!("{:x}\r\n", piece.len()).as_bytes());
        client.send(piece);
        client.send(b"\r\n");
        std::thread::sleep(Duration::from_millis(2));
    }
    client.send(b"0\r\n\r\n");
    assert_eq!(client.answer().expect("an answer").json()["facts"]["turns"], 1);
}

#[test]
fn a_body_that_does_not_arrive_is_given_up() {
    let running = Running::start(&Settings { request_timeout: Duration::from_millis(200), ..settings("late-body") });
    let mut client = running.connect();
    client.send(b"POST /v1/drools/score HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{");
    client.answer().expect("an answer").refuses(408, "body_timeout");
}

#[test]
fn an_answer_that_takes_too_long_is_given_up() {
    let relaxed = settings("late-answer");
    let slow = slow(&Running::start(&relaxed), Duration::from_secs(2));
    let running = Running::start(&Settings { request_timeout: Duration::from_millis(300), ..relaxed });
    running.score(&slow).refuses(504, "timeout");
    assert_eq!(running.score(QUICK).status, 200);
}

#[test]
fn requests_beyond_the_limit_are_refused_and_health_is_not() {
    let running = Running::start(&Settings { max_requests: 1, ..settings("busy") });
    let slow = slow(&running, Duration::from_secs(2));
    // Quick requests teach the server that the work is short: the slow one runs where it was read.
    for _ in 0..200 {
        assert_eq!(running.score(QUICK).status, 200);
    }
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| running.score(&slow));
        let end = Instant::now() + Duration::from_secs(20);
        let busy = loop {
            let answer = running.score(QUICK);
            if answer.status == 503 {
                break answer;
            }
            assert!(Instant::now() < end, "never refused");
        };
        busy.refuses(503, "busy");
        assert_eq!(busy.header("retry-after"), Some("1"));
        assert_eq!(running.get("/health").status, 200);
        assert!(!taken.is_finished(), "the slow request was still under way");
        assert_eq!(taken.join().expect("no panic").status, 200);
    });
    assert_eq!(running.score(QUICK).status, 200);
}

#[test]
fn request_ids_come_back_if_they_are_plain() {
    let running = Running::start(&settings("ids"));
    let mut client = running.connect();
    let mut id = |headers: &[(&str, &str)]| {
        client.ask("GET", "/health", headers, "").header("x-request-id").expect("an id").to_owned()
    };
    assert_eq!(id(&[("X-Request-Id", "case-17/a")]), "case-17/a");
    let (first, second) = (id(&[]), id(&[("X-Request-Id", "two words")]));
    assert_eq!(first.len(), 33);
    assert_ne!(first, second);
    assert_ne!(second, "two words");
    assert_eq!(id(&[("X-Request-Id", &"x".repeat(129))]).len(), 33);
}

#[test]
fn other_origins_are_let_in_only_if_listed() {
    let closed = Running::start(&settings("closed"));
    let origin = [("Origin", "https://desk.example")];
    let answer = closed.connect().ask("GET", "/health", &origin, "");
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let origins = vec!["https://desk.example".to_owned()];
    let open = Running::start(&Settings { cors_origins: origins, ..settings("open") });
    let answer = open.connect().ask("GET", "/health", &origin, "");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://desk.example"));
    let preflight = [origin[0], ("Access-Control-Request-Method", "POST")];
    let answer = open.connect().ask("OPTIONS", "/v1/drools/score", &preflight, "");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("https://desk.example")));
    let answer = open.connect().ask("GET", "/health", &[("Origin", "https://other.example")], "");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn nothing_to_serve_is_an_error() {
    let settings = Settings { rules: None, ..Settings::default() };
    assert!(matches!(State::new(&settings), Err(server::Error::NothingToServe)));
}
