//! What can be asked: the OpenAPI document and a page that shows it, offline.

use std::sync::LazyLock;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| super::open_api().to_pretty_json().unwrap_or_else(|error| error.to_string()));

/// The page loads nothing but the document.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "documents",
    responses((status = 200, content_type = "application/json", body = Object)),
)]
pub(crate) async fn open_api() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

/// This document as a page.
#[utoipa::path(
    get, path = "/docs", tag = "documents", responses((status = 200, content_type = "text/html", body = String)),
)]
pub(crate) async fn page() -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, include_str!("../assets/docs.html"))
}
