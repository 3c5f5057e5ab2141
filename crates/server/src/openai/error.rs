//! Refusals in the form that OpenAI's clients read.

use serde::Serialize;
use utoipa::ToSchema;

use crate::ApiError;

/// Beginnings of the paths that OpenAI's and vLLM's clients know.
const PATHS: [&str; 8] = [
    "/v1/chat/",
    "/v1/completions",
    "/v1/models",
    "/v1/files",
    "/v1/batches",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/tokenize",
];

/// Whether a path's refusals have this form.
pub(crate) fn is_spoken_at(path: &str) -> bool {
    PATHS.iter().any(|start| path.starts_with(start)) || path == "/detokenize"
}

/// A refusal as OpenAI writes it.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenAiError)]
pub(crate) struct ErrorBody<'e> {
    error: Detail<'e>,
}

/// What is wrong.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenAiErrorDetail)]
pub(crate) struct Detail<'e> {
    /// A sentence; it may quote the request.
    message: String,
    /// The kind of error: `invalid_request_error`, `authentication_error`, `server_error` and others.
    r#type: &'static str,
    /// The place in the body, where there is one.
    #[schema(example = "messages[0].content")]
    param: Option<&'e str>,
    /// One of a closed list.
    #[schema(example = "model_not_found")]
    code: &'static str,
    /// As in the `x-request-id` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'e str>,
}

/// A refusal in this form.
pub(crate) fn body<'e>(refusal: &'e ApiError, request_id: Option<&'e str>) -> ErrorBody<'e> {
    let r#type = match refusal.status().as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let (message, param, code) = (refusal.to_string(), refusal.field(), refusal.code());
    ErrorBody { error: Detail { message, r#type, param, code, request_id } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_openais_form_where_its_clients_ask() {
        let refusal = ApiError::UnknownModel("m".to_owned());
        let value = serde_json::to_value(body(&refusal, Some("r1"))).expect("JSON");
        let error = &value["error"];
        assert_eq!((error["type"].as_str(), error["param"].as_str()), (Some("not_found_error"), Some("model")));
        assert_eq!((error["code"].as_str(), error["request_id"].as_str()), (Some("model_not_found"), Some("r1")));
        assert!(is_spoken_at("/v1/chat/completions") && is_spoken_at("/v1/models/{id}") && is_spoken_at("/detokenize"));
        assert!(!is_spoken_at("/v1/drools/score") && !is_spoken_at("/v1/desks/{desk}/decisions"));
    }
}
