//! The paths, one file per group. A group is one line in [`list`].

mod admin;
mod alerts;
mod batches;
mod chat;
mod decisions;
mod documents;
mod files;
mod health;
mod jobs;
mod language_models;
mod rules;
mod tokens;

use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::routing::any;
use axum::{Router, middleware};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, License, OpenApi, OpenApiBuilder, Paths};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes;

use crate::api_error::ErrorBody;
use crate::gate::{self, Access, Gate};
use crate::{ApiError, Error, State, request_id};

/// Every path with who may use it, in the order of the document.
fn list(admin_reload: bool, adapter_loading: bool) -> Vec<(Access, UtoipaMethodRouter<Arc<State>>)> {
    let mut list = vec![
        (Access::Work, routes!(rules::score)),
        (Access::Work, routes!(alerts::score_alerts)),
        (Access::Work, routes!(alerts::rank_alerts)),
        (Access::Work, routes!(alerts::score_clusters)),
        (Access::Work, routes!(decisions::decisions)),
        (Access::Work, routes!(decisions::predict)),
        (Access::Work, routes!(chat::chat)),
        (Access::Work, routes!(chat::completion)),
        (Access::Key, routes!(language_models::list)),
        (Access::Key, routes!(language_models::one)),
        (Access::Work, routes!(tokens::tokenize)),
        (Access::Work, routes!(tokens::detokenize)),
        (Access::Key, routes!(files::upload, files::list)),
        (Access::Key, routes!(files::get, files::delete)),
        (Access::Key, routes!(files::content)),
        (Access::Key, routes!(batches::create, batches::list)),
        (Access::Key, routes!(batches::get)),
        (Access::Key, routes!(batches::cancel)),
        (Access::Key, routes!(jobs::train)),
        (Access::Key, routes!(jobs::list)),
        (Access::Key, routes!(jobs::get)),
        (Access::Key, routes!(jobs::log)),
        (Access::Key, routes!(jobs::cancel)),
        (Access::Open, routes!(health::health)),
        (Access::Key, routes!(health::version)),
        (Access::Key, routes!(health::metrics)),
        (Access::Open, routes!(documents::open_api)),
        (Access::Open, routes!(documents::page)),
    ];
    if admin_reload {
        list.push((Access::Key, routes!(admin::reload)));
    }
    if adapter_loading {
        list.push((Access::Work, routes!(language_models::load_adapter)));
        list.push((Access::Work, routes!(language_models::unload_adapter)));
    }
    list
}

/// The label of requests to no path of ours.
const UNKNOWN: &str = "unknown";

/// The router, with a gate before every path.
pub(crate) fn router(state: &Arc<State>, origins: &[String]) -> Result<Router, Error> {
    let list = list(state.admin_reload, state.adapter_root.is_some());
    let names: Vec<String> = list.iter().flat_map(|(_, (_, paths, _))| paths.paths.keys().cloned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).chain([UNKNOWN]).collect();
    let counters = state.metrics.routes(&names);
    let gate = |name: &str, access| {
        let route = counters.iter().find(|route| route.path() == name).unwrap_or(&counters[counters.len() - 1]);
        let gate = Gate { state: Arc::clone(state), route: Arc::clone(route), access };
        middleware::from_fn_with_state(Arc::new(gate), gate::pass)
    };
    let mut router = Router::new();
    for (access, (_, paths, methods)) in list {
        for path in paths.paths.keys() {
            router = router.route(path, methods.clone().layer(gate(path, access)));
        }
    }
    let unknown = any(async || ApiError::NotFound).layer(gate(UNKNOWN, Access::Open));
    let router = router.fallback_service(unknown.with_state(())).with_state(Arc::clone(state));
    Ok(if origins.is_empty() { router } else { router.layer(cross_origin(origins)?) })
}

fn cross_origin(origins: &[String]) -> Result<CorsLayer, Error> {
    let read = |origin: &String| {
        let plain = origin.contains("://") && !origin.ends_with('/');
        HeaderValue::from_str(origin).ok().filter(|_| plain).ok_or_else(|| Error::Origin(origin.clone()))
    };
    let origins: Vec<HeaderValue> = origins.iter().map(read).collect::<Result<_, _>>()?;
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("x-api-key"),
            request_id::HEADER,
        ])
        .expose_headers([request_id::HEADER, header::RETRY_AFTER]))
}

/// The two ways to send the key.
const KEYS: [&str; 2] = ["header", "bearer"];

/// The OpenAPI document of every path, made from the handlers themselves.
pub fn open_api() -> OpenApi {
    let mut info = InfoBuilder::new()
        .title("Probity")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Decides cases, with reasons, and says what decided them."))
        .build();
    info.license = Some(License::new("MIT OR Apache-2.0"));
    let (mut all, mut components) = (Paths::new(), Components::new());
    for (access, (schemas, mut paths, _)) in list(true, true) {
        let items = paths.paths.values_mut().flat_map(|item| [&mut item.get, &mut item.post, &mut item.delete]);
        for operation in items.flatten().filter(|_| access != Access::Open) {
            operation.security = Some(KEYS.map(|name| SecurityRequirement::new(name, [""; 0])).to_vec());
        }
        all.paths.extend(paths.paths);
        components.schemas.extend(schemas);
    }
    let mut errors = vec![(ErrorBody::name().into_owned(), ErrorBody::schema())];
    ErrorBody::schemas(&mut errors);
    components.schemas.extend(errors);
    let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
    components.add_security_scheme(KEYS[0], header);
    components.add_security_scheme(KEYS[1], SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    OpenApiBuilder::new().info(info).paths(all).components(Some(components)).build()
}
