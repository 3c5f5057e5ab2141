//! The request's body: read to its end within limits, and taken apart with the place of what is wrong.

use axum::body::{Body, HttpBody};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::EXPECT;
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

use crate::{ApiError, State};

/// A caller that sends too much is heard out up to this many times the limit, so that it reads the answer
/// instead of a broken connection.
const HEARD_OUT: usize = 4;

/// The whole body.
pub(crate) struct Whole(pub(crate) Bytes);

impl FromRequest<Arc<State>> for Whole {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Self, ApiError> {
        let limit = state.limits.body_bytes;
        let waits = request.headers().contains_key(EXPECT);
        let body = request.into_body();
        if waits && body.size_hint().lower() > limit as u64 {
            return Err(ApiError::TooLarge { limit });
        }
        match tokio::time::timeout(state.limits.request_timeout, read(body, limit)).await {
            Ok(result) => result.map(Self),
            Err(_) => Err(ApiError::BodyTimeout),
        }
    }
}

/// What stands behind the question mark.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let refused = |rejection: QueryRejection| ApiError::invalid("query", rejection.body_text());
        Query::try_from_uri(&parts.uri).map(|Query(value)| Self(value)).map_err(refused)
    }
}

async fn read(mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ApiError::BrokenBody)?.into_data() else { continue };
        length += data.len();
        if length > limit {
            rest = BytesMut::new();
            if length > limit.saturating_mul(HEARD_OUT) {
                break;
            }
        } else if first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    match (length > limit, rest.is_empty()) {
        (true, _) => Err(ApiError::TooLarge { limit }),
        (false, true) => Ok(first),
        (false, false) => Ok(rest.freeze()),
    }
}

/// Takes a JSON body apart. Only a body that fails is read again, for the path to the field.
pub(crate) fn json<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, ApiError> {
    // A structure may also be read from an array, in the order of its fields; a request may not.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(ApiError::NotJson("it is an array, not an object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| explain::<T>(body, &error))
}

#[cold]
fn explain<'b, T: Deserialize<'b>>(body: &'b [u8], error: &serde_json::Error) -> ApiError {
    if !error.is_data() {
        return ApiError::NotJson(error.to_string());
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let path = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Ok(_) => String::new(),
        Err(error) => error.path().to_string(),
    };
    let message = error.to_string();
    ApiError::invalid(field(&path, &message), message)
}

/// The path, down to a field that the message alone names.
pub(crate) fn field(path: &str, message: &str) -> String {
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next())
        .unwrap_or_default();
    let path = path.trim_matches('.');
    if path.is_empty() || named.is_empty() || path == named || path.ends_with(&format!(".{named}")) {
        return if path.is_empty() { named } else { path }.to_owned();
    }
    format!("{path}.{named}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Batch {
        #[expect(dead_code, reason = "only its reading matters")]
        alerts: Vec<Alert>,
    }

    #[derive(Debug, Deserialize)]
    struct Alert {
        #[expect(dead_code, reason = "only its reading matters")]
        volume_usd: f64,
    }

    #[test]
    fn errors_name_the_field() {
        let at = |body: &str| json::<Batch>(body.as_bytes()).expect_err("an error").field().map(str::to_owned);
        assert_eq!(at(r#"{"alerts":[{"volume_usd":1},{"volume_usd":"x"}]}"#).as_deref(), Some("alerts[1].volume_usd"));
        assert_eq!(at(r#"{"alerts":[{}]}"#).as_deref(), Some("alerts[0].volume_usd"));
        assert_eq!(at("{}").as_deref(), Some("alerts"));
        assert_eq!(at(r#"{"alerts":7}"#).as_deref(), Some("alerts"));
        assert_eq!(at("{\n  \"alerts\": [,"), None);
        let error = json::<Batch>(b"{\n  \"alerts\": [,").expect_err("an error").to_string();
        assert!(error.contains("line 2 column 14"), "{error}");
    }
}
