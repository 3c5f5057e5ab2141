//! The OpenAPI document is the recorded one, and what the server answers.

mod support;

use std::path::Path;

use support::{Running, settings};

/// Changes of the interface show in a review: the recorded document changes with them.
#[test]
fn the_document_is_the_recorded_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi.json");
    let document = server::open_api().to_pretty_json().expect("JSON") + "\n";
    if std::env::var_os("PROBITY_RECORD").is_some() {
        std::fs::write(&path, &document).expect("written");
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        document == recorded,
        "the interface differs from tests/openapi.json; if it should, record it again:\n    \
         PROBITY_RECORD=1 cargo test -p server --test documents"
    );
}

#[test]
fn the_server_answers_its_document_and_a_page_that_needs_nothing_else() {
    let running = Running::start(&settings("documents"));
    let document = running.get("/openapi.json");
    assert_eq!(document.header("content-type"), Some("application/json"));
    let paths = &document.json()["paths"];
    for path in ["/health", "/version", "/metrics", "/v1/drools/score", "/admin/reload"] {
        assert!(paths[path].is_object(), "{path}");
    }
    let page = running.get("/docs");
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
    assert!(!page.body.contains("http://") && !page.body.contains("https://"), "the page works offline");
}
