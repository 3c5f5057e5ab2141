//! Loading, reloading, stopping; what is counted meanwhile.

mod support;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use deciders::rules::Rules;
use decision::Decider;
use server::{RulesEngine, Settings, Slot, State};
use support::{QUICK, Running, rules, settings, slow};

#[test]
fn until_everything_is_loaded_the_answer_is_503() {
    let settings = settings("loading");
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let slot = Slot::new("rules", &[Path::new("made-up.drl")], move || {
        released.lock().expect("one loader").recv()?;
        let rules = Rules::compile("made-up.drl", &rules("LOADED"))?;
        let identity = rules.identity().clone();
        Ok((RulesEngine::new(rules), identity))
    });
    let running = Running::start_with(&settings, State::with_rules(&settings, Some(slot)).expect("a state"));
    let answer = running.score(QUICK);
    answer.refuses(503, "loading");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let answer = running.get("/health");
    assert_eq!((answer.status, answer.json()["status"].as_str()), (503, Some("loading")));
    assert_eq!(answer.json()["models_loaded"]["rules"], false);
    release.send(()).expect("the loader waits");
    running.wait_until_ready();
    assert_eq!(running.get("/health").json()["status"], "healthy");
    assert_eq!(running.score(QUICK).json()["decision"]["aml_decision"], "LOADED");
}

#[test]
fn a_rule_file_with_errors_ends_the_server_with_its_errors() {
    let settings = settings("broken");
    std::fs::write(settings.rules.as_ref().expect("a file"), "rule \"a\" when then nonsense end").expect("written");
    let mut running = Running::start_with(&settings, State::new(&settings).expect("a state"));
    let error = running.wait_until_stopped().expect_err("an error");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("case.drl:1"), "{cause}");
}

#[test]
fn a_reload_under_load_fails_no_request() {
    let settings = Settings { admin_reload: true, ..settings("reload") };
    let file = settings.rules.clone().expect("a file");
    let running = Running::start(&settings);
    let reload = || running.connect().ask("POST", "/admin/reload", &[], "");
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut client, mut last) = (running.connect(), 0);
                    while !done.load(Ordering::Relaxed) {
                        let answer = client.ask("POST", "/v1/drools/score", &[], QUICK);
                        assert_eq!(answer.status, 200, "{answer:?}");
                        let decision = answer.json()["decision"]["aml_decision"].clone();
                        let version = decision.as_str().and_then(|text| text.strip_prefix('V')).unwrap_or("0").parse();
                        let version: usize = version.expect("a number");
                        assert!(version >= last, "an old rule file answered after a new one");
                        last = version;
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    last
                })
            })
            .collect();
        let wait_for = |more: usize| {
            let target = answered.load(Ordering::Relaxed) + more;
            while answered.load(Ordering::Relaxed) < target && !callers.iter().any(|caller| caller.is_finished()) {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let mut hashes = std::collections::HashSet::new();
        for version in 1..=10 {
            std::fs::write(&file, rules(&format!("V{version}"))).expect("written");
            let answer = reload();
            assert_eq!(answer.status, 200, "{answer:?}");
            hashes.insert(answer.json()["model_hashes"]["rules"].as_str().expect("a hash").to_owned());
            wait_for(50);
        }
        assert_eq!(hashes.len(), 10);
        done.store(true, Ordering::Relaxed);
        for caller in callers {
            assert_eq!(caller.join().expect("no failed request"), 10);
        }
    });
    // A file that cannot be used leaves the old one answering, and shows.
    std::fs::write(&file, "rule").expect("written");
    reload().refuses(500, "reload_failed");
    assert_eq!(running.score(QUICK).json()["decision"]["aml_decision"], "V10");
    let health = running.get("/health");
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("degraded")));
    let metrics = running.get("/metrics").body;
    assert!(metrics.contains("probity_model_reloads_total{result=\"done\"} 10"), "{metrics}");
    assert!(metrics.contains("probity_model_reloads_total{result=\"failed\"} 1"), "{metrics}");
}

#[test]
fn a_changed_file_is_loaded_when_files_are_watched() {
    let settings = Settings { watch: Duration::from_millis(20), ..settings("watch") };
    let running = Running::start(&settings);
    std::fs::write(settings.rules.as_ref().expect("a file"), rules("CHANGED")).expect("written");
    let end = Instant::now() + Duration::from_secs(20);
    while running.score(QUICK).json()["decision"]["aml_decision"] != "CHANGED" {
        assert!(Instant::now() < end, "never reloaded");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_long_case_keeps_no_other_connection_waiting() {
    let running = Running::start(&settings("long"));
    let slow = slow(&running, Duration::from_secs(2));
    let (mut long, mut other) = (running.connect(), running.connect());
    // Quick requests teach the server that the work is short: the slow one runs on the thread that reads.
    for _ in 0..200 {
        assert_eq!(long.ask("POST", "/v1/drools/score", &[], QUICK).status, 200);
        assert_eq!(other.ask("GET", "/health", &[], "").status, 200);
    }
    std::thread::scope(|scope| {
        let taken = scope.spawn(move || long.ask("POST", "/v1/drools/score", &[], &slow));
        std::thread::sleep(Duration::from_millis(100));
        for _ in 0..10 {
            assert_eq!(other.ask("GET", "/health", &[], "").status, 200);
        }
        assert!(!taken.is_finished(), "the others waited for the long case");
        assert_eq!(taken.join().expect("no panic").status, 200);
    });
}

#[test]
fn what_was_taken_is_finished_and_nothing_new_is_taken() {
    let mut running = Running::start(&settings("stop"));
    let slow = slow(&running, Duration::from_secs(1));
    let (mut idle, mut taken) = (running.connect(), running.connect());
    assert_eq!(idle.ask("GET", "/health", &[], "").status, 200);
    taken.send(
        format!("POST /v1/drools/score HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{slow}", slow.len()).as_bytes(),
    );
    let under_way = "probity_http_requests_in_flight{path=\"/v1/drools/score\"} 1";
    while !running.get("/metrics").body.contains(under_way) {}
    running.tell_to_stop();
    let answer = taken.answer().expect("an answer");
    assert_eq!(answer.json()["decision"]["aml_decision"], "FIRST");
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(idle.answer().is_err(), "the idle connection is closed");
    running.wait_until_stopped().expect("no error");
    assert!(std::net::TcpStream::connect(running.address).is_err());
}

#[test]
fn metrics_count_by_path_and_status() {
    let running = Running::start(&settings("metrics"));
    for _ in 0..3 {
        running.score(QUICK);
    }
    running.score("{}");
    running.get("/accounts/4711");
    let answer = running.get("/metrics");
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    let score = "path=\"/v1/drools/score\"";
    for line in [
        format!("probity_http_requests_total{{method=\"POST\",{score},status=\"200\"}} 3"),
        format!("probity_http_requests_total{{method=\"POST\",{score},status=\"400\"}} 1"),
        "probity_http_requests_total{method=\"GET\",path=\"unknown\",status=\"404\"} 1".to_owned(),
        format!("probity_http_request_duration_seconds_bucket{{{score},le=\"+Inf\"}} 4"),
        format!("probity_http_request_duration_seconds_count{{{score}}} 4"),
        format!("probity_http_requests_in_flight{{{score}}} 0"),
        "probity_http_requests_in_flight{path=\"/metrics\"} 1".to_owned(),
    ] {
        assert!(answer.body.lines().any(|known| known == line), "{line} is not in\n{}", answer.body);
    }
    assert!(answer.body.contains("probity_model_info{model=\"rules\",version="));
    assert!(!answer.body.contains("4711"), "paths of callers are no labels");
}
